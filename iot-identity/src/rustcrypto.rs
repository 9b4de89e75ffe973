//! The provider on chips: pure Rust, no allocator, private keys wiped when they are dropped.
//!
//! ECDSA nonces follow RFC 6979, so signing needs no randomness. The arithmetic runs in constant time as far
//! as its authors claim; it does not resist fault injection or power analysis. A secure element does.

mod algorithm;
mod hash;
mod key;
mod store;
mod verify;

pub use algorithm::{ALGORITHMS, ECDSA_P256_SHA256, ED25519};
pub use hash::{HmacSha256, Sha256};
pub use key::P256Key;
pub use store::{SoftwareKeys, SoftwareSigner};
pub use verify::{Ed25519Verifier, P256Verifier};
