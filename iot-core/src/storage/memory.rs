//! Records in RAM: [`FixedRecords`] without an allocator, `MemoryRecords` with one.

mod fixed;
#[cfg(feature = "alloc")]
mod heap;

pub use fixed::FixedRecords;
#[cfg(feature = "alloc")]
pub use heap::MemoryRecords;

use crate::engine::{Batch, RecordKey};
use crate::port::{RecordsError, RecordsErrorKind};

/// Why a store in RAM refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MemoryError {
    /// The batch would leave more records, or more bytes, than the store holds. Nothing was changed.
    #[error("the store holds {limit} {what}: remove some or give it more room")]
    Full {
        /// How many it holds.
        limit: usize,
        /// Of what.
        what: &'static str,
    },
    /// One value is longer than a record may be. Nothing was changed.
    #[error("a record holds {limit} bytes, not {bytes}: split the value")]
    TooLong {
        /// How long the value is.
        bytes: usize,
        /// The longest that fits.
        limit: usize,
    },
    /// The caller's buffer is shorter than the value.
    #[error("the value has {bytes} bytes: offer a buffer of that length")]
    Buffer {
        /// How long the value is.
        bytes: usize,
    },
}

impl RecordsError for MemoryError {
    fn kind(&self) -> RecordsErrorKind {
        match self {
            Self::Full { .. } | Self::TooLong { .. } => RecordsErrorKind::Full,
            Self::Buffer { .. } => RecordsErrorKind::Buffer,
        }
    }
}

/// The entries that decide: of several for one key only the last counts.
pub(super) fn last_entries<'b>(
    batch: &Batch<'b>,
) -> impl Iterator<Item = (RecordKey, Option<&'b [u8]>)> {
    let batch = *batch;
    batch.iter().enumerate().filter_map(move |(at, entry)| {
        let repeated = batch.iter().skip(at + 1).any(|(key, _)| key == entry.0);
        (!repeated).then_some(entry)
    })
}

fn copy_out<'b>(value: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], MemoryError> {
    let bytes = value.len();
    let out = buffer
        .get_mut(..bytes)
        .ok_or(MemoryError::Buffer { bytes })?;
    out.copy_from_slice(value);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    use futures::executor::block_on;
    use proptest::prelude::*;

    use super::*;
    use crate::engine::BatchWriter;
    use crate::port::Records;

    type Change = (u32, Option<Vec<u8>>);

    fn change() -> impl Strategy<Value = Change> {
        let value = proptest::collection::vec(any::<u8>(), 0..7);
        (0u32..6, proptest::option::of(value))
    }

    fn commit<R: Records>(records: &mut R, changes: &[Change]) -> Result<(), R::Error> {
        let mut buffer = [0; 512];
        let mut writer = BatchWriter::new(&mut buffer);
        for (key, value) in changes {
            match value {
                Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
                None => writer.remove(RecordKey::new(*key)).unwrap(),
            }
        }
        block_on(records.commit(&writer.finish()))
    }

    fn content<R: Records>(records: &mut R) -> BTreeMap<u32, Vec<u8>> {
        let (mut all, mut from) = (BTreeMap::new(), RecordKey::new(0));
        while let Some(key) = block_on(records.next_key(from)).unwrap() {
            let mut buffer = [0; 64];
            let value = block_on(records.read(key, &mut buffer)).unwrap().unwrap();
            all.insert(key.get(), value.to_vec());
            from = key.offset(1).unwrap();
        }
        all
    }

    /// Commits `batches` to the store and to a plain map; a refused batch must change nothing.
    fn agrees_with_a_map<R: Records>(
        mut records: R,
        batches: &[Vec<Change>],
        fits: impl Fn(&BTreeMap<u32, Vec<u8>>) -> bool,
    ) {
        let mut model = BTreeMap::new();
        for batch in batches {
            let mut next = model.clone();
            for (key, value) in batch {
                match value {
                    Some(value) => drop(next.insert(*key, value.clone())),
                    None => drop(next.remove(key)),
                }
            }
            let result = commit(&mut records, batch);
            assert_eq!(result.is_ok(), fits(&next), "{result:?} for {next:?}");
            if let Err(error) = result {
                assert_eq!(error.kind(), RecordsErrorKind::Full);
            } else {
                model = next;
            }
            assert_eq!(content(&mut records), model);
        }
    }

    proptest! {
        #[test]
        fn a_batch_changes_everything_or_is_refused_as_full(batches in proptest::collection::vec(proptest::collection::vec(change(), 0..6), 0..12)) {
            agrees_with_a_map(FixedRecords::<3, 6>::new(), &batches, |map| map.len() <= 3);
            #[cfg(feature = "alloc")]
            agrees_with_a_map(MemoryRecords::with_limit(9), &batches, |map| {
                map.values().map(Vec::len).sum::<usize>() <= 9
            });
        }
    }

    #[test]
    fn a_short_buffer_is_an_error_and_not_a_short_value() {
        let mut records = FixedRecords::<1, 8>::new();
        commit(&mut records, &[(1, Some(b"four".to_vec()))]).unwrap();
        let read = block_on(records.read(RecordKey::new(1), &mut [0; 3])).map(drop);
        assert_eq!(read, Err(MemoryError::Buffer { bytes: 4 }));
        let error = commit(&mut records, &[(1, Some(b"nine bytes".to_vec()))]).unwrap_err();
        assert_eq!(error.kind(), RecordsErrorKind::Full);
    }
}
