mod engine;
mod record;

use core::time::Duration;

use self::engine::Doing;
use super::cbor::Writer;
use super::class::Command;
use super::envelope::{Answer, MAX_COMMAND_BYTES, MAX_MESSAGE_BYTES};
use super::outcome::Outcome;
use crate::engine::{RecordKey, RecordRange};
use crate::id::{CommandId, DeviceId, IssuerId, TenantId};
use crate::message::Peer;
use crate::time::{Instant, Now, Timestamp};

/// The service's side: gives each command for one device an identity, repeats it, and says how it ended.
///
/// At most `PENDING` commands lie between the oldest that is under way and the newest: choose no more than
/// the device's `RESULTS`, so that it can keep every result until it is heard. Each command is on record
/// before it is first sent, so a restarted service goes on asking. What is due at one moment travels in one
/// message, as far as it fits, in the order of issue.
///
/// A service holds one issuer per device: [`to`](Self::to) names the device, answers of others are ignored. All of
/// them may have the same [`IssuerId`]; then an id is unique for one device, not for all. A node drives up to 32
/// engines: for more devices write one engine that passes each what concerns it, as the example `smart_building`
/// does.
/// The driver's buffer must have [`BUFFER_BYTES`](Self::BUFFER_BYTES).
///
/// ```
/// use iot_core::command::{Issuer, Terms};
/// use iot_core::engine::{Engine, Event, RecordKey};
/// use iot_core::{DeviceId, Instant, IssuerId, Now, TenantId, time::TimeBounds};
///
/// iot_core::commands! { enum Job { #[idempotent] SetValve { open: bool } } }
///
/// let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// let mut door = Issuer::<Job, 4>::new(IssuerId::new(1), RecordKey::new(0x4000))
///     .to(TenantId::new("acme").unwrap(), DeviceId::new("door-7").unwrap());
/// door.input(now, &Event::Restored); // a node does this
/// let id = door.issue(now, Job::SetValve { open: true }, Terms::DEFAULT)?;
/// assert_eq!(id.sequence, 1);
/// # Ok::<(), iot_core::command::IssueError>(())
/// ```
#[derive(Debug)]
pub struct Issuer<C, const PENDING: usize> {
    issuer: IssuerId,
    peer: Option<(TenantId, DeviceId)>,
    first_record: RecordKey,
    epoch: u32,
    next_sequence: u32,
    slots: [Option<Slot<C>>; PENDING],
    doing: Option<Doing>,
    persist_after: Option<Instant>,
    /// The epoch is not on record yet.
    stale: bool,
    restored: bool,
    damaged: bool,
    /// Places on record that hold nothing readable.
    unreadable: [bool; PENDING],
}

#[derive(Debug)]
struct Slot<C> {
    id: CommandId,
    command: C,
    terms: Terms,
    phase: Phase,
    /// The device is asked to give it up.
    cancels: bool,
    /// It is in the message that the driver is sending.
    sending: bool,
    /// What the device said last.
    heard: Option<Answer>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// To be put on record, as it is now.
    Fresh,
    /// On record and under way.
    Waiting {
        again: Instant,
        pause: Duration,
        give_up: Instant,
    },
    /// To be told to the application.
    Concluded(Result<Outcome, Unanswered>),
    /// Told; its record is to be removed.
    Told,
}

/// How long a command is worth sending.
///
/// ```
/// use core::time::Duration;
/// use iot_core::command::Terms;
/// let terms = Terms::DEFAULT.give_up_after(Duration::from_secs(30));
/// assert_eq!(terms.expires, None);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Terms {
    /// The device must not start it before this moment; the device judges by its own clock.
    pub not_before: Option<Timestamp>,
    /// The device must not start it at this moment or later; the device judges by its own clock.
    pub expires: Option<Timestamp>,
    /// How long the issuer asks for an answer, counted again after a restart.
    pub patience: Duration,
}

impl Terms {
    /// It may start at once and does not expire, and the issuer asks for a day.
    pub const DEFAULT: Self = Self {
        not_before: None,
        expires: None,
        patience: Duration::from_secs(86_400),
    };

    /// Forbids the device to start it before `moment`.
    #[must_use]
    pub const fn not_before(mut self, moment: Timestamp) -> Self {
        self.not_before = Some(moment);
        self
    }

    /// Forbids the device to start it at `moment` or later.
    #[must_use]
    pub const fn expires_at(mut self, moment: Timestamp) -> Self {
        self.expires = Some(moment);
        self
    }

    /// Lets the issuer stop asking after `patience`.
    #[must_use]
    pub const fn give_up_after(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// No last word came in time, perhaps because the device does not know this issuer: the command may have
/// run, and may yet run until it expires or the device has seen the next command of this issuer, which
/// settles it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("no answer came in time: the command may have run or may yet run")]
#[non_exhaustive]
pub struct Unanswered;

/// The end of one command, as its issuer sees it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Conclusion {
    /// Which command.
    pub id: CommandId,
    /// How it ended.
    pub outcome: Result<Outcome, Unanswered>,
}

/// The command is not under way: it has ended, or was never issued here.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the command is not under way: it has ended, or was never issued here")]
#[non_exhaustive]
pub struct NotUnderWay;

/// Why a command was not issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum IssueError {
    /// The records were not shown yet, so the next sequence is not known.
    #[error("the issuer was not restored: let its node restore it first")]
    NotRestored,
    /// A record could not be read; see [`Issuer::open_epoch`].
    #[error("the issuer's records are damaged: open a new epoch")]
    Damaged,
    /// As many commands as it holds were issued since the oldest that is under way, or that waits in
    /// [`Issuer::concluded`].
    #[error("{limit} commands were issued since the oldest under way: wait for that to end")]
    Full {
        /// How many it holds.
        limit: usize,
    },
    /// The epoch has no sequence left; see [`Issuer::open_epoch`].
    #[error("the epoch has no sequence left: open a new epoch")]
    Exhausted,
    /// The encoded command is longer than [`MAX_COMMAND_BYTES`].
    #[error("the encoded command is longer than {MAX_COMMAND_BYTES} bytes: shorten it")]
    TooLong,
}

impl<C> Slot<C> {
    const fn new(id: CommandId, command: C, terms: Terms) -> Self {
        Self {
            id,
            command,
            terms,
            phase: Phase::Fresh,
            cancels: false,
            sending: false,
            heard: None,
        }
    }

    const fn is_under_way(&self) -> bool {
        matches!(self.phase, Phase::Fresh | Phase::Waiting { .. })
    }
}

impl<C: Command, const PENDING: usize> Issuer<C, PENDING> {
    /// The length of the driver's buffer.
    pub const BUFFER_BYTES: usize = MAX_MESSAGE_BYTES + 256;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertions leave it below 256"
    )]
    const KEYS: u32 = {
        assert!(
            PENDING >= 1 && PENDING <= 255,
            "an issuer holds 1 to 255 commands"
        );
        PENDING as u32 + 1
    };

    /// An issuer on a link with one device, with its records from `first_record` on.
    #[must_use]
    pub const fn new(issuer: IssuerId, first_record: RecordKey) -> Self {
        Self {
            issuer,
            peer: None,
            first_record,
            epoch: 0,
            next_sequence: 1,
            slots: [const { None }; PENDING],
            doing: None,
            persist_after: None,
            stale: false,
            restored: false,
            damaged: false,
            unreadable: [false; PENDING],
        }
    }

    /// Names the device, on a link that reaches many.
    #[must_use]
    pub const fn to(mut self, tenant: TenantId, device: DeviceId) -> Self {
        self.peer = Some((tenant, device));
        self
    }

    /// Takes a command; it is sent as soon as it is on record.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was changed.
    pub fn issue(&mut self, now: Now, command: C, terms: Terms) -> Result<CommandId, IssueError> {
        if self.damaged {
            return Err(IssueError::Damaged);
        }
        if !self.restored {
            return Err(IssueError::NotRestored);
        }
        if self.epoch == 0 {
            self.epoch = first_epoch(now);
        }
        let id = CommandId::new(self.issuer, self.epoch, self.next_sequence);
        let slot = Slot::new(id, command, terms);
        let mut room = [0; MAX_COMMAND_BYTES];
        let mut out = Writer::new(&mut room);
        out.value(&slot.command);
        out.finish().ok_or(IssueError::TooLong)?;
        // A device keeps the results from the oldest unsettled sequence on: it must have room for them all.
        let full = IssueError::Full { limit: PENDING };
        let span = self.next_sequence.saturating_sub(self.settled_below());
        let next = self.next_sequence.checked_add(1);
        let next = next.ok_or(IssueError::Exhausted)?;
        if span >= Self::KEYS - 1 {
            return Err(full);
        }
        let free = self.slots.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(full)? = Some(slot);
        self.next_sequence = next;
        Ok(id)
    }

    /// Asks the device to give a command up, for as long again as its patience; the wish is put on record
    /// before it is sent.
    ///
    /// It ends as [`Outcome::Cancelled`] when it was not started, even if this overtakes it. Otherwise the
    /// device says [`Answer::TooLate`], its handler can see the wish, and the command ends as it ends.
    ///
    /// # Errors
    ///
    /// [`NotUnderWay`]; nothing was changed.
    pub fn cancel(&mut self, id: CommandId) -> Result<(), NotUnderWay> {
        let mut slots = self.slots.iter_mut().flatten();
        let slot = slots.find(|slot| slot.id == id && slot.is_under_way());
        let slot = slot.ok_or(NotUnderWay)?;
        if !slot.cancels {
            (slot.cancels, slot.phase) = (true, Phase::Fresh);
        }
        Ok(())
    }

    /// What the device said last about a command that is under way, such as how far it has come.
    #[must_use]
    pub fn heard(&self, id: CommandId) -> Option<Answer> {
        let mut slots = self.slots.iter().flatten();
        slots
            .find(|slot| slot.id == id && slot.is_under_way())?
            .heard
    }

    /// Starts a new life, for an issuer whose records were restored from a backup or are damaged: devices
    /// will never take a command of the new epoch for one of an older. What was under way ends as
    /// [`Unanswered`]; records that could not be read are removed before anything is sent. A restart before
    /// that finds the issuer damaged again.
    ///
    /// The epoch is named after the wall clock where that is ahead, so that even an issuer that lost all its
    /// records does not return to an epoch it used. Without records and without a clock it would: devices then take
    /// its first commands for old ones.
    pub fn open_epoch(&mut self, now: Now) {
        self.epoch = first_epoch(now).max(self.epoch.saturating_add(1));
        self.next_sequence = 1;
        self.stale = true;
        self.damaged = false;
        for slot in self.slots.iter_mut().flatten() {
            if slot.is_under_way() {
                slot.phase = Phase::Concluded(Err(Unanswered));
            }
        }
    }

    /// The next command that has ended; as long as one waits here the engine's deadline is due at once, so
    /// ask after every turn of the driver, until it returns `None`.
    ///
    /// Told at least once: after a restart between this call and the next turn it is told again, then
    /// perhaps as [`Outcome::Forgotten`]. So put on record what must not be lost before the next turn. A loop that
    /// turns without asking here never comes to rest.
    pub fn concluded(&mut self) -> Option<Conclusion> {
        self.slots.iter_mut().flatten().find_map(|slot| {
            let Phase::Concluded(outcome) = slot.phase else {
                return None;
            };
            slot.phase = Phase::Told;
            Some(Conclusion {
                id: slot.id,
                outcome,
            })
        })
    }

    /// What a command was, from its issue until the turn after it was told as [`concluded`](Self::concluded); after
    /// a restart too.
    #[must_use]
    pub fn command(&self, id: CommandId) -> Option<&C> {
        let mut commands = self.commands();
        commands.find_map(|(found, command)| (found == id).then_some(command))
    }

    /// Every command that is on record or about to be, in no particular order.
    pub fn commands(&self) -> impl Iterator<Item = (CommandId, &C)> {
        let slots = self.slots.iter().flatten();
        slots.map(|slot| (slot.id, &slot.command))
    }

    /// How many commands are under way.
    #[must_use]
    pub fn under_way(&self) -> usize {
        let slots = self.slots.iter().flatten();
        slots.filter(|slot| slot.is_under_way()).count()
    }

    /// Below this nothing will ever be sent again. A command counts until its record is gone: otherwise a
    /// restart could bring it back after the device was told that it is settled.
    fn settled_below(&self) -> u32 {
        let slots = self.slots.iter().flatten();
        let kept = slots.filter(|slot| slot.id.epoch == self.epoch);
        kept.map(|slot| slot.id.sequence)
            .min()
            .unwrap_or(self.next_sequence)
    }

    fn range(&self) -> RecordRange {
        RecordRange::new(self.first_record, Self::KEYS)
    }

    fn is_ours(&self, peer: Option<Peer<'_>>) -> bool {
        match (&self.peer, peer) {
            (Some((tenant, device)), Some(peer)) => peer == Peer::new(tenant, device),
            (None, None) => true,
            _ => false,
        }
    }
}

/// However wrong the clock was once, a million epochs are left.
fn first_epoch(now: Now) -> u32 {
    const LAST: u32 = u32::MAX - 1_000_000;
    let seconds = u32::try_from(now.wall.not_before().as_secs());
    seconds.unwrap_or(LAST).clamp(1, LAST)
}
