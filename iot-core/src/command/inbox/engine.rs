use core::time::Duration;

use super::ledger::Phase;
use super::{Inbox, Response};
use crate::command::class::Command;
use crate::command::envelope::Answer;
use crate::command::journal::{Entry, Header};
use crate::engine::{
    Batch, BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step,
};
use crate::id::CommandId;
use crate::message::{Channel, Message, Priority};
use crate::time::{Instant, Now};

/// How long it waits when the storage is full or the link is busy.
const PAUSE: Duration = Duration::from_millis(500);

/// The step that the driver is at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    /// Writing a ledger's header, and the entry of one slot.
    Record { place: usize, at: Option<usize> },
    /// Answering from a slot.
    Owed { place: usize, at: usize },
    /// Answering without a record.
    Reply { at: usize },
}

impl<
    C: Command,
    const ISSUERS: usize,
    const WINDOW: usize,
    const RESULTS: usize,
    const EFFECT_BYTES: usize,
> Engine for Inbox<C, ISSUERS, WINDOW, RESULTS, EFFECT_BYTES>
{
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Command
    }

    fn records(&self) -> RecordRange {
        self.range()
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) if message.channel == Channel::Command => {
                self.receive(now, message.payload);
            }
            Event::Record { key, value } => {
                self.damaged |= !self.restored && self.restore(*key, value).is_none();
            }
            Event::Restored => self.restored = true,
            Event::Connected { .. } => self.send_after = None,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if !self.restored {
            return Step::Idle;
        }
        if self.doing.is_none() {
            for ledger in &mut self.ledgers {
                ledger.expire(now);
            }
            self.doing = self.choose(now);
        }
        match self.doing {
            Some(Doing::Record { place, at }) => match self.batch(place, at, buffer) {
                Some(batch) => Step::Persist(batch),
                None => self.cannot(now),
            },
            Some(Doing::Owed { .. } | Doing::Reply { .. }) => match self.message(buffer) {
                Some(message) => Step::Send(message),
                None => self.cannot(now),
            },
            None => Step::Idle,
        }
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let Some(doing) = self.doing.take() else {
            return;
        };
        match (doing, done) {
            (Doing::Record { place, at }, Done::Persisted) => self.recorded(place, at),
            (Doing::Record { place, at }, _) => self.not_recorded(now, place, at),
            (_, Done::Failed(Failure::Busy)) => self.send_after = Some(now.instant + PAUSE),
            (doing, _) => self.answered(doing),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if self.oldest_ready().is_some() {
            return Some(Instant::ZERO);
        }
        [self.persist_after, self.send_after]
            .into_iter()
            .flatten()
            .min()
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
    fn choose(&mut self, now: Now) -> Option<Doing> {
        let due = |after: &mut Option<Instant>| {
            *after = after.filter(|&after| now.instant < after);
            after.is_none()
        };
        let (may_record, may_send) = (due(&mut self.persist_after), due(&mut self.send_after));
        let ledgers = || self.ledgers.iter().enumerate();
        let record = ledgers().find_map(|(place, ledger)| {
            ledger.issuer?;
            let waits = |phase: &Phase<C>| matches!(phase, Phase::Starting(_) | Phase::Ending(_));
            let mut slots = ledger.slots.iter();
            let at = slots.position(|slot| slot.as_ref().is_some_and(|slot| waits(&slot.phase)));
            (at.is_some() || ledger.stale).then_some(Doing::Record { place, at })
        });
        if may_record && record.is_some() {
            return record;
        }
        if !may_send {
            return None;
        }
        let owed = ledgers().find_map(|(place, ledger)| {
            let mut slots = ledger.slots.iter();
            let at = slots.position(|slot| slot.as_ref().is_some_and(|slot| slot.owed))?;
            Some(Doing::Owed { place, at })
        });
        // An answer without a record may rest on a floor that is not on record yet.
        let unwritten = ledgers().any(|(_, ledger)| ledger.issuer.is_some() && ledger.stale);
        let reply = self.replies.iter().position(|reply| reply.is_some());
        owed.or(reply.filter(|_| !unwritten).map(|at| Doing::Reply { at }))
    }

    fn batch<'b>(
        &mut self,
        place: usize,
        at: Option<usize>,
        buffer: &'b mut [u8],
    ) -> Option<Batch<'b>> {
        let (header, entry) = self.ledgers.get(place)?.records(at)?;
        self.written = (header.epoch, header.window);
        let mut writer = BatchWriter::new(buffer);
        writer
            .put_with(self.key(place, None)?, |room| {
                header.encode(Self::SHAPE, room)
            })
            .ok()?;
        if let Some(entry) = entry {
            writer
                .put_with(self.key(place, at)?, |room| entry.encode(room))
                .ok()?;
            if let Some(effect) = self.effect.as_ref().filter(|effect| effect.id == entry.id) {
                let value = effect.bytes.get(..effect.len)?;
                writer.put(effect.key, value).ok()?;
            }
        }
        Some(writer.finish())
    }

    fn message<'b>(&self, buffer: &'b mut [u8]) -> Option<Message<'b>> {
        let response = match self.doing? {
            Doing::Owed { place, at } => {
                let (ledger, id) = self.slot_id(place, at)?;
                match ledger {
                    Phase::Ended(outcome) => Response::new(id, Answer::Ended(*outcome)),
                    _ => return None,
                }
            }
            Doing::Reply { at } => (*self.replies.get(at)?)?,
            Doing::Record { .. } => return None,
        };
        let len = response.encode(buffer)?;
        let payload = buffer.get(..len)?;
        Some(Message::new(Channel::Command, payload).with_priority(Priority::Critical))
    }

    fn slot_id(&self, place: usize, at: usize) -> Option<(&Phase<C>, CommandId)> {
        let ledger = self.ledgers.get(place)?;
        let slot = ledger.slots.get(at)?.as_ref()?;
        let id = CommandId::new(ledger.issuer?, ledger.epoch, slot.sequence);
        Some((&slot.phase, id))
    }

    /// The step does not fit the driver's buffer: the same as if the driver had failed at it.
    fn cannot<'b>(&mut self, now: Now) -> Step<'b> {
        self.done(now, Done::Failed(Failure::Buffer));
        self.persist_after = Some(now.instant + PAUSE);
        Step::Idle
    }

    fn recorded(&mut self, place: usize, at: Option<usize>) {
        let id = at.and_then(|at| Some(self.slot_id(place, at)?.1));
        if self
            .effect
            .as_ref()
            .is_some_and(|effect| Some(effect.id) == id)
        {
            self.effect = None;
        }
        if let Some(ledger) = self.ledgers.get_mut(place) {
            let (epoch, window) = &self.written;
            ledger.recorded(at, *epoch, window);
        }
    }

    fn not_recorded(&mut self, now: Now, place: usize, at: Option<usize>) {
        let starting = at.and_then(|at| match self.slot_id(place, at)? {
            (Phase::Starting(_), id) => Some((at, id)),
            _ => None,
        });
        // What has not begun is given back to its issuer; what has ended is kept and written later.
        match starting {
            Some((at, id)) => {
                if let Some(slot) =
                    (self.ledgers.get_mut(place)).and_then(|ledger| ledger.slots.get_mut(at))
                {
                    *slot = None;
                }
                self.reply(id, Answer::Busy);
            }
            None => self.persist_after = Some(now.instant + PAUSE),
        }
    }

    fn answered(&mut self, doing: Doing) {
        match doing {
            Doing::Owed { place, at } => {
                let ledger = self.ledgers.get_mut(place);
                if let Some(slot) = ledger.and_then(|ledger| ledger.slots.get_mut(at)?.as_mut()) {
                    slot.owed = false;
                }
            }
            Doing::Reply { at } => {
                if let Some(reply) = self.replies.get_mut(at) {
                    *reply = None;
                }
            }
            Doing::Record { .. } => {}
        }
    }

    /// Takes in one record; `None` when it cannot be trusted.
    fn restore(&mut self, key: RecordKey, value: &[u8]) -> Option<()> {
        let first = self.range().first()?;
        let offset = key.get().checked_sub(first.get())?;
        let place = usize::try_from(offset / Self::KEYS_PER_ISSUER).ok()?;
        let ledger = self.ledgers.get_mut(place)?;
        match usize::try_from(offset % Self::KEYS_PER_ISSUER)
            .ok()?
            .checked_sub(1)
        {
            None => {
                let (header, written) = Header::decode(value)?;
                if !Self::SHAPE.reads(written) {
                    return None;
                }
                ledger.restore(header);
                // Before the new room is used, the record must tell an older firmware of it.
                ledger.stale = written != Self::SHAPE;
            }
            Some(at) => ledger.restore_entry(at, Entry::decode(value)?)?,
        }
        Some(())
    }
}
