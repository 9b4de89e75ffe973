use core::time::Duration;

use super::{Issuer, Phase, Slot, Unanswered, record};
use crate::command::cbor::Writer;
use crate::command::class::Command;
use crate::command::envelope::{Answer, MAX_COMMAND_BYTES, MAX_MESSAGE_BYTES, Request, Response};
use crate::engine::{
    Batch, BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step,
};
use crate::message::{Channel, Message, Peer};
use crate::time::{Instant, Now};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long it waits when the storage is full or the link is busy.
const PAUSE: Duration = Duration::from_millis(500);

/// The step that the driver is at: with the header of an epoch, or with the command in one slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doing {
    Header {
        epoch: u32,
    },
    Record(usize),
    Remove(usize),
    /// Removing a record that could not be read.
    Clear(usize),
    /// Sending what was due at a moment.
    Send {
        due: Instant,
    },
}

impl<C: Command, const PENDING: usize> Engine for Issuer<C, PENDING> {
    fn handles(&self, channel: Channel) -> bool {
        channel == Channel::Command
    }

    fn records(&self) -> RecordRange {
        self.range()
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Message(message)
                if message.channel == Channel::Command && self.is_ours(message.peer) =>
            {
                self.answered(message.payload);
            }
            Event::Record { key, value } => {
                self.damaged |= !self.restored && self.restore(now, *key, value).is_none();
            }
            Event::Restored => self.restored = true,
            Event::Connected { .. } => self.ask_all(now.instant),
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if !self.restored || self.damaged {
            return Step::Idle;
        }
        // A message whose step was dropped may have nothing to say any more: then something else may be wanted.
        if let Some(Doing::Send { due }) = self.doing
            && !self.slots.iter().flatten().any(|slot| slot.is_due(due))
        {
            self.doing = None;
        }
        if self.doing.is_none() {
            self.doing = self.choose(now);
        }
        let step = match self.doing {
            None => return Step::Idle,
            Some(Doing::Send { due }) => self.message(due, buffer).map(Step::Send),
            Some(doing) => self.batch(doing, buffer).map(Step::Persist),
        };
        // What does not fit the driver's buffer is the same as what the driver failed at.
        step.unwrap_or_else(|| {
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        match (self.doing.take(), done) {
            (Some(Doing::Header { epoch }), Done::Persisted) => self.stale &= epoch != self.epoch,
            (Some(Doing::Clear(at)), Done::Persisted) => self.is_readable(at),
            (Some(Doing::Record(at)), Done::Persisted) => {
                self.is_readable(at);
                if let Some(slot) = self.slot(at)
                    && slot.phase == Phase::Fresh
                {
                    slot.phase = slot.first_try(now);
                }
            }
            (Some(Doing::Remove(at)), Done::Persisted) => {
                if let Some(slot) = self.slots.get_mut(at) {
                    *slot = None;
                }
            }
            (
                Some(Doing::Header { .. } | Doing::Record(_) | Doing::Remove(_) | Doing::Clear(_)),
                _,
            ) => {
                self.persist_after = Some(now.instant + PAUSE);
            }
            (Some(Doing::Send { .. }), done) => {
                let busy = matches!(done, Done::Failed(Failure::Busy));
                for slot in self.slots.iter_mut().flatten().filter(|slot| slot.sending) {
                    slot.sending = false;
                    slot.sent(now, busy);
                }
            }
            (None, _) => {}
        }
    }

    fn deadline(&self) -> Option<Instant> {
        // A deadline without a step behind it would keep the driver awake.
        let steps = self.restored && !self.damaged;
        let slots = self.slots.iter().flatten();
        let wanted = slots.filter_map(|slot| match slot.phase {
            Phase::Concluded(_) => Some(Instant::ZERO),
            _ if !steps => None,
            Phase::Waiting { again, give_up, .. } => Some(again.min(give_up)),
            Phase::Fresh | Phase::Told => self.persist_after,
        });
        let waits = steps && (self.stale || self.unreadable.contains(&true));
        let header = self.persist_after.filter(|_| waits);
        wanted.chain(header).min()
    }
}

impl<C: Command> Slot<C> {
    fn is_due(&self, moment: Instant) -> bool {
        matches!(self.phase, Phase::Waiting { again, .. } if again <= moment)
    }

    fn sent(&mut self, now: Now, busy: bool) {
        if let Phase::Waiting { again, pause, .. } = &mut self.phase {
            *again = now.instant + if busy { PAUSE } else { *pause };
            if !busy {
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Writes the message for it alone.
    fn write(&self, settled_below: u32, room: &mut [u8]) -> Option<usize> {
        let mut command = [0; MAX_COMMAND_BYTES];
        let mut out = Writer::new(&mut command);
        out.value(&self.command);
        let len = out.finish()?;
        let request = Request::new(self.id, command.get(..len)?)
            .settled_below(settled_below)
            .not_before(self.terms.not_before)
            .expires_at(self.terms.expires);
        let request = if self.cancels {
            request.cancel()
        } else {
            request
        };
        request.encode(room)
    }

    fn first_try(&self, now: Now) -> Phase {
        Phase::Waiting {
            again: now.instant,
            pause: FIRST_PAUSE,
            give_up: now.instant + self.terms.patience,
        }
    }
}

impl<C: Command, const PENDING: usize> Issuer<C, PENDING> {
    fn choose(&mut self, now: Now) -> Option<Doing> {
        for slot in self.slots.iter_mut().flatten() {
            if let Phase::Waiting { give_up, .. } = slot.phase
                && give_up <= now.instant
            {
                slot.phase = Phase::Concluded(Err(Unanswered));
            }
        }
        let slots = || self.slots.iter().enumerate();
        let in_phase = |wanted: Phase| {
            slots().position(|(_, slot)| slot.as_ref().is_some_and(|slot| slot.phase == wanted))
        };
        if self.persist_after.is_none_or(|after| after <= now.instant) {
            if self.stale {
                return Some(Doing::Header { epoch: self.epoch });
            }
            // After the header: without the new epoch on record the loss would go unnoticed.
            if let Some(at) = self.unreadable.iter().position(|&unreadable| unreadable) {
                return Some(Doing::Clear(at));
            }
            let remove = in_phase(Phase::Told).map(Doing::Remove);
            if let Some(doing) = remove.or_else(|| in_phase(Phase::Fresh).map(Doing::Record)) {
                return Some(doing);
            }
        }
        let mut slots = self.slots.iter().flatten();
        let any_due = slots.any(|slot| slot.is_due(now.instant));
        any_due.then_some(Doing::Send { due: now.instant })
    }

    fn batch<'b>(&self, doing: Doing, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let mut writer = BatchWriter::new(buffer);
        let header = |room: &mut [u8]| record::encode_header(self.epoch, self.next_sequence, room);
        writer.put_with(self.first_record, header).ok()?;
        match doing {
            Doing::Header { .. } | Doing::Send { .. } => {}
            Doing::Record(at) => {
                let slot = self.slots.get(at)?.as_ref()?;
                let write = |room: &mut [u8]| slot.encode(room);
                writer.put_with(self.key(at)?, write).ok()?;
            }
            Doing::Remove(at) | Doing::Clear(at) => writer.remove(self.key(at)?).ok()?,
        }
        Some(writer.finish())
    }

    fn key(&self, at: usize) -> Option<RecordKey> {
        self.first_record.offset(u32::try_from(at).ok()? + 1)
    }

    /// What was due, in the order of issue, as far as it fits into one message.
    fn message<'b>(&mut self, due: Instant, buffer: &'b mut [u8]) -> Option<Message<'b>> {
        // The message lives as long as the buffer, so the names are copied there.
        let (peer, room) = match &self.peer {
            None => (None, buffer),
            Some((tenant, device)) => {
                let (tenant, rest) = copy_text(tenant.as_str(), buffer)?;
                let (device, rest) = copy_text(device.as_str(), rest)?;
                (Some(Peer::parse(tenant, device).ok()?), rest)
            }
        };
        let settled_below = self.settled_below();
        let limit = room.len().min(MAX_MESSAGE_BYTES);
        let (mut used, mut last) = (0, 0);
        loop {
            let slots = self.slots.iter_mut().flatten();
            let later = slots.filter(|slot| slot.is_due(due) && slot.id.sequence > last);
            let Some(slot) = later.min_by_key(|slot| slot.id.sequence) else {
                break;
            };
            let len = slot.write(settled_below, room.get_mut(used..limit)?);
            // Alone it will never fit: then it takes its pause like one that was sent.
            slot.sending = len.is_some() || used == 0;
            let Some(len) = len else {
                break;
            };
            (used, last) = (used + len, slot.id.sequence);
        }
        let payload = room.get(..used).filter(|payload| !payload.is_empty())?;
        let message = Message::new(Channel::Command, payload);
        Some(peer.map_or(message, |peer| message.to(peer)))
    }

    fn answered(&mut self, payload: &[u8]) {
        let Ok(response) = Response::decode(payload) else {
            return;
        };
        let mut slots = self.slots.iter_mut().flatten();
        if let Some(slot) = slots.find(|slot| slot.id == response.id)
            && matches!(slot.phase, Phase::Waiting { .. })
        {
            match response.answer {
                Answer::Ended(outcome) => slot.phase = Phase::Concluded(Ok(outcome)),
                later => slot.heard = Some(later),
            }
        }
    }

    fn ask_all(&mut self, now: Instant) {
        for slot in self.slots.iter_mut().flatten() {
            if let Phase::Waiting { again, pause, .. } = &mut slot.phase {
                (*again, *pause) = (now, FIRST_PAUSE);
            }
        }
    }

    /// Takes in one record; `None` when it cannot be trusted.
    fn restore(&mut self, now: Now, key: RecordKey, value: &[u8]) -> Option<()> {
        let offset = key.get().checked_sub(self.first_record.get())?;
        let Some(at) = usize::try_from(offset).ok()?.checked_sub(1) else {
            (self.epoch, self.next_sequence) = record::decode_header(value)?;
            return Some(());
        };
        let Some(mut slot) = Slot::decode(self.issuer, value) else {
            *self.unreadable.get_mut(at)? = true;
            return None;
        };
        slot.phase = if slot.id.epoch == self.epoch {
            slot.first_try(now)
        } else {
            Phase::Concluded(Err(Unanswered))
        };
        *self.slots.get_mut(at)? = Some(slot);
        Some(())
    }

    fn is_readable(&mut self, at: usize) {
        if let Some(unreadable) = self.unreadable.get_mut(at) {
            *unreadable = false;
        }
    }

    fn slot(&mut self, at: usize) -> Option<&mut Slot<C>> {
        self.slots.get_mut(at)?.as_mut()
    }
}

fn copy_text<'b>(text: &str, room: &'b mut [u8]) -> Option<(&'b str, &'b mut [u8])> {
    let (to, rest) = room.split_at_mut_checked(text.len())?;
    to.copy_from_slice(text.as_bytes());
    Some((core::str::from_utf8(to).ok()?, rest))
}

const _: () = assert!(MAX_MESSAGE_BYTES <= BatchWriter::MAX_VALUE_BYTES);
