//! What a table of foreign ids promises: one run of a command while its id is kept, and what is told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::time::Duration;

use futures::executor::block_on;
use iot_core::command::{Admitted, Class, IdError, IdTable, Outcome};
use iot_core::engine::{BatchWriter, Done, Engine, Event, RecordKey, Step};
use iot_core::node;
use iot_core::port::Records;
use iot_core::storage::fault::{Fault, FaultyRecords};
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now, Timestamp};
use proptest::prelude::*;

const FIRST: RecordKey = RecordKey::new(0x0300);
type Table = IdTable<3, 12>;

struct Device {
    table: Table,
    records: FaultyRecords<MemoryRecords>,
}

impl Device {
    fn new() -> Self {
        Self::boot(MemoryRecords::new(), Fault::Full, u32::MAX)
    }

    fn boot(records: MemoryRecords, fault: Fault, at: u32) -> Self {
        let mut records = FaultyRecords::new(records, fault, at);
        let mut table = Table::new(FIRST).with_skew(Duration::from_secs(10));
        restore(&mut table, &mut records);
        Self { table, records }
    }

    fn reboot(self) -> Self {
        Self::boot(self.records.into_inner(), Fault::Full, u32::MAX)
    }

    fn admit(&mut self, second: u64, id: &str, class: Class) -> Result<Admitted, IdError> {
        let expires = Timestamp::from_secs(60);
        let (now, id) = (at(second), id.as_bytes());
        let admitted = self.table.admit(now, id, b"command", class, expires);
        self.pump(second);
        admitted
    }

    /// Takes steps until there are none, or the power is cut.
    fn pump(&mut self, second: u64) {
        let mut buffer = [0; Table::BUFFER_BYTES];
        for _ in 0..20 {
            let done = match self.table.step(at(second), &mut buffer) {
                Step::Idle => return,
                Step::Persist(batch) => match block_on(self.records.commit(&batch)) {
                    Ok(()) => Done::Persisted,
                    Err(_) => return,
                },
                other => panic!("an unexpected step: {other:?}"),
            };
            self.table.done(at(second), done);
        }
        panic!("the table never came to rest");
    }

    /// Hands out and finishes everything; returns the ids, each with whether it was resumed.
    fn work(&mut self, second: u64) -> Vec<(String, bool)> {
        let mut ran = Vec::new();
        while let Some(job) = self.table.next() {
            ran.push((text(job.id.as_bytes()), job.resumed));
            self.table.finish(job.id.as_bytes(), Outcome::DONE).unwrap();
            self.pump(second);
        }
        ran
    }

    /// How many records there are.
    fn kept(&mut self) -> usize {
        let mut from = Some(FIRST);
        core::iter::from_fn(|| {
            let key = block_on(self.records.next_key(from?)).unwrap()?;
            from = key.offset(1);
            Some(key)
        })
        .count()
    }

    fn told(&mut self) -> Vec<(String, Outcome)> {
        let ended = core::iter::from_fn(|| self.table.concluded());
        ended
            .map(|end| (text(end.id.as_bytes()), end.outcome))
            .collect()
    }
}

fn restore(table: &mut Table, records: &mut impl Records) {
    block_on(node::restore(table, records, at(0), &mut [0; 256])).unwrap();
}

fn text(id: &[u8]) -> String {
    String::from_utf8(id.to_vec()).unwrap()
}

fn at(second: u64) -> Now {
    let wall = TimeBounds::exact(Timestamp::from_secs(second));
    Now::new(Instant::from_millis(second * 1_000), wall)
}

#[test]
fn a_repetition_is_recognised_before_and_after_its_end_and_over_a_restart() {
    let mut device = Device::new();
    let class = Class::Idempotent;
    assert_eq!(device.admit(0, "a", class), Ok(Admitted::Fresh));
    assert_eq!(device.admit(0, "a", class), Ok(Admitted::InProgress));
    assert_eq!(device.work(0), [("a".into(), false)]);
    let ended = Ok(Admitted::Ended(Outcome::DONE));
    assert_eq!(device.admit(0, "a", class), ended);
    let told = [("a".into(), Outcome::DONE)];
    assert_eq!(device.told(), told);
    assert_eq!(device.told(), []);
    let mut device = device.reboot();
    assert_eq!(device.admit(0, "a", class), ended);
    assert_eq!(device.work(0), []);
    assert_eq!(device.told(), told, "the report may have been lost");
}

#[test]
fn an_id_is_kept_until_its_command_and_the_skew_are_over() {
    let mut device = Device::new();
    for id in ["a", "b", "c"] {
        assert_eq!(device.admit(0, id, Class::Idempotent), Ok(Admitted::Fresh));
    }
    device.work(0);
    device.told();
    let busy = Err(IdError::Busy { limit: 3 });
    let late = |device: &mut Device, second| {
        let expires = Timestamp::from_secs(1_000);
        let class = Class::Idempotent;
        device.table.admit(at(second), b"d", b"", class, expires)
    };
    for second in [0, 59, 60, 69] {
        assert_eq!(late(&mut device, second), busy, "at {second}");
        let again = device.admit(second, "a", Class::Idempotent);
        assert_eq!(again, Ok(Admitted::Ended(Outcome::DONE)));
    }
    assert_eq!(late(&mut device, 70), Ok(Admitted::Fresh));
    // What is forgotten is refused for its age.
    let forgotten = device.admit(70, "a", Class::Idempotent);
    assert_eq!(forgotten, Err(IdError::Expired));
}

const LATER: u64 = 100 * 86_400;

#[test]
fn what_is_over_does_not_come_back_with_a_boot() {
    let mut device = Device::new();
    for id in ["a", "b", "c"] {
        device.admit(0, id, Class::Probed).unwrap();
    }
    device.work(0);
    assert_eq!((device.told().len(), device.kept()), (3, 3));
    let mut device = device.reboot();
    device.pump(LATER);
    assert_eq!(device.kept(), 3, "the report may have been lost");
    assert_eq!(device.told().len(), 3);
    // One record with each step.
    for left in [2, 1, 0] {
        let mut buffer = [0; Table::BUFFER_BYTES];
        let Step::Persist(batch) = device.table.step(at(LATER), &mut buffer) else {
            panic!("nothing is removed");
        };
        assert!(batch.iter().all(|(_, value)| value.is_none()));
        block_on(device.records.commit(&batch)).unwrap();
        device.table.done(at(LATER), Done::Persisted);
        assert_eq!(device.kept(), left);
    }
    for _ in 0..2 {
        device = device.reboot();
        assert_eq!(device.told(), []);
        let late = device.admit(LATER, "a", Class::Probed);
        assert_eq!(late, Err(IdError::Expired));
    }
}

#[test]
fn a_cut_leaves_what_is_over_whole_or_not_at_all() {
    for (fault, told) in [(Fault::CutBefore, 1), (Fault::CutAfter, 0)] {
        // Its start and its end are on record, its removal is not.
        let mut device = Device::boot(MemoryRecords::new(), fault, 2);
        device.admit(0, "a", Class::Opaque).unwrap();
        device.work(0);
        assert_eq!(device.told().len(), 1);
        device.pump(LATER);
        assert!(device.records.fired());
        let mut device = device.reboot();
        assert_eq!(device.told().len(), told);
        device.pump(LATER);
        assert_eq!((device.work(LATER), device.kept()), ([].into(), 0));
    }
}

#[test]
fn nobody_takes_the_place_of_one_whose_record_is_being_removed() {
    let mut table = IdTable::<1, 12>::new(FIRST);
    table.input(at(0), &Event::Restored);
    let admit = |table: &mut IdTable<1, 12>, second, id| {
        let expires = Timestamp::from_secs(second + 60);
        table.admit(at(second), id, b"", Class::Opaque, expires)
    };
    let mut buffer = [0; 256];
    admit(&mut table, 0, b"a").unwrap();
    assert!(matches!(table.step(at(0), &mut buffer), Step::Persist(_)));
    table.done(at(0), Done::Persisted);
    let id = table.next().unwrap().id;
    table.finish(id.as_bytes(), Outcome::DONE).unwrap();
    assert!(matches!(table.step(at(0), &mut buffer), Step::Persist(_)));
    table.done(at(0), Done::Persisted);
    table.concluded().unwrap();
    assert!(matches!(
        table.step(at(LATER), &mut buffer),
        Step::Persist(_)
    ));
    let busy = Err(IdError::Busy { limit: 1 });
    assert_eq!(admit(&mut table, LATER, b"b"), busy);
    // The clock is lost meanwhile, and what is asked for is still the removal.
    let unknown = Now::new(Instant::from_millis(LATER * 1_000), TimeBounds::UNKNOWN);
    let Step::Persist(batch) = table.step(unknown, &mut buffer) else {
        panic!("it asks for something else");
    };
    assert_eq!(batch.iter().next(), Some((FIRST, None)));
    table.done(unknown, Done::Persisted);
    assert_eq!(admit(&mut table, LATER, b"b"), Ok(Admitted::Fresh));
    assert_eq!(table.next(), None, "its start is not on record");
}

#[test]
fn what_runs_or_was_not_told_is_kept_whatever_the_time() {
    let mut device = Device::new();
    device.admit(0, "a", Class::Opaque).unwrap();
    device.admit(0, "b", Class::Opaque).unwrap();
    device.admit(0, "c", Class::Opaque).unwrap();
    let a = device.table.next().unwrap().id;
    let b = device.table.next().unwrap().id;
    device.table.finish(b.as_bytes(), Outcome::DONE).unwrap();
    device.pump(100);
    // c was not handed out in time.
    let expires = Timestamp::from_secs(1_000);
    let admit = |device: &mut Device| {
        let class = Class::Opaque;
        device.table.admit(at(100), b"d", b"", class, expires)
    };
    assert_eq!(admit(&mut device), Err(IdError::Busy { limit: 3 }));
    assert_eq!(
        device.told(),
        [("b".into(), Outcome::DONE), ("c".into(), Outcome::Expired)]
    );
    assert_eq!(admit(&mut device), Ok(Admitted::Fresh));
    device.table.finish(a.as_bytes(), Outcome::DONE).unwrap();
}

#[test]
fn another_command_of_the_same_id_and_a_long_id_are_refused() {
    let mut device = Device::new();
    device.admit(0, "a", Class::Idempotent).unwrap();
    let expires = Timestamp::from_secs(60);
    let other = device
        .table
        .admit(at(0), b"a", b"other", Class::Idempotent, expires);
    assert_eq!(other, Err(IdError::Mismatch));
    let limit = IdError::TooLong {
        bytes: 13,
        limit: 12,
    };
    let long = device.admit(0, "0123456789abc", Class::Idempotent);
    assert_eq!(long, Err(limit));
    let unborn = Table::new(FIRST).admit(at(0), b"a", b"", Class::Opaque, expires);
    assert_eq!(unborn, Err(IdError::NotRestored));
}

#[test]
fn without_a_clock_nothing_is_taken_in_unless_the_policy_says_otherwise() {
    let mut table = Table::new(FIRST);
    table.input(at(0), &Event::Restored);
    let unknown = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let expires = Timestamp::from_secs(60);
    let admit = |table: &mut Table| table.admit(unknown, b"a", b"", Class::Opaque, expires);
    assert_eq!(admit(&mut table), Err(IdError::ClockUnknown));
    table.danger_run_when_time_is_unknown();
    assert_eq!(admit(&mut table), Ok(Admitted::Fresh));
}

/// Lives through one cut at a commit; returns how often the command ran, and its one end.
fn run(class: Class, fault: Fault, commit: u32) -> (u32, bool, Outcome) {
    let mut device = Device::boot(MemoryRecords::new(), fault, commit);
    let (mut runs, mut resumed, mut ends) = (0, false, Vec::new());
    let mut booted = false;
    for _ in 0..5 {
        let admitted = device.admit(0, "a", class).unwrap();
        if let Admitted::Ended(outcome) = admitted {
            ends.push(outcome);
        }
        while let Some(job) = device.table.next() {
            // The probe of a resumed command finds the effect, if there was one.
            runs += u32::from(!job.resumed || runs == 0);
            resumed |= job.resumed;
            device
                .table
                .finish(job.id.as_bytes(), Outcome::DONE)
                .unwrap();
            device.pump(0);
        }
        ends.extend(device.told().into_iter().map(|(_, outcome)| outcome));
        if device.records.fired() && !booted {
            booted = true;
            device = device.reboot();
            device.pump(0);
        }
    }
    assert!(booted, "the cut at commit {commit} did not happen");
    assert!(ends.len() > 1 && ends.iter().all(|end| *end == ends[0]));
    (runs, resumed, ends[0])
}

#[test]
fn each_class_keeps_its_promise_wherever_the_power_is_cut() {
    let cuts =
        |commits| (0..commits).flat_map(|at| [(Fault::CutBefore, at), (Fault::CutAfter, at)]);
    for (fault, commit) in cuts(1) {
        let (runs, _, end) = run(Class::Idempotent, fault, commit);
        assert!((1..=2).contains(&runs) && end == Outcome::DONE);
    }
    let mut seen = Vec::new();
    for (fault, commit) in cuts(2) {
        let (runs, resumed, end) = run(Class::Probed, fault, commit);
        assert_eq!((runs, end), (1, Outcome::DONE));
        let (opaque_runs, _, end) = run(Class::Opaque, fault, commit);
        assert!(opaque_runs <= 1);
        assert!(end == Outcome::InDoubt || (end, opaque_runs) == (Outcome::DONE, 1));
        seen.push((resumed, end));
    }
    assert!(seen.contains(&(true, Outcome::InDoubt)) && seen.contains(&(false, Outcome::DONE)));
}

#[test]
fn records_that_cannot_be_read_or_of_a_larger_table_stop_it() {
    let mut large = IdTable::<4, 12>::new(FIRST);
    large.input(at(0), &Event::Restored);
    let expires = Timestamp::from_secs(60);
    large
        .admit(at(0), b"a", b"", Class::Opaque, expires)
        .unwrap();
    let mut buffer = [0; 256];
    let Step::Persist(batch) = large.step(at(0), &mut buffer) else {
        panic!("not a record");
    };
    let mut records = MemoryRecords::new();
    block_on(records.commit(&batch)).unwrap();
    let mut device = Device::boot(records.clone(), Fault::Full, u32::MAX);
    assert!(device.table.is_damaged());
    let refused = device.admit(0, "b", Class::Opaque);
    assert_eq!(refused, Err(IdError::Damaged));

    let mut buffer = [0; 64];
    let mut writer = BatchWriter::new(&mut buffer);
    writer.put(FIRST, b"\x89\x01").unwrap();
    block_on(records.commit(&writer.finish())).unwrap();
    let device = Device::boot(records, Fault::Full, u32::MAX);
    assert!(device.table.is_damaged());
}

proptest! {
    #[test]
    fn hostile_records_never_panic_it(values in proptest::collection::vec((0u32..5, proptest::collection::vec(any::<u8>(), 0..80)), 0..4)) {
        let mut table = Table::new(FIRST);
        for (at_key, value) in &values {
            let key = RecordKey::new(0x0300 + at_key);
            table.input(at(0), &Event::Record { key, value });
        }
        table.input(at(0), &Event::Restored);
        let mut buffer = [0; Table::BUFFER_BYTES];
        let _ = table.step(at(0), &mut buffer);
    }

    #[test]
    fn a_record_with_a_byte_changed_never_panics_it(at_byte: prop::sample::Index, to: u8, class in 0..4usize) {
        let classes = [Class::Transactional, Class::Idempotent, Class::Probed, Class::Opaque];
        let mut device = Device::new();
        device.admit(0, "a", classes[class]).unwrap();
        device.work(0);
        let mut buffer = [0; 256];
        let mut value = block_on(device.records.read(FIRST, &mut buffer)).unwrap().unwrap().to_vec();
        let index = at_byte.index(value.len());
        value[index] = to;
        let mut table = Table::new(FIRST);
        table.input(at(0), &Event::Record { key: FIRST, value: &value });
        table.input(at(0), &Event::Restored);
        let mut buffer = [0; Table::BUFFER_BYTES];
        let _ = table.step(at(0), &mut buffer);
        while let Some(job) = table.next() {
            table.finish(job.id.as_bytes(), Outcome::DONE).unwrap();
        }
        let _ = (table.concluded(), table.deadline());
    }
}
