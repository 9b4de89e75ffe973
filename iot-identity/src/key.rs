//! Public keys as data, and keys shared between threads.
//!
//! Private keys live in the providers (`ring`, `rustcrypto`, `pkcs11`, `tpm`) behind iot-core's
//! [`KeyStore`](iot_core::crypto::KeyStore), and never leave them.

mod public;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
mod secret;
#[cfg(feature = "alloc")]
mod shared;
mod weak;
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
pub(crate) mod worker;

pub(crate) use weak::is_weak;

pub use public::{KeyHash, MAX_SPKI_BYTES, PublicKey};
#[cfg(any(feature = "pkcs11", feature = "tpm"))]
pub use secret::Secret;
#[cfg(feature = "alloc")]
pub use shared::SharedKey;
