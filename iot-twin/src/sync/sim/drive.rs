//! One event at a time: what the drivers of both sides do, and what can go wrong with it.

use alloc::vec::Vec;

use iot_core::engine::{Done, Engine, Event, Failure, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::{Records as _, Timer as _};
use iot_core::sim::Faults;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Channel, Message, Ticket};

use super::{Life, Violation, World};
use crate::reflect::Twin;

const BUFFER_BYTES: usize = 2_048;
/// Everything ends within; more is a quarrel.
const QUIET_ROUNDS: usize = 10_000;

impl<T: Twin, const PENDING: usize> World<T, PENDING> {
    /// Restarts the device: what was not on record is gone, and it connects again.
    pub fn cut(&mut self) {
        self.counts.cuts += 1;
        self.boot();
    }

    /// Restarts the device without its records.
    pub fn wipe(&mut self) {
        self.counts.wipes += 1;
        self.records = MemoryRecords::new();
        self.forget_device();
        self.boot();
    }

    /// Restarts the device with other records.
    pub fn restore_records(&mut self, records: MemoryRecords) {
        self.records = records;
        self.forget_device();
        self.boot();
    }

    /// Keeps a copy of the device's records for [`roll_back`](Self::roll_back).
    pub fn keep_image(&mut self) {
        self.image = Some(self.records.clone());
    }

    /// Restarts the device with the records of the last [copy](Self::keep_image), or with those that it has: a gateway
    /// that comes back from a snapshot, or a storage that was replaced by its clone.
    pub fn roll_back(&mut self) {
        self.counts.rolled_back += 1;
        if let Some(image) = &self.image {
            self.records = image.clone();
        }
        self.forget_device();
        self.boot();
    }

    /// A device that has lost what it knew may use its old numbers again, until the service tells it of them.
    fn forget_device(&mut self) {
        self.known.stamps.clear();
        self.known.reported.clear();
        self.known.answered.clear();
    }

    /// Tells the device that its link is up, or down.
    pub fn connect(&mut self, up: bool) {
        let event = if up {
            Event::Connected { resumed: true }
        } else {
            Event::Disconnected
        };
        self.device.input(self.clock.now(), &event);
    }

    /// Has the device do one thing, if it wants anything; the power may be cut around it.
    ///
    /// # Errors
    ///
    /// [`Violation`] when what it sends contradicts what it has sent before.
    pub fn device_step(&mut self) -> Result<bool, Violation> {
        let mut buffer = [0; BUFFER_BYTES];
        let now = self.clock.now();
        let step = self.device.step(now, &mut buffer);
        if matches!(step, Step::Idle) {
            return Ok(false);
        }
        let cut = self.will_cut();
        let done = match step {
            _ if cut == Some(false) => None,
            Step::Persist(batch) => {
                // The store has no limit.
                let kept = block_on(self.records.commit(&batch));
                kept.is_ok().then_some(Done::Persisted)
            }
            Step::Send(message) => {
                let payload = message.payload.to_vec();
                self.observe_report(&payload)?;
                let refused = self.hazards.refused > 0 && self.dice.chance(self.hazards.refused);
                if !refused {
                    self.up.push(payload);
                }
                Some(if refused {
                    Done::Failed(Failure::Busy)
                } else {
                    Done::Sent(Ticket::new(0))
                })
            }
            _ => Some(Done::Failed(Failure::Effect)),
        };
        self.counts.operations += 1;
        match done.filter(|_| cut.is_none()) {
            Some(done) => self.device.done(now, done),
            None => self.cut(),
        }
        Ok(true)
    }

    /// Has the service do one thing, if it wants anything.
    ///
    /// # Errors
    ///
    /// [`Violation`] when what it sends contradicts what it has sent before.
    pub fn service_step(&mut self) -> Result<bool, Violation> {
        let mut buffer = [0; BUFFER_BYTES];
        let now = self.clock.now();
        let payload = match self.service.step(now, &mut buffer) {
            Step::Send(message) => message.payload.to_vec(),
            _ => return Ok(false),
        };
        self.observe_delta(&payload)?;
        self.down.push(payload);
        self.service.done(now, Done::Sent(Ticket::new(0)));
        Ok(true)
    }

    /// Takes a message that is under way to the device: it arrives, or is lost; it may come again. False when there
    /// was none.
    pub fn deliver_down(&mut self) -> bool {
        let payload = {
            let mut queue = core::mem::take(&mut self.down);
            let payload = self.pick(&mut queue);
            self.down = queue;
            payload
        };
        if let Some(Some(payload)) = &payload {
            let event = Event::Message(Message::new(Channel::Twin, payload));
            self.device.input(self.clock.now(), &event);
        }
        payload.is_some()
    }

    /// The same for a message that is under way to the service.
    pub fn deliver_up(&mut self) -> bool {
        let payload = {
            let mut queue = core::mem::take(&mut self.up);
            let payload = self.pick(&mut queue);
            self.up = queue;
            payload
        };
        if let Some(Some(payload)) = &payload {
            let event = Event::Message(Message::new(Channel::Twin, payload));
            self.service.input(self.clock.now(), &event);
        }
        payload.is_some()
    }

    /// Has the device's application answer for what is desired of it.
    pub fn answer(&mut self, life: &mut impl Life<T>) {
        if let Some(change) = self.device.changed() {
            let code = life.answer(&change, &mut self.dice);
            self.device.acknowledge(change.version, code);
        }
    }

    /// Lets nothing go wrong any more until nothing happens any more, and then holds both sides against each other.
    ///
    /// The faults and hazards stay off; what a service with a store holds is stored at once.
    ///
    /// # Errors
    ///
    /// [`Violation`] when they do not come to rest, or are not equal then.
    pub fn settle(&mut self, life: &mut impl Life<T>) -> Result<(), Violation> {
        (self.faults, self.hazards) = (Faults::NONE, super::Hazards::NONE);
        self.connect(true);
        let mut exchanged = false;
        for _ in 0..QUIET_ROUNDS {
            self.answer(life);
            let state = self.service.snapshot();
            self.service.stored(&state);
            let busy = [
                self.device_step()?,
                self.service_step()?,
                self.deliver_down(),
                self.deliver_up(),
            ];
            self.check()?;
            if busy.contains(&true) {
                continue;
            }
            if self.device.is_settled() && self.service.is_converged() {
                if exchanged {
                    return self.check_equal();
                }
                // What was under way before may have been old: one exchange begins when all is quiet.
                self.connect(true);
                exchanged = true;
                continue;
            }
            let deadlines = [self.device.deadline(), self.service.deadline()];
            let Some(next) = deadlines.into_iter().flatten().min() else {
                break;
            };
            let wait = next.since(self.clock.instant());
            self.clock.advance(wait);
        }
        Err(Violation::Unsettled)
    }

    pub(super) fn boot(&mut self) {
        self.device = (self.make)();
        let now = self.clock.now();
        let mut buffer = [0; BUFFER_BYTES];
        // Every record was written from a buffer of this length.
        let _ = block_on(restore(
            &mut self.device,
            &mut self.records,
            now,
            &mut buffer,
        ));
        self.device.input(now, &Event::Connected { resumed: false });
    }

    /// Whether the power is cut around the next operation: before it, or after.
    fn will_cut(&mut self) -> Option<bool> {
        if let Some((operation, after)) = self.cut_at
            && operation == self.counts.operations
        {
            self.cut_at = None;
            return Some(after);
        }
        let cuts = self.hazards.cuts;
        (cuts > 0 && self.dice.chance(cuts)).then(|| self.dice.chance(500))
    }

    /// Takes a message out of a queue; `None` when there is none, `Some(None)` when it is lost.
    fn pick(&mut self, queue: &mut Vec<Vec<u8>>) -> Option<Option<Vec<u8>>> {
        let len = u64::try_from(queue.len()).ok().filter(|&len| len > 0)?;
        let reorders = self.faults.delay_max_ms > self.faults.delay_min_ms;
        let at = if reorders { self.dice.below(len) } else { 0 };
        let payload = queue.remove(usize::try_from(at).ok()?);
        if self.faults.duplicate > 0 && self.dice.chance(self.faults.duplicate) {
            self.counts.repeated += 1;
            queue.push(payload.clone());
        }
        if self.faults.loss > 0 && self.dice.chance(self.faults.loss) {
            self.counts.lost += 1;
            return Some(None);
        }
        Some(Some(payload))
    }
}
