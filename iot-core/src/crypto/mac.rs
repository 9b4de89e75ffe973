//! Message authentication with a shared key.

use super::sign::{BadSignature, KeyError};

/// A full HMAC-SHA-256 tag (RFC 2104; COSE HMAC 256/256, 5).
pub type Tag = [u8; 32];

/// A shared key that authenticates with HMAC-SHA-256 and cannot be read.
pub trait Mac {
    /// Computes the tag over the concatenation of `message`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] when the key cannot be used; `out` is then unspecified.
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError>;

    /// Checks a tag in constant time.
    ///
    /// # Errors
    ///
    /// [`BadSignature`] for any other tag, of any length.
    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature>;
}

impl<M: Mac + ?Sized> Mac for &M {
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError> {
        (**self).authenticate(message, out)
    }
    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature> {
        (**self).verify(message, tag)
    }
}
