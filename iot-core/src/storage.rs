//! Record stores behind the [`Records`](crate::port::Records) port.
//!
//! [`memory`] keeps records in RAM: one store without an allocator, one that grows and can be copied, so
//! that a test cuts the power and boots again from the copy. [`records`] keeps them on a chip's flash, on an
//! append-only [`log`] that survives a power cut at every operation. `directory` (feature `std`) keeps them in
//! files. `fault` (feature `sim`) makes any store fail or lose power at a chosen commit.

#[cfg(feature = "std")]
pub mod directory;
#[cfg(feature = "sim")]
pub mod fault;
pub mod log;
pub mod memory;
pub mod records;
#[cfg(test)]
mod slow;
