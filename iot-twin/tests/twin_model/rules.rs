//! What is searched, and which rule is broken.

/// Fields of the twin.
pub(crate) const LEAVES: usize = 2;

/// What an edit by hand means for what is desired (R9).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Policy {
    LastIntent,
    FollowDesired,
    LocalSticky,
    Max,
}

/// How often each thing may happen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Policy,
    /// Values that the service desires, or withdraws.
    pub(crate) desires: u8,
    /// Edits at the device.
    pub(crate) edits: u8,
    /// Power cuts.
    pub(crate) cuts: u8,
    /// Times that the service comes back from a backup, taken whenever it was best for it.
    pub(crate) restores: u8,
    /// Fields that the device takes from one message.
    pub(crate) room: usize,
    /// Whether a report may be late.
    pub(crate) late: bool,
    pub(crate) mutant: Option<Mutant>,
}

impl Rules {
    pub(crate) const fn new(policy: Policy) -> Self {
        Self {
            policy,
            desires: 2,
            edits: 1,
            cuts: 1,
            restores: 0,
            room: 1,
            late: true,
            mutant: None,
        }
    }

    pub(crate) fn breaks(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

/// One broken rule.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Mutant {
    /// R2: what arrives last wins.
    Arrival,
    /// R3: a message with a gap in front of it counts as everything up to it.
    OverGap,
    /// R5: a service from a backup goes on in its old epoch.
    EpochKept,
    /// R5: what it states again is taken for news.
    Repeated,
    /// R8: a desire goes out again because the value differs.
    ValueDelta,
    /// R8: an answer to an older version counts for the newest.
    AnyAnswer,
    /// R9: the hand always wins.
    PolicyIgnored,
    /// R10: a withdrawn desire is forgotten before the device has it.
    TombstoneEarly,
    /// R11: what finds no room in the table is dropped.
    DropOnFull,
    /// An edit by hand is told before it is on record.
    EditInRam,
}

impl Mutant {
    pub(crate) const ALL: [Self; 10] = [
        Self::Arrival,
        Self::OverGap,
        Self::EpochKept,
        Self::Repeated,
        Self::ValueDelta,
        Self::AnyAnswer,
        Self::PolicyIgnored,
        Self::TombstoneEarly,
        Self::DropOnFull,
        Self::EditInRam,
    ];
}
