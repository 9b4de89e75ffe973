//! What is under search: sizes, classes, and the rule that a mutant breaks.

use iot_core::command::Class;

/// Places for the results of one issuer, and for the commands under way at one issuer.
pub(crate) const PLACES: usize = 3;
/// Sequences 1 to 9; the highest are for the command that proves liveness.
pub(crate) const SEQUENCES: usize = 10;
/// Lives of an issuer: the second begins when it is restored from a backup.
pub(crate) const EPOCHS: u8 = 2;

/// Which command: issuer, life and number, each from 1.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Id {
    pub(crate) issuer: u8,
    pub(crate) epoch: u8,
    pub(crate) sequence: u8,
}

/// A request as far as the rules look at it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ask {
    pub(crate) id: Id,
    pub(crate) settled: u8,
}

/// How a command ends.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum End {
    Done,
    InDoubt,
    Forgotten,
    TooOld,
    /// The storage had no room for its effect.
    NoRoom,
}

/// What a device says to a request.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Say {
    Ended(End),
    InProgress,
    Busy,
}

/// One rule, broken on purpose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mutant {
    /// An opaque command that was started runs again after a cut.
    RetryOpaque,
    /// Nothing is written before the handler of a probed or opaque command.
    NoStarted,
    /// The answer leaves before the end is on record.
    ReplyFirst,
    /// A boot begins with the floor at 1.
    FloorForgotten,
    /// The first command of a new epoch runs before the epoch is on record.
    EpochNotDurable,
    /// An older epoch is taken for a new one.
    EpochReturns,
    /// The window advances over what has not ended.
    WindowOverOpen,
    /// A result is dropped for a new command although its issuer has not settled it.
    EvictUnsettled,
    /// "Too old" is said before the floor that it rests on is on record.
    FloorNotDurable,
    /// A probed command comes back after a cut as if it had not been started.
    ProbeSkipped,
    /// The effect of a transactional command is made when it runs, not with its end.
    EffectApart,
    /// A command is sent before it is on record.
    SendFirst,
    /// A command counts as settled when its end is told, before its record is gone.
    SettleEarly,
    /// An issuer restored from a backup stays in its epoch.
    EpochKept,
    /// An end on record is not brought back by a boot.
    EndForgotten,
    /// A request of an older life raises the floor of this one.
    OldEpochSettles,
    /// The window advances over an end that its issuer may still ask for.
    PassUnsettled,
    /// The floor waits for a live command, and what was settled above it is forgotten.
    SettledForgotten,
    /// A command at the floor drops a result although an older one that is live will make room.
    DropBehindLive,
}

impl Mutant {
    pub(crate) const ALL: [Self; 19] = [
        Self::RetryOpaque,
        Self::NoStarted,
        Self::ReplyFirst,
        Self::FloorForgotten,
        Self::EpochNotDurable,
        Self::EpochReturns,
        Self::WindowOverOpen,
        Self::EvictUnsettled,
        Self::FloorNotDurable,
        Self::ProbeSkipped,
        Self::EffectApart,
        Self::SendFirst,
        Self::SettleEarly,
        Self::EpochKept,
        Self::EndForgotten,
        Self::OldEpochSettles,
        Self::PassUnsettled,
        Self::SettledForgotten,
        Self::DropBehindLive,
    ];
}

/// The sizes of one search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) window: u8,
    pub(crate) results: u8,
    pub(crate) pending: u8,
    /// How many commands each issuer issues; 0 for one that is not there.
    pub(crate) issued: [u8; 2],
    /// How often an issuer may be restored from its backup.
    pub(crate) restores: [u8; 2],
    /// Everything waits for everything else; otherwise nothing for anything.
    pub(crate) one_lane: bool,
    /// The class of each sequence, over and over.
    pub(crate) classes: [Class; 4],
    pub(crate) mutant: Option<Mutant>,
}

impl Rules {
    pub(crate) const MIXED: [Class; 4] = [
        Class::Opaque,
        Class::Idempotent,
        Class::Probed,
        Class::Transactional,
    ];

    /// Two issuers with a window of 4 and room for two results.
    pub(crate) const fn new(issued: [u8; 2], classes: [Class; 4]) -> Self {
        Self {
            window: 4,
            results: 2,
            pending: 2,
            issued,
            restores: [0; 2],
            one_lane: false,
            classes,
            mutant: None,
        }
    }

    pub(crate) fn class(&self, id: Id) -> Class {
        // Another issuer begins elsewhere, so that two classes meet on one device.
        let at = usize::from(id.sequence + 2 * id.issuer) + 1;
        self.classes[at % self.classes.len()]
    }

    /// Commands of one lane run one at a time.
    pub(crate) const fn lane(&self, id: Id) -> u8 {
        if self.one_lane {
            0
        } else {
            16 * id.issuer + id.sequence
        }
    }

    /// Whether it must be on record that `id` was started before it is handed out.
    pub(crate) fn starts_on_record(&self, id: Id) -> bool {
        matches!(self.class(id), Class::Probed | Class::Opaque)
    }

    pub(crate) fn breaks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether a device keeps each result until its issuer has settled it.
    pub(crate) const fn keeps_all(&self) -> bool {
        self.pending <= self.results && self.results <= self.window
    }
}
