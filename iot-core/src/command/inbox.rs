mod engine;
mod ledger;

use self::engine::Doing;
use self::ledger::{Ledger, Phase};
use super::class::Command;
use super::envelope::{Answer, MAX_MESSAGE_BYTES, Request, Response};
use super::journal::Shape;
use super::outcome::{Outcome, Reason};
use super::window::Window;
use crate::engine::{BatchWriter, RecordKey, RecordRange};
use crate::id::{CommandId, IssuerId};
use crate::time::{Instant, Now, Proof};

/// How many answers without a record may wait; more are dropped, and their issuers ask again.
const REPLIES: usize = 4;

/// The device's side: takes commands in, hands each out as often as its class allows, and answers.
///
/// `ISSUERS` is how many issuers are known, `WINDOW` (8 to 256) how far the sequences of one issuer may lie
/// apart, `RESULTS` how many commands of one issuer are kept, running or ended, and `EFFECT_BYTES` how long
/// a record of a transactional effect may be. Nobody may issue anything until [`allow`](Self::allow)ed.
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
#[derive(Debug)]
pub struct Inbox<
    C,
    const ISSUERS: usize,
    const WINDOW: usize,
    const RESULTS: usize,
    const EFFECT_BYTES: usize = 0,
> {
    first_record: RecordKey,
    grants: [Option<Grant<C>>; ISSUERS],
    ledgers: [Ledger<C, WINDOW, RESULTS>; ISSUERS],
    replies: [Option<Response>; REPLIES],
    effect: Option<Effect<EFFECT_BYTES>>,
    doing: Option<Doing>,
    written: (u32, Window<WINDOW>),
    persist_after: Option<Instant>,
    send_after: Option<Instant>,
    arrivals: u32,
    restored: bool,
    damaged: bool,
    danger_unproved_expiry: bool,
}

#[derive(Debug)]
struct Grant<C> {
    issuer: IssuerId,
    allows: fn(&C) -> bool,
}

#[derive(Debug)]
struct Effect<const BYTES: usize> {
    id: CommandId,
    key: RecordKey,
    bytes: [u8; BYTES],
    len: usize,
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
    /// The effect of another command waits to be committed. Nothing was changed.
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
    /// Where an inbox keeps its records unless told otherwise.
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
    /// The length of the driver's buffer, not counting an encoded command.
    pub const BUFFER_BYTES: usize = 192 + EFFECT_BYTES;

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertions leave it below 256"
    )]
    const KEYS_PER_ISSUER: u32 = {
        assert!(
            RESULTS >= 1 && RESULTS <= 255,
            "an issuer has 1 to 255 results"
        );
        assert!(
            ISSUERS >= 1 && ISSUERS <= 255,
            "an inbox knows 1 to 255 issuers"
        );
        RESULTS as u32 + 1
    };

    #[allow(
        clippy::cast_possible_truncation,
        reason = "ISSUERS and RESULTS were asserted to be below 256, and a window is at most 256 wide"
    )]
    const SHAPE: Shape = {
        let _ = Self::KEYS_PER_ISSUER;
        Shape {
            issuers: ISSUERS as u8,
            window: WINDOW as u16,
            results: RESULTS as u8,
        }
    };

    /// An inbox that knows nobody, keeps its records from `first_record` on and commits effects of up to
    /// `EFFECT_BYTES` with their results.
    #[must_use]
    pub const fn with_effects(first_record: RecordKey) -> Self {
        Self {
            first_record,
            grants: [const { None }; ISSUERS],
            ledgers: [const { Ledger::new() }; ISSUERS],
            replies: [None; REPLIES],
            effect: None,
            doing: None,
            written: (0, Window::new(0)),
            persist_after: None,
            send_after: None,
            arrivals: 0,
            restored: false,
            damaged: false,
            danger_unproved_expiry: false,
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
    /// A command that is not allowed is rejected for good, and stays so when more is allowed later. Of an
    /// issuer nothing was said about, nothing is kept: it is told `UnknownIssuer`, goes on asking, and is
    /// heard once it is allowed. So allow whom you know before the inbox is restored, and allow an issuer
    /// `|_| false` to turn it away for good.
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

    /// Runs commands that expire even while the device cannot prove what time it is.
    ///
    /// Without this they are answered `ClockUnknown` until it can.
    pub const fn danger_run_when_time_is_unknown(&mut self) {
        self.danger_unproved_expiry = true;
    }

    /// Whether a record could not be read, or was written by an inbox whose sizes hide something from this
    /// one. Every command is then answered `Busy`, because what was executed before is no longer known.
    /// Erasing the inbox's records starts afresh, and gives that knowledge up.
    #[must_use]
    pub const fn is_damaged(&self) -> bool {
        self.damaged
    }

    /// The next command to carry out; whatever its class wants on record is on record.
    #[allow(
        clippy::should_implement_trait,
        reason = "an iterator would keep the inbox borrowed, and so could not be finished in its loop"
    )]
    pub fn next(&mut self) -> Option<Pending<C>> {
        let (place, at) = self.oldest_ready()?;
        let ledger = self.ledgers.get_mut(place)?;
        let slot = ledger.slots.get_mut(at)?.as_mut()?;
        let Phase::Ready { command, resumed } = core::mem::replace(&mut slot.phase, Phase::Running)
        else {
            return None;
        };
        let id = CommandId::new(ledger.issuer?, ledger.epoch, slot.sequence);
        Some(Pending {
            id,
            command,
            resumed,
        })
    }

    /// States how a command ended; the answer goes out when that is on record.
    ///
    /// # Errors
    ///
    /// [`FinishError::NotRunning`].
    pub fn finish(&mut self, id: CommandId, outcome: Outcome) -> Result<(), FinishError> {
        *self.running(id)? = Phase::Ending(outcome);
        Ok(())
    }

    /// Like [`finish`](Self::finish), with an effect: `value` is written under `key` in the batch that
    /// records the outcome, so that both survive a power cut or neither does.
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
        let phase = self.running(id)?;
        let mut bytes = [0; EFFECT_BYTES];
        let room = bytes.get_mut(..value.len()).ok_or(FinishError::TooLong {
            bytes: value.len(),
            limit: EFFECT_BYTES,
        })?;
        room.copy_from_slice(value);
        *phase = Phase::Ending(outcome);
        self.effect = Some(Effect {
            id,
            key,
            bytes,
            len: value.len(),
        });
        Ok(())
    }

    fn running(&mut self, id: CommandId) -> Result<&mut Phase<C>, FinishError> {
        let ledgers = self.ledgers.iter_mut();
        ledgers
            .filter(|ledger| ledger.issuer == Some(id.issuer) && ledger.epoch == id.epoch)
            .flat_map(|ledger| ledger.slots.iter_mut().flatten())
            .find(|slot| slot.sequence == id.sequence && matches!(slot.phase, Phase::Running))
            .map(|slot| &mut slot.phase)
            .ok_or(FinishError::NotRunning)
    }

    fn oldest_ready(&self) -> Option<(usize, usize)> {
        let all = self.ledgers.iter().enumerate().flat_map(|(place, ledger)| {
            let slots = ledger.slots.iter().enumerate();
            slots.filter_map(move |(at, slot)| {
                let slot = slot.as_ref()?;
                // A new epoch must be on record first: after a cut the old one could come back to life.
                let ready = matches!(slot.phase, Phase::Ready { .. }) && !ledger.stale;
                ready.then_some((slot.arrival, place, at))
            })
        });
        all.min().map(|(_, place, at)| (place, at))
    }

    fn reply(&mut self, id: CommandId, answer: Answer) {
        if let Some(place) = self.replies.iter_mut().find(|place| place.is_none()) {
            *place = Some(Response::new(id, answer));
        }
    }

    fn receive(&mut self, now: Now, payload: &[u8]) {
        let Ok(request) = Request::decode(payload) else {
            return;
        };
        // Without its records the inbox cannot tell a repetition: the issuer will ask again.
        if !self.restored {
            return;
        }
        if let Err(answer) = self.admit(now, &request) {
            self.reply(request.id, answer);
        }
    }

    fn admit(&mut self, now: Now, request: &Request<'_>) -> Result<(), Answer> {
        let issuer = request.id.issuer;
        let unauthorised = Outcome::Rejected {
            reason: Reason::Unauthorised,
        };
        let grants = self.grants.iter().flatten();
        let allows = grants
            .filter(|grant| grant.issuer == issuer)
            .map(|grant| grant.allows)
            .next()
            // Not the last word: nothing is kept of an unknown issuer, so a repetition may run once it is known.
            .ok_or(Answer::UnknownIssuer)?;
        if self.damaged {
            return Err(Answer::Busy);
        }
        let ledger = self.ledger(issuer).ok_or(Answer::Busy)?;
        let Some(at) = ledger.place(request)? else {
            return Ok(());
        };
        let verdict = match super::cbor::whole::<C>(request.command) {
            None => Err(Outcome::Rejected {
                reason: Reason::Invalid,
            }),
            Some(command) if !allows(&command) => Err(unauthorised),
            Some(command) => match request.expires.map_or(Proof::No, |at| now.wall.reached(at)) {
                Proof::Yes => Err(Outcome::Expired),
                Proof::Uncertain if !self.danger_unproved_expiry => {
                    return Err(Answer::ClockUnknown);
                }
                _ => Ok(command),
            },
        };
        self.arrivals = self.arrivals.wrapping_add(1);
        let arrival = self.arrivals;
        if let Some(ledger) = self.ledger(issuer) {
            ledger.accept(at, request, verdict, arrival);
        }
        Ok(())
    }

    /// The ledger of a known issuer: its own, a free one, or one whose issuer is no longer known.
    fn ledger(&mut self, issuer: IssuerId) -> Option<&mut Ledger<C, WINDOW, RESULTS>> {
        let own = |ledger: &Ledger<_, WINDOW, RESULTS>| ledger.issuer == Some(issuer);
        let free = |ledger: &Ledger<_, WINDOW, RESULTS>| ledger.issuer.is_none();
        let orphan = |ledger: &Ledger<_, WINDOW, RESULTS>| {
            let mut grants = self.grants.iter().flatten();
            !grants.any(|grant| Some(grant.issuer) == ledger.issuer) && !ledger.is_live()
        };
        let ledgers = &self.ledgers;
        let place = (ledgers.iter().position(own))
            .or_else(|| ledgers.iter().position(free))
            .or_else(|| ledgers.iter().position(orphan))?;
        let ledger = self.ledgers.get_mut(place)?;
        if ledger.issuer != Some(issuer) {
            *ledger = Ledger::new();
            ledger.issuer = Some(issuer);
        }
        Some(ledger)
    }

    fn range(&self) -> RecordRange {
        let issuers = u32::try_from(ISSUERS).unwrap_or(0);
        RecordRange::new(self.first_record, issuers * Self::KEYS_PER_ISSUER)
    }

    fn key(&self, place: usize, at: Option<usize>) -> Option<RecordKey> {
        let place = u32::try_from(place).ok()?;
        let at = at.map_or(Some(0), |at| u32::try_from(at).ok()?.checked_add(1))?;
        self.first_record.offset(place * Self::KEYS_PER_ISSUER + at)
    }
}

const _: () = assert!(MAX_MESSAGE_BYTES <= BatchWriter::MAX_VALUE_BYTES);
