#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod der;

pub mod cert;
pub mod enrol;
pub mod key;
#[cfg(feature = "std")]
pub mod revocation;
#[cfg(feature = "ring")]
pub mod ring;
pub mod rotate;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
#[cfg(feature = "tls")]
pub mod tls;

pub use iot_core;
