//! The facts, by name.

use core::fmt;

/// What every store must show.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Fact {
    /// What was stored is read back as it was; what was not, or was removed, is not there.
    ReadBack,
    /// Each change has a higher number than all before it, those of a batch follow each other.
    Numbers,
    /// A twin that was removed and made again never has a number that it had before.
    NeverTwice,
    /// A change whose expectation does not hold is a conflict, says what was found, and changes nothing.
    Conflict,
    /// Of two writers that rest on the same revision, one wins and the other is told.
    NoLostUpdate,
    /// A batch is made as a whole or not at all.
    WholeBatch,
    /// A batch with a twin in it twice, or with more changes than allowed, is refused and changes nothing.
    BadBatch,
    /// A query finds exactly the twins that it means, each on one page.
    Query,
    /// A query of one tenant finds no other's twins.
    Tenant,
    /// The past records of a twin are kept as promised, the newest first, and go with the twin.
    History,
    /// A watcher sees every change once, in the order of the numbers, as it was made.
    Watch,
    /// A watcher that goes on from any place sees exactly what lies behind it.
    Resume,
    /// A watcher that waits is woken by the next change.
    Wakes,
    /// Dropping a watcher's `next` loses nothing.
    DroppedNext,
    /// A watcher that is further behind than promised is told so, and nothing is skipped in silence.
    Lost,
    /// A place that is not the store's own is told as lost.
    Foreign,
    /// What was acknowledged is there after the store was opened again, and watchers go on.
    Reopened,
}

impl Fact {
    /// Every fact, in the order in which they are shown.
    pub const ALL: [Self; 17] = [
        Self::ReadBack,
        Self::Numbers,
        Self::NeverTwice,
        Self::Conflict,
        Self::NoLostUpdate,
        Self::WholeBatch,
        Self::BadBatch,
        Self::Query,
        Self::Tenant,
        Self::History,
        Self::Watch,
        Self::Resume,
        Self::Wakes,
        Self::DroppedNext,
        Self::Lost,
        Self::Foreign,
        Self::Reopened,
    ];
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::ReadBack => "read back",
            Self::Numbers => "numbers rise",
            Self::NeverTwice => "no number twice",
            Self::Conflict => "conflict",
            Self::NoLostUpdate => "no lost update",
            Self::WholeBatch => "whole batch",
            Self::BadBatch => "bad batch",
            Self::Query => "query",
            Self::Tenant => "tenant",
            Self::History => "history",
            Self::Watch => "watch",
            Self::Resume => "resume",
            Self::Wakes => "wakes",
            Self::DroppedNext => "dropped next",
            Self::Lost => "lost is told",
            Self::Foreign => "foreign place",
            Self::Reopened => "reopened",
        })
    }
}
