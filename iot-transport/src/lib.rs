#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "dynamic")]
pub mod dynamic;
pub mod exchange;
#[cfg(feature = "gate")]
pub mod gate;
pub mod memory;
#[cfg(feature = "mqtt")]
pub mod mqtt;
pub mod session;
#[cfg(feature = "mqtt")]
mod timer;
pub mod topic;

pub use iot_core;
#[cfg(feature = "mqtt")]
pub use timer::TokioTimer;
