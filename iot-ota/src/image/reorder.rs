//! Blocks in any order, each held against its own hash.

use iot_core::crypto::{Digest, Sha256Digest};

use super::stream::digests_equal;

/// Lets blocks of `BYTES` bytes overtake each other by up to `BLOCKS`, and hands them on in order.
///
/// Each is compared with its own SHA-256 when it arrives, so a bad one is asked for again at once, instead of all of the
/// image at its end. The table of hashes, 32 bytes for each block, is part of what was signed, or has its digest there.
///
/// ```
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Clone, Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_add(*b) } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let hash = |bytes: &[u8]| { let mut d = Sum::default(); d.update(bytes); d.finish() };
/// use iot_ota::image::{BlockError, Reorder};
///
/// let hashes = [hash(b"abcd"), hash(b"efgh"), hash(b"ij")].concat();
/// let mut blocks = Reorder::<_, 4, 2>::new(Sum::default(), &hashes, 10)?;
/// blocks.accept(4, b"efgh")?;
/// assert_eq!(blocks.ready(), None); // the first is missing
/// assert_eq!(blocks.accept(0, b"abcX"), Err(BlockError::Hash { block: 0 }));
/// blocks.accept(0, b"abcd")?;
/// assert_eq!(blocks.ready(), Some((0, &b"abcd"[..])));
/// blocks.release();
/// assert_eq!(blocks.ready(), Some((4, &b"efgh"[..])));
/// # Ok::<(), BlockError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reorder<'h, D, const BYTES: usize, const BLOCKS: usize> {
    digest: D,
    hashes: &'h [u8],
    payload: u32,
    // The number of the block that is handed on next.
    next: u32,
    // Block `n` lies at `n % BLOCKS`.
    held: [[u8; BYTES]; BLOCKS],
    present: [bool; BLOCKS],
}

/// Why a block was not taken; nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BlockError {
    /// There is no hash for each block of the payload, or more.
    #[error("the table of hashes does not fit the payload")]
    Table,
    /// It begins between two blocks, or has not the length of its block.
    #[error("these bytes are no block")]
    Shape,
    /// It is too far ahead: ask for block {first} first.
    #[error("too far ahead: ask for block {first} first")]
    Ahead {
        /// The number of the first block that is missing.
        first: u32,
    },
    /// It is not the block that was signed: ask for it again.
    #[error("block {block} is not the one that was signed: ask for it again")]
    Hash {
        /// Its number.
        block: u32,
    },
}

impl<'h, D: Digest, const BYTES: usize, const BLOCKS: usize> Reorder<'h, D, BYTES, BLOCKS> {
    /// Begins a payload of so many bytes; `digest` is a SHA-256 that has absorbed nothing.
    ///
    /// # Errors
    ///
    /// [`BlockError::Table`].
    pub fn new(digest: D, hashes: &'h [u8], payload_bytes: u32) -> Result<Self, BlockError> {
        let blocks = u32::try_from(BYTES)
            .ok()
            .filter(|&bytes| bytes > 0 && BLOCKS > 0)
            .map(|bytes| payload_bytes.div_ceil(bytes));
        let entries = u32::try_from(hashes.len()).ok();
        if blocks.and_then(|blocks| blocks.checked_mul(32)) != entries {
            return Err(BlockError::Table);
        }
        Ok(Self {
            digest,
            hashes,
            payload: payload_bytes,
            next: 0,
            held: [[0; BYTES]; BLOCKS],
            present: [false; BLOCKS],
        })
    }

    /// Goes on behind what was handed on before an interruption: the next block is the one that begins at or before
    /// that offset in bytes.
    #[must_use]
    pub fn resume(mut self, offset: u32) -> Self {
        let bytes = u32::try_from(BYTES).unwrap_or(u32::MAX);
        self.next = offset.min(self.payload).checked_div(bytes).unwrap_or(0);
        self
    }

    /// Takes the block that begins at `offset` in bytes; one that was there already is nothing new.
    ///
    /// # Errors
    ///
    /// [`BlockError`], except [`BlockError::Table`].
    pub fn accept(&mut self, offset: u32, bytes: &[u8]) -> Result<(), BlockError> {
        let size = u32::try_from(BYTES).unwrap_or(u32::MAX);
        let block = offset.checked_div(size).unwrap_or(0);
        let left = self.payload.saturating_sub(offset).min(size);
        let whole = offset.checked_rem(size) == Some(0);
        if !whole || left == 0 || u32::try_from(bytes.len()) != Ok(left) {
            return Err(BlockError::Shape);
        }
        let Some(ahead) = block.checked_sub(self.next) else {
            return Ok(());
        };
        if usize::try_from(ahead).is_ok_and(|ahead| ahead >= BLOCKS) {
            return Err(BlockError::Ahead { first: self.next });
        }
        let place = place::<BLOCKS>(block);
        if self.present.get(place) == Some(&true) {
            return Ok(());
        }
        self.digest.update(bytes);
        let found = self.digest.finish();
        let expected = usize::try_from(block)
            .ok()
            .and_then(|block| self.hashes.as_chunks::<32>().0.get(block));
        if !expected.is_some_and(|expected: &Sha256Digest| digests_equal(&found, expected)) {
            return Err(BlockError::Hash { block });
        }
        if let (Some(held), Some(present)) = (self.held.get_mut(place), self.present.get_mut(place))
        {
            for (to, from) in held.iter_mut().zip(bytes) {
                *to = *from;
            }
            *present = true;
        }
        Ok(())
    }

    /// The next block in order, and where it begins in bytes, if it is there; it stays until it is released.
    #[must_use]
    pub fn ready(&self) -> Option<(u32, &[u8])> {
        let size = u32::try_from(BYTES).ok()?;
        let offset = self.next.checked_mul(size)?;
        let place = place::<BLOCKS>(self.next);
        self.present.get(place).filter(|present| **present)?;
        let length = usize::try_from(self.payload.checked_sub(offset)?.min(size)).ok()?;
        Some((offset, self.held.get(place)?.get(..length)?))
    }

    /// The block that was ready has been dealt with.
    pub fn release(&mut self) {
        if let Some(present) = self.present.get_mut(place::<BLOCKS>(self.next))
            && *present
        {
            *present = false;
            self.next = self.next.saturating_add(1);
        }
    }

    /// The offsets in bytes of the blocks that may be asked for now, in order.
    pub fn missing(&self) -> impl Iterator<Item = u32> {
        let size = u32::try_from(BYTES).unwrap_or(u32::MAX);
        let count = u32::try_from(BLOCKS).unwrap_or(u32::MAX);
        let last = self.next.saturating_add(count);
        (self.next..last)
            .filter(|&block| self.present.get(place::<BLOCKS>(block)) == Some(&false))
            .filter_map(move |block| block.checked_mul(size))
            .take_while(|&offset| offset < self.payload)
    }
}

fn place<const BLOCKS: usize>(block: u32) -> usize {
    let block = usize::try_from(block).unwrap_or(0);
    block.checked_rem(BLOCKS).unwrap_or(0)
}
