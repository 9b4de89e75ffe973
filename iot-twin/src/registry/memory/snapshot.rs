//! A store in memory as bytes, to begin again from.

use alloc::sync::Arc;
use alloc::vec::Vec;

use iot_core::Timestamp;
use minicbor::{Decoder, Encoder};

use super::log::Log;
use super::shard::{Entry, Shards};
use super::{BACKLOG, HISTORY, Memory};
use crate::registry::change::{Revision, Stored};
use crate::registry::key::TwinKey;
use crate::registry::record::{Record, RecordError};
use crate::registry::watch::Openings;
use crate::value::Sink;

const FORMAT: u64 = 1;
const MAX_OPENINGS: u64 = 64;

/// Why bytes are no snapshot.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// They are of another format.
    #[error(
        "the snapshot has a format that this version cannot read: use the version that wrote it"
    )]
    Format,
    /// They are cut or damaged.
    #[error("the bytes at {position} are no snapshot: use an undamaged copy")]
    Malformed {
        /// Where, in bytes.
        position: usize,
    },
    /// One of the records is none.
    #[error("{0}")]
    Record(RecordError),
}

impl Memory {
    /// Everything at one moment, as bytes (`registry/memory/snapshot.cddl`); writers wait while it is taken.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        let (mut all, (openings, head)) = self.shards.all(|| self.log.head());
        all.sort_unstable_by(|(one, _), (two, _)| one.cmp(two));
        let mut sink = Sink(Vec::new());
        let mut out = Encoder::new(&mut sink);
        // Writing to a vector cannot fail, and its error type says so.
        let _ = out
            .array(4)
            .and_then(|out| out.u64(FORMAT))
            .and_then(|out| out.u64(head));
        let _ = out.array(openings.pairs().len() as u64);
        for (opening, first) in openings.pairs() {
            let _ = out
                .array(2)
                .and_then(|out| out.u64(*opening))
                .and_then(|out| out.u64(*first));
        }
        let _ = out.u64(all.len() as u64);
        for (key, entry) in &all {
            let _ = out.array(3).and_then(|out| out.str(key.as_str()));
            write(&entry.current, &mut out);
            let _ = out.array(entry.past.len() as u64);
            entry.past.iter().for_each(|stored| write(stored, &mut out));
        }
        sink.0
    }

    /// Goes on from a snapshot.
    ///
    /// Watchers that were at its last change go on; all others are told that they lost their place.
    ///
    /// # Errors
    ///
    /// [`SnapshotError`] when the bytes are none, or more than one.
    pub fn restored(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut reader = Reader(Decoder::new(bytes));
        reader.array(4)?;
        if reader.number()? != FORMAT {
            return Err(SnapshotError::Format);
        }
        let head = reader.number()?;
        let count = reader.count()?;
        if count == 0 || count > MAX_OPENINGS {
            return Err(reader.malformed());
        }
        let mut openings = Vec::new();
        for _ in 0..count {
            reader.array(2)?;
            openings.push((reader.number()?, reader.number()?));
        }
        let mut openings = Openings::from_pairs(openings);
        openings.open(head);
        let shards = Shards::new();
        let mut last: Option<TwinKey> = None;
        for _ in 0..reader.number()? {
            let (key, entry) = reader.row(head)?;
            if last.is_some_and(|last| last >= key) {
                return Err(reader.malformed());
            }
            last = Some(key.clone());
            shards.put(key, entry);
        }
        if reader.0.position() != bytes.len() {
            return Err(reader.malformed());
        }
        Ok(Self {
            shards,
            log: Arc::new(Log::restored(openings, head, BACKLOG)),
            history: HISTORY,
        })
    }
}

fn write(stored: &Stored, out: &mut Encoder<&mut Sink>) {
    let _ = out.array(3).and_then(|out| out.u64(stored.revision.get()));
    let _ = out
        .u64(stored.at.as_millis())
        .and_then(|out| out.bytes(stored.record.as_cbor()));
}

/// Reads what a snapshot may hold, and nothing else.
struct Reader<'b>(Decoder<'b>);

impl Reader<'_> {
    fn malformed(&self) -> SnapshotError {
        SnapshotError::Malformed {
            position: self.0.position(),
        }
    }

    fn number(&mut self) -> Result<u64, SnapshotError> {
        self.0.u64().map_err(|_| self.malformed())
    }

    fn count(&mut self) -> Result<u64, SnapshotError> {
        self.0.array().ok().flatten().ok_or(self.malformed())
    }

    fn array(&mut self, len: u64) -> Result<(), SnapshotError> {
        if self.count()? == len {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    fn row(&mut self, head: u64) -> Result<(TwinKey, Entry), SnapshotError> {
        self.array(3)?;
        let malformed = self.malformed();
        let key = self.0.str().map_err(|_| malformed)?;
        let key: TwinKey = key.parse().map_err(|_| malformed)?;
        let current = self.stored()?;
        let mut past: Vec<Stored> = Vec::new();
        for _ in 0..self.count()? {
            let stored = self.stored()?;
            if past
                .last()
                .is_some_and(|last| last.revision >= stored.revision)
            {
                return Err(malformed);
            }
            past.push(stored);
        }
        let newest = past
            .last()
            .is_some_and(|last| last.revision >= current.revision);
        if newest || current.revision.get() > head {
            return Err(malformed);
        }
        Ok((key, Entry { current, past }))
    }

    fn stored(&mut self) -> Result<Stored, SnapshotError> {
        self.array(3)?;
        let revision = Revision::new(self.number()?);
        let at = Timestamp::from_millis(self.number()?);
        let malformed = self.malformed();
        let bytes = self.0.bytes().map_err(|_| malformed)?;
        let record = Record::from_cbor(bytes).map_err(SnapshotError::Record)?;
        Ok(Stored::new(revision, at, record))
    }
}
