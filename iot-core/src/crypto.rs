//! Ports to cryptography: what an engine asks of a key, whoever holds it.
//!
//! The SDK never sees a private key. A [`Signer`] signs, a [`KeyStore`] creates and destroys; neither can
//! export, because no method returns a secret. Providers live in `iot-identity`.

mod digest;
mod mac;
mod sign;
mod store;

pub use digest::{Digest, Sha256Digest};
pub use mac::{Mac, Tag};
pub use sign::{
    BadSignature, KeyError, MAX_PUBLIC_KEY_BYTES, Signature, SignatureAlgorithm, Signer, Verifier,
};
pub use store::{KeyPolicy, KeyStore, SlotId};
