#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod alarm;
#[cfg(feature = "decrypt")]
pub mod decrypt;
pub mod delta;
#[cfg(feature = "encrypt")]
pub mod encrypt;
pub mod image;
pub mod manifest;
pub mod post_quantum;
pub mod process;
pub mod report;
#[cfg(feature = "rollout")]
pub mod rollout;
pub mod schedule;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod slot;
#[cfg(test)]
mod testing;
pub mod update;

pub use iot_core;
