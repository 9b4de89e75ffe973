//! Records that become durable together.

/// Names one record; a device's records share one key space.
///
/// ```
/// use iot_core::engine::RecordKey;
/// assert_eq!(RecordKey::new(0x0200).offset(3), Some(RecordKey::new(0x0203)));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordKey(u32);

impl RecordKey {
    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The key `by` places further on; `None` past the end of the key space.
    #[must_use]
    pub const fn offset(self, by: u32) -> Option<Self> {
        match self.0.checked_add(by) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

/// The keys one engine owns: `first` to `last`, both included, or none.
///
/// ```
/// use iot_core::engine::{RecordKey, RecordRange};
/// let range = RecordRange::new(RecordKey::new(16), 4);
/// assert!(range.contains(RecordKey::new(19)) && !range.contains(RecordKey::new(20)));
/// assert!(range.overlaps(RecordRange::new(RecordKey::new(19), 1)));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct RecordRange {
    first: u32,
    count: u32,
}

impl RecordRange {
    /// Owns nothing.
    pub const NONE: Self = Self { first: 0, count: 0 };

    /// `count` keys from `first` on, cut off at the end of the key space.
    #[must_use]
    pub const fn new(first: RecordKey, count: u32) -> Self {
        let room = u32::MAX - first.0;
        Self {
            first: first.0,
            count: if count > room { room } else { count },
        }
    }

    /// The first key; `None` when the range is empty.
    #[must_use]
    pub const fn first(self) -> Option<RecordKey> {
        if self.count == 0 {
            None
        } else {
            Some(RecordKey(self.first))
        }
    }

    /// How many keys it has.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// Whether `key` belongs to the range.
    #[must_use]
    pub const fn contains(self, key: RecordKey) -> bool {
        key.0 >= self.first && key.0 - self.first < self.count
    }

    /// Whether both ranges hold some key.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.count > 0
            && other.count > 0
            && self.first < other.first + other.count
            && other.first < self.first + self.count
    }
}

/// The buffer is too small for the batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the batch does not fit the buffer: give the node a larger one")]
#[non_exhaustive]
pub struct BatchError;

// An entry is: key (4 bytes, big endian), length (2 bytes, REMOVED for a removal), value.
const HEADER: usize = 6;
const REMOVED: u16 = u16::MAX;

/// Records to write and to remove, in one buffer; all of it becomes durable, or nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Batch<'b> {
    entries: &'b [u8],
}

impl<'b> Batch<'b> {
    /// The first entry, a value or `None` for a removal, and the batch without it.
    #[must_use]
    #[allow(
        clippy::type_complexity,
        reason = "an entry and the rest are what every split_first gives"
    )]
    pub fn split_first(&self) -> Option<((RecordKey, Option<&'b [u8]>), Self)> {
        let (header, rest) = self.entries.split_at_checked(HEADER)?;
        let (key, len) = match *header {
            [a, b, c, d, e, f] => (
                RecordKey(u32::from_be_bytes([a, b, c, d])),
                u16::from_be_bytes([e, f]),
            ),
            _ => return None,
        };
        if len == REMOVED {
            return Some(((key, None), Self { entries: rest }));
        }
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        Some(((key, Some(value)), Self { entries: rest }))
    }

    /// Goes through the entries in the order they were written: a value, or `None` for a removal.
    pub fn iter(&self) -> impl Iterator<Item = (RecordKey, Option<&'b [u8]>)> + use<'b> {
        let mut rest = *self;
        core::iter::from_fn(move || {
            let (entry, others) = rest.split_first()?;
            rest = others;
            Some(entry)
        })
    }

    /// Whether it would change nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many bytes of values it writes.
    #[must_use]
    pub fn value_bytes(&self) -> usize {
        self.iter()
            .map(|(_, value)| value.map_or(0, <[u8]>::len))
            .sum()
    }
}

/// Writes a [`Batch`] into a caller's buffer.
///
/// ```
/// use iot_core::engine::{BatchWriter, RecordKey};
/// let mut buffer = [0; 64];
/// let mut writer = BatchWriter::new(&mut buffer);
/// writer.put(RecordKey::new(1), b"on")?;
/// writer.remove(RecordKey::new(2))?;
/// let batch = writer.finish();
/// assert_eq!(batch.iter().count(), 2);
/// # Ok::<(), iot_core::engine::BatchError>(())
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct BatchWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

impl<'b> BatchWriter<'b> {
    /// The longest value of one record, in bytes.
    pub const MAX_VALUE_BYTES: usize = REMOVED as usize - 1;

    /// Starts an empty batch.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Writes `value` under `key`.
    ///
    /// # Errors
    ///
    /// [`BatchError`] when it does not fit; the batch is as it was.
    pub fn put(&mut self, key: RecordKey, value: &[u8]) -> Result<(), BatchError> {
        self.put_with(key, |room| {
            room.get_mut(..value.len())?.copy_from_slice(value);
            Some(value.len())
        })
    }

    /// Lets `write` fill the value in place and say how long it became; `None` when it does not fit.
    ///
    /// # Errors
    ///
    /// [`BatchError`] when it does not fit; the batch is as it was.
    pub fn put_with(
        &mut self,
        key: RecordKey,
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result<(), BatchError> {
        let room = self.buffer.get_mut(self.used..).ok_or(BatchError)?;
        let (header, room) = room.split_first_chunk_mut().ok_or(BatchError)?;
        let limit = room.len().min(Self::MAX_VALUE_BYTES);
        let len = write(room.get_mut(..limit).ok_or(BatchError)?).filter(|&len| len <= limit);
        let len = len
            .and_then(|len| u16::try_from(len).ok())
            .ok_or(BatchError)?;
        *header = encode_header(key, len);
        self.used += HEADER + usize::from(len);
        Ok(())
    }

    /// Removes `key`; removing an absent record is allowed.
    ///
    /// # Errors
    ///
    /// [`BatchError`] when it does not fit; the batch is as it was.
    pub fn remove(&mut self, key: RecordKey) -> Result<(), BatchError> {
        let room = self.buffer.get_mut(self.used..).ok_or(BatchError)?;
        *room.first_chunk_mut().ok_or(BatchError)? = encode_header(key, REMOVED);
        self.used += HEADER;
        Ok(())
    }

    /// The finished batch.
    #[must_use]
    pub fn finish(self) -> Batch<'b> {
        Batch {
            entries: self.buffer.get(..self.used).unwrap_or(&[]),
        }
    }

    /// The finished batch and the rest of the buffer.
    #[must_use]
    pub fn finish_with_rest(self) -> (Batch<'b>, &'b mut [u8]) {
        let (entries, rest) = self
            .buffer
            .split_at_mut_checked(self.used)
            .unwrap_or_default();
        (Batch { entries }, rest)
    }
}

fn encode_header(key: RecordKey, len: u16) -> [u8; HEADER] {
    let ([a, b, c, d], [e, f]) = (key.0.to_be_bytes(), len.to_be_bytes());
    [a, b, c, d, e, f]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_entry_that_does_not_fit_leaves_the_batch_as_it_was() {
        let mut buffer = [0; HEADER + 2];
        let mut writer = BatchWriter::new(&mut buffer);
        writer.put(RecordKey::new(1), b"ab").unwrap();
        assert_eq!(writer.put(RecordKey::new(2), b""), Err(BatchError));
        assert_eq!(writer.remove(RecordKey::new(2)), Err(BatchError));
        let batch = writer.finish();
        assert_eq!(
            batch.iter().collect::<alloc::vec::Vec<_>>(),
            [(RecordKey::new(1), Some(&b"ab"[..]))]
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in proptest::collection::vec((any::<u32>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))), 0..12)) {
            let mut buffer = [0; 1024];
            let mut writer = BatchWriter::new(&mut buffer);
            for (key, value) in &entries {
                match value {
                    Some(value) => writer.put(RecordKey::new(*key), value).unwrap(),
                    None => writer.remove(RecordKey::new(*key)).unwrap(),
                }
            }
            let read: alloc::vec::Vec<_> = writer.finish().iter().map(|(key, value)| (key.get(), value.map(<[u8]>::to_vec))).collect();
            prop_assert_eq!(read, entries);
        }
    }
}
