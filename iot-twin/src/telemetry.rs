//! Measurements: SenML packs (RFC 8428) in CBOR, and what is worth sending.
//!
//! Neither needs an allocator. Media type `application/senml+cbor`, content format 112.

pub mod filter;
pub mod senml;

pub use filter::Deadband;
pub use senml::{Entry, Measured, Pack, Record, Records};
