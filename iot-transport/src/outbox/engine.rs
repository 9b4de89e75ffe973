//! What an outbox does next, and what it makes of the answers.

use core::time::Duration;

use iot_core::engine::{
    Batch, BatchWriter, Done, Engine, Event, Failure, RecordKey, RecordRange, Step,
};
use iot_core::{Channel, Fate, Instant, Message, Now, Peer, Ticket};

use super::fates::{Ended, GROUP, GROUP_LEN};
use super::order::Census;
use super::record::{self, Head};
use super::slot::{Slot, State};
use super::{FATE_RECORDS, FIRST_FATES, FIRST_MESSAGE, Outbox, seconds_of};
use crate::envelope::{Envelope, Position, priority_code};

/// How long it waits when storage or transport said no and nothing else happens.
const PAUSE: Duration = Duration::from_secs(1);
/// How far the powered clock runs ahead of its record while something expires, in seconds.
const CLOCK_MARK: u32 = 300;

/// What the driver was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doing {
    Nothing,
    /// To make messages, fates and the head durable.
    Persist {
        /// The messages were chosen: those that are being written.
        chosen: bool,
        head: bool,
        clock: u32,
        fates: Option<(u64, u64)>,
        spent: Option<u64>,
        /// Messages go with it.
        messages: bool,
    },
    /// To remove records of settled messages.
    Remove {
        chosen: bool,
    },
    Read(usize),
    Send(usize),
}

impl Doing {
    /// Whether a message must stay where it is.
    pub(super) fn concerns(self, at: usize) -> bool {
        matches!(self, Self::Read(of) | Self::Send(of) if of == at)
    }
}

impl<const ITEMS: usize, const BYTES: usize> Engine for Outbox<ITEMS, BYTES> {
    fn handles(&self, _: Channel) -> bool {
        false
    }

    fn records(&self) -> RecordRange {
        self.range()
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match *event {
            Event::Record { key, value } => self.damaged |= self.show(key, value).is_none(),
            Event::Restored => self.restored(),
            Event::Settled { ticket, fate } => {
                self.tries_again();
                self.ended(now, ticket, fate);
            }
            Event::Connected { .. } => self.tries_again(),
            _ => {}
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if !self.restored || self.damaged {
            return Step::Idle;
        }
        if matches!(self.doing, Doing::Nothing) {
            self.advance(now);
            self.doing = self.choose(now);
        }
        let step = match self.doing {
            Doing::Nothing => return Step::Idle,
            Doing::Persist { .. } => self.batch(buffer).map(Step::Persist),
            Doing::Remove { .. } => self.removals(buffer).map(Step::Persist),
            Doing::Read(at) => self.key(at).map(Step::Read),
            Doing::Send(at) => self.message(now, at, buffer).map(Step::Send),
        };
        step.unwrap_or_else(|| {
            self.done(now, Done::Failed(Failure::Buffer));
            Step::Idle
        })
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let doing = core::mem::replace(&mut self.doing, Doing::Nothing);
        match (doing, done) {
            (Doing::Nothing, _) => {}
            (
                Doing::Persist {
                    head,
                    clock,
                    fates,
                    spent,
                    ..
                },
                Done::Persisted,
            ) => {
                self.has_head |= head;
                if head || fates.is_some() {
                    self.clock_durable = clock;
                }
                self.persisted(fates, spent);
            }
            (Doing::Persist { fates, .. }, Done::Failed(failure)) => {
                self.not_persisted(now, fates.is_some(), failure);
            }
            (Doing::Remove { .. }, Done::Persisted) => {
                for slot in self.slots.iter_mut().filter(|slot| slot.writing) {
                    slot.writing = false;
                    match &mut slot.state {
                        State::Free { dead } | State::Staged { dead } => *dead = None,
                        State::Stored | State::InFlight(_) => {}
                    }
                }
                self.crowded = false;
            }
            (Doing::Read(at), Done::Read(value)) => {
                if self.loaded(at, value).is_none() {
                    // The storage lost it: that is told, at least.
                    self.settle(now, at, Fate::Refused);
                }
            }
            (Doing::Send(at), Done::Sent(ticket)) => {
                self.turn(at, State::InFlight(ticket));
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.at = None;
                }
            }
            // No driver can ever send what does not fit, and the others must not wait behind it.
            (
                Doing::Read(at) | Doing::Send(at),
                Done::Failed(Failure::Refused | Failure::Buffer),
            ) => {
                self.settle(now, at, Fate::Refused);
            }
            // A layer may hold back some messages and let others through: the oldest must not stop those.
            (Doing::Send(at), _) if self.holds_up(at) => self.passes_oldest = true,
            (Doing::Send(_), _) => {
                self.no_link = true;
                self.pause(now);
            }
            (Doing::Remove { .. } | Doing::Persist { .. } | Doing::Read(_), _) => {
                self.give_up_writing();
                self.no_storage = true;
                self.pause(now);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        if !self.restored || self.damaged {
            return None;
        }
        // At most too early, when the message that it was set for has its fate: then the next one is looked for.
        let waits = self.census.mortal > self.census.mortal_in_flight;
        let expiry = waits.then_some(self.soonest);
        let mark = expiry.map(|_| self.clock_durable.saturating_add(CLOCK_MARK));
        let clock = [expiry, mark].into_iter().flatten().min();
        let clock = clock.map(|second| {
            Instant::from_millis(u64::from(second.saturating_sub(self.clock_base)) * 1_000)
        });
        if self.no_storage {
            return self.wake;
        }
        [clock, self.settle_at, self.wake]
            .into_iter()
            .flatten()
            .min()
    }
}

impl<const ITEMS: usize, const BYTES: usize> Outbox<ITEMS, BYTES> {
    /// Takes in a record; `None` when it cannot be read.
    fn show(&mut self, key: RecordKey, value: &[u8]) -> Option<()> {
        let offset = key.get().checked_sub(self.first_record.get())?;
        let clock = if offset == 0 {
            let head = Head::read(value)?;
            (self.stream, self.has_head) = (head.stream, true);
            head.clock
        } else if offset < FIRST_MESSAGE {
            let fates = &mut self.fates;
            record::read_fates(value, |number, ended| fates.restore(number, ended))?
        } else {
            let at = usize::try_from(offset - FIRST_MESSAGE).ok()?;
            let (slot, _) = record::read_message(value)?;
            // What lies beyond the places, or is longer than the memory, would be lost.
            let place = self
                .slots
                .get_mut(at)
                .filter(|_| slot.lengths.all() <= BYTES)?;
            *place = slot;
            self.next_sequence = self.next_sequence.max(slot.sequence + 1);
            0
        };
        self.clock_base = self.clock_base.max(clock);
        Some(())
    }

    /// Everything was shown: what has a fate is settled.
    fn restored(&mut self) {
        let Self { slots, fates, .. } = self;
        for slot in slots.iter_mut().filter(|slot| slot.is_live()) {
            if let Some(number) = fates.of(slot.sequence) {
                *slot = Slot {
                    state: State::Free { dead: Some(number) },
                    ..Slot::FREE
                };
            }
        }
        for ended in (fates.first()..fates.next).filter_map(|number| fates.get(number)) {
            self.next_sequence = self.next_sequence.max(ended.sequence.saturating_add(1));
        }
        self.order.make(slots);
        self.census = Census::EMPTY;
        slots.iter().for_each(|slot| self.census.add(slot));
        self.clock_durable = self.clock_base;
        fates.skip_unknown();
        self.restored = true;
    }

    fn ended(&mut self, now: Now, ticket: Ticket, fate: Fate) {
        let is_it = |slot: &Slot| slot.state == State::InFlight(ticket);
        let is_there = |at: &usize| self.slots.get(*at).is_some_and(is_it);
        let Some(at) = self.order.live().find(is_there) else {
            return;
        };
        if fate == Fate::Evicted {
            // From the transport's queue, not from here.
            self.turn(at, State::Stored);
            self.expects(now, at);
        } else {
            self.settle(now, at, fate);
        }
    }

    /// Ends what has expired, and looks again at what was refused.
    fn advance(&mut self, now: Now) {
        if self.wake.is_some_and(|wake| wake <= now.instant) {
            (self.wake, self.no_storage) = (None, false);
            self.tries_again();
        }
        let clock = self.clock(now);
        let wall = seconds_of(now.wall.not_before().as_millis());
        if clock < self.soonest && wall < self.soonest_wall {
            return;
        }
        (self.soonest, self.soonest_wall) = (u32::MAX, u64::MAX);
        for at in 0..ITEMS {
            let is_over = self.slots.get(at).is_some_and(|slot| {
                let by_clock = slot.expires > 0 && clock >= slot.expires;
                let by_wall = slot.expires_wall > 0 && wall >= slot.expires_wall;
                slot.may_leave() && (by_clock || by_wall)
            });
            if is_over {
                self.settle(now, at, Fate::Expired);
            }
            self.expects(now, at);
        }
    }

    /// Looks again when the time of a message is over.
    pub(super) fn expects(&mut self, now: Now, at: usize) {
        let (clock, wall) = (
            self.clock(now),
            seconds_of(now.wall.not_before().as_millis()),
        );
        let waits = |slot: &&Slot| slot.expires > 0 && !matches!(slot.state, State::InFlight(_));
        if let Some(slot) = self.slots.get(at).filter(waits) {
            self.soonest = self.soonest.min(slot.expires);
            if slot.expires_wall > 0 {
                self.soonest_wall = self.soonest_wall.min(slot.expires_wall);
                // What was proved to pass while the power was off does not have to pass again.
                let left = u32::try_from(slot.expires_wall.saturating_sub(wall));
                let left = left.unwrap_or(u32::MAX);
                self.soonest = self.soonest.min(clock.saturating_add(left));
            }
        }
    }

    /// Something happened: what the transport did not take is offered again.
    const fn tries_again(&mut self) {
        (self.no_link, self.passes_oldest) = (false, false);
    }

    fn choose(&mut self, now: Now) -> Doing {
        if !self.no_storage {
            let must_clean = self.must_clean();
            if (self.crowded || must_clean) && self.slots.iter().any(|slot| self.is_removable(slot))
            {
                return Doing::Remove { chosen: false };
            }
            let clock = self.clock(now);
            let mark =
                clock >= self.clock_durable.saturating_add(CLOCK_MARK) && self.census.mortal > 0;
            let staged = self.census.staged > 0;
            let due = self.settle_at.is_some_and(|at| at <= now.instant);
            // A message takes the place of one whose fate is on record, at the latest with it.
            let takes_place = |index| {
                let slot = self.order.place(index).and_then(|at| self.slots.get(at));
                let dead = slot.and_then(Slot::dead);
                dead.is_some_and(|number| number >= self.fates.durable)
            };
            let due =
                due || must_clean || self.fates.fills_group() || self.staged().any(takes_place);
            let fates = self.fates.group().filter(|_| due);
            if staged || fates.is_some() || mark {
                return Doing::Persist {
                    chosen: false,
                    head: mark || !self.has_head,
                    clock,
                    fates,
                    spent: fates.and_then(|_| self.fates.spent_group()),
                    messages: fates.is_none_or(|(_, end)| end == self.fates.next)
                        && !(self.crowded && fates.is_some()),
                };
            }
        }
        self.next_to_send().unwrap_or(Doing::Nothing)
    }

    fn next_to_send(&mut self) -> Option<Doing> {
        if self.no_link || self.census.in_flight >= self.window {
            return None;
        }
        let urgency = self.census.most_urgent()?;
        // The newest must not run away from the oldest: the receiver remembers so much and no more.
        let floor = self.floor();
        let stretched = self.next_sequence - floor >= Self::SPAN / 2 && !self.passes_oldest;
        let goes_next = |slot: &Slot| {
            let holds_up = stretched && slot.sequence == floor;
            slot.state == State::Stored
                && (holds_up || priority_code(slot.priority) == urgency)
                && slot.sequence - floor < Self::SPAN
        };
        let at = self
            .order
            .live()
            .find(|at| self.slots.get(*at).is_some_and(goes_next))?;
        let slot = self.slots.get(at)?;
        let (len, loaded) = (slot.lengths.all(), slot.at.is_some());
        if loaded {
            return Some(Doing::Send(at));
        }
        if self.stage.room() < len {
            self.keep_staged();
        }
        (self.stage.room() >= len).then_some(Doing::Read(at))
    }

    /// Whether it goes before more urgent ones, because it is the oldest.
    fn holds_up(&self, at: usize) -> bool {
        let floor = self.floor();
        let slot = self.slots.get(at).filter(|slot| slot.sequence == floor);
        let is_other =
            |slot: &Slot| Some(priority_code(slot.priority)) != self.census.most_urgent();
        !self.passes_oldest && slot.is_some_and(is_other)
    }

    /// Whether its record is of no use: its message has a fate, and that is on record.
    fn is_removable(&self, slot: &Slot) -> bool {
        slot.dead()
            .is_some_and(|number| number < self.fates.durable)
    }

    fn key(&self, at: usize) -> Option<RecordKey> {
        let at = u32::try_from(at).ok()?;
        self.first_record.offset(FIRST_MESSAGE + at)
    }

    fn group_key(&self, group: u64) -> Option<RecordKey> {
        let at = u32::try_from(group % u64::from(FATE_RECORDS)).ok()?;
        self.first_record.offset(FIRST_FATES + at)
    }

    /// The head, fates, and as many messages as fit.
    fn batch<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let Doing::Persist {
            chosen,
            head,
            clock,
            fates,
            spent,
            messages,
        } = self.doing
        else {
            return None;
        };
        let mut batch = BatchWriter::new(buffer);
        let mut is_empty = true;
        if head {
            let head = Head {
                stream: self.stream,
                clock,
            };
            put(&mut batch, self.first_record, &|room| head.write(room))?;
            is_empty = false;
        }
        if let Some((first, end)) = fates {
            // What ended since the driver was first asked may have taken the place of the oldest in the ring. Those have
            // no record of a message any more, and were read.
            let first = first.max(self.fates.first());
            let mut ended = [Ended::NONE; GROUP_LEN];
            let mut count = 0;
            for number in first..end {
                if let (Some(found), Some(place)) = (self.fates.get(number), ended.get_mut(count)) {
                    *place = found;
                    count += 1;
                }
            }
            let ended = ended.get(..count)?;
            let write = |room: &mut [u8]| record::write_fates(room, clock, first, ended);
            put(&mut batch, self.group_key(first / GROUP)?, &write)?;
            if let Some(group) = spent {
                batch.remove(self.group_key(group)?).ok()?;
            }
            is_empty = false;
        }
        if messages {
            for index in self.staged() {
                let at = self.order.place(index)?;
                let slot = self.slots.get(at)?;
                if chosen && !slot.writing {
                    continue;
                }
                let parts = slot
                    .lengths
                    .split(self.stage.get(slot.at?, slot.lengths.all())?)?;
                let write = |room: &mut [u8]| record::write_message(room, slot, &parts);
                if put(&mut batch, self.key(at)?, &write).is_none() {
                    if chosen {
                        return None;
                    }
                    break;
                }
                is_empty = false;
                if let Some(slot) = self.slots.get_mut(at) {
                    slot.writing = true;
                }
                if self.single && !chosen {
                    break;
                }
            }
        }
        if let Doing::Persist { chosen, .. } = &mut self.doing {
            *chosen = true;
        }
        (!is_empty).then(|| batch.finish())
    }

    /// Removes as many records of settled messages as fit.
    fn removals<'b>(&mut self, buffer: &'b mut [u8]) -> Option<Batch<'b>> {
        let Doing::Remove { chosen } = self.doing else {
            return None;
        };
        let mut batch = BatchWriter::new(buffer);
        for at in 0..ITEMS {
            let key = self.key(at)?;
            let wanted = |slot: &Slot| self.is_removable(slot) && (slot.writing || !chosen);
            if !self.slots.get(at).is_some_and(wanted) {
                continue;
            }
            if batch.remove(key).is_err() {
                break;
            }
            if let Some(slot) = self.slots.get_mut(at) {
                slot.writing = true;
            }
        }
        self.doing = Doing::Remove { chosen: true };
        let batch = batch.finish();
        (!batch.is_empty()).then_some(batch)
    }

    fn message<'b>(&self, now: Now, at: usize, buffer: &'b mut [u8]) -> Option<Message<'b>> {
        let slot = self.slots.get(at)?;
        let parts = slot
            .lengths
            .split(self.stage.get(slot.at?, slot.lengths.all())?)?;
        let (tenant, rest) = buffer.split_at_mut_checked(parts.tenant.len())?;
        let (device, rest) = rest.split_at_mut_checked(parts.device.len())?;
        tenant.copy_from_slice(parts.tenant.as_bytes());
        device.copy_from_slice(parts.device.as_bytes());
        let left = slot.expires.saturating_sub(self.clock(now)).max(1);
        let life = (slot.expires > 0).then(|| Duration::from_secs(left.into()));
        let payload = if self.plain {
            let room = rest.get_mut(..parts.payload.len())?;
            room.copy_from_slice(parts.payload);
            room
        } else {
            let position = Position::new(self.stream, slot.sequence, self.floor());
            Envelope::new(position, parts.payload)
                .with_priority(slot.priority)
                .with_life(life)
                .with_correlation(parts.correlation)
                .with_trace(parts.trace)
                .encode(rest)
                .ok()?
        };
        let mut message = Message::new(slot.channel, payload)
            .with_priority(slot.priority)
            .with_qos(slot.qos);
        message.expires_in = life;
        if !parts.tenant.is_empty() {
            let names = (core::str::from_utf8(tenant), core::str::from_utf8(device));
            let (Ok(tenant), Ok(device)) = names else {
                return None;
            };
            message = message.to(Peer::parse(tenant, device).ok()?);
        }
        Some(message)
    }

    fn persisted(&mut self, fates: Option<(u64, u64)>, spent: Option<u64>) {
        if let Some(group) = spent {
            self.fates.oldest_group = group + 1;
        }
        if let Some((first, end)) = fates {
            self.fates.durable = end;
            self.fates.oldest_group = self.fates.oldest_group.min(first / GROUP);
            if end == self.fates.next {
                self.settle_at = None;
            }
        }
        for index in self.staged() {
            if let Some(at) = self.order.place(index)
                && let Some(slot) = self.slots.get_mut(at).filter(|slot| slot.writing)
            {
                slot.writing = false;
                self.turn(at, State::Stored);
            }
        }
        (self.crowded, self.single) = (false, false);
    }

    /// The storage did not take a batch.
    fn not_persisted(&mut self, now: Now, had_fates: bool, failure: Failure) {
        let writing = self.slots.iter().filter(|slot| slot.writing).count();
        if failure == Failure::StorageFull {
            if self.slots.iter().any(|slot| self.is_removable(slot)) || had_fates && writing > 0 {
                // First what is of no use, then fates by themselves.
                self.crowded = true;
            } else if writing > 1 {
                self.single = true;
            } else if let Some(at) = self.slots.iter().position(|slot| slot.writing) {
                self.refuse(now, at);
            } else {
                self.no_storage = true;
                self.pause(now);
            }
        } else if failure == Failure::Buffer && writing == 0 && !had_fates {
            // Not one fits the driver's buffer, and none ever will.
            let oldest = self.order.place(self.staged().start);
            if let Some(at) = oldest {
                self.refuse(now, at);
            }
        } else {
            self.no_storage = true;
            self.pause(now);
        }
        self.give_up_writing();
    }

    fn refuse(&mut self, now: Now, at: usize) {
        self.settle(now, at, Fate::Refused);
        self.settle_at = Some(Instant::ZERO);
    }

    fn give_up_writing(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.writing = false);
    }

    /// A message was read back: it is put where it can be sent from; `None` when it is not what was stored.
    fn loaded(&mut self, at: usize, value: Option<&[u8]>) -> Option<()> {
        let (found, parts) = record::read_message(value?)?;
        let slot = self.slots.get_mut(at)?;
        if found.sequence != slot.sequence || found.lengths != slot.lengths {
            return None;
        }
        // Whoever pushed in between has the room: it is read again.
        slot.at = self.stage.add(&parts.as_array());
        Some(())
    }

    // Not inlined, on purpose: it is worth 90 bytes of flash.
    #[inline(never)]
    fn pause(&mut self, now: Now) {
        let wake = now.instant.after(PAUSE);
        self.wake = Some(self.wake.map_or(wake, |earlier| earlier.min(wake)));
    }
}

/// Puts what `write` writes into the batch; one copy of that code serves all kinds of records.
#[inline(never)]
fn put(
    batch: &mut BatchWriter<'_>,
    key: RecordKey,
    write: &dyn Fn(&mut [u8]) -> Option<usize>,
) -> Option<()> {
    batch.put_with(key, write).ok()
}
