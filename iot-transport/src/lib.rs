#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod bridge;
#[cfg(feature = "coap")]
pub mod coap;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "dynamic")]
pub mod dynamic;
pub mod envelope;
pub mod exchange;
#[cfg(all(fuzzing, feature = "gate"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod gaps;
#[cfg(feature = "gate")]
pub mod gate;
#[cfg(feature = "alloc")]
mod hand;
#[cfg(feature = "http")]
pub mod http;
pub mod layer;
pub mod memory;
#[cfg(any(feature = "mqtt", feature = "chip"))]
pub mod mqtt;
pub mod outbox;
pub mod session;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(feature = "mqtt")]
mod timer;
pub mod topic;

pub use iot_core;
#[cfg(feature = "mqtt")]
pub use timer::TokioTimer;
