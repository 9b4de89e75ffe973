//! The bytes of both kinds of file; numbers are big-endian.
//!
//! `record = "IOTR" version(1) key(4) length(4) value crc(4)`,
//! `batch = "IOTB" version(1) count(4) { key(4) length(4) value } crc(4)`, where the length `ffffffff`
//! stands for a removal. The CRC-32 (IEEE 802.3) covers everything in front of it.

use alloc::vec::Vec;

use super::plan::Change;
use crate::engine::RecordKey;

pub(super) const VERSION: u8 = 1;
/// How much longer a record's file is than its value.
pub(super) const OVERHEAD: u64 = 4 + 1 + 4 + 4 + 4;

const RECORD: &[u8; 4] = b"IOTR";
const BATCH: &[u8; 4] = b"IOTB";
const REMOVED: u32 = u32::MAX;

/// Why a file cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Damage {
    Corrupt,
    Version(u8),
}

pub(super) fn write_record(key: RecordKey, value: &[u8]) -> Vec<u8> {
    let mut file = begin(RECORD);
    put_entry(&mut file, key, Some(value));
    end(file)
}

pub(super) fn read_record(file: &[u8], key: RecordKey) -> Result<&[u8], Damage> {
    let mut content = open(file, RECORD)?;
    match take_entry(&mut content) {
        Some((found, Some(value))) if found == key && content.is_empty() => Ok(value),
        _ => Err(Damage::Corrupt),
    }
}

pub(super) fn write_batch(changes: &[Change<'_>]) -> Vec<u8> {
    let mut file = begin(BATCH);
    file.extend(
        u32::try_from(changes.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    for change in changes {
        put_entry(&mut file, change.key, change.value);
    }
    end(file)
}

pub(super) fn read_batch(file: &[u8]) -> Result<Vec<Change<'_>>, Damage> {
    let mut content = open(file, BATCH)?;
    let count = take_u32(&mut content).ok_or(Damage::Corrupt)?;
    let mut changes = Vec::new();
    while !content.is_empty() {
        let (key, value) = take_entry(&mut content).ok_or(Damage::Corrupt)?;
        changes.push(Change { key, value });
    }
    if usize::try_from(count) == Ok(changes.len()) {
        Ok(changes)
    } else {
        Err(Damage::Corrupt)
    }
}

fn begin(magic: &[u8; 4]) -> Vec<u8> {
    let mut file = Vec::from(magic);
    file.push(VERSION);
    file
}

fn end(mut file: Vec<u8>) -> Vec<u8> {
    let crc = crc32(&file);
    file.extend(crc.to_be_bytes());
    file
}

fn put_entry(file: &mut Vec<u8>, key: RecordKey, value: Option<&[u8]>) {
    file.extend(key.get().to_be_bytes());
    let length = value.map_or(REMOVED, |value| {
        u32::try_from(value.len()).unwrap_or(REMOVED)
    });
    file.extend(length.to_be_bytes());
    file.extend(value.unwrap_or_default());
}

/// What stands between the version and the CRC.
fn open<'f>(file: &'f [u8], magic: &[u8; 4]) -> Result<&'f [u8], Damage> {
    let (covered, crc) = file.split_last_chunk().ok_or(Damage::Corrupt)?;
    if crc32(covered) != u32::from_be_bytes(*crc) {
        return Err(Damage::Corrupt);
    }
    match covered.strip_prefix(magic) {
        Some([VERSION, content @ ..]) => Ok(content),
        Some([found, ..]) => Err(Damage::Version(*found)),
        _ => Err(Damage::Corrupt),
    }
}

fn take_u32(content: &mut &[u8]) -> Option<u32> {
    let (number, rest) = content.split_first_chunk()?;
    *content = rest;
    Some(u32::from_be_bytes(*number))
}

fn take_entry<'f>(content: &mut &'f [u8]) -> Option<(RecordKey, Option<&'f [u8]>)> {
    let key = RecordKey::new(take_u32(content)?);
    let length = take_u32(content)?;
    if length == REMOVED {
        return Some((key, None));
    }
    let (value, rest) = content.split_at_checked(usize::try_from(length).ok()?)?;
    *content = rest;
    Some((key, Some(value)))
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_ieee_802_3() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_later_version_is_told_from_damage() {
        let mut file = begin(RECORD);
        file[4] = VERSION + 1;
        put_entry(&mut file, RecordKey::new(1), Some(b"x"));
        let read = read_record(&end(file), RecordKey::new(1)).map(<[u8]>::to_vec);
        assert_eq!(read, Err(Damage::Version(2)));
    }

    proptest! {
        #[test]
        fn a_batch_is_read_as_written(entries in proptest::collection::vec((any::<u32>(), proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))), 0..8)) {
            let changes: Vec<_> = entries.iter().map(|(key, value)| Change { key: RecordKey::new(*key), value: value.as_deref() }).collect();
            let file = write_batch(&changes);
            prop_assert_eq!(read_batch(&file), Ok(changes));
        }

        #[test]
        fn one_changed_or_missing_byte_is_noticed(value in proptest::collection::vec(any::<u8>(), 0..40), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let key = RecordKey::new(7);
            let whole = write_record(key, &value);
            prop_assert_eq!(read_record(&whole, key), Ok(&value[..]));
            let at = at.index(whole.len());
            prop_assert!(read_record(&whole[..at], key).is_err());
            let mut changed = whole.clone();
            changed[at] ^= flip;
            prop_assert!(read_record(&changed, key).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = read_record(&bytes, RecordKey::new(0));
            let _ = read_batch(&end(bytes));
        }
    }
}
