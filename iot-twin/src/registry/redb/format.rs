//! What stands in the tables (`format.cddl`).

use alloc::vec::Vec;

use ::redb::TableDefinition;
use iot_core::Timestamp;
use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

use crate::registry::watch::Openings;
use crate::value::Sink;

pub(super) const TWINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("twins");
pub(super) const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const STATE: &str = "state";

const FORMAT: u64 = 1;

/// A twin's row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Row {
    pub(super) revision: u64,
    pub(super) past: Vec<u64>,
}

/// One change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Logged<'b> {
    pub(super) key: &'b str,
    pub(super) at: Timestamp,
    pub(super) record: Option<&'b [u8]>,
}

/// What is known of the whole file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct State {
    pub(super) head: u64,
    pub(super) floor: u64,
    pub(super) openings: Openings,
}

/// Bytes that are none of these, or of another format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Damaged;

impl From<minicbor::decode::Error> for Damaged {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

fn open<'b>(bytes: &'b [u8], len: u64) -> Result<Decoder<'b>, Damaged> {
    let mut input = Decoder::new(bytes);
    if input.array()? == Some(len) && input.u64()? == FORMAT {
        Ok(input)
    } else {
        Err(Damaged)
    }
}

fn end(input: &Decoder<'_>) -> Result<(), Damaged> {
    if input.position() == input.input().len() {
        Ok(())
    } else {
        Err(Damaged)
    }
}

impl Row {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = open(bytes, 3)?;
        let revision = input.u64()?;
        let mut past = Vec::new();
        for _ in 0..input.array()?.ok_or(Damaged)? {
            past.push(input.u64()?);
        }
        end(&input)?;
        Ok(Self { revision, past })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut sink = Sink(Vec::with_capacity(48));
        let mut out = Encoder::new(&mut sink);
        // Writing to a vector cannot fail, and its error type says so.
        let _ = out
            .array(3)
            .and_then(|out| out.u64(FORMAT))
            .and_then(|out| out.u64(self.revision));
        let _ = out.array(self.past.len() as u64);
        for revision in &self.past {
            let _ = out.u64(*revision);
        }
        sink.0
    }

    /// Whether the record of a change is still needed.
    pub(super) fn names(&self, revision: u64) -> bool {
        self.revision == revision || self.past.contains(&revision)
    }
}

impl<'b> Logged<'b> {
    pub(super) fn read(bytes: &'b [u8]) -> Result<Self, Damaged> {
        let mut input = open(bytes, 4)?;
        let key = input.str()?;
        let at = Timestamp::from_millis(input.u64()?);
        let record = if input.datatype()? == Type::Null {
            input.null()?;
            None
        } else {
            Some(input.bytes()?)
        };
        end(&input)?;
        Ok(Self { key, at, record })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let len = self.record.map_or(0, <[u8]>::len);
        let mut sink = Sink(Vec::with_capacity(len + self.key.len() + 24));
        let mut out = Encoder::new(&mut sink);
        let _ = out
            .array(4)
            .and_then(|out| out.u64(FORMAT))
            .and_then(|out| out.str(self.key));
        let _ = out.u64(self.at.as_millis());
        let _ = match self.record {
            Some(record) => out.bytes(record),
            None => out.null(),
        };
        sink.0
    }
}

impl State {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut input = open(bytes, 4)?;
        let (head, floor) = (input.u64()?, input.u64()?);
        let mut openings = Vec::new();
        for _ in 0..input.array()?.ok_or(Damaged)? {
            if input.array()? != Some(2) {
                return Err(Damaged);
            }
            openings.push((input.u64()?, input.u64()?));
        }
        end(&input)?;
        let openings = Openings::from_pairs(openings);
        Ok(Self {
            head,
            floor,
            openings,
        })
    }

    pub(super) fn write(&self) -> Vec<u8> {
        let mut sink = Sink(Vec::new());
        let mut out = Encoder::new(&mut sink);
        let _ = out
            .array(4)
            .and_then(|out| out.u64(FORMAT))
            .and_then(|out| out.u64(self.head));
        let _ = out
            .u64(self.floor)
            .and_then(|out| out.array(self.openings.pairs().len() as u64));
        for (opening, first) in self.openings.pairs() {
            let _ = out
                .array(2)
                .and_then(|out| out.u64(*opening))
                .and_then(|out| out.u64(*first));
        }
        sink.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_change_and_state_comes_back(
            revision: u64, at: u64, key in "[a-z/]{0,20}", past: Vec<u64>,
            record in proptest::collection::vec(any::<u8>(), 0..40), removed: bool,
            openings in proptest::collection::vec(any::<(u64, u64)>(), 0..4),
        ) {
            let at = Timestamp::from_millis(at);
            let row = Row { revision, past };
            prop_assert_eq!(Row::read(&row.write()), Ok(row.clone()));
            let logged = Logged { key: &key, at, record: (!removed).then_some(&record) };
            let bytes = logged.write();
            prop_assert_eq!(Logged::read(&bytes), Ok(logged));
            let state = State { head: revision, floor: 3, openings: Openings::from_pairs(openings) };
            prop_assert_eq!(State::read(&state.write()), Ok(state.clone()));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Row::read(&bytes), Logged::read(&bytes), State::read(&bytes));
        }
    }
}
