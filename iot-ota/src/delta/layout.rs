//! The sizes that a patch is held against.

use super::error::PatchError;

/// What is known of a patch from elsewhere, in bytes: from the signed manifest, from what is installed, and from whoever
/// owns the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Declared {
    /// The size of the image that is there.
    pub old: u32,
    /// The size of the image that is to be.
    pub new: u32,
    /// The size of the patch.
    pub patch: u32,
    /// The size of the memory that an in-place patch may use, from its start. Nobody signs how a patch lays it out.
    pub memory: u32,
}

impl Declared {
    /// States the sizes of the old image, the new image and the patch, in bytes.
    ///
    /// There is no memory for an in-place patch then, which is refused: [`in_memory`](Self::in_memory) states it.
    #[must_use]
    pub const fn new(old: u32, new: u32, patch: u32) -> Self {
        Self {
            old,
            new,
            patch,
            memory: 0,
        }
    }

    /// States the size of the memory that an in-place patch may erase and write, in bytes from where the old image
    /// begins.
    ///
    /// ```
    /// use iot_ota::delta::Declared;
    /// // A patch of 900 bytes, in a bank of 64 KiB.
    /// let declared = Declared::new(40_000, 41_000, 900).in_memory(65_536);
    /// assert_eq!(declared.memory, 65_536);
    /// ```
    #[must_use]
    pub const fn in_memory(self, bytes: u32) -> Self {
        Self {
            memory: bytes,
            ..self
        }
    }
}

/// Where an in-place patch puts things, in bytes from the start of the memory.
///
/// First the old image moves up by `shift`. Then the new one is written from the bottom, segment by segment; a
/// segment reads nothing below its own end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Layout {
    /// The size of the memory, whole segments and no more than was declared.
    pub memory: u32,
    /// What is erased and written at a time, whole pages of the memory.
    pub segment: u32,
    /// How far the old image moves, whole segments and at least one.
    pub shift: u32,
}

impl Layout {
    pub(super) fn checked(self, declared: Declared) -> Result<Self, PatchError> {
        let Self {
            memory,
            segment,
            shift,
        } = self;
        let whole = |bytes: u32| bytes.checked_rem(segment) == Some(0);
        let fits = memory <= declared.memory && declared.new <= memory;
        if fits && whole(memory) && whole(shift) && shift > 0 && shift < memory {
            Ok(self)
        } else {
            Err(PatchError::Layout)
        }
    }

    /// How much of an old image of that size is there after the move; the rest has no room.
    #[must_use]
    pub fn kept(&self, old: u32) -> u32 {
        old.min(self.memory.saturating_sub(self.shift))
    }

    /// What a segment that begins at `start` may read of the old image: from here on.
    pub(super) const fn floor(&self, start: u32) -> u32 {
        start
            .saturating_add(self.segment)
            .saturating_sub(self.shift)
    }
}
