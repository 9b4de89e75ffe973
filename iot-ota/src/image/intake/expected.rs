//! What an intake is told.

use iot_core::crypto::Sha256Digest;

/// What is to arrive, and what it is to become.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Expected {
    /// The size of the payload in bytes.
    pub payload_bytes: u32,
    /// The size of the image in bytes.
    pub image_bytes: u32,
    /// The SHA-256 of the image.
    pub digest: Sha256Digest,
}

impl Expected {
    /// States it; all of it from a manifest that was verified.
    #[must_use]
    pub const fn new(payload_bytes: u32, image_bytes: u32, digest: Sha256Digest) -> Self {
        Self {
            payload_bytes,
            image_bytes,
            digest,
        }
    }
}
