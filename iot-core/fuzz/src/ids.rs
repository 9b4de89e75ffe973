//! A table of foreign ids with arbitrary records, driven through commands, failures and power cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use iot_core::command::{Admitted, Class, IdError, IdTable, Outcome, PendingId};
use iot_core::engine::RecordKey;
use iot_core::{Channel, Engine, Event, Message, Timestamp};

use crate::driver::{Deed, Driver, End, RECORD};
use crate::input::Input;

const ID_BYTES: usize = 8;
type Table = IdTable<3, ID_BYTES>;

const BYTES: u8 = 1;
const ADMIT: u8 = 2;
const STEP: u8 = 3;
const NEXT: u8 = 4;
const FINISH: u8 = 5;
const CONCLUDED: u8 = 6;
const PASS: u8 = 7;
const HAPPEN: u8 = 8;
const REBOOT: u8 = 9;
const DANGER: u8 = 10;
const KINDS: u8 = 11;

const FIRST_RECORD: RecordKey = RecordKey::new(0x300);
const SKEW: Duration = Duration::from_secs(1);
/// The only buffer that every step is promised to fit.
const WHOLE: usize = Table::BUFFER_BYTES;

type Id = Vec<u8>;

struct World {
    driver: Driver,
    table: Table,
    /// What was handed out since the last boot and not finished.
    running: Vec<PendingId<ID_BYTES>>,
    /// No record is anybody's but the table's, and time was never guessed: only then are the promises checked
    /// that rest on them.
    trusted: bool,
    /// The class of each id that was taken in.
    classes: BTreeMap<Id, Class>,
    /// How often each was handed out, over all boots, not counting those to be probed.
    runs: BTreeMap<Id, u32>,
    /// How each ended, as first told.
    told: BTreeMap<Id, Outcome>,
    /// Those that the table no longer knew.
    forgotten: BTreeSet<Id>,
}

/// The input is a list of deeds; see the constants. Nothing panics and every engine step repeats until it is
/// done. A table that wrote its records itself hands out an opaque command at most once, and a probed one once
/// without a probe; it never tells two ends of one command, and hands out nothing that it has forgotten. What is
/// over leaves no record. A damaged table takes nothing in and writes nothing.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(driver) = Driver::begin(&mut input, KINDS, FIRST_RECORD, 4) else {
        return;
    };
    let mut world = World {
        trusted: driver.records.is_empty(),
        table: boot(&driver),
        driver,
        running: Vec::new(),
        classes: BTreeMap::new(),
        runs: BTreeMap::new(),
        told: BTreeMap::new(),
        forgotten: BTreeSet::new(),
    };
    while world.act(&mut input).is_some() {}
    world.come_to_rest();
}

fn boot(driver: &Driver) -> Table {
    let mut table = Table::new(FIRST_RECORD).with_skew(SKEW);
    driver.restore(&mut table);
    table
}

impl World {
    fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % KINDS {
            // Not its channel, and a record after it was restored: it must look at neither.
            BYTES => {
                let payload = input.short()?;
                let now = self.driver.now();
                let message = Message::new(Channel::Command, payload);
                self.table.input(now, &Event::Message(message));
                let (key, value) = (FIRST_RECORD, payload);
                self.table.input(now, &Event::Record { key, value });
            }
            ADMIT => self.admit(input)?,
            STEP => {
                let end = End::choose(input)?;
                // Some buffers are too small.
                let bytes = match input.byte()? {
                    small @ 0..64 => usize::from(small),
                    _ => WHOLE,
                };
                self.step(end, bytes);
            }
            NEXT => {
                self.next();
            }
            FINISH => self.finish(input)?,
            CONCLUDED => {
                self.concluded();
            }
            PASS => self.driver.pass(input.byte()?),
            HAPPEN => self.driver.happen(&mut self.table, input.byte()?),
            REBOOT => self.reboot(),
            DANGER => {
                self.table.danger_run_when_time_is_unknown();
                self.trusted = false;
            }
            _ => {}
        }
        Some(())
    }

    fn admit(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (who, content) = (input.byte()?, input.byte()?);
        // The id decides everything but the content; some are longer than fits, and one is empty.
        let who = match who % 80 {
            0..8 => 0,
            who => who,
        };
        let id = vec![b'a' + who % 8; usize::from(who / 8)];
        let class = [
            Class::Transactional,
            Class::Idempotent,
            Class::Probed,
            Class::Opaque,
        ][usize::from(who % 4)];
        let expires = Timestamp::from_secs(who.into());
        let admitted = self
            .table
            .admit(self.driver.now(), &id, &[content % 2], class, expires);
        match admitted {
            Ok(Admitted::Fresh) => {
                // Until its start is on record, a cut may forget it.
                assert!(
                    !self.trusted || !self.told.contains_key(&id),
                    "{id:?} ended and is new again"
                );
                self.classes.insert(id, class);
            }
            Ok(Admitted::Ended(outcome)) => self.ended(id, outcome),
            Err(IdError::Expired) => {
                self.forgotten.insert(id);
            }
            Err(IdError::TooLong { bytes, limit }) => {
                assert!(bytes == id.len() && bytes > limit);
            }
            Err(IdError::NotRestored) => panic!("it was restored"),
            Err(IdError::Damaged) => assert!(self.table.is_damaged()),
            _ => {}
        }
        Some(())
    }

    fn next(&mut self) -> bool {
        let Some(job) = self.table.next() else {
            return false;
        };
        let id = job.id.as_bytes().to_vec();
        if self.trusted {
            let runs = self.runs.entry(id.clone()).or_default();
            *runs += u32::from(!job.resumed);
            let once = matches!(self.classes[&id], Class::Probed | Class::Opaque);
            // None when it was cut off after its start was on record and before it was handed out.
            assert!(!once || *runs <= 1, "{job:?} ran {runs} times");
            let probes = self.classes[&id] == Class::Probed;
            assert!(probes || !job.resumed, "{job:?} has no probe");
            assert!(!self.told.contains_key(&id), "{job:?} has ended");
            assert!(!self.forgotten.contains(&id), "{job:?} was forgotten");
            let again = self.running.iter().any(|running| running.id == job.id);
            assert!(!again, "{job:?} is running already");
        }
        self.running.push(job);
        true
    }

    fn finish(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (place, how) = (usize::from(input.byte()?), input.byte()?);
        if self.running.is_empty() {
            return Some(());
        }
        let job = self.running.swap_remove(place % self.running.len());
        let outcome = match how % 3 {
            0 => Outcome::DONE,
            1 => Outcome::Failed { code: how.into() },
            _ => Outcome::done_with(&[how; 32]).expect("a short result"),
        };
        self.end(&job, outcome);
        Some(())
    }

    fn end(&mut self, job: &PendingId<ID_BYTES>, outcome: Outcome) {
        let finished = self.table.finish(job.id.as_bytes(), outcome);
        assert!(finished.is_ok(), "{job:?}: {finished:?}");
        let again = self.table.finish(job.id.as_bytes(), outcome);
        // Two records of a stranger may have one id.
        assert!(!self.trusted || again.is_err(), "{job:?} ended twice");
    }

    fn concluded(&mut self) -> bool {
        let Some(end) = self.table.concluded() else {
            return false;
        };
        self.ended(end.id.as_bytes().to_vec(), end.outcome);
        true
    }

    fn ended(&mut self, id: Id, outcome: Outcome) {
        if self.trusted {
            let first = *self.told.entry(id.clone()).or_insert(outcome);
            assert_eq!(outcome, first, "{id:?} ended twice");
        }
    }

    fn step(&mut self, end: End, buffer_bytes: usize) -> Deed {
        let deed = self.driver.step(&mut self.table, end, buffer_bytes);
        assert!(
            deed == Deed::Nothing || !self.table.is_damaged(),
            "a damaged table wrote {deed:?}"
        );
        if let Deed::Persisted(batch) = &deed {
            assert_eq!(batch.len(), 1, "one record with each step");
        }
        if end == End::Cut {
            self.reboot();
        }
        deed
    }

    /// Lets everything succeed from now on, until every command is over: then no record is left.
    fn come_to_rest(&mut self) {
        for _ in 0..20 {
            // Longer than any pause, and at the end longer than any command and the skew.
            (0..3).for_each(|_| self.driver.pass(u8::MAX));
            let steps = (0..100).take_while(|_| self.step(End::Done, WHOLE) != Deed::Nothing);
            assert!(steps.count() < 100, "it steps without end");
            while self.next() {}
            for job in std::mem::take(&mut self.running) {
                self.end(&job, Outcome::DONE);
            }
            while self.concluded() {}
        }
        let deadline = self.table.deadline();
        let now = self.driver.now().instant;
        assert!(
            deadline.is_none_or(|at| at > now),
            "it asks for a step and has none"
        );
        let is_empty = self.driver.records.is_empty();
        assert!(!self.trusted || is_empty, "{:?}", self.driver.records);
        self.reboot();
        assert!(!self.trusted || !self.concluded(), "an end came back");
    }

    fn reboot(&mut self) {
        self.running.clear();
        self.table = boot(&self.driver);
        assert!(
            !self.trusted || !self.table.is_damaged(),
            "the table cannot read its own records"
        );
    }
}

/// A life of each class of command with a power cut in it and its end, and one with records of an earlier life.
pub fn seeds() -> Vec<Vec<u8>> {
    let (done, cut, whole) = (7, 5, 255);
    let known = [PASS, 1];
    let mut seeds: Vec<_> = (0..4)
        .map(|class| {
            // Ids of eight bytes.
            let who = 64 + class;
            let mut seed = Vec::from(known);
            seed.extend([ADMIT, who, 0, STEP, done, whole, NEXT, REBOOT]);
            seed.extend([ADMIT, who, 0, STEP, done, whole, NEXT, FINISH, 0, 2]);
            seed.extend([
                STEP, cut, whole, CONCLUDED, ADMIT, who, 0, ADMIT, who, 1, DANGER,
            ]);
            seed.truncate(seed.len() - usize::from(class % 2));
            seed.extend([
                PASS, 255, STEP, 0, whole, STEP, 4, whole, STEP, cut, whole, HAPPEN, 1,
            ]);
            seed.extend([BYTES, 1, 0x89, ADMIT, 72 + 8, 0, STEP, done, 3]);
            seed
        })
        .collect();
    // A full table, in which a place is asked for while its record is being removed.
    let mut seed = Vec::from(known);
    for who in [9, 10, 11] {
        seed.extend([ADMIT, who, 0, STEP, done, whole, NEXT, FINISH, 0, 0]);
        seed.extend([STEP, done, whole, CONCLUDED]);
    }
    seed.extend([PASS, 255, STEP, 4, whole, ADMIT, 67, 0, STEP, done, whole]);
    seed.extend([ADMIT, 67, 0, STEP, done, whole, NEXT, REBOOT, CONCLUDED]);
    seeds.push(seed);
    // The records that a start leaves behind.
    let (records, mut seed) = (records_of_a_start(), Vec::new());
    for (key, value) in records {
        let offset = u8::try_from(key.get() - FIRST_RECORD.get()).expect("a small key");
        let len = u8::try_from(value.len()).expect("a short record");
        seed.extend([RECORD, offset, len]);
        seed.extend(value);
    }
    seed.extend([NEXT, STEP, done, whole, CONCLUDED, ADMIT, 67, 0]);
    seeds.push(seed);
    seeds
}

/// An opaque command was started, and the power was cut.
fn records_of_a_start() -> BTreeMap<RecordKey, Vec<u8>> {
    let mut driver = Driver::default();
    driver.pass(1);
    let mut table = boot(&driver);
    let expires = Timestamp::from_secs(60);
    let admitted = table.admit(driver.now(), b"pulse", b"", Class::Opaque, expires);
    assert_eq!(admitted, Ok(Admitted::Fresh));
    driver.step(&mut table, End::Done, WHOLE);
    assert_eq!(driver.records.len(), 1, "a pulse starts on record");
    driver.records
}

#[test]
fn every_seed_keeps_the_claims() {
    seeds().iter().for_each(|seed| run(seed));
}

#[test]
fn a_pulse_that_was_cut_off_is_in_doubt_and_not_handed_out_again() {
    let mut driver = Driver::default();
    driver.records = records_of_a_start();
    let mut table = boot(&driver);
    assert_eq!(table.next(), None);
    driver.step(&mut table, End::Done, WHOLE);
    assert_eq!(table.concluded().unwrap().outcome, Outcome::InDoubt);
}
