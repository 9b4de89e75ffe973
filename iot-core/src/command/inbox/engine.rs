use super::desk::Doing;
use super::ledger::Ledger;
use super::slot::{Phase, Slot, clear};
use super::{Inbox, journal};
use crate::command::cbor::Writer;
use crate::command::class::{Class, Command};
use crate::command::envelope::write_response;
use crate::command::outcome::{Outcome, Output};
use crate::command::state::{Code, State};
use crate::engine::{
    Batch, BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step,
};
use crate::message::{Channel, Message, Priority};
use crate::time::{Instant, Now};

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

    // Not inlined: a loop that feeds it would keep every address in it at hand, 80 bytes.
    #[inline(never)]
    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) if message.channel == Channel::Command => {
                self.receive(now, message.payload);
            }
            Event::Record { key, value } => {
                self.desk.damaged |= !self.desk.restored && self.restore(*key, value).is_none();
            }
            Event::Restored => {
                self.desk.restored = true;
                if self.desk.damaged {
                    clear(self.slots.as_flattened_mut());
                }
            }
            Event::Connected { .. } => self.desk.no_link = false,
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if !self.desk.restored {
            return Step::Idle;
        }
        if self.desk.doing == Doing::Nothing {
            self.advance(now);
            self.desk.doing = self.choose();
        }
        let step = match self.desk.doing {
            Doing::Nothing => return Step::Idle,
            Doing::Record(at) => self.batch(at, buffer).map(Step::Persist),
            Doing::Answer(_) | Doing::Reply(_) => self.message(buffer).map(Step::Send),
        };
        step.unwrap_or_else(|| {
            // What does not fit the driver's buffer is the same as what the driver failed at.
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let doing = core::mem::replace(&mut self.desk.doing, Doing::Nothing);
        let persisted = matches!(done, Done::Persisted);
        let busy = matches!(done, Done::Failed(Failure::Busy));
        let no_room = matches!(done, Done::Failed(Failure::StorageFull | Failure::Buffer));
        match doing {
            Doing::Nothing => {}
            Doing::Record(at) if persisted => drop(self.recorded(at)),
            Doing::Record(at) => self.not_recorded(at, now, no_room),
            _ if busy => {
                self.desk.no_link = true;
                self.desk.pause(now);
            }
            Doing::Answer(at) => {
                if let Some(slot) = self.slots.as_flattened_mut().get_mut(at) {
                    slot.owed = false;
                }
            }
            Doing::Reply(at) => {
                if let Some(reply) = self.desk.replies.get_mut(at) {
                    reply.1 = None;
                }
            }
        }
    }

    #[inline(never)]
    fn deadline(&self) -> Option<Instant> {
        let mut slots = self.slots.as_flattened().iter();
        if (EFFECT_BYTES == 0 || self.effect.is_none())
            && slots.any(|slot| slot.phase == Phase::Started)
        {
            return Some(Instant::ZERO);
        }
        self.desk.wake
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
    fn batch<'b>(&mut self, at: usize, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let slot = self.slots.as_flattened().get(at)?;
        let ledger = self.ledgers.get(at / RESULTS)?;
        let command = self.commands.as_flattened().get(at)?;
        let key = self.first_record.offset(u32::try_from(at).ok()?)?;
        // A copy: before it is on record, no other record may say that it has ended.
        let mut window = ledger.window;
        if slot.phase == Phase::Ending {
            window.end(slot.head.id.sequence);
        }
        self.desk.writing = ledger.window.floor();
        let mut writer = BatchWriter::new(buffer);
        let write = |room: &mut [u8]| {
            let mut out = Writer::new(room);
            journal::write(&mut out, Self::SHAPE, self.desk.serial, slot, &window);
            match command {
                Some(command) => out.value(command),
                None => out.null(),
            }
            out.finish()
        };
        writer.put_with(key, write).ok()?;
        if EFFECT_BYTES > 0
            && let Some(effect) = self
                .effect
                .as_mut()
                .filter(|effect| effect.id == slot.head.id)
        {
            effect.offers = effect.offers.saturating_add(1);
            let value = effect.bytes.get(..effect.len)?;
            writer.put(effect.key, value).ok()?;
        }
        Some(writer.finish())
    }

    fn message<'b>(&self, buffer: &'b mut [u8]) -> Option<Message<'b>> {
        let (id, state) = match self.desk.doing {
            Doing::Answer(at) => {
                let slot = self.slots.as_flattened().get(at)?;
                (&slot.head.id, slot.answer())
            }
            Doing::Reply(at) => {
                let (id, code) = self.desk.replies.get(at)?;
                (id, State::of((*code)?))
            }
            _ => return None,
        };
        let len = write_response(id, &state, buffer)?;
        let payload = buffer.get(..len)?;
        Some(Message::new(Channel::Command, payload).with_priority(Priority::Critical))
    }

    fn recorded(&mut self, at: usize) -> Option<()> {
        let slot = self.slots.as_flattened_mut().get_mut(at)?;
        let ledger = self.ledgers.get_mut(at / RESULTS)?;
        ledger.durable = self.desk.writing;
        slot.on_record = true;
        slot.phase = match slot.phase {
            Phase::Accepting => Phase::Waiting,
            Phase::Starting => Phase::Started,
            Phase::Ending => {
                ledger.window.end(slot.head.id.sequence);
                slot.owed = true;
                Phase::Ended
            }
            phase => phase,
        };
        if EFFECT_BYTES > 0 {
            self.effect = self
                .effect
                .take()
                .filter(|effect| effect.id != slot.head.id);
        }
        Some(())
    }

    /// It is tried again later, but an effect without room is given up: everything would wait behind it. Not when
    /// it was offered before and nobody said what became of that: it may be on record.
    fn not_recorded(&mut self, at: usize, now: Now, no_room: bool) {
        if let Some(slot) = self.slots.as_flattened_mut().get_mut(at) {
            if EFFECT_BYTES > 0
                && no_room
                && self
                    .effect
                    .take_if(|effect| effect.id == slot.head.id && effect.offers == 1)
                    .is_some()
            {
                slot.finish(&Outcome::NO_ROOM);
                slot.output = Output::EMPTY;
                return;
            }
            if slot.phase < Phase::Ending {
                slot.phase = Phase::Waiting;
            }
        }
        self.desk.no_storage = true;
        self.desk.pause(now);
    }

    /// Takes in one record; `None` when it cannot be trusted.
    fn restore(&mut self, key: RecordKey, value: &[u8]) -> Option<()> {
        let at = usize::try_from(key.get().checked_sub(self.first_record.get())?).ok()?;
        let place = at / RESULTS;
        let (ledger, slots) = (self.ledgers.get_mut(place)?, self.slots.get_mut(place)?);
        let (mut slot, mut newest) = (Slot::FREE, Ledger::FREE);
        let command = journal::read(value, Self::SHAPE, &mut slot, &mut newest)?;
        let same_life = (ledger.issuer, ledger.epoch) == (newest.issuer, newest.epoch);
        if newest.serial > ledger.serial {
            if !same_life {
                // Older records of another issuer, or of an earlier epoch, mean nothing any more.
                clear(slots);
            }
            *ledger = newest;
        } else if !same_life {
            return Some(());
        }
        self.desk.serial = self.desk.serial.max(slot.arrival);
        self.desk.arrivals = self.desk.serial;
        let mut known = None;
        if slot.phase != Phase::Ended {
            let started = slot.phase == Phase::Started;
            known = Self::decode(command);
            match &known {
                None if started => slot.end(Code::InDoubt),
                None => slot.end(Code::Invalid),
                Some(command) => {
                    slot.declare(command);
                    match slot.class {
                        Class::Opaque if started => slot.end(Code::InDoubt),
                        Class::Probed => slot.resumed = started,
                        _ => slot.phase = Phase::Waiting,
                    }
                }
            }
        }
        *self.commands.as_flattened_mut().get_mut(at)? = known;
        *self.slots.as_flattened_mut().get_mut(at)? = slot;
        Some(())
    }
}
