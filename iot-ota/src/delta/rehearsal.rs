//! An in-place patch, applied without writing anything.

use iot_core::crypto::{Digest, Sha256Digest};

use super::decoder::Decoder;
use super::error::{DecodeError, PatchError};
use super::layout::{Declared, Layout};
use crate::image::digests_equal;

/// Decodes an in-place patch and digests what comes out, while the old image still is where it was.
///
/// An in-place update cannot be taken back. So all that can be known is known first: that the patch is whole, that it
/// reads nothing which is overwritten by then, and that what comes out has the declared digest.
#[derive(Clone, Debug)]
pub struct Rehearsal<const WINDOW: usize, D> {
    decoder: Decoder<WINDOW>,
    digest: D,
}

/// The evidence that a patch makes the declared image; [`InPlace`](super::InPlace) asks for it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Rehearsed {
    pub(super) declared: Declared,
    pub(super) layout: Layout,
}

impl<const WINDOW: usize, D: Digest> Rehearsal<WINDOW, D> {
    /// Begins with the head of a patch; `digest` is a SHA-256 that has absorbed nothing.
    #[must_use]
    pub const fn new(declared: Declared, digest: D) -> Self {
        Self {
            decoder: Decoder::new(declared),
            digest,
        }
    }

    /// Takes the next piece of the patch in; `old` reads the old image, so many bytes from an offset in bytes.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; begin again with another patch, or with the same one when it was the old image.
    pub fn push<E>(
        &mut self,
        mut patch: &[u8],
        mut old: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        let mut room = [0; 64];
        loop {
            let given = self.decoder.decode(&mut patch, &mut room, &mut old)?;
            self.digest.update(room.get(..given).unwrap_or(&[]));
            if given == 0 && patch.is_empty() {
                return Ok(());
            }
        }
    }

    /// Where the next piece of the patch begins, in bytes.
    #[must_use]
    pub const fn consumed(&self) -> u32 {
        self.decoder.consumed()
    }

    /// Says whether the patch makes the image with the digest `expected`; compared in constant time.
    ///
    /// # Errors
    ///
    /// [`PatchError`]: the patch must not be applied. [`PatchError::Type`] for one that is not in-place.
    pub fn finish(mut self, expected: &Sha256Digest) -> Result<Rehearsed, PatchError> {
        self.decoder.finish()?;
        if !digests_equal(&self.digest.finish(), expected) {
            return Err(PatchError::Digest);
        }
        let layout = self.decoder.layout();
        Ok(Rehearsed {
            declared: self.decoder.declared(),
            layout: layout.ok_or(PatchError::Type { found: 0 })?,
        })
    }
}

impl Rehearsed {
    /// How the patch lays out the memory.
    #[must_use]
    pub const fn layout(&self) -> Layout {
        self.layout
    }
}
