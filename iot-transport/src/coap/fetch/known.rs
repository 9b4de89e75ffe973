//! What is known of the image.

use super::super::answer::{Answer, Tag};
use super::super::error::FetchError;

/// What the blocks that have come say of their image, so that no block of another one is taken for one of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Known {
    /// The tag of the first block, if a block has come.
    tag: Option<Option<Tag>>,
    /// What the server says the size is (RFC 7959 §4).
    told: Option<u32>,
    /// Where the last block ended.
    end: Option<u32>,
    /// Up to where there are blocks.
    reach: u32,
}

impl Known {
    pub(super) const NOTHING: Self = Self {
        tag: None,
        told: None,
        end: None,
        reach: 0,
    };

    /// Takes in a block of the image.
    ///
    /// "The reassembler MUST compare ETag Options" (RFC 7959 §2.4): one without a tag is of another image than one with
    /// it. Without tags the sizes are all there is.
    pub(super) fn learn(
        &mut self,
        answer: &Answer<'_>,
        (offset, more): (u32, bool),
    ) -> Result<(), FetchError> {
        let bytes = u32::try_from(answer.payload.len()).map_err(|_| FetchError::Answer)?;
        let end = offset.checked_add(bytes).ok_or(FetchError::Answer)?;
        let mut next = *self;
        next.reach = next.reach.max(end);
        // Nothing at a place says only that the image does not reach so far.
        if !more && (bytes > 0 || self.reach == offset) {
            next.end = next.end.or(Some(end));
        }
        next.tag = next.tag.or(Some(answer.tag));
        next.told = next.told.or(answer.size);
        let is_same = next.tag == Some(answer.tag)
            && (answer.size.is_none() || next.told == answer.size)
            && (next.end)
                .is_none_or(|last| next.reach <= last && (more || bytes == 0 || end == last))
            && !(more && next.end == Some(end));
        if !is_same {
            return Err(FetchError::Changed);
        }
        *self = next;
        Ok(())
    }

    /// The size, as far as it is known.
    pub(super) const fn size(&self) -> Option<u32> {
        match self.end {
            Some(end) => Some(end),
            None => self.told,
        }
    }

    /// Where the last block ended.
    pub(super) const fn end(&self) -> Option<u32> {
        self.end
    }
}
