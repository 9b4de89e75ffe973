//! Public keys as data, and keys shared between threads.
//!
//! Private keys live in the providers (`ring`, `rustcrypto`) behind iot-core's
//! [`KeyStore`](iot_core::crypto::KeyStore), and never leave them.

mod public;
#[cfg(feature = "alloc")]
mod shared;

pub use public::{KeyHash, MAX_SPKI_BYTES, PublicKey};
#[cfg(feature = "alloc")]
pub use shared::SharedKey;
