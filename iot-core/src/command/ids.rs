mod engine;
mod record;

use core::fmt;
use core::time::Duration;

use super::class::Class;
use super::envelope::Fingerprint;
use super::inbox::FinishError;
use super::outcome::Outcome;
use crate::engine::{RecordKey, RecordRange};
use crate::time::{Instant, Now, Proof, Timestamp};

/// Remembers commands that other protocols name by an id alone, so that each class keeps its promise.
///
/// Cloud jobs, direct methods and the like have no sequence, so nothing tells an old id from a new one once
/// it is forgotten. Therefore an id of up to `ID_BYTES` is kept until its command has expired, and a `skew`
/// longer, and until its end was told; then its record is removed. While `IDS` are kept that long, others are refused as [`Busy`](IdError::Busy). The command itself
/// is not kept: the adapter that speaks the protocol has it, or fetches it again.
///
/// It is an [`Engine`](crate::Engine) that owns records and no channel. The driver's buffer must have
/// [`BUFFER_BYTES`](Self::BUFFER_BYTES). As many `IDS` as a firmware had, its successor must have at least.
///
/// ```
/// use iot_core::command::{Admitted, Class, IdTable, Outcome};
/// use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
/// use iot_core::{Instant, Now, Timestamp, time::TimeBounds};
///
/// let now = Now::new(Instant::ZERO, TimeBounds::exact(Timestamp::from_secs(100)));
/// let mut jobs = IdTable::<8, 36>::new(RecordKey::new(0x0300));
/// # jobs.input(now, &Event::Restored); // a node does this
/// let expires = Timestamp::from_secs(160);
/// let reboot = jobs.admit(now, b"job-17", b"{\"reboot\":true}", Class::Probed, expires)?;
/// assert_eq!(reboot, Admitted::Fresh);
/// # let mut buffer = [0; 256];
/// # assert!(matches!(jobs.step(now, &mut buffer), Step::Persist(_)));
/// # jobs.done(now, Done::Persisted);
/// // … after a turn of the node that drives it:
/// while let Some(job) = jobs.next() {
///     jobs.finish(job.id.as_bytes(), Outcome::DONE).unwrap();
/// }
/// # assert!(matches!(jobs.step(now, &mut buffer), Step::Persist(_)));
/// # jobs.done(now, Done::Persisted);
/// // … and after another one, when that is on record:
/// let ended = jobs.concluded().unwrap();
/// assert_eq!((ended.id.as_bytes(), ended.outcome), (&b"job-17"[..], Outcome::DONE));
/// # Ok::<(), iot_core::command::IdError>(())
/// ```
#[derive(Debug)]
pub struct IdTable<const IDS: usize, const ID_BYTES: usize> {
    first_record: RecordKey,
    skew: Duration,
    slots: [Option<Slot<ID_BYTES>>; IDS],
    doing: Option<usize>,
    persist_after: Option<Instant>,
    restored: bool,
    damaged: bool,
    danger_unproved_time: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slot<const ID_BYTES: usize> {
    id: ForeignId<ID_BYTES>,
    fingerprint: Fingerprint,
    expires: Timestamp,
    class: Class,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// To be put on record as started.
    Starting,
    /// To be handed out.
    Started { resumed: bool },
    /// Handed out.
    Running,
    /// To be put on record as ended.
    Ending(Outcome),
    /// On record as ended; to be told to the application.
    Ended(Outcome),
    /// Told.
    Told(Outcome),
    /// Over: its record is to be removed.
    Leaving(Outcome),
}

/// The id of a command in another protocol.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ForeignId<const BYTES: usize> {
    // Unused bytes stay zero, so that derived equality is that of the id.
    bytes: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> ForeignId<BYTES> {
    fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; BYTES];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        let len = id.len();
        Some(Self { bytes, len })
    }

    /// The id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl<const BYTES: usize> fmt::Debug for ForeignId<BYTES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ForeignId({})", self.as_bytes().escape_ascii())
    }
}

/// What a table made of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Admitted {
    /// It is new, and will be handed out when whatever its class wants on record is on record.
    Fresh,
    /// It was taken in before and has not ended.
    InProgress,
    /// It has ended so; that is on record.
    Ended(Outcome),
}

/// A command to be carried out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct PendingId<const ID_BYTES: usize> {
    /// Its id, for [`IdTable::finish`].
    pub id: ForeignId<ID_BYTES>,
    /// The power was cut after it had been started (only [`Class::Probed`]): find out whether the effect
    /// took place before doing anything.
    pub resumed: bool,
}

/// The end of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EndedId<const ID_BYTES: usize> {
    /// Its id.
    pub id: ForeignId<ID_BYTES>,
    /// How it ended.
    pub outcome: Outcome,
}

/// Why a command was not taken in; nothing was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IdError {
    /// The records were not shown yet, so a repetition could not be told.
    #[error("the table was not restored: let its node restore it first")]
    NotRestored,
    /// A record could not be read, so a repetition could not be told.
    #[error("the table's records are damaged: erase them to start afresh")]
    Damaged,
    /// The id is longer than the table's `ID_BYTES`.
    #[error("the id has {bytes} bytes, {limit} fit: raise ID_BYTES")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
    /// It has expired, and is not known.
    #[error("the command has expired")]
    Expired,
    /// The device cannot prove that it has not expired.
    #[error("the device cannot prove what time it is: try again later")]
    ClockUnknown,
    /// Another command has this id.
    #[error("another command has this id")]
    Mismatch,
    /// As many ids as fit are kept, and none of them may be forgotten yet.
    #[error("{limit} ids are kept and none may be forgotten yet: try again later, or raise IDS")]
    Busy {
        /// How many fit.
        limit: usize,
    },
}

impl<const IDS: usize, const ID_BYTES: usize> IdTable<IDS, ID_BYTES> {
    /// The length of the driver's buffer.
    pub const BUFFER_BYTES: usize = 96 + ID_BYTES;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertions leave it far below"
    )]
    const COUNT: u32 = {
        assert!(IDS >= 1 && IDS <= 65_535, "a table has 1 to 65,535 ids");
        assert!(ID_BYTES >= 1 && ID_BYTES <= 256, "an id has 1 to 256 bytes");
        IDS as u32
    };

    /// An empty table with its records from `first_record` on, and a skew of five minutes.
    #[must_use]
    pub const fn new(first_record: RecordKey) -> Self {
        Self {
            first_record,
            skew: Duration::from_secs(300),
            slots: [const { None }; IDS],
            doing: None,
            persist_after: None,
            restored: false,
            damaged: false,
            danger_unproved_time: false,
        }
    }

    /// How much longer than its command an id is kept: as far as the device's clock may ever be set back.
    #[must_use]
    pub const fn with_skew(mut self, skew: Duration) -> Self {
        self.skew = skew;
        self
    }

    /// Takes commands in even while the device cannot prove that they have not expired.
    ///
    /// Without this they are refused as [`IdError::ClockUnknown`].
    pub const fn danger_run_when_time_is_unknown(&mut self) {
        self.danger_unproved_time = true;
    }

    /// Takes in a command of a foreign protocol, or recognises it.
    ///
    /// `command` is its encoded content, for telling two commands of one id apart; the adapter keeps it.
    /// `expires` is when its sender gives it up: from then on it is not started.
    ///
    /// # Errors
    ///
    /// [`IdError`]; nothing was changed.
    pub fn admit(
        &mut self,
        now: Now,
        id: &[u8],
        command: &[u8],
        class: Class,
        expires: Timestamp,
    ) -> Result<Admitted, IdError> {
        if self.damaged {
            return Err(IdError::Damaged);
        }
        if !self.restored {
            return Err(IdError::NotRestored);
        }
        let too_long = IdError::TooLong {
            bytes: id.len(),
            limit: ID_BYTES,
        };
        let id = ForeignId::new(id).ok_or(too_long)?;
        let fingerprint = Fingerprint::of(command);
        if let Some(slot) = self.slots.iter().flatten().find(|slot| slot.id == id) {
            return match slot.phase {
                _ if slot.fingerprint != fingerprint => Err(IdError::Mismatch),
                Phase::Ended(outcome) | Phase::Told(outcome) | Phase::Leaving(outcome) => {
                    Ok(Admitted::Ended(outcome))
                }
                _ => Ok(Admitted::InProgress),
            };
        }
        match now.wall.reached(expires) {
            Proof::Yes => return Err(IdError::Expired),
            Proof::Uncertain if !self.danger_unproved_time => return Err(IdError::ClockUnknown),
            _ => {}
        }
        let room = self.room(now).and_then(|at| self.slots.get_mut(at));
        *room.ok_or(IdError::Busy { limit: IDS })? = Some(Slot {
            id,
            fingerprint,
            expires,
            class,
            phase: if class.starts_on_record() {
                Phase::Starting
            } else {
                Phase::Started { resumed: false }
            },
        });
        Ok(Admitted::Fresh)
    }

    /// The next command to carry out; whatever its class wants on record is on record.
    ///
    /// Ask after every turn of the driver, until it returns `None`.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would keep the table borrowed, and so could not be finished in its loop"
    )]
    pub fn next(&mut self) -> Option<PendingId<ID_BYTES>> {
        self.slots.iter_mut().flatten().find_map(|slot| {
            let Phase::Started { resumed } = slot.phase else {
                return None;
            };
            slot.phase = Phase::Running;
            Some(PendingId {
                id: slot.id,
                resumed,
            })
        })
    }

    /// States how a command ended; [`concluded`](Self::concluded) tells it when it is on record.
    ///
    /// # Errors
    ///
    /// [`FinishError::NotRunning`].
    pub fn finish(&mut self, id: &[u8], outcome: Outcome) -> Result<(), FinishError> {
        let mut slots = self.slots.iter_mut().flatten();
        let running = slots.find(|slot| slot.phase == Phase::Running && slot.id.as_bytes() == id);
        running.ok_or(FinishError::NotRunning)?.phase = Phase::Ending(outcome);
        Ok(())
    }

    /// The next command that has ended, for the adapter to report; ask after every turn of the driver,
    /// until it returns `None`. After a restart what is still kept is told again, for the report may be lost.
    pub fn concluded(&mut self) -> Option<EndedId<ID_BYTES>> {
        self.slots.iter_mut().flatten().find_map(|slot| {
            let Phase::Ended(outcome) = slot.phase else {
                return None;
            };
            slot.phase = Phase::Told(outcome);
            Some(EndedId {
                id: slot.id,
                outcome,
            })
        })
    }

    /// Whether a record could not be read, or belongs to a table with more ids: nothing is taken in then.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// Where another command finds room: in a free place, or in that of one that is over. A place whose record is
    /// being removed is neither: the driver's answer would be taken for one about the newcomer.
    fn room(&self, now: Now) -> Option<usize> {
        let free = self.slots.iter().position(Option::is_none);
        free.or_else(|| self.over(now).find(|&at| self.doing != Some(at)))
    }

    /// The places of commands whose repetition would be refused for its age anyway.
    fn over(&self, now: Now) -> impl Iterator<Item = usize> {
        let is_old = move |slot: &Slot<ID_BYTES>| {
            let end = slot.expires.after(self.skew);
            matches!(slot.phase, Phase::Told(_)) && now.wall.reached(end) == Proof::Yes
        };
        let is_over =
            move |slot: &Slot<ID_BYTES>| is_old(slot) || matches!(slot.phase, Phase::Leaving(_));
        let slots = self.slots.iter().enumerate();
        slots.filter_map(move |(at, slot)| slot.as_ref().is_some_and(is_over).then_some(at))
    }

    const fn range(&self) -> RecordRange {
        RecordRange::new(self.first_record, Self::COUNT)
    }
}
