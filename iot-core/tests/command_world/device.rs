//! The device: a firmware around an inbox, with handlers that take their time.

use iot_core::command::{Class, Command, FinishError, Inbox, Outcome, Pending, Response};
use iot_core::engine::{Engine, Event, RecordKey};
use iot_core::sim::SimEntropy;
use iot_core::storage::fault::Fault;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::{Proof, TimeBounds};
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Timestamp};

use super::fate::{self, Job};
use super::power::{Cut, Driver, Store, drive, restore, written};
use super::tally::Tally;
use super::world::Books;

/// Number and tag of the last transactional effect.
const EFFECT: RecordKey = RecordKey::new(0x0010_0000);

/// An inbox of whatever size.
pub(crate) trait Firmware {
    fn engine(&mut self) -> &mut dyn Engine;
    fn allow(&mut self, issuer: IssuerId, only_harmless: bool);
    fn take(&mut self) -> Option<Pending<Job>>;
    fn finish(&mut self, id: CommandId, outcome: Outcome) -> Result<(), FinishError>;
    fn finish_with(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        value: &[u8],
    ) -> Result<(), FinishError>;
    fn progress(&mut self, id: CommandId, number: u32);
    fn is_damaged(&self) -> bool;
}

impl<const ISSUERS: usize, const WINDOW: usize, const RESULTS: usize> Firmware
    for Inbox<Job, ISSUERS, WINDOW, RESULTS, 8>
{
    fn engine(&mut self) -> &mut dyn Engine {
        self
    }
    fn allow(&mut self, issuer: IssuerId, only_harmless: bool) {
        let allowed = if only_harmless {
            self.allow_if(issuer, |job| !matches!(job, Job::Pulse { .. }))
        } else {
            Self::allow(self, issuer)
        };
        allowed.unwrap();
    }
    fn take(&mut self) -> Option<Pending<Job>> {
        self.next()
    }
    fn finish(&mut self, id: CommandId, outcome: Outcome) -> Result<(), FinishError> {
        Self::finish(self, id, outcome)
    }
    fn finish_with(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        value: &[u8],
    ) -> Result<(), FinishError> {
        Self::finish_with(self, id, outcome, EFFECT, value)
    }
    fn progress(&mut self, id: CommandId, number: u32) {
        Self::progress(self, id, number).unwrap();
    }
    fn is_damaged(&self) -> bool {
        Self::is_damaged(self)
    }
}

pub(crate) type Build = fn() -> Box<dyn Firmware>;

/// A firmware whose inbox has these sizes.
pub(crate) fn firmware<const ISSUERS: usize, const WINDOW: usize, const RESULTS: usize>()
-> Box<dyn Firmware> {
    Box::new(Inbox::<Job, ISSUERS, WINDOW, RESULTS, 8>::with_effects(
        RecordKey::new(0x0200),
    ))
}

/// What the device can prove about the time in this boot.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Lost,
    NotBefore,
    Within,
    Exact,
}

pub(crate) struct Device {
    firmware: Box<dyn Firmware>,
    store: Store,
    booted_ms: u64,
    clock: Clock,
    /// The last issuer is not allowed yet.
    late: bool,
    /// What handlers are at: until when, with what, and whether the effect is still to come.
    running: Vec<(u64, Pending<Job>, bool)>,
    /// Until then its storage is full.
    full_until_ms: u64,
}

impl Device {
    pub(crate) fn boot(
        build: Build,
        mut records: MemoryRecords,
        rng: &mut SimEntropy,
        books: &Books,
        calm: bool,
    ) -> Self {
        let mut firmware = build();
        let late = !calm && rng.chance(100);
        for number in 1..=books.issuers - u32::from(late) {
            firmware.allow(IssuerId::new(number), books.is_limited(number));
        }
        let clock = match rng.below(4) {
            _ if calm => Clock::Exact,
            0 => Clock::Lost,
            1 => Clock::NotBefore,
            2 => Clock::Within,
            _ => Clock::Exact,
        };
        let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
        restore(firmware.engine(), &mut records, now);
        Self {
            firmware,
            store: Store::new(records, rng, calm),
            booted_ms: books.clock_ms,
            clock,
            late,
            running: Vec::new(),
            full_until_ms: 0,
        }
    }

    pub(crate) fn into_records(self) -> MemoryRecords {
        self.store.into_records()
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.firmware.is_damaged()
    }

    pub(crate) fn fired(&self) -> Option<Fault> {
        self.store.fired()
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.running.is_empty()
    }

    pub(crate) fn receive(&mut self, payload: &[u8], clock_ms: u64) {
        let now = self.now(clock_ms);
        let message = Message::new(Channel::Command, payload);
        self.firmware.engine().input(now, &Event::Message(message));
    }

    pub(crate) fn link_returns(&mut self, clock_ms: u64) {
        let now = self.now(clock_ms);
        let engine = self.firmware.engine();
        engine.input(now, &Event::Disconnected);
        engine.input(now, &Event::Connected { resumed: true });
    }

    /// One turn of the driver and one of the application.
    pub(crate) fn turn(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
        mut reply: impl FnMut(&[u8], &mut SimEntropy, &mut Tally),
    ) -> Result<(), Cut> {
        if self.late && rng.chance(100) {
            self.late = false;
            let last = books.issuers;
            self.firmware
                .allow(IssuerId::new(last), books.is_limited(last));
        }
        if !calm && rng.chance(10) {
            self.full_until_ms = books.clock_ms + rng.below(4_000);
        }
        let idle = self.pump(books, rng, tally, calm, &mut reply)?;
        let now = self.now(books.clock_ms);
        // An application that is busy lets commands wait.
        let mut hands = if calm { u64::MAX } else { rng.below(3) };
        while idle
            && hands > 0
            && let Some(pending) = self.firmware.take()
        {
            assert!(!self.is_damaged(), "a damaged inbox handed something out");
            self.begin(pending, now, books, rng, tally, calm)?;
            hands -= 1;
        }
        self.end_what_is_due(books, rng, tally, calm)?;
        self.pump(books, rng, tally, calm, &mut reply)?;
        Ok(())
    }

    fn pump(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
        reply: &mut impl FnMut(&[u8], &mut SimEntropy, &mut Tally),
    ) -> Result<bool, Cut> {
        let now = self.now(books.clock_ms);
        let steps = if calm { 1_000 } else { rng.below(12) };
        let mut driver = Driver {
            store: &mut self.store,
            rng,
            tally,
            calm,
            steps,
            full: !calm && books.clock_ms < self.full_until_ms,
        };
        let (fates, effects) = (&mut books.fates, &mut books.effects);
        let mut said = Vec::new();
        let result = drive(
            self.firmware.engine(),
            now,
            &mut driver,
            |batch, durable| {
                let Some(value) = written(batch, EFFECT).filter(|_| durable) else {
                    return;
                };
                let number = u32::from_be_bytes(value[..4].try_into().unwrap());
                let tag = u32::from_be_bytes(value[4..].try_into().unwrap());
                // The same batch may be written twice: it says how many effects there are.
                if number != *effects {
                    assert_eq!(number, *effects + 1);
                    *effects = number;
                    fates[tag as usize].takes_effect();
                }
            },
            |payload, rng, tally| {
                said.push(Response::decode(payload).unwrap());
                reply(payload, rng, tally);
            },
        );
        for response in said {
            if let Some(tag) = books.tag(response.id) {
                books.fates[tag].answered(&response, tally);
            }
        }
        result
    }

    /// A handler begins.
    fn begin(
        &mut self,
        pending: Pending<Job>,
        now: Now,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
    ) -> Result<(), Cut> {
        let tag = pending.command.tag();
        books.newest_runs(pending.id);
        let fate = &mut books.fates[tag as usize];
        fate.runs(&pending, tally);
        if let Some(moment) = fate.expires.filter(|_| !pending.resumed) {
            assert!(
                now.wall.reached(moment) != Proof::Yes,
                "{fate:?} ran too late"
            );
        }
        if !calm && rng.chance(10) {
            return Err(Cut);
        }
        // A probe that tells the truth.
        let done = pending.resumed && fate.effects > 0;
        let transactional = pending.command.class() == Class::Transactional;
        let mut open = !fate::fails(tag) && !done && !transactional;
        if open && rng.chance(500) {
            fate.takes_effect();
            open = false;
        }
        if !calm && rng.chance(10) {
            return Err(Cut);
        }
        let pause = if rng.chance(500) { 0 } else { rng.below(3_000) };
        self.running.push((books.clock_ms + pause, pending, open));
        Ok(())
    }

    fn end_what_is_due(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
    ) -> Result<(), Cut> {
        let mut at = 0;
        while at < self.running.len() {
            let (until, pending, open) = &mut self.running[at];
            if *until > books.clock_ms {
                if rng.chance(100) {
                    self.firmware.progress(pending.id, 1);
                }
                at += 1;
                continue;
            }
            let (id, tag) = (pending.id, pending.command.tag());
            if core::mem::take(open) {
                books.fates[tag as usize].takes_effect();
                if !calm && rng.chance(30) {
                    return Err(Cut);
                }
            }
            let transactional = pending.command.class() == Class::Transactional;
            let ended = if transactional && !fate::fails(tag) {
                let mut value = [0; 8];
                value[..4].copy_from_slice(&(books.effects + 1).to_be_bytes());
                value[4..].copy_from_slice(&tag.to_be_bytes());
                self.firmware.finish_with(id, fate::outcome(tag), &value)
            } else {
                self.firmware.finish(id, fate::outcome(tag))
            };
            match ended {
                Ok(()) => drop(self.running.swap_remove(at)),
                Err(FinishError::Busy) => {
                    tally.effects_waited += 1;
                    at += 1;
                }
                Err(error) => panic!("{id} could not be finished: {error}"),
            }
        }
        Ok(())
    }

    fn now(&self, clock_ms: u64) -> Now {
        let (before, after) = (clock_ms - clock_ms.min(2_000), clock_ms + 2_000);
        let moment = Timestamp::from_millis;
        let wall = match self.clock {
            Clock::Lost => TimeBounds::UNKNOWN,
            Clock::NotBefore => TimeBounds::at_least(moment(before)),
            Clock::Within => TimeBounds::between(moment(before), moment(after)).unwrap(),
            Clock::Exact => TimeBounds::exact(moment(clock_ms)),
        };
        Now::new(Instant::from_millis(clock_ms - self.booted_ms), wall)
    }
}
