#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod der;

pub mod cert;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(feature = "embedded-tls")]
pub mod embedded_tls;
pub mod enrol;
#[cfg(all(fuzzing, feature = "pkcs11"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod key;
#[cfg(feature = "pkcs11")]
pub mod pkcs11;
pub mod revocation;
#[cfg(feature = "ring")]
pub mod ring;
pub mod rotate;
#[cfg(feature = "rustcrypto")]
pub mod rustcrypto;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "tpm")]
pub mod tpm;

pub use iot_core;
