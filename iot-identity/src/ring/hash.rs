//! Hashing, authentication and randomness.

use core::fmt;

use ::ring::rand::SecureRandom;
use ::ring::{digest, hmac, rand};
use iot_core::crypto::{BadSignature, Digest, KeyError, Mac, Sha256Digest, Tag};
use iot_core::entropy::{Entropy, EntropyError};

/// SHA-256 over a stream.
///
/// ```
/// use iot_core::crypto::Digest;
/// use iot_identity::ring::Sha256;
/// let mut hash = Sha256::new();
/// hash.update(b"abc");
/// assert_eq!(hash.finish()[..4], [0xba, 0x78, 0x16, 0xbf]);
/// ```
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Digest for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&mut self) -> Sha256Digest {
        let done = core::mem::take(self).0.finish();
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(done.as_ref()) {
            *to = *from;
        }
        out
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sha256(ring)")
    }
}

/// A key for HMAC-SHA-256.
///
/// ```
/// use iot_core::crypto::Mac;
/// use iot_identity::ring::HmacSha256;
/// let key = HmacSha256::new(&[7; 32]);
/// let mut tag = [0; 32];
/// key.authenticate(&[b"hello"], &mut tag)?;
/// assert!(key.verify(&[b"hel", b"lo"], &tag).is_ok());
/// assert!(key.verify(&[b"hello"], &tag[..16]).is_err());
/// # Ok::<(), iot_core::crypto::KeyError>(())
/// ```
pub struct HmacSha256(hmac::Key);

impl HmacSha256 {
    /// Takes a key of any length; 32 random bytes are best.
    #[must_use]
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }
}

impl Mac for HmacSha256 {
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError> {
        let mut context = hmac::Context::with_key(&self.0);
        message.iter().for_each(|part| context.update(part));
        for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        Ok(())
    }

    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature> {
        let mut expected = [0; 32];
        self.authenticate(message, &mut expected)
            .map_err(|_| BadSignature::new())?;
        // ring's public comparison is over a tag of a message; hiding both sides behind one more HMAC makes
        // a byte-by-byte comparison safe, and lets the message come in parts.
        let blind = |tag: &[u8]| hmac::sign(&self.0, tag);
        let equal = tag.len() == expected.len() && blind(tag).as_ref() == blind(&expected).as_ref();
        equal.then_some(()).ok_or_else(BadSignature::new)
    }
}

impl fmt::Debug for HmacSha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacSha256(…)")
    }
}

/// The operating system's randomness.
///
/// ```
/// use iot_core::entropy::Entropy;
/// let mut nonce = [0; 16];
/// iot_identity::ring::SystemEntropy::new().fill(&mut nonce)?;
/// assert_ne!(nonce, [0; 16]);
/// # Ok::<(), iot_core::entropy::EntropyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SystemEntropy(rand::SystemRandom);

impl SystemEntropy {
    /// Opens it.
    #[must_use]
    pub fn new() -> Self {
        Self(rand::SystemRandom::new())
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Entropy for SystemEntropy {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.fill(out).map_err(|_| EntropyError::new())
    }
}
