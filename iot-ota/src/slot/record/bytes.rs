//! The stored form of a boot record: fixed places, a version byte and a checksum, readable by any boot loader.
//!
//! | bytes | content |
//! |---|---|
//! | 0 | version, 2 |
//! | 1–4 | generation, rising with every write |
//! | 5 | active bank: 0 A, 1 B |
//! | 6 | state: 0 confirmed, 1 staged, 2 on trial |
//! | 7 | trial boots (staged), boots left (on trial), else 0 |
//! | 8 | last update: 0 none, 1 confirmed, 2 self-test, 3 unconfirmed, 4 damaged, 5 too old |
//! | 9–16 | its sequence number, else 0 |
//! | 17–60 | installed image: sequence number (8), size (4), SHA-256 (32) |
//! | 61–104 | candidate likewise, else 0 |
//! | 105–112 | security counter of the installed image |
//! | 113–120 | security counter of the candidate, else 0 |
//! | 121–123 | 0 |
//! | 124–127 | CRC-32 (IEEE 802.3) of bytes 0–123 |
//!
//! Numbers are big endian. Version 1 has no security counters: whoever wrote it counted sequence numbers, so those are
//! read for them. It is replaced by version 2 with the next write; a boot loader that reads only version 1 must be replaced
//! before a firmware writes that.

use crate::slot::crc::crc32;

use super::{BootRecord, BootState, Ended, EndedAs, Release, RollBackReason};
use crate::slot::Bank;

/// The size of a stored boot record in bytes.
pub const RECORD_BYTES: usize = 128;

const VERSION: u8 = 2;
/// The version in which sequence numbers were the security counters.
const UNCOUNTED: u8 = 1;
#[cfg(feature = "boot")]
const ACTIVE_AT: usize = 5;
const CHECKED_BYTES: usize = RECORD_BYTES - 4;
const NO_RELEASE: Release = Release::new(0, [0; 32], 0);

pub(super) fn encode(record: &BootRecord, generation: u32) -> [u8; RECORD_BYTES] {
    encode_as(VERSION, record, generation)
}

fn encode_as(version: u8, record: &BootRecord, generation: u32) -> [u8; RECORD_BYTES] {
    let (state, count, candidate) = match record.state {
        BootState::Confirmed => (0, 0, None),
        BootState::Staged { candidate, trials } => (1, trials, Some(candidate)),
        BootState::Trial { candidate, left } => (2, left, Some(candidate)),
    };
    let (ended, ended_sequence) = match record.ended {
        None => (0, 0),
        Some(Ended { sequence, how }) => (ended_code(how), sequence),
    };
    let mut bytes = [0; RECORD_BYTES];
    let mut writer = Writer(&mut bytes);
    writer.put(&[version]);
    writer.put(&generation.to_be_bytes());
    writer.put(&[u8::from(record.active == Bank::B), state, count, ended]);
    writer.put(&ended_sequence.to_be_bytes());
    writer.put_release(&record.installed);
    let candidate = candidate.unwrap_or(NO_RELEASE);
    writer.put_release(&candidate);
    if version != UNCOUNTED {
        writer.put(&record.installed.counter.to_be_bytes());
        writer.put(&candidate.counter.to_be_bytes());
    }
    let sum = crc32(bytes.iter().take(CHECKED_BYTES));
    if let Some(place) = bytes.last_chunk_mut() {
        *place = sum.to_be_bytes();
    }
    bytes
}

pub(in crate::slot) fn decode(bytes: &[u8; RECORD_BYTES]) -> Option<(BootRecord, u32)> {
    let mut reader = Reader(bytes);
    let [version @ (UNCOUNTED | VERSION)] = reader.take()? else {
        return None;
    };
    let generation = u32::from_be_bytes(reader.take()?);
    let [active, state, count, ended] = reader.take()?;
    let ended_sequence = u64::from_be_bytes(reader.take()?);
    let (installed, candidate) = (reader.release()?, reader.release()?);
    let (installed, candidate) = if version == UNCOUNTED {
        let counted = |release: Release| release.with_counter(release.sequence);
        (counted(installed), counted(candidate))
    } else {
        let mut counter = || reader.take().map(u64::from_be_bytes);
        (
            installed.with_counter(counter()?),
            candidate.with_counter(counter()?),
        )
    };
    let record = BootRecord {
        active: if active == 0 { Bank::A } else { Bank::B },
        installed,
        state: match state {
            0 => BootState::Confirmed,
            1 => BootState::Staged {
                candidate,
                trials: count,
            },
            2 => BootState::Trial {
                candidate,
                left: count,
            },
            _ => return None,
        },
        ended: match ended {
            0 => None,
            code => Some(Ended {
                sequence: ended_sequence,
                how: ended_as(code)?,
            }),
        },
    };
    // One comparison checks the checksum and that every unused byte is zero.
    (encode_as(version, &record, generation) == *bytes).then_some((record, generation))
}

/// The active bank of a record that was read, or zeros, where it is the first one.
#[cfg(feature = "boot")]
pub(in crate::slot) fn active_bank(bytes: &[u8; RECORD_BYTES]) -> Option<Bank> {
    let place = bytes.get(ACTIVE_AT)?;
    Some(if *place == 0 { Bank::A } else { Bank::B })
}

const fn ended_code(how: EndedAs) -> u8 {
    match how {
        EndedAs::Confirmed => 1,
        EndedAs::RolledBack(RollBackReason::SelfTest) => 2,
        EndedAs::RolledBack(RollBackReason::Unconfirmed) => 3,
        EndedAs::RolledBack(RollBackReason::Damaged) => 4,
        EndedAs::RolledBack(RollBackReason::TooOld) => 5,
    }
}

const fn ended_as(code: u8) -> Option<EndedAs> {
    Some(match code {
        1 => EndedAs::Confirmed,
        2 => EndedAs::RolledBack(RollBackReason::SelfTest),
        3 => EndedAs::RolledBack(RollBackReason::Unconfirmed),
        4 => EndedAs::RolledBack(RollBackReason::Damaged),
        5 => EndedAs::RolledBack(RollBackReason::TooOld),
        _ => return None,
    })
}

struct Writer<'b>(&'b mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        if let Some((place, rest)) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len())
        {
            place.copy_from_slice(bytes);
            self.0 = rest;
        }
    }

    fn put_release(&mut self, release: &Release) {
        self.put(&release.sequence.to_be_bytes());
        self.put(&release.size.to_be_bytes());
        self.put(&release.digest);
    }
}

struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn release(&mut self) -> Option<Release> {
        let sequence = u64::from_be_bytes(self.take()?);
        let size = u32::from_be_bytes(self.take()?);
        Some(Release::new(sequence, self.take()?, size))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn release() -> impl Strategy<Value = Release> {
        (any::<u64>(), any::<[u8; 32]>(), any::<u32>(), any::<u64>()).prop_map(
            |(sequence, digest, size, counter)| {
                Release::new(sequence, digest, size).with_counter(counter)
            },
        )
    }

    pub(in crate::slot::record) fn record() -> impl Strategy<Value = BootRecord> {
        let state = prop_oneof![
            Just(BootState::Confirmed),
            (release(), any::<u8>())
                .prop_map(|(candidate, trials)| BootState::Staged { candidate, trials }),
            (release(), any::<u8>())
                .prop_map(|(candidate, left)| BootState::Trial { candidate, left }),
        ];
        let ended =
            proptest::option::of((any::<u64>(), 1_u8..=5).prop_map(|(sequence, code)| Ended {
                sequence,
                how: ended_as(code).unwrap(),
            }));
        (any::<bool>(), release(), state, ended).prop_map(|(b, installed, state, ended)| {
            BootRecord {
                active: if b { Bank::B } else { Bank::A },
                installed,
                state,
                ended,
            }
        })
    }

    #[test]
    fn erased_memory_is_no_record() {
        assert_eq!(decode(&[0xff; RECORD_BYTES]), None);
        assert_eq!(decode(&[0; RECORD_BYTES]), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_any_changed_byte_is_noticed(record in record(), generation: u32, at in 0..RECORD_BYTES, flip in 1_u8..) {
            let mut bytes = encode(&record, generation);
            prop_assert_eq!(decode(&bytes), Some((record, generation)));
            bytes[at] ^= flip;
            prop_assert_eq!(decode(&bytes), None);
        }

        #[test]
        fn what_counted_sequence_numbers_is_read_with_them_as_security_counters(record in record(), generation: u32) {
            let bytes = encode_as(1, &record, generation);
            let (found, read) = decode(&bytes).unwrap();
            let counted = |release: Release| release.with_counter(release.sequence);
            let state = match record.state {
                BootState::Confirmed => BootState::Confirmed,
                BootState::Staged { candidate, trials } => BootState::Staged { candidate: counted(candidate), trials },
                BootState::Trial { candidate, left } => BootState::Trial { candidate: counted(candidate), left },
            };
            prop_assert_eq!(read, generation);
            prop_assert_eq!(found, BootRecord { installed: counted(record.installed), state, ..record });
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: [u8; 32]) {
            let mut whole = [0; RECORD_BYTES];
            for (to, from) in whole.iter_mut().zip(bytes.iter().cycle()) {
                *to = *from;
            }
            for version in 1..=2 {
                whole[0] = version;
                let _ = decode(&whole);
            }
        }
    }
}
