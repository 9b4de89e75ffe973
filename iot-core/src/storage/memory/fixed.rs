use super::{MemoryError, copy_out, last_entries};
use crate::engine::{Batch, RecordKey};
use crate::port::Records;

/// At most `RECORDS` records of at most `BYTES` bytes each, in place, without an allocator.
///
/// It forgets everything at a reset, so it suits tests, simulators and firmware that has nothing to keep.
///
/// ```
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::port::Records;
/// use iot_core::storage::memory::FixedRecords;
///
/// let mut records = FixedRecords::<4, 32>::new();
/// let mut buffer = [0; 64];
/// let mut writer = BatchWriter::new(&mut buffer);
/// writer.put(RecordKey::new(7), b"open")?;
/// let batch = writer.finish();
/// futures::executor::block_on(async {
///     records.commit(&batch).await?;
///     let mut value = [0; 32];
///     assert_eq!(records.read(RecordKey::new(7), &mut value).await?, Some(&b"open"[..]));
///     Ok::<(), iot_core::storage::memory::MemoryError>(())
/// }).unwrap();
/// # Ok::<(), iot_core::engine::BatchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedRecords<const RECORDS: usize, const BYTES: usize> {
    slots: [Option<Slot<BYTES>>; RECORDS],
}

#[derive(Clone, Copy, Debug)]
struct Slot<const BYTES: usize> {
    key: RecordKey,
    len: usize,
    bytes: [u8; BYTES],
}

impl<const RECORDS: usize, const BYTES: usize> FixedRecords<RECORDS, BYTES> {
    /// An empty store.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: [None; RECORDS],
        }
    }

    fn value(&self, key: RecordKey) -> Option<&[u8]> {
        let slot = self.slots.iter().flatten().find(|slot| slot.key == key)?;
        slot.bytes.get(..slot.len)
    }

    fn remove(&mut self, key: RecordKey) {
        for slot in &mut self.slots {
            if slot.is_some_and(|slot| slot.key == key) {
                *slot = None;
            }
        }
    }

    /// Counts what would be there afterwards, so that a batch that does not fit changes nothing.
    fn check(&self, batch: &Batch<'_>) -> Result<(), MemoryError> {
        let mut count = self.slots.iter().flatten().count();
        for (key, value) in last_entries(batch) {
            match (self.value(key).is_some(), value) {
                (false, Some(_)) => count += 1,
                (true, None) => count -= 1,
                _ => {}
            }
            if let Some(value) = value
                && value.len() > BYTES
            {
                let bytes = value.len();
                return Err(MemoryError::TooLong {
                    bytes,
                    limit: BYTES,
                });
            }
        }
        if count > RECORDS {
            return Err(MemoryError::Full {
                limit: RECORDS,
                what: "records",
            });
        }
        Ok(())
    }
}

impl<const RECORDS: usize, const BYTES: usize> Default for FixedRecords<RECORDS, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const RECORDS: usize, const BYTES: usize> Records for FixedRecords<RECORDS, BYTES> {
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
        self.check(batch)?;
        // Every key of the batch is freed first: in the other order a removal could come too late to make room.
        for (key, _) in batch.iter() {
            self.remove(key);
        }
        for (key, value) in last_entries(batch) {
            if let Some(value) = value
                && let Some(free) = self.slots.iter_mut().find(|slot| slot.is_none())
            {
                let mut bytes = [0; BYTES];
                for (to, from) in bytes.iter_mut().zip(value) {
                    *to = *from;
                }
                *free = Some(Slot {
                    key,
                    len: value.len(),
                    bytes,
                });
            }
        }
        Ok(())
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, MemoryError> {
        let keys = self.slots.iter().flatten().map(|slot| slot.key);
        Ok(keys.filter(|&key| key >= from).min())
    }
}
