//! A service: an issuer, its records, and the backup that it may be restored from.

use core::time::Duration;

use iot_core::command::{Conclusion, IssueError, Issuer, Request, Terms};
use iot_core::engine::{Engine, Event, RecordKey};
use iot_core::sim::SimEntropy;
use iot_core::storage::fault::Fault;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Timestamp};

use super::fate::{Fate, Job};
use super::power::{Cut, Driver, Store, drive, restore};
use super::tally::Tally;
use super::world::Books;

/// An issuer of whatever size.
pub(crate) trait Desk {
    fn engine(&mut self) -> &mut dyn Engine;
    fn issue(&mut self, now: Now, job: Job, terms: Terms) -> Result<CommandId, IssueError>;
    fn concluded(&mut self) -> Option<Conclusion>;
    fn cancel(&mut self, id: CommandId) -> bool;
    fn open_epoch(&mut self, now: Now);
    /// Nothing is under way, and nothing waits to be told.
    fn is_at_rest(&self) -> bool;
}

impl<const PENDING: usize> Desk for Issuer<Job, PENDING> {
    fn engine(&mut self) -> &mut dyn Engine {
        self
    }
    fn issue(&mut self, now: Now, job: Job, terms: Terms) -> Result<CommandId, IssueError> {
        Self::issue(self, now, job, terms)
    }
    fn concluded(&mut self) -> Option<Conclusion> {
        Self::concluded(self)
    }
    fn cancel(&mut self, id: CommandId) -> bool {
        Self::cancel(self, id).is_ok()
    }
    fn open_epoch(&mut self, now: Now) {
        Self::open_epoch(self, now);
    }
    fn is_at_rest(&self) -> bool {
        self.under_way() == 0 && self.deadline().is_none()
    }
}

const RECORDS: RecordKey = RecordKey::new(0x4000);

pub(crate) type Hire = fn(IssuerId) -> Box<dyn Desk>;

/// An issuer that holds so many commands.
pub(crate) fn desk<const PENDING: usize>(issuer: IssuerId) -> Box<dyn Desk> {
    Box::new(Issuer::<Job, PENDING>::new(issuer, RECORDS))
}

pub(crate) struct Service {
    number: u32,
    hire: Hire,
    desk: Box<dyn Desk>,
    store: Store,
    booted_ms: u64,
    backup: Option<MemoryRecords>,
    /// Its new life is not on record yet.
    restoring: bool,
    /// Until then its storage is full.
    full_until_ms: u64,
}

impl Service {
    pub(crate) fn new(number: u32, hire: Hire, clock_ms: u64, rng: &mut SimEntropy) -> Self {
        let mut service = Self {
            number,
            hire,
            desk: hire(IssuerId::new(number)),
            store: Store::new(MemoryRecords::new(), rng, true),
            booted_ms: clock_ms,
            backup: None,
            restoring: false,
            full_until_ms: 0,
        };
        service.boot(MemoryRecords::new(), clock_ms, rng, false);
        service
    }

    pub(crate) fn is(&self, issuer: IssuerId) -> bool {
        issuer == IssuerId::new(self.number)
    }

    /// Starts again from what is on record.
    pub(crate) fn reboot(
        &mut self,
        clock_ms: u64,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
    ) {
        tally.service_cuts += 1;
        tally.service_cuts_before += u64::from(self.store.fired() == Some(Fault::CutBefore));
        tally.service_cuts_after += u64::from(self.store.fired() == Some(Fault::CutAfter));
        let empty = Store::new(MemoryRecords::new(), rng, true);
        let records = core::mem::replace(&mut self.store, empty).into_records();
        self.boot(records, clock_ms, rng, calm);
    }

    /// Keeps a copy of its records, or starts again from the copy and opens a new life.
    pub(crate) fn back_up_or_restore(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
    ) {
        let empty = Store::new(MemoryRecords::new(), rng, true);
        let records = core::mem::replace(&mut self.store, empty).into_records();
        let Some(backup) = self.backup.take() else {
            self.backup = Some(records.clone());
            self.boot(records, books.clock_ms, rng, false);
            return;
        };
        tally.restored_backups += 1;
        // Two lives must not begin in one second: they are named after it.
        books.clock_ms += 3_000;
        for fate in &mut books.fates {
            if self.is(fate.id.issuer) {
                fate.orphan = true;
            }
        }
        self.restoring = true;
        self.boot(backup, books.clock_ms, rng, false);
    }

    fn boot(
        &mut self,
        mut records: MemoryRecords,
        clock_ms: u64,
        rng: &mut SimEntropy,
        calm: bool,
    ) {
        self.booted_ms = clock_ms;
        self.desk = (self.hire)(IssuerId::new(self.number));
        let now = self.now(clock_ms);
        restore(self.desk.engine(), &mut records, now);
        if self.restoring {
            self.desk.open_epoch(now);
        }
        self.store = Store::new(records, rng, calm);
    }

    pub(crate) fn issue(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
    ) -> Option<usize> {
        let tag = books.fates.len();
        let job = Job::new(rng.below(4), u32::try_from(tag).unwrap());
        let mut terms = Terms::DEFAULT;
        if !calm && rng.chance(150) {
            terms = terms.give_up_after(Duration::from_millis(rng.below(20_000)));
        }
        if !calm && rng.chance(250) {
            let moment = books.clock_ms + rng.below(20_000);
            terms = terms.expires_at(Timestamp::from_millis(moment));
        }
        let now = self.now(books.clock_ms);
        match self.desk.issue(now, job.clone(), terms) {
            Ok(id) => {
                let limited = books.is_limited(self.number) && matches!(job, Job::Pulse { .. });
                let is_last = self.number == books.issuers;
                books.issued(Fate::new(&job, id, terms.expires, limited, is_last));
                tally.issued += 1;
                Some(tag)
            }
            Err(IssueError::Full { .. }) => {
                tally.refused_full += 1;
                None
            }
            Err(other) => panic!("not issued: {other}"),
        }
    }

    /// Wants one of its newest commands back.
    pub(crate) fn cancel(&mut self, books: &mut Books, rng: &mut SimEntropy) {
        let back = usize::try_from(rng.below(40)).unwrap() + 1;
        if let Some(at) = books.fates.len().checked_sub(back)
            && self.is(books.fates[at].id.issuer)
            && !books.fates[at].void
            && self.desk.cancel(books.fates[at].id)
        {
            books.fates[at].cancelled = true;
        }
    }

    pub(crate) fn receive(&mut self, payload: &[u8], clock_ms: u64) {
        let now = self.now(clock_ms);
        let message = Message::new(Channel::Command, payload);
        self.desk.engine().input(now, &Event::Message(message));
    }

    pub(crate) fn link_returns(&mut self, clock_ms: u64) {
        let now = self.now(clock_ms);
        let connected = Event::Connected { resumed: false };
        self.desk.engine().input(now, &connected);
    }

    /// One turn of the driver and one of the application.
    pub(crate) fn turn(
        &mut self,
        books: &mut Books,
        rng: &mut SimEntropy,
        tally: &mut Tally,
        calm: bool,
        mut request: impl FnMut(&[u8], &mut SimEntropy, &mut Tally),
    ) -> Result<(), Cut> {
        let now = self.now(books.clock_ms);
        if !calm && rng.chance(5) {
            self.full_until_ms = books.clock_ms + rng.below(4_000);
        }
        let steps = if calm { 1_000 } else { rng.below(12) };
        let mut driver = Driver {
            store: &mut self.store,
            rng,
            tally,
            calm,
            steps,
            full: !calm && books.clock_ms < self.full_until_ms,
        };
        let (mut sent, restoring) = (Vec::new(), &mut self.restoring);
        let result = drive(
            self.desk.engine(),
            now,
            &mut driver,
            // The first thing that a restored issuer writes is its new life.
            |_, durable| *restoring &= !durable,
            |payload, rng, tally| {
                let mut rest = payload;
                while !rest.is_empty() {
                    let (first, others) = Request::decode_first(rest).unwrap();
                    sent.push(first.id);
                    rest = others;
                }
                request(payload, rng, tally);
            },
        );
        for id in sent {
            let tag = books.tag(id).unwrap();
            books.fates[tag].sent = true;
        }
        result?;
        if calm || rng.chance(700) {
            while let Some(end) = self.desk.concluded() {
                books.concluded(&end, tally);
            }
            if !calm && rng.chance(5) {
                return Err(Cut);
            }
        }
        Ok(())
    }

    pub(crate) fn is_at_rest(&self) -> bool {
        self.desk.is_at_rest()
    }

    fn now(&self, clock_ms: u64) -> Now {
        let wall = TimeBounds::exact(Timestamp::from_millis(clock_ms));
        Now::new(Instant::from_millis(clock_ms - self.booted_ms), wall)
    }
}
