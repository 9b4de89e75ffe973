mod desk;
mod engine;
mod journal;
mod ledger;
mod rules;
mod slot;

use self::desk::Desk;
use self::journal::Shape;
use self::ledger::Ledger;
use self::slot::{Phase, Slot};
use super::class::Command;
use super::envelope::MAX_MESSAGE_BYTES;
use super::outcome::Outcome;
use crate::engine::{BatchWriter, RecordKey, RecordRange};
use crate::id::{CommandId, IssuerId};

/// The device's side: takes commands in, hands each out as often as its class allows, and answers.
///
/// `ISSUERS` is how many issuers are known, `WINDOW` (4 to 256) how far the sequences of one issuer may lie
/// apart, `RESULTS` how many commands of one issuer are kept, waiting, running or ended, and `EFFECT_BYTES`
/// how long a record of a transactional effect may be. Nobody may issue anything until
/// [`allow`](Self::allow)ed.
///
/// Of each [lane](super::Command::lane) one command is handed out at a time, in the order in which they came.
/// One that is kept from starting by its lane or by its time, and that nobody would send again at the right
/// moment, is put on record first.
///
/// The sizes are on record. A firmware with more `ISSUERS` or a wider `WINDOW` goes on where the old one
/// stopped; one with other `RESULTS`, fewer `ISSUERS` or a narrower `WINDOW` would not see all that was
/// executed, so it finds the inbox [damaged](Self::is_damaged) and runs nothing. The first record is not
/// checked: an inbox that looks elsewhere knows nothing.
///
/// After every turn of the driver call [`next`](Self::next) until it returns `None`; as long as a command
/// waits there the engine's deadline is due at once. The driver's buffer must have
/// [`BUFFER_BYTES`](Self::BUFFER_BYTES) plus the longest encoded command.
///
/// ```
/// use iot_core::IssuerId;
/// use iot_core::command::{Inbox, Outcome};
///
/// iot_core::commands! { enum Job { #[idempotent] SetValve { open: bool }, #[opaque] Unlock } }
///
/// let mut jobs = Inbox::<Job, 2, 64, 8>::new();
/// jobs.allow(IssuerId::new(1))?;
/// // … after a turn of the node that drives it:
/// while let Some(job) = jobs.next() {
///     let outcome = match job.command {
///         Job::SetValve { open } => Outcome::done_with(&[u8::from(open)]).unwrap_or(Outcome::DONE),
///         Job::Unlock => Outcome::DONE,
///     };
///     jobs.finish(job.id, outcome).unwrap();
/// }
/// # Ok::<(), iot_core::command::AllowError>(())
/// ```
// In this order, because the first fields of a structure have the shortest addresses on a chip.
// A copy would run commands twice; an explorer of power cuts needs them.
#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
#[repr(C)]
pub struct Inbox<
    C,
    const ISSUERS: usize,
    const WINDOW: usize,
    const RESULTS: usize,
    const EFFECT_BYTES: usize = 0,
> {
    slots: [[Slot; RESULTS]; ISSUERS],
    ledgers: [Ledger<WINDOW>; ISSUERS],
    desk: Desk,
    /// What the slots' commands are, until they are handed out.
    commands: [[Option<C>; RESULTS]; ISSUERS],
    grants: [Option<Grant<C>>; ISSUERS],
    first_record: RecordKey,
    effect: Option<Effect<EFFECT_BYTES>>,
}

#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
struct Grant<C> {
    issuer: IssuerId,
    allows: fn(&C) -> bool,
}

#[cfg_attr(feature = "sim", derive(Clone))]
#[derive(Debug)]
struct Effect<const BYTES: usize> {
    id: CommandId,
    key: RecordKey,
    bytes: [u8; BYTES],
    len: usize,
    /// How often it was offered to the storage.
    offers: u8,
}

/// A command to be carried out.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Pending<C> {
    /// Its identity, for [`Inbox::finish`].
    pub id: CommandId,
    /// What to do.
    pub command: C,
    /// The power was cut after it had been started (only [`Class::Probed`](super::Class::Probed)): find out
    /// whether the effect took place before doing anything.
    pub resumed: bool,
}

/// No room for another issuer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the inbox knows {limit} issuers already: raise its ISSUERS")]
#[non_exhaustive]
pub struct AllowError {
    /// How many it can know.
    pub limit: usize,
}

/// Why a command could not be finished.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FinishError {
    /// No command of this identity was handed out, or it was finished before. Nothing was changed.
    #[error("no command of this identity is running")]
    NotRunning,
    /// The effect of another command that was handed out before waits to be committed. Nothing was changed: keep
    /// this one, and finish it after the next turn.
    #[error("another effect waits to be committed: finish this one after the next turn")]
    Busy,
    /// The record is longer than the inbox's `EFFECT_BYTES`. Nothing was changed.
    #[error("the effect's record has {bytes} bytes, {limit} fit: raise EFFECT_BYTES")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        limit: usize,
    },
}

impl<C: Command, const ISSUERS: usize, const WINDOW: usize, const RESULTS: usize>
    Inbox<C, ISSUERS, WINDOW, RESULTS>
{
    /// Where an inbox keeps its records unless told otherwise: from 0x0200 on.
    pub const FIRST_RECORD: RecordKey = RecordKey::new(0x0200);

    /// An inbox that knows nobody, with its records at [`FIRST_RECORD`](Self::FIRST_RECORD).
    #[must_use]
    pub const fn new() -> Self {
        Self::with_effects(Self::FIRST_RECORD)
    }
}

impl<C: Command, const ISSUERS: usize, const WINDOW: usize, const RESULTS: usize> Default
    for Inbox<C, ISSUERS, WINDOW, RESULTS>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<
    C: Command,
    const ISSUERS: usize,
    const WINDOW: usize,
    const RESULTS: usize,
    const EFFECT_BYTES: usize,
> Inbox<C, ISSUERS, WINDOW, RESULTS, EFFECT_BYTES>
{
    /// How many records it keeps, from its first key on; each as long as [`BUFFER_BYTES`](Self::BUFFER_BYTES) and a
    /// command, without the effect, at most.
    pub const RECORDS: u32 = Self::SHAPE.issuers as u32 * Self::SHAPE.results as u32;

    /// The length of the driver's buffer, not counting an encoded command.
    pub const BUFFER_BYTES: usize = 192 + EFFECT_BYTES;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertions leave them far below"
    )]
    const SHAPE: Shape = {
        assert!(
            RESULTS >= 1 && RESULTS <= 255,
            "an issuer has 1 to 255 results"
        );
        assert!(
            ISSUERS >= 1 && ISSUERS <= 255,
            "an inbox knows 1 to 255 issuers"
        );
        Shape {
            issuers: ISSUERS as u8,
            results: RESULTS as u8,
            window: WINDOW as u16,
        }
    };

    /// An inbox that knows nobody, keeps its records from `first_record` on and commits effects of up to
    /// `EFFECT_BYTES` with their results.
    #[must_use]
    pub const fn with_effects(first_record: RecordKey) -> Self {
        Self {
            first_record,
            grants: [const { None }; ISSUERS],
            effect: None,
            desk: const { Desk::new() },
            ledgers: const { [Ledger::FREE; ISSUERS] },
            slots: const { [[Slot::FREE; RESULTS]; ISSUERS] },
            commands: [const { [const { None }; RESULTS] }; ISSUERS],
        }
    }

    /// Lets `issuer` issue every command.
    ///
    /// # Errors
    ///
    /// [`AllowError`] when `ISSUERS` are known already; nothing was changed.
    pub fn allow(&mut self, issuer: IssuerId) -> Result<(), AllowError> {
        self.allow_if(issuer, |_| true)
    }

    /// Lets `issuer` issue the commands for which `allows` is true; said again it replaces what was said.
    ///
    /// It is asked when a command arrives, and again before it starts. A command that is not allowed is rejected
    /// for good, and stays so when more is allowed later. Of an issuer nothing was said about, nothing is kept: it
    /// is told `UnknownIssuer`, goes on asking, and is heard once it is allowed; what was accepted of it before a
    /// restart is rejected when its turn comes. So allow whom you know before the inbox is restored, and allow an
    /// issuer `|_| false` to turn it away for good.
    ///
    /// # Errors
    ///
    /// [`AllowError`] when `ISSUERS` are known already; nothing was changed.
    pub fn allow_if(&mut self, issuer: IssuerId, allows: fn(&C) -> bool) -> Result<(), AllowError> {
        let known = |grant: &&mut Option<Grant<C>>| {
            grant.as_ref().is_some_and(|grant| grant.issuer == issuer)
        };
        let place = match self.grants.iter_mut().find(known) {
            Some(place) => place,
            None => (self.grants.iter_mut().find(|grant| grant.is_none()))
                .ok_or(AllowError { limit: ISSUERS })?,
        };
        *place = Some(Grant { issuer, allows });
        Ok(())
    }

    /// Forgets what was said about `issuer`: it is told `UnknownIssuer` from now on, and its place is free for another.
    /// What it sent before and was not started yet is rejected when its turn comes.
    pub fn disallow(&mut self, issuer: IssuerId) {
        for grant in &mut self.grants {
            *grant = grant.take().filter(|grant| grant.issuer != issuer);
        }
    }

    /// Runs commands that expire, or must not start yet, even while the device cannot prove what time it is.
    ///
    /// Without this they are answered `ClockUnknown` until it can.
    pub const fn danger_run_when_time_is_unknown(&mut self) {
        self.desk.danger_unproved_time = true;
    }

    /// Whether a record could not be read, or was written by an inbox whose sizes hide something from this
    /// one. Every command is then answered `Busy`, because what was executed before is no longer known.
    /// Erasing the inbox's records starts afresh, and gives that knowledge up.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.desk.damaged
    }

    /// The next command to carry out; whatever its class wants on record is on record. `None` also while an
    /// effect waits to be committed, so that the next transactional command finds room for its own.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would keep the inbox borrowed, and so could not be finished in its loop"
    )]
    pub fn next(&mut self) -> Option<Pending<C>> {
        if EFFECT_BYTES > 0 && self.effect.is_some() {
            return None;
        }
        let started = |slot: &Slot| slot.phase == Phase::Started;
        let at = slot::oldest(self.slots.as_flattened(), started)?;
        let slot = self.slots.as_flattened_mut().get_mut(at)?;
        let command = self.commands.as_flattened_mut().get_mut(at)?.take()?;
        slot.phase = Phase::Running;
        Some(Pending {
            id: slot.head.id,
            command,
            resumed: slot.resumed,
        })
    }

    /// States how a command ended; the answer goes out when that is on record.
    ///
    /// # Errors
    ///
    /// [`FinishError::NotRunning`].
    pub fn finish(&mut self, id: CommandId, outcome: Outcome) -> Result<(), FinishError> {
        self.running(id)?.finish(&outcome);
        Ok(())
    }

    /// Tells the issuer how far a command has come; `number` is on a scale of the device's own, above 0.
    ///
    /// It is sent once and is not on record: a lost one is not repeated, and after a power cut it begins
    /// anew. Not told while the issuer waits to hear that it [cancelled](Self::is_cancelled) too late.
    ///
    /// # Errors
    ///
    /// [`FinishError::NotRunning`].
    pub fn progress(&mut self, id: CommandId, number: u32) -> Result<(), FinishError> {
        let slot = self.running(id)?;
        (slot.number, slot.owed) = (number, true);
        Ok(())
    }

    /// Whether the issuer wants a command back that was handed out.
    ///
    /// It may be finished early then, with whatever is true: [`Outcome::Cancelled`] only when nothing was
    /// done. A command that was not handed out yet is never handed out any more.
    #[must_use]
    pub fn is_cancelled(&self, id: CommandId) -> bool {
        let mut slots = self.slots.as_flattened().iter();
        slots.any(|slot| slot.cancelled && slot.phase == Phase::Running && slot.head.id == id)
    }

    /// Like [`finish`](Self::finish), with an effect: `value` is written under `key` in the batch that
    /// records the outcome, so that both survive a power cut or neither does. An effect for which the storage has
    /// no room is given up: the command ends as [`Outcome::NO_ROOM`], and nothing of it was written. One that a driver
    /// was dropped with may be on record, so it is not given up: it waits for room, and nothing is handed out before.
    ///
    /// # Errors
    ///
    /// [`FinishError`]; nothing was changed.
    pub fn finish_with(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        key: RecordKey,
        value: &[u8],
    ) -> Result<(), FinishError> {
        if self.effect.is_some() {
            return Err(FinishError::Busy);
        }
        let slot = self.running(id)?;
        let mut bytes = [0; EFFECT_BYTES];
        let room = bytes.get_mut(..value.len()).ok_or(FinishError::TooLong {
            bytes: value.len(),
            limit: EFFECT_BYTES,
        })?;
        room.copy_from_slice(value);
        slot.finish(&outcome);
        self.effect = Some(Effect {
            id,
            key,
            bytes,
            len: value.len(),
            offers: 0,
        });
        Ok(())
    }

    /// The command of this identity, if it was handed out and has not ended.
    fn running(&mut self, id: CommandId) -> Result<&mut Slot, FinishError> {
        let mut slots = self.slots.as_flattened_mut().iter_mut();
        let slot = slots.find(|slot| slot.phase == Phase::Running && slot.head.id == id);
        slot.ok_or(FinishError::NotRunning)
    }

    const fn range(&self) -> RecordRange {
        RecordRange::new(self.first_record, Self::RECORDS)
    }
}

const _: () = assert!(MAX_MESSAGE_BYTES <= BatchWriter::MAX_VALUE_BYTES);
