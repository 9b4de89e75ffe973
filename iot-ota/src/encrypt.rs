//! Encrypting payloads (firmware encryption for SUIT), on the author's side: in pieces, for several devices at once.
//!
//! An [`Encryptor`] draws a key and a nonce for one payload, wraps the key for each [`Audience`], and gives the
//! `COSE_Encrypt` that goes into the manifest
//! ([`ParameterList::encryption`](crate::manifest::ParameterList::encryption)); the ciphertext travels like any payload.
//! What the manifest says of the image, its digest and size, is of the plaintext: a device matches what it has
//! decrypted.

mod audience;
mod stream;

pub use audience::Audience;
pub use stream::{EncryptError, Encryptor};
