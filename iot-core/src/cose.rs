//! COSE on the crypto ports (RFC 9052): [`Sign1`], [`Sign`], [`Mac0`] and [`Mac`], decoded in place, verified
//! before use.
//!
//! Untrusted bytes become one of these; the payload can only be had through `verify`. The
//! algorithm must stand in the protected header and fit the key; a critical header that is not understood
//! is refused (RFC 9052 §3.1).

mod header;
mod mac;
mod mac0;
mod proof;
mod sign;
mod sign1;
mod structure;

pub use header::{Algorithm, Header};
pub use mac::Mac;
pub use mac0::{Mac0, mac0};
pub use proof::{Proof, Proofs};
pub use sign::{Sign, SignerPart, sign};
pub use sign1::{Sign1, sign1};
pub use structure::{Content, MAX_MESSAGE_BYTES, Tagged};

use crate::codec::CodecError;
use crate::crypto::KeyError;

/// Why bytes are no acceptable COSE message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CoseError {
    /// Not CBOR, or beyond its limits.
    #[error("not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Another structure or tag than asked for.
    #[error("not a COSE message of the expected kind")]
    Structure,
    /// The algorithm is missing from the protected header, or is not one of [`Algorithm`].
    #[error("the protected header names no supported algorithm")]
    Algorithm,
    /// A critical header parameter is not understood.
    #[error("a critical header parameter is not understood")]
    Critical,
    /// The payload is detached and was not handed in, or is attached and was.
    #[error("the payload is detached and missing, or attached and given twice")]
    Payload,
    /// The signature or tag does not verify with this key; it says nothing more, on purpose.
    #[error("the signature or tag does not verify")]
    Unverified,
    /// The key could not be used.
    #[error("the key could not be used: {0}")]
    Key(#[from] KeyError),
    /// The caller's buffer is too small for the message.
    #[error("the message does not fit the buffer of {bytes} bytes")]
    Buffer {
        /// How long the buffer was.
        bytes: usize,
    },
}
