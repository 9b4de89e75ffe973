/// What a power cut in the middle of a command means for it.
///
/// It is a property of the kind of command, declared once with [`commands!`](crate::commands).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Class {
    /// The effect is a change of records, committed together with the result: exactly one effect.
    Transactional,
    /// Running it again changes nothing more, such as setting a valve: one effect, any number of runs.
    Idempotent,
    /// The device can find out whether the effect took place, such as a reboot: probe before running again.
    Probed,
    /// Nobody can tell afterwards, such as an unlocking pulse: at most one run, and doubt is reported.
    Opaque,
}

impl Class {
    /// Whether it must be on record that the command was started before its handler may run.
    #[must_use]
    pub const fn starts_on_record(self) -> bool {
        matches!(self, Self::Probed | Self::Opaque)
    }
}

/// A set of commands that a device understands; written with [`commands!`](crate::commands).
///
/// The encoding is what the fingerprint is taken over, so equal commands must encode equally.
pub trait Command: Clone + minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()> {
    /// What a power cut in its middle means.
    fn class(&self) -> Class;

    /// Where it queues: of each lane at most one command is handed out at a time, in the order in which
    /// they came. Lanes do not wait for each other.
    fn lane(&self) -> u8 {
        0
    }

    /// The name of its kind, as on the wire.
    fn name(&self) -> &'static str;
}
