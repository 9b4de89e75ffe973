//! The facts, by name.

use core::fmt;

use super::Lack;

/// What every key store must show.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Fact {
    /// An empty slot takes a key of the algorithm that was asked for, and lends it.
    Generate,
    /// A slot that holds a key takes no other: `Occupied`, and its key stays.
    Occupied,
    /// A slot that holds none lends none: `Absent`.
    Absent,
    /// An algorithm that the store has not is `Unsupported`, and the slot stays empty.
    Algorithm,
    /// A slot that the store has not is `Full` and never lends.
    Limit,
    /// Destroying empties a slot, also twice, and the slot can be filled again.
    Destroy,
    /// A key for life cannot be destroyed or replaced.
    ForLife,
    /// Every key is another, also the next one in the same slot.
    Fresh,
    /// What happens in one slot leaves the keys of others alone.
    Isolation,
    /// Signers that were lent before sign no more when their key is destroyed, nor with the next one.
    LentStops,
    /// A public key has the documented form, and a buffer that is too small is told what is needed.
    PublicForm,
    /// Keys, their policies and empty slots are the same after the store was opened again.
    Durable,
    /// Signatures verify under both software providers, for this key and message alone.
    Verifies,
    /// A signature is `r ‖ s` or of RFC 8032, at full length whatever its numbers are.
    SignatureForm,
    /// A message in parts is the message in one piece.
    Parts,
    /// Messages of no byte and of a megabyte are signed in full.
    Sizes,
    /// A digest is signed as its message is, or is `Unsupported`; Ed25519 signs none.
    Digest,
    /// Threads sign with one key and with their own at once, and every signature is good.
    Threads,
    /// Of threads that fill one slot at once, one succeeds and the others are told `Occupied`.
    OneGenerates,
    /// Once a key is destroyed, no thread signs with it any more.
    Disarmed,
}

impl Fact {
    /// Every fact, in the order in which they are shown.
    pub const ALL: [Self; 20] = [
        Self::Generate,
        Self::Occupied,
        Self::Absent,
        Self::Algorithm,
        Self::Limit,
        Self::Destroy,
        Self::ForLife,
        Self::Fresh,
        Self::Isolation,
        Self::LentStops,
        Self::PublicForm,
        Self::Durable,
        Self::Verifies,
        Self::SignatureForm,
        Self::Parts,
        Self::Sizes,
        Self::Digest,
        Self::Threads,
        Self::OneGenerates,
        Self::Disarmed,
    ];

    /// The name used in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Generate => "generate",
            Self::Occupied => "occupied",
            Self::Absent => "absent",
            Self::Algorithm => "algorithm",
            Self::Limit => "limit",
            Self::Destroy => "destroy",
            Self::ForLife => "for_life",
            Self::Fresh => "fresh",
            Self::Isolation => "isolation",
            Self::LentStops => "lent_stops",
            Self::PublicForm => "public_form",
            Self::Durable => "durable",
            Self::Verifies => "verifies",
            Self::SignatureForm => "signature_form",
            Self::Parts => "parts",
            Self::Sizes => "sizes",
            Self::Digest => "digest",
            Self::Threads => "threads",
            Self::OneGenerates => "one_generates",
            Self::Disarmed => "disarmed",
        }
    }

    /// Without any of these the fact cannot be shown.
    #[must_use]
    pub const fn needs(self) -> &'static [Lack] {
        match self {
            Self::Limit => &[Lack::Limit],
            Self::ForLife => &[Lack::Life],
            Self::Durable => &[Lack::Durable, Lack::Life],
            Self::Threads | Self::OneGenerates | Self::Disarmed => &[Lack::Threads],
            _ => &[],
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
