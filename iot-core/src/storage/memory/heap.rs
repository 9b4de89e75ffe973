use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{MemoryError, copy_out, last_entries};
use crate::engine::{Batch, RecordKey};
use crate::port::Records;

/// Records in RAM that grow as needed, up to a limit if one is set.
///
/// A clone is a snapshot: keep one, go on with the other, and boot from the snapshot to see what a power
/// cut at that moment leaves.
///
/// ```
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::port::Records;
/// use iot_core::storage::memory::MemoryRecords;
///
/// let mut records = MemoryRecords::new();
/// let mut buffer = [0; 64];
/// let mut writer = BatchWriter::new(&mut buffer);
/// writer.put(RecordKey::new(7), b"open")?;
/// let before = records.clone();
/// futures::executor::block_on(records.commit(&writer.finish())).unwrap();
/// assert_eq!(before.len(), 0);
/// assert_eq!(records.value(RecordKey::new(7)), Some(&b"open"[..]));
/// # Ok::<(), iot_core::engine::BatchError>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MemoryRecords {
    values: BTreeMap<RecordKey, Vec<u8>>,
    limit_bytes: usize,
}

impl MemoryRecords {
    /// An empty store without a limit.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limit(usize::MAX)
    }

    /// An empty store whose values may have `limit_bytes` bytes together.
    #[must_use]
    pub const fn with_limit(limit_bytes: usize) -> Self {
        Self {
            values: BTreeMap::new(),
            limit_bytes,
        }
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The value under `key`, without copying it.
    #[must_use]
    pub fn value(&self, key: RecordKey) -> Option<&[u8]> {
        self.values.get(&key).map(Vec::as_slice)
    }
}

impl Default for MemoryRecords {
    fn default() -> Self {
        Self::new()
    }
}

impl Records for MemoryRecords {
    type Error = MemoryError;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, MemoryError> {
        self.value(key)
            .map(|value| copy_out(value, buffer))
            .transpose()
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), MemoryError> {
        let mut bytes: usize = self.values.values().map(Vec::len).sum();
        for (key, value) in last_entries(batch) {
            bytes -= self.value(key).map_or(0, <[u8]>::len);
            bytes += value.map_or(0, <[u8]>::len);
        }
        if bytes > self.limit_bytes {
            return Err(MemoryError::Full {
                limit: self.limit_bytes,
                what: "bytes",
            });
        }
        for (key, value) in batch.iter() {
            match value {
                Some(value) => drop(self.values.insert(key, value.into())),
                None => drop(self.values.remove(&key)),
            }
        }
        Ok(())
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, MemoryError> {
        Ok(self.values.range(from..).next().map(|(&key, _)| key))
    }
}
