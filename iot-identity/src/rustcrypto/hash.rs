//! Hashing and authentication.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac as _};
use iot_core::crypto::{BadSignature, Digest, KeyError, Mac, Sha256Digest, Tag};
use sha2::Digest as _;

/// SHA-256 over a stream.
///
/// ```
/// use iot_core::crypto::Digest;
/// use iot_identity::rustcrypto::Sha256;
/// let mut hash = Sha256::new();
/// hash.update(b"abc");
/// assert_eq!(hash.finish()[..4], [0xba, 0x78, 0x16, 0xbf]);
/// ```
#[derive(Clone, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Digest for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&mut self) -> Sha256Digest {
        self.0.finalize_reset().into()
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(rustcrypto)")
    }
}

/// A key for HMAC-SHA-256, wiped when it is dropped.
///
/// ```
/// use iot_core::crypto::Mac;
/// use iot_identity::rustcrypto::HmacSha256;
/// let key = HmacSha256::new(&[7; 32])?;
/// let mut tag = [0; 32];
/// key.authenticate(&[b"hello"], &mut tag)?;
/// assert!(key.verify(&[b"hel", b"lo"], &tag).is_ok());
/// assert!(key.verify(&[b"hello"], &tag[..16]).is_err());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
pub struct HmacSha256(Hmac<sha2::Sha256>);

impl HmacSha256 {
    /// Takes a key of any length; 32 random bytes are best.
    ///
    /// # Errors
    ///
    /// [`KeyError::Unsupported`], which no length causes today.
    pub fn new(key: &[u8]) -> Result<Self, KeyError> {
        Hmac::new_from_slice(key)
            .map(Self)
            .map_err(|_| KeyError::Unsupported)
    }

    /// The tag of the concatenation of `message`.
    pub(crate) fn tag(&self, message: &[&[u8]]) -> Tag {
        self.absorb(message).finalize().into_bytes().into()
    }

    fn absorb(&self, message: &[&[u8]]) -> Hmac<sha2::Sha256> {
        let mut state = self.0.clone();
        message.iter().for_each(|part| state.update(part));
        state
    }
}

impl Mac for HmacSha256 {
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError> {
        *out = self.tag(message);
        Ok(())
    }

    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature> {
        self.absorb(message)
            .verify_slice(tag)
            .map_err(|_| BadSignature::new())
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(…)")
    }
}
