//! The provider on hosts: keys, hashing and randomness from the `ring` crate.
//!
//! ring keeps private keys in its own memory and does not wipe them when they are dropped. Where that
//! matters, use hardware, or the `rustcrypto` provider, which does.

mod hash;
mod key;
mod store;
mod verify;

pub use hash::{HmacSha256, Sha256, SystemEntropy};
pub use key::SoftwareKey;
pub use store::{SoftwareKeys, SoftwareSigner};
pub use verify::SoftwareVerifier;
