//! Encrypted payloads (firmware encryption for SUIT), decrypted as they arrive, in bounded memory.
//!
//! [`EncryptionInfo`](crate::manifest::EncryptionInfo) says how; a [`KeyUnwrap`] has the device's own key, and a
//! [`Decryptor`] takes chunks of any size and hands on what was in them. **What it hands on is not proved before its
//! end**: it must go where it counts for nothing until [`finish`](Decryptor::finish) has found the tag right and the
//! image's digest was matched, such as the spare bank.

mod engine;
mod key;
mod stream;
mod transform;

pub use key::{AgreementKey, ContentKey, KeyUnwrap, SharedKey};
pub use stream::{DecryptError, Decryptor};
pub use transform::Decrypted;

#[cfg(feature = "encrypt")]
pub(crate) use {engine::Engine, engine::STEP, key::agreed};
