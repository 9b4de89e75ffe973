//! Memory that fails once, agreements that are over, and starts that lead nowhere: what an updater makes of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/keys.rs"]
mod keys;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use device::{BLOCK, KIND, Rig, SIZE, World, encode, image, offer};
use iot_core::engine::{Done, Failure, RecordKey};
use iot_core::message::Fate;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};
use iot_ota::manifest::{Author, CommandList, Element, ParameterList, Role, Roles};
use iot_ota::schedule::{Decision, Stage, Why};
use iot_ota::sim::{MemoryBanks, SimError};
use iot_ota::slot::{Bank, Banks, RECORD_BYTES, RecordCopy, Release, RollBackReason, load};
use iot_ota::update::{Activity, FromDevice, Outcome, Source, ToDevice, Trust, Updater, Want};
use keys::{P256Key, P256Public, Sha256, sha256};

fn at(seconds: u64) -> Now {
    Now::new(Instant::from_millis(seconds * 1_000), TimeBounds::UNKNOWN)
}

/// Banks of which the next reads of the counter fail, and the write of a block after so many.
#[derive(Debug)]
struct Flaky {
    banks: MemoryBanks,
    counter_reads: u32,
    failing_writes: Range<u32>,
    writes: u32,
}

impl Flaky {
    fn new(banks: MemoryBanks) -> Self {
        Self {
            banks,
            counter_reads: 0,
            failing_writes: 0..0,
            writes: 0,
        }
    }
}

impl Banks for Flaky {
    type Error = SimError;

    fn capacity(&self) -> u32 {
        self.banks.capacity()
    }
    fn running(&self) -> Bank {
        self.banks.running()
    }
    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, SimError> {
        self.banks.clear(bank, from)
    }
    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.writes += 1;
        if self.failing_writes.contains(&self.writes) {
            // A part of it is there.
            self.banks.write(bank, offset, &bytes[..bytes.len() / 2])?;
            return Err(SimError::Unreadable);
        }
        self.banks.write(bank, offset, bytes)
    }
    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), SimError> {
        self.banks.read(bank, offset, out)
    }
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.banks.read_record(copy, out)
    }
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.banks.write_record(copy, bytes)
    }
    fn counter(&mut self) -> Result<u64, SimError> {
        if let Some(left) = self.counter_reads.checked_sub(1) {
            self.counter_reads = left;
            return Err(SimError::Unreadable);
        }
        self.banks.counter()
    }
    fn raise_counter(&mut self, to: u64) -> Result<(), SimError> {
        self.banks.raise_counter(to)
    }
}

type FlakyUpdater = Updater<'static, Flaky, Roles<'static, P256Public>, Sha256>;

/// The same device, on those banks; what it sends is lost.
fn start(rig: &Rig, banks: Flaky) -> FlakyUpdater {
    let trust = Trust::new(rig.trusted.clone(), Sha256::default(), KIND);
    let mut updater = Updater::new(banks, trust).with_block_bytes(BLOCK);
    for (&key, value) in &rig.records {
        updater.input(at(0), &Event::Record { key, value });
    }
    updater.input(at(0), &Event::Restored);
    updater
}

fn hear(updater: &mut FlakyUpdater, now: Now, payload: &[u8]) {
    let message = Message::new(Channel::Update, payload);
    updater.input(now, &Event::Message(message));
}

/// Carries out steps until the updater rests; what it has on record, and what it said.
fn run(
    updater: &mut FlakyUpdater,
    now: Now,
    records: &mut BTreeMap<RecordKey, Vec<u8>>,
) -> Vec<FromDevice> {
    let mut said = Vec::new();
    loop {
        let mut buffer = [0; 256];
        match updater.step(now, &mut buffer) {
            Step::Idle if updater.deadline() == Some(Instant::ZERO) => {}
            Step::Idle => return said,
            Step::Persist(batch) => {
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => drop(records.insert(key, value.to_vec())),
                        None => drop(records.remove(&key)),
                    }
                }
                updater.done(now, Done::Persisted);
            }
            Step::Send(message) => {
                said.push(FromDevice::decode(message.payload).unwrap());
                updater.done(now, Done::Sent(Ticket::new(said.len() as u64)));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A device that has fetched three blocks.
fn in_a_download(world: &World) -> Rig {
    let mut rig = world.rig();
    rig.deliver(&world.offer);
    for _ in 0..3 {
        let requests = rig.run().unwrap();
        rig.deliver(&encode(&world.source().answer(&requests[0]).unwrap()));
    }
    rig.run().unwrap();
    rig
}

#[test]
fn a_download_that_cannot_be_gone_on_with_is_begun_again() {
    let world = World::new();
    let mut rig = in_a_download(&world);
    let mut banks = rig.updater.take().unwrap().into_banks();
    banks.reboot(&mut Sha256::default()).unwrap();
    banks.fail_reads(Bank::B, 0);
    rig.start(banks);
    let asked = rig.run().unwrap();
    assert_eq!((asked[0].sequence, asked[0].offset), (2, 0));
    // With the memory healed it is fetched, whole.
    let mut banks = rig.updater.take().unwrap().into_banks();
    banks.heal_reads();
    rig.start(banks);
    world.finish(&mut rig).unwrap();
    assert_eq!(device::runs_a_whole_image(&mut rig, &world), 2);
}

#[test]
fn a_write_that_fails_once_costs_a_block_and_one_that_always_fails_is_told() {
    let world = World::new();
    for (failing, outcome) in [(4..5, None), (4..1_000, Some(Outcome::Memory))] {
        let mut rig = world.rig();
        let mut banks = Flaky::new(rig.updater.take().unwrap().into_banks());
        banks.failing_writes = failing;
        let (mut updater, mut records) = (start(&rig, banks), BTreeMap::new());
        hear(&mut updater, at(0), &world.offer);
        let (mut told, mut asked) = (None, 0);
        while let Some(said) = run(&mut updater, at(0), &mut records).pop() {
            match said {
                FromDevice::Request(request) => {
                    asked += 1;
                    let block = encode(&world.source().answer(&request).unwrap());
                    hear(&mut updater, at(0), &block);
                }
                FromDevice::Report(report) => {
                    told = Some(report.outcome);
                    break;
                }
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, outcome);
        match outcome {
            None => {
                assert!(matches!(updater.status().activity, Activity::Staged { .. }));
                let blocks = SIZE.div_ceil(BLOCK as usize);
                assert_eq!(
                    asked,
                    blocks + 2,
                    "the one that failed, and the rest of a page"
                );
                let banks = updater.into_banks().banks;
                assert_eq!(banks.bytes(Bank::B), world.image);
            }
            Some(_) => assert_eq!(updater.status().activity, Activity::Idle),
        }
    }
}

#[test]
fn a_counter_that_cannot_be_read_once_costs_no_download() {
    let world = World::new();
    let mut rig = in_a_download(&world);
    for failing in 1..4 {
        let mut banks = Flaky::new(rig.updater.take().unwrap().into_banks());
        banks.counter_reads = failing;
        let mut updater = start(&rig, banks);
        let said = run(&mut updater, at(0), &mut rig.records);
        assert!(
            matches!(said[..], [FromDevice::Request(request)] if request.offset > 0),
            "{said:?}"
        );
        rig.start(updater.into_banks().banks);
    }
}

#[test]
fn a_counter_that_cannot_be_read_once_costs_no_confirmation_and_rises_all_the_same() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    for failing in 0..5 {
        let mut banks = Flaky::new(rig.banks().clone());
        banks.counter_reads = failing;
        let mut updater = start(&rig, banks);
        assert_eq!(updater.wants(), Want::Confirm);
        updater.confirm(true);
        let (mut records, mut seconds) = (BTreeMap::new(), 0);
        run(&mut updater, at(seconds), &mut records);
        for _ in 0..10 {
            let next = updater.deadline().map_or(0, Instant::as_millis);
            seconds = next.div_ceil(1_000).max(seconds);
            run(&mut updater, at(seconds), &mut records);
        }
        let mut banks = updater.into_banks().banks;
        let record = load(&mut banks).unwrap().unwrap();
        assert_eq!((record.installed.sequence, banks.counter()), (2, Ok(7)));
    }
}

#[test]
fn without_a_link_no_download_is_too_slow_whenever_it_is_asked_for() {
    let world = World::new();
    let mut rig = world.rig();
    let slow =
        |updater: device::TestUpdater| updater.with_minimum_rate(BLOCK, Duration::from_secs(60));
    rig.updater = rig.updater.take().map(slow);
    rig.deliver(&world.offer);
    rig.run().unwrap();
    rig.updater().input(at(1), &Event::Disconnected);
    let mut refused = 0;
    for second in 1..3_600 {
        let mut buffer = [0; 256];
        // The link is down.
        while let Step::Send(_) = rig.updater().step(at(second), &mut buffer) {
            refused += 1;
            rig.updater().done(at(second), Done::Failed(Failure::Busy));
        }
    }
    assert!(refused > 5, "{refused}");
    let activity = rig.updater().status().activity;
    assert!(
        matches!(activity, Activity::Fetching { .. }),
        "{activity:?}"
    );
    // With a link it is.
    rig.now_ms = 3_600_000;
    rig.updater()
        .input(at(3_600), &Event::Connected { resumed: true });
    rig.run().unwrap();
    rig.now_ms += 61_000;
    rig.run().unwrap();
    assert_eq!(rig.reports[0].outcome, Outcome::TooSlow);
}

#[test]
fn a_boot_loader_that_cannot_note_a_trial_is_asked_eight_times() {
    let world = World::new();
    for heals in [false, true] {
        let mut rig = world.rig();
        assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Reboot));
        let mut banks = rig.updater.take().unwrap().into_banks();
        // The trial would be counted there.
        banks.fail_record_reads(RecordCopy::First);
        rig.start(banks);
        let mut restarts = 1;
        rig.run().unwrap();
        while rig.updater().wants() == Want::Reboot {
            restarts += 1;
            assert!(restarts < 20, "no end");
            let mut banks = rig.updater.take().unwrap().into_banks();
            banks.reboot(&mut Sha256::default()).unwrap();
            if heals && restarts == 9 {
                banks.heal_reads();
            }
            rig.start(banks);
            rig.run().unwrap();
        }
        assert_eq!(restarts, 9);
        let (activity, outcome) = match heals {
            true => (
                Activity::Idle,
                Outcome::RolledBack(RollBackReason::Unconfirmed),
            ),
            false => (Activity::Unusable, Outcome::Memory),
        };
        assert_eq!(rig.updater().status().activity, activity);
        let told = rig.reports.last().unwrap();
        assert_eq!((told.sequence, told.outcome), (Some(2), outcome));
    }
}

fn asking(world: &World) -> Rig {
    let mut rig = world.rig();
    rig.updater = rig.updater.take().map(Updater::with_approval);
    rig
}

#[test]
fn who_calls_a_release_off_has_not_agreed_to_it() {
    let world = World::new();
    for by_the_service in [false, true] {
        let mut rig = asking(&world);
        rig.talk(&world.offer, &world.source()).unwrap();
        assert!(rig.updater().approve(2));
        rig.run().unwrap();
        match by_the_service {
            true => rig.deliver(&encode(&ToDevice::Abort { sequence: 2 })),
            false => assert!(rig.updater().cancel()),
        }
        rig.run().unwrap();
        assert_eq!(rig.talk(&world.offer, &world.source()), Ok(Want::Approve));
    }
}

#[test]
fn who_agrees_to_one_image_has_not_agreed_to_another_under_its_number() {
    let world = World::new();
    let other = image(7, SIZE);
    let again = offer(&world.key, 2, KIND, &other);
    let mut rig = asking(&world);
    rig.talk(&world.offer, &world.source()).unwrap();
    assert!(rig.updater().approve(2));
    rig.run().unwrap();
    rig.deliver(&encode(&ToDevice::Abort { sequence: 2 }));
    rig.run().unwrap();
    let source = Source::new(2, &other);
    assert_eq!(rig.talk(&again, &source), Ok(Want::Approve));
    assert!(rig.updater().approve(2));
    assert_eq!(rig.talk(&again, &source), Ok(Want::Reboot));
}

#[test]
fn what_nobody_has_signed_for_since_the_start_is_not_staged() {
    let world = World::new();
    let other = image(66, SIZE);
    let (offer, source) = (offer(&world.key, 66, KIND, &other), Source::new(66, &other));
    // Records of a download that another device has begun, by an offer that this one never saw.
    let mut rig = world.rig();
    let mut stolen = world.rig();
    stolen.deliver(&offer);
    stolen.run().unwrap();
    rig.records.clone_from(&stolen.records);
    rig.reboot();
    // It is fetched, and asked for again and again, and never staged.
    let mut asked = 0;
    for minute in 0..30 {
        rig.now_ms = minute * 60_000;
        for request in rig.run().unwrap() {
            asked += 1;
            rig.deliver(&encode(&source.answer(&request).unwrap()));
        }
    }
    assert!(asked > SIZE / BLOCK as usize + 3, "{asked}");
    let last = rig.requests.last().unwrap();
    assert!(source.is_last(last), "{last:?}");
    assert_eq!(rig.updater().wants(), Want::Nothing);
    rig.reboot();
    rig.run().unwrap();
    assert_eq!(rig.updater().wants(), Want::Nothing);
    // Nor by an offer of anything else, or by nobody's.
    rig.deliver(&device::offer(&P256Key::generate(), 66, KIND, &other));
    rig.deliver(&device::offer(&world.key, 66, KIND, &image(7, SIZE)));
    rig.deliver(&world.offer);
    rig.run().unwrap();
    assert_eq!(rig.updater().wants(), Want::Nothing);
    // With the signature it is.
    rig.now_ms += 60_000;
    assert_eq!(rig.talk(&offer, &source), Ok(Want::Reboot));
}

#[test]
fn the_offer_behind_the_last_block_ends_a_download_that_went_on_after_a_restart() {
    let world = World::new();
    let mut rig = in_a_download(&world);
    rig.reboot();
    let mut last = false;
    while !last {
        for request in rig.run().unwrap() {
            rig.deliver(&encode(&world.source().answer(&request).unwrap()));
            last = world.source().is_last(&request);
        }
    }
    rig.run().unwrap();
    assert_eq!(rig.updater().wants(), Want::Nothing);
    rig.deliver(&world.offer);
    rig.run().unwrap();
    assert_eq!(rig.updater().wants(), Want::Reboot);
}

/// An offer of release 2, whose manifest asks for somebody's agreement.
fn asking_offer(world: &World) -> Vec<u8> {
    let size = SIZE as u64;
    let own = ParameterList::new()
        .vendor(KIND.vendor)
        .class(KIND.class)
        .digest(&sha256(&world.image))
        .size(size);
    let checks = CommandList::new().choose(0).set(own).vendor().class();
    let fetch = CommandList::new()
        .choose(0)
        .set(ParameterList::new().priority(3))
        .command(27, 15)
        .set(ParameterList::new().uri("iot:firmware"))
        .fetch();
    let author = Author::new(2, &[&[b"firmware"]])
        .shared(checks)
        .section(Element::PayloadFetch, fetch)
        .validate(CommandList::new().choose(0).image_match());
    let mut envelope = author.build(&mut Sha256::default());
    envelope.sign(&world.key, Some(b"k1")).unwrap();
    let envelope = envelope.encode();
    encode(&ToDevice::Offer {
        envelope: &envelope,
    })
}

#[test]
fn a_manifest_that_asks_for_agreement_gets_it_whatever_the_device_is_set_to() {
    let world = World::new();
    let asks = asking_offer(&world);
    let mut rig = world.rig();
    assert_eq!(rig.talk(&asks, &world.source()), Ok(Want::Approve));
    assert_eq!(rig.requests, []);
    let activity = rig.updater().status().activity;
    assert!(
        matches!(activity, Activity::AwaitingApproval { release } if release.sequence == 2),
        "{activity:?}"
    );
    // A reboot agrees to nothing.
    rig.reboot();
    assert_eq!(rig.run().unwrap(), []);
    assert_eq!(rig.talk(&asks, &world.source()), Ok(Want::Approve));
    assert!(rig.updater().approve(2));
    assert_eq!(rig.talk(&asks, &world.source()), Ok(Want::Reboot));
    // The next release asks for nothing.
    rig.reboot();
    rig.confirm(true);
    let third = image(3, 300);
    let plain = offer(&world.key, 3, KIND, &third);
    assert_eq!(rig.talk(&plain, &Source::new(3, &third)), Ok(Want::Reboot));
}

#[test]
fn an_end_is_not_displaced_by_a_refusal_after_going_back() {
    let key = P256Key::generate();
    let role = Role::new(1, 0b1).with_downgrade();
    let mut rig = Rig::factory_of(key.public(), role, 1_024, Release::new(1, [0; 32], 0));
    // The service hears nothing for a while.
    rig.fate = Fate::Expired;
    for sequence in [3, 2] {
        let image = image(sequence, 300);
        let envelope = offer(&key, sequence, KIND, &image);
        let source = Source::new(sequence, &image);
        assert_eq!(rig.talk(&envelope, &source), Ok(Want::Reboot));
        rig.reboot();
        rig.confirm(true);
        rig.run().unwrap();
    }
    rig.deliver(&encode(&ToDevice::Offer {
        envelope: b"nonsense",
    }));
    rig.fate = Fate::Delivered;
    rig.now_ms += 100_000;
    rig.run().unwrap();
    let told = |report: &iot_ota::update::Report| (report.sequence, report.outcome);
    let told: Vec<_> = rig.reports.iter().map(told).collect();
    let ends = [(Some(2), Outcome::Confirmed), (None, Outcome::NotAuthentic)];
    assert_eq!(told, ends);
}

#[test]
fn an_end_that_is_on_its_way_is_not_sent_again() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    rig.reboot();
    rig.confirm(true);
    let third = image(3, 300);
    let template = device::template(3, KIND, &third).with_counter(7);
    let envelope = device::offer_of(&world.key, &template);
    let source = Source::new(3, &third);
    rig.deliver(&envelope);
    let (mut reports, mut tickets) = (0, 0);
    let updater = rig.updater();
    while !matches!(updater.status().activity, Activity::Staged { .. }) {
        let mut buffer = [0; 256];
        let mut block = None;
        match updater.step(at(0), &mut buffer) {
            Step::Persist(_) => updater.done(at(0), Done::Persisted),
            Step::Send(message) => {
                match FromDevice::decode(message.payload).unwrap() {
                    FromDevice::Request(request) => block = source.answer(&request).ok(),
                    _ => reports += 1,
                }
                tickets += 1;
                // The link has taken it, and has not said yet what became of it.
                updater.done(at(0), Done::Sent(Ticket::new(tickets)));
            }
            Step::Idle if updater.deadline() == Some(Instant::ZERO) => {}
            other => panic!("{other:?}"),
        }
        if let Some(block) = block.map(|block| encode(&block)) {
            let message = Message::new(Channel::Update, &block);
            updater.input(at(0), &Event::Message(message));
        }
    }
    let mut buffer = [0; 256];
    while let Step::Persist(_) = updater.step(at(0), &mut buffer) {
        updater.done(at(0), Done::Persisted);
    }
    let rests = updater.step(at(0), &mut buffer);
    assert!(matches!(rests, Step::Idle), "{rests:?}");
    assert_eq!(reports, 1);
}

#[test]
fn a_gate_wakes_its_driver_once() {
    let world = World::new();
    let mut rig = world.rig();
    for stage in [Stage::Fetch, Stage::Restart] {
        let wait = Decision::Wait {
            why: Why::Window,
            until: Some(Instant::from_millis(5_000)),
        };
        rig.updater().gate(stage, wait);
    }
    rig.deliver(&world.offer);
    for (now, deadline) in [(4_999, Some(5_000)), (5_000, None)] {
        rig.now_ms = now;
        assert_eq!(rig.run().unwrap(), [], "the gate holds until it is opened");
        let deadline = deadline.map(Instant::from_millis);
        assert_eq!(rig.updater().deadline(), deadline);
    }
    rig.updater().gate(Stage::Fetch, Decision::Go);
    assert_eq!(rig.run().unwrap().len(), 1);
}

#[test]
fn who_aborts_what_is_staged_hears_that_it_stays() {
    let world = World::new();
    let mut rig = world.rig();
    rig.talk(&world.offer, &world.source()).unwrap();
    for rebooted in [false, true] {
        if rebooted {
            rig.reboot();
        }
        rig.reports.clear();
        for sequence in [2, 3] {
            rig.deliver(&encode(&ToDevice::Abort { sequence }));
        }
        rig.run().unwrap();
        let told = |report: &iot_ota::update::Report| (report.sequence, report.outcome);
        let told: Vec<_> = rig.reports.iter().map(told).collect();
        assert_eq!(told, [(Some(2), Outcome::Busy)]);
    }
    world.finish(&mut rig).unwrap();
}

#[test]
fn a_download_that_came_and_went_between_two_looks_changes_nothing() {
    let world = World::new();
    let mut rig = world.rig();
    rig.run().unwrap();
    let first = rig.updater().progress().unwrap();
    assert_eq!(first.activity, Activity::Idle);
    assert_eq!(rig.updater().progress(), None);
    rig.deliver(&world.offer);
    assert!(rig.updater().cancel());
    assert_eq!(rig.updater().progress(), None, "it is as idle as before");
}

#[test]
fn what_could_not_be_saved_wakes_its_driver_whatever_the_timeout() {
    let world = World::new();
    let mut rig = world.rig();
    rig.updater = rig
        .updater
        .take()
        .map(|updater| updater.with_timeout(Duration::ZERO));
    rig.run().unwrap();
    rig.deliver(&world.offer);
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let mut buffer = [0; 256];
    let step = rig.updater().step(now, &mut buffer);
    assert!(matches!(step, Step::Persist(_)), "{step:?}");
    let full = Done::Failed(Failure::StorageFull);
    rig.updater().done(now, full);
    assert!(
        rig.updater().deadline().is_some(),
        "it is to be tried again, and nobody will be woken for it"
    );
}
