//! Hashing a stream.

/// A SHA-256 digest.
pub type Sha256Digest = [u8; 32];

/// SHA-256 over a stream of any length (FIPS 180-4).
///
/// A value that has absorbed nothing hashes the empty message.
pub trait Digest {
    /// Absorbs the next bytes.
    fn update(&mut self, bytes: &[u8]);

    /// Returns the digest of all that was absorbed and starts anew.
    fn finish(&mut self) -> Sha256Digest;
}

impl<D: Digest + ?Sized> Digest for &mut D {
    fn update(&mut self, bytes: &[u8]) {
        (**self).update(bytes);
    }
    fn finish(&mut self) -> Sha256Digest {
        (**self).finish()
    }
}
