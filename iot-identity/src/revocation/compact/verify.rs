//! From signed bytes to a list.

use iot_core::codec::FlatReader;
use iot_core::cose::{CoseError, Sign1, Tagged};
use iot_core::crypto::{Digest, Verifier};

use super::layout::{CONTEXT, FIELDS, FORMAT, Index};
use super::{CompactList, Edition};
use crate::revocation::RollBack;

/// The longest signed list, in bytes: what a `COSE_Sign1` may be long; 2.3 million entries.
pub const MAX_LIST_BYTES: usize = iot_core::cose::MAX_MESSAGE_BYTES;

/// Why bytes are no list to be put into force; what is in force stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CompactError {
    /// The bytes are no signed message.
    #[error("no signed deny-list: {0}")]
    Message(CoseError),
    /// They are not signed by whoever issues deny-lists.
    #[error("the deny-list is not signed by its issuer")]
    Signature,
    /// What is signed is not in this format, in its one layout and order.
    #[error("not a compact deny-list of format {FORMAT}")]
    Format,
    /// They would take back what a newer list said.
    #[error(transparent)]
    RollBack(#[from] RollBack),
}

impl<'a> CompactList<'a> {
    /// Checks form, signature, order and version; nothing is read from what is signed before its signature.
    ///
    /// `in_force` is the list that it is to follow, or the last that was kept; with `None` any version will do.
    /// `digest` must have absorbed nothing. It takes two passes of the hash over the list, and one to check its order.
    ///
    /// # Errors
    ///
    /// [`CompactError`] with the first thing that is wrong.
    pub fn verify(
        bytes: &'a [u8],
        issuer: &dyn Verifier,
        in_force: Option<&Edition>,
        digest: &mut (impl Digest + ?Sized),
    ) -> Result<Self, CompactError> {
        let message = Sign1::decode(bytes, Tagged::Required).map_err(CompactError::Message)?;
        let payload = message.verify(None, CONTEXT, issuer);
        let payload = payload.map_err(|error| match error {
            CoseError::Payload => CompactError::Message(error),
            _ => CompactError::Signature,
        })?;
        digest.update(payload);
        let list = Self::read(payload, digest.finish()).ok_or(CompactError::Format)?;
        if let Some(in_force) = in_force {
            list.edition.may_follow(in_force)?;
        }
        Ok(list)
    }

    fn read(payload: &'a [u8], digest: [u8; 32]) -> Option<Self> {
        let mut input = FlatReader::new(payload);
        input.array(FIELDS, FORMAT);
        let version = input.uint();
        let index = Index::from_number(input.uint())?;
        let (table, entries) = (input.bytes(), input.bytes());
        let list = Self {
            edition: Edition::new(version, digest),
            index,
            table,
            entries,
        };
        let one_layout = entries.len().is_multiple_of(index.entry_bytes())
            && table.len() == index.table_bytes()
            && index == Index::of(list.len());
        (input.is_empty() && one_layout && list.is_ordered()).then_some(list)
    }

    fn is_ordered(&self) -> bool {
        let ordered = match self.index {
            Index::None => self.buckets_ascend::<9>(1),
            Index::OneByte => self.buckets_ascend::<8>(256),
            Index::TwoBytes => self.buckets_ascend::<7>(65_536),
        };
        ordered.unwrap_or(false)
    }

    /// Whether the buckets follow each other to the end, and each is in order and without doubles.
    fn buckets_ascend<const N: usize>(&self, buckets: usize) -> Option<bool> {
        let (entries, _) = self.entries.as_chunks::<N>();
        let mut from = 0;
        for bucket in 0..buckets {
            let to = self.end(bucket)?;
            if !entries.get(from..to)?.is_sorted_by(|one, next| one < next) {
                return Some(false);
            }
            from = to;
        }
        Some(from == entries.len())
    }
}
