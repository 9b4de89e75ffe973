//! What is asked of a store, and what it says.

use core::error::Error;
use core::fmt;

use iot_core::Timestamp;

use super::key::TwinKey;
use super::record::Record;

/// The number of one change, rising over the whole store and never used twice; from 1.
///
/// A twin that was removed and made again has a higher one, so a writer that looked before never writes over it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Revision(u64);

impl Revision {
    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What must be the case for a change to be made.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Expect {
    /// Anything: whatever is there is replaced.
    Any,
    /// The twin is not stored.
    Absent,
    /// The twin's last change has this number.
    At(Revision),
}

impl Expect {
    /// Whether a twin whose last change is `found` is as expected; `None` is one that is not stored.
    #[must_use]
    pub fn is_met(self, found: Option<Revision>) -> bool {
        match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::At(revision) => found == Some(revision),
        }
    }
}

/// One change of one twin.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// The twin.
    pub key: TwinKey,
    /// What must be the case.
    pub expect: Expect,
    /// When it is made, by the caller's clock; it is stored, and decides nothing.
    pub at: Timestamp,
    /// What is stored from then on; `None` removes the twin with its history.
    pub record: Option<Record>,
}

impl Change {
    /// Stores a record.
    #[must_use]
    pub const fn put(key: TwinKey, expect: Expect, record: Record, at: Timestamp) -> Self {
        Self {
            key,
            expect,
            at,
            record: Some(record),
        }
    }

    /// Removes a twin.
    #[must_use]
    pub const fn remove(key: TwinKey, expect: Expect, at: Timestamp) -> Self {
        Self {
            key,
            expect,
            at,
            record: None,
        }
    }
}

/// A stored record, and the change that stored it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// The number of that change.
    pub revision: Revision,
    /// When it was made, by the clock of who made it.
    pub at: Timestamp,
    /// The record.
    pub record: Record,
}

impl Stored {
    /// Puts one together.
    #[must_use]
    pub const fn new(revision: Revision, at: Timestamp, record: Record) -> Self {
        Self {
            revision,
            at,
            record,
        }
    }
}

/// The numbers of a batch's changes: consecutive, in the batch's order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Committed {
    /// The first change's number.
    pub first: Revision,
    /// How many changes there were.
    pub count: usize,
}

impl Committed {
    /// Puts one together.
    #[must_use]
    pub const fn new(first: Revision, count: usize) -> Self {
        Self { first, count }
    }

    /// The number of the change at `index` in the batch.
    #[must_use]
    pub fn revision(&self, index: usize) -> Option<Revision> {
        let offset = u64::try_from(index).ok().filter(|_| index < self.count)?;
        Some(Revision(self.first.0.checked_add(offset)?))
    }
}

/// Why a batch was not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError<E> {
    /// A twin was not as expected; nothing of the batch was made. Read it again.
    #[error("the twin of change {index} is not as expected: read it again")]
    Conflict {
        /// The first such change's place in the batch, from 0.
        index: usize,
        /// The twin's last change; `None` when it is not stored.
        found: Option<Revision>,
    },
    /// One twin stands in the batch twice; nothing was made.
    #[error("the twin of change {index} is in the batch already: join both changes")]
    Twice {
        /// The second one's place in the batch, from 0.
        index: usize,
    },
    /// There are more changes than [`Limits::batch`]; nothing was made.
    #[error("the batch has more than {limit} changes: split it")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The store failed; its error says whether something may have been made.
    #[error("{0}")]
    Store(E),
}

/// What a store's error means for who called it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Nothing was done, and the same call may succeed at once or a little later.
    Retry,
    /// Nothing was done, and the store cannot be reached or used for now.
    Unavailable,
    /// A change may have been made or not: read before trying again.
    InDoubt,
    /// What is stored cannot be read.
    Corrupt,
}

/// The error of a store.
pub trait StoreError: Error + Send + Sync + 'static {
    /// What it means.
    fn kind(&self) -> StoreErrorKind;
}

impl StoreError for core::convert::Infallible {
    fn kind(&self) -> StoreErrorKind {
        match *self {}
    }
}

/// What a store takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// The most changes of one batch; 1 for a store that cannot make several at once.
    pub batch: usize,
    /// How many past records of each twin are kept beside the current one.
    pub history: usize,
    /// How many of the last changes a watcher may be behind.
    pub backlog: u64,
}

impl Limits {
    /// States all limits.
    #[must_use]
    pub const fn new(batch: usize, history: usize, backlog: u64) -> Self {
        Self {
            batch,
            history,
            backlog,
        }
    }
}

/// Finds the first twin that stands in a batch twice.
pub(in crate::registry) fn twice(changes: &[Change]) -> Option<usize> {
    if changes.len() < 2 {
        return None;
    }
    let mut seen = alloc::collections::BTreeSet::new();
    changes.iter().position(|change| !seen.insert(&change.key))
}
