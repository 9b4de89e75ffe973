//! What an issuer sends, for how long, and how it learns the end; then a thousand of them at once.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use core::time::Duration;

use futures::executor::block_on;
use iot_core::command::{
    Answer, Inbox, IssueError, Issuer, Outcome, Request, Response, Terms, Unanswered,
};
use iot_core::engine::{BatchWriter, Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node;
use iot_core::port::Records;
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, CommandId, DeviceId, Instant, IssuerId, Message, Now, Peer, TenantId, Ticket,
    Timestamp,
};

iot_core::commands! {
    enum Job { #[idempotent] Set { level: u32 }, #[opaque] Pulse }
}

const SERVICE: IssuerId = IssuerId::new(1);
type Store = FixedRecords<8, 96>;

fn at(second: u64) -> Now {
    let wall = TimeBounds::exact(Timestamp::from_secs(1_000 + second));
    Now::new(Instant::from_millis(second * 1_000), wall)
}

struct Service {
    issuer: Issuer<Job, 2>,
    records: Store,
    second: u64,
}

impl Service {
    fn boot(mut records: Store, second: u64) -> Self {
        let mut issuer = Issuer::new(SERVICE, RecordKey::new(0));
        restore(&mut issuer, &mut records, at(second));
        Self {
            issuer,
            records,
            second,
        }
    }

    fn issue(&mut self, job: Job, terms: Terms) -> Result<CommandId, IssueError> {
        self.issuer.issue(at(self.second), job, terms)
    }

    /// Lets the issuer act; returns the sequences it sent, with what each settles.
    fn pump(&mut self) -> Vec<(u32, u32)> {
        let sent = self.messages();
        let all = sent.iter().flat_map(|message| requests(message));
        all.map(|request| (request.id.sequence, request.settled_below))
            .collect()
    }

    fn messages(&mut self) -> Vec<Vec<u8>> {
        pump(&mut self.issuer, &mut self.records, at(self.second))
    }

    /// Lets the issuer act; returns the sequences it sent, and whether each is to be given up.
    fn pump_cancels(&mut self) -> Vec<(u32, bool)> {
        let sent = self.messages();
        let all = sent.iter().flat_map(|message| requests(message));
        all.map(|request| (request.id.sequence, request.cancels))
            .collect()
    }

    fn answer(&mut self, id: CommandId, answer: Answer) {
        let mut buffer = [0; 128];
        let len = Response::new(id, answer).encode(&mut buffer).unwrap();
        let message = Message::new(Channel::Command, &buffer[..len]);
        self.issuer.input(at(self.second), &Event::Message(message));
    }

    fn concluded(&mut self) -> Option<(u32, Result<Outcome, Unanswered>)> {
        let end = self.issuer.concluded()?;
        Some((end.id.sequence, end.outcome))
    }
}

/// Every request of a message.
fn requests(mut message: &[u8]) -> Vec<Request<'_>> {
    let mut requests = Vec::new();
    while !message.is_empty() {
        let (request, rest) = Request::decode_first(message).unwrap();
        requests.push(request);
        message = rest;
    }
    requests
}

fn restore(engine: &mut dyn Engine, records: &mut Store, now: Now) {
    block_on(node::restore(engine, records, now, &mut [0; 96])).unwrap();
}

fn pump(engine: &mut dyn Engine, records: &mut Store, now: Now) -> Vec<Vec<u8>> {
    pump_into(engine, records, now)
}

fn pump_into(engine: &mut dyn Engine, records: &mut impl Records, now: Now) -> Vec<Vec<u8>> {
    let (mut sent, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        assert!(sent.len() < 100, "it never comes to rest");
        let done = match engine.step(now, &mut buffer) {
            Step::Idle => return sent,
            Step::Persist(batch) => {
                block_on(records.commit(&batch)).unwrap();
                Done::Persisted
            }
            Step::Send(message) => {
                sent.push(message.payload.to_vec());
                Done::Sent(Ticket::new(0))
            }
            other => panic!("an unexpected step: {other:?}"),
        };
        engine.done(now, done);
    }
}

#[test]
fn it_repeats_with_growing_pauses_until_the_last_word() {
    let mut service = Service::boot(Store::new(), 0);
    let id = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    let mut sent = Vec::new();
    for second in 0..40 {
        service.second = second;
        sent.extend(service.pump().iter().map(|_| second));
    }
    assert_eq!(sent, [0, 1, 3, 7, 15, 31]);
    service.answer(id, Answer::InProgress);
    service.answer(id, Answer::Busy);
    service.answer(id, Answer::UnknownIssuer);
    assert_eq!(service.concluded(), None);
    service.answer(id, Answer::Ended(Outcome::InDoubt));
    assert_eq!(service.concluded(), Some((1, Ok(Outcome::InDoubt))));
    service.second = 200;
    assert_eq!(service.pump(), []);
    assert_eq!(service.concluded(), None);
}

#[test]
fn nothing_is_sent_before_it_is_on_record() {
    let mut service = Service::boot(Store::new(), 0);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    let mut buffer = [0; 1024];
    let step = service.issuer.step(at(0), &mut buffer);
    assert!(matches!(step, Step::Persist(_)));
    service
        .issuer
        .done(at(0), Done::Failed(Failure::StorageFull));
    assert!(matches!(
        service.issuer.step(at(0), &mut buffer),
        Step::Idle
    ));
    service.second = 1;
    assert_eq!(service.pump(), [(1, 1)]);
}

#[test]
fn a_restarted_service_goes_on_asking_and_never_reuses_a_sequence() {
    let mut service = Service::boot(Store::new(), 0);
    let first = service
        .issue(Job::Set { level: 1 }, Terms::DEFAULT)
        .unwrap();
    let second = service
        .issue(Job::Set { level: 2 }, Terms::DEFAULT)
        .unwrap();
    service.pump();
    service.answer(first, Answer::Ended(Outcome::DONE));
    assert_eq!(service.concluded(), Some((1, Ok(Outcome::DONE))));
    service.pump();
    let mut service = Service::boot(service.records, 50);
    assert_eq!(service.pump(), [(2, 2)]);
    let third = service
        .issue(Job::Set { level: 3 }, Terms::DEFAULT)
        .unwrap();
    assert_eq!((third.sequence, third.epoch), (3, second.epoch));
}

#[test]
fn a_sequence_is_settled_only_when_its_record_is_gone() {
    let mut service = Service::boot(Store::new(), 0);
    let first = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!(service.pump(), [(1, 1), (2, 1)]);
    service.answer(first, Answer::Ended(Outcome::DONE));
    service.second = 1;
    // Not told to the application yet: a restart would bring it back.
    assert_eq!(service.pump(), [(2, 1)]);
    assert!(service.concluded().is_some());
    service.second = 4;
    assert_eq!(service.pump(), [(2, 2)]);
}

#[test]
fn without_an_answer_it_gives_up_and_settles_the_sequence() {
    let mut service = Service::boot(Store::new(), 0);
    let terms = Terms::DEFAULT.give_up_after(Duration::from_secs(10));
    service.issue(Job::Pulse, terms).unwrap();
    service.pump();
    service.second = 10;
    assert_eq!(service.pump(), []);
    let (sequence, outcome) = service.concluded().unwrap();
    assert!(sequence == 1 && outcome.is_err());
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!(service.pump(), [(2, 2)]);
}

#[test]
fn a_new_epoch_survives_a_restart_and_ends_what_was_under_way() {
    let mut service = Service::boot(Store::new(), 0);
    let old = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!(old.epoch, 1_000);
    service.pump();
    service.issuer.open_epoch(at(0));
    assert!(service.concluded().unwrap().1.is_err());
    service.pump();
    let mut service = Service::boot(service.records, 0);
    assert_eq!(service.pump(), []);
    let fresh = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!((fresh.epoch, fresh.sequence), (1_001, 1));
}

#[test]
fn a_new_epoch_removes_the_records_that_could_not_be_read() {
    for damaged in [0, 1, 2] {
        let mut service = Service::boot(Store::new(), 0);
        let old = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
        service.pump();
        let mut buffer = [0; 32];
        let mut writer = BatchWriter::new(&mut buffer);
        writer.put(RecordKey::new(damaged), b"\x86\x09").unwrap();
        block_on(service.records.commit(&writer.finish())).unwrap();

        let mut service = Service::boot(service.records, 0);
        let refused = service.issue(Job::Pulse, Terms::DEFAULT);
        assert_eq!(refused, Err(IssueError::Damaged));
        service.issuer.open_epoch(at(5));
        let mut idle = Service::boot(service.records.clone(), 5);
        idle.issuer.open_epoch(at(5));
        idle.pump();
        let mut idle = Service::boot(idle.records, 6);
        let next = idle.issue(Job::Pulse, Terms::DEFAULT);
        assert_ne!(next, Err(IssueError::Damaged), "record {damaged}");
        // The place of the lost record is taken again before it was cleared.
        let fresh = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
        assert!(fresh.epoch > old.epoch);
        assert_eq!(service.pump(), [(1, 1)]);

        let mut service = Service::boot(service.records, 6);
        assert_eq!(service.pump(), [(1, 1)], "record {damaged}");
        let next = service.issue(Job::Pulse, Terms::DEFAULT);
        assert_ne!(next, Err(IssueError::Damaged));
        service.answer(fresh, Answer::Ended(Outcome::DONE));
        let ends: Vec<_> = core::iter::from_fn(|| service.concluded()).collect();
        assert!(ends.contains(&(1, Ok(Outcome::DONE))));
    }
}

#[test]
fn a_damaged_issuer_does_not_keep_its_driver_awake() {
    let mut service = Service::boot(Store::new(), 0);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.pump();
    let mut buffer = [0; 32];
    let mut writer = BatchWriter::new(&mut buffer);
    writer.put(RecordKey::new(2), b"\x86\x09").unwrap();
    block_on(service.records.commit(&writer.finish())).unwrap();

    let mut service = Service::boot(service.records, 9);
    assert_eq!(service.pump(), []);
    assert_eq!(service.issuer.deadline(), None);
    service.issuer.open_epoch(at(9));
    assert_eq!(service.issuer.deadline(), Some(Instant::ZERO));
    assert!(service.concluded().is_some());
}

#[test]
fn an_issuer_without_room_in_its_storage_clears_damage_later() {
    let mut service = Service::boot(Store::new(), 0);
    let mut buffer = [0; 1024];
    let mut writer = BatchWriter::new(&mut buffer);
    writer.put(RecordKey::new(2), b"\x86\x09").unwrap();
    block_on(service.records.commit(&writer.finish())).unwrap();
    let mut service = Service::boot(service.records, 0);
    service.issuer.open_epoch(at(0));
    let Step::Persist(header) = service.issuer.step(at(0), &mut buffer) else {
        panic!("not a record");
    };
    block_on(service.records.commit(&header)).unwrap();
    service.issuer.done(at(0), Done::Persisted);
    assert!(matches!(
        service.issuer.step(at(0), &mut buffer),
        Step::Persist(_)
    ));
    let full = Done::Failed(Failure::StorageFull);
    service.issuer.done(at(0), full);
    let later = service.issuer.deadline().unwrap();
    assert!(later > at(0).instant && later <= at(1).instant);
    service.second = 1;
    assert_eq!(service.pump(), []);
    let mut service = Service::boot(service.records, 2);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
}

#[test]
fn an_idle_issuer_puts_its_new_epoch_on_record_too() {
    let mut service = Service::boot(Store::new(), 0);
    service.issuer.open_epoch(at(5));
    service.issuer.open_epoch(at(5));
    service.pump();
    let mut service = Service::boot(service.records, 0);
    let id = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!((id.epoch, id.sequence), (1_006, 1));
}

#[test]
fn an_epoch_without_a_sequence_left_is_told_and_another_goes_on() {
    let mut service = Service::boot(Store::new(), 0);
    let mut buffer = [0; 32];
    let mut writer = BatchWriter::new(&mut buffer);
    // The last number of all but one is the last sequence.
    let header = b"\x83\x01\x07\x1a\xff\xff\xff\xfe";
    writer.put(RecordKey::new(0), header).unwrap();
    block_on(service.records.commit(&writer.finish())).unwrap();
    let mut service = Service::boot(service.records, 0);
    let last = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!((last.epoch, last.sequence), (7, u32::MAX - 1));
    assert_eq!(service.pump(), [(u32::MAX - 1, u32::MAX - 1)]);
    let none = service.issue(Job::Pulse, Terms::DEFAULT);
    assert_eq!(none, Err(IssueError::Exhausted));
    service.issuer.open_epoch(at(0));
    let next = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!((next.epoch, next.sequence), (1_000, 1));
}

#[test]
fn it_holds_only_as_many_commands_as_it_has_room_for() {
    let mut service = Service::boot(Store::new(), 0);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    let full = service.issue(Job::Pulse, Terms::DEFAULT);
    assert_eq!(full, Err(IssueError::Full { limit: 2 }));
    let mut unborn = Issuer::<Job, 1>::new(SERVICE, RecordKey::new(0));
    let early = unborn.issue(at(0), Job::Pulse, Terms::DEFAULT);
    assert_eq!(early, Err(IssueError::NotRestored));
}

#[test]
fn what_is_due_together_travels_together_in_the_order_of_issue() {
    let mut service = Service::boot(Store::new(), 0);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service
        .issue(Job::Set { level: 1 }, Terms::DEFAULT)
        .unwrap();
    let sent = service.messages();
    assert_eq!(sent.len(), 1);
    let ids: Vec<_> = requests(&sent[0])
        .iter()
        .map(|one| one.id.sequence)
        .collect();
    assert_eq!(ids, [1, 2]);
    // Each is answered, and repeated, by itself.
    let first = requests(&sent[0])[0].id;
    service.answer(first, Answer::Ended(Outcome::DONE));
    service.second = 1;
    assert_eq!(service.pump(), [(2, 1)]);
}

#[test]
fn what_does_not_fit_into_one_message_travels_in_the_next() {
    iot_core::commands! { enum Long { #[idempotent] Write { bytes: [u64; 20] } } }
    let mut issuer = Issuer::<Long, 4>::new(SERVICE, RecordKey::new(0));
    issuer.input(at(0), &Event::Restored);
    for _ in 0..4 {
        let long = Long::Write {
            bytes: [u64::MAX; 20],
        };
        issuer.issue(at(0), long, Terms::DEFAULT).unwrap();
    }
    let mut records = FixedRecords::<8, 256>::new();
    let sent = pump_into(&mut issuer, &mut records, at(0));
    let counts: Vec<_> = sent.iter().map(|message| requests(message).len()).collect();
    assert_eq!(counts, [2, 2]);
    assert!(sent.iter().all(|message| message.len() <= 512));
}

#[test]
fn a_link_that_is_busy_holds_the_whole_message_back() {
    let mut service = Service::boot(Store::new(), 0);
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    let (issuer, mut buffer) = (&mut service.issuer, [0; 1024]);
    let mut persisted = 0;
    loop {
        match issuer.step(at(0), &mut buffer) {
            Step::Persist(_) => {
                persisted += 1;
                issuer.done(at(0), Done::Persisted);
            }
            Step::Send(_) => break issuer.done(at(0), Done::Failed(Failure::Busy)),
            other => panic!("an unexpected step: {other:?}"),
        }
    }
    assert_eq!(persisted, 2);
    assert!(matches!(issuer.step(at(0), &mut buffer), Step::Idle));
    assert_eq!(issuer.deadline(), Some(Instant::from_millis(500)));
    service.second = 1;
    assert_eq!(service.pump(), [(1, 1), (2, 1)]);
}

#[test]
fn a_cancelled_command_is_asked_back_after_a_restart_too_until_its_end_is_known() {
    let mut service = Service::boot(Store::new(), 0);
    let id = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    assert_eq!(service.pump_cancels(), [(1, false)]);
    service.issuer.cancel(id).unwrap();
    assert_eq!(service.pump_cancels(), [(1, true)]);
    let mut service = Service::boot(service.records, 5);
    assert_eq!(service.pump_cancels(), [(1, true)]);
    service.answer(id, Answer::TooLate);
    assert_eq!(service.issuer.heard(id), Some(Answer::TooLate));
    service.second = 6;
    assert_eq!(service.pump_cancels(), [(1, true)]);
    service.answer(id, Answer::Ended(Outcome::Failed { code: 1 }));
    let failed = Some((1, Ok(Outcome::Failed { code: 1 })));
    assert_eq!(service.concluded(), failed);
    assert!(service.issuer.cancel(id).is_err());
}

#[test]
fn the_wish_to_cancel_is_on_record_before_it_is_sent() {
    let mut service = Service::boot(Store::new(), 0);
    let id = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.pump();
    service.issuer.cancel(id).unwrap();
    let mut buffer = [0; 1024];
    let step = service.issuer.step(at(0), &mut buffer);
    assert!(matches!(step, Step::Persist(_)));
}

#[test]
fn what_the_device_said_last_is_known_while_a_command_is_under_way() {
    let mut service = Service::boot(Store::new(), 0);
    let id = service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
    service.pump();
    assert_eq!(service.issuer.heard(id), None);
    for answer in [
        Answer::ClockUnknown,
        Answer::InProgress,
        Answer::Progress { number: 7 },
    ] {
        service.answer(id, answer);
        assert_eq!(service.issuer.heard(id), Some(answer));
    }
    service.answer(id, Answer::Ended(Outcome::DONE));
    assert_eq!(service.issuer.heard(id), None);
}

#[test]
fn an_issuer_restored_from_a_backup_opens_an_epoch_that_no_device_mixes_up() {
    let mut service = Service::boot(Store::new(), 0);
    service
        .issue(Job::Set { level: 1 }, Terms::DEFAULT)
        .unwrap();
    service.pump();
    let backup = service.records.clone();
    // After the backup another command is issued, and reaches the device.
    let lost = service
        .issue(Job::Set { level: 2 }, Terms::DEFAULT)
        .unwrap();
    let sent = service.messages();
    let mut device = Inbox::<Job, 1, 8, 4>::new();
    let mut store = FixedRecords::<8, 256>::new();
    device.allow(SERVICE).unwrap();
    device.input(at(0), &Event::Restored);
    let mut run = |device: &mut Inbox<Job, 1, 8, 4>, message: &[u8]| {
        let message = Message::new(Channel::Command, message);
        device.input(at(0), &Event::Message(message));
        let mut answers = pump_into(device, &mut store, at(0));
        let mut levels = Vec::new();
        while let Some(job) = device.next() {
            levels.push(job.command);
            device.finish(job.id, Outcome::DONE).unwrap();
            answers.extend(pump_into(device, &mut store, at(0)));
        }
        (levels, answers)
    };
    assert_eq!(run(&mut device, &sent[0]).0, [Job::Set { level: 2 }]);

    let mut service = Service::boot(backup, 9);
    service.issuer.open_epoch(at(9));
    while service.concluded().is_some() {}
    let fresh = service
        .issue(Job::Set { level: 3 }, Terms::DEFAULT)
        .unwrap();
    assert!(fresh.epoch > lost.epoch && fresh.sequence < lost.sequence);
    let sent = service.messages();
    let (levels, answers) = run(&mut device, &sent[0]);
    assert_eq!(levels, [Job::Set { level: 3 }]);
    let ended = Response::new(fresh, Answer::Ended(Outcome::DONE));
    assert_eq!(Response::decode(answers.last().unwrap()), Ok(ended));
}

#[test]
fn only_the_device_itself_can_answer() {
    let (tenant, device) = (
        TenantId::new("acme").unwrap(),
        DeviceId::new("door-1").unwrap(),
    );
    let mut issuer = Issuer::<Job, 1>::new(SERVICE, RecordKey::new(0)).to(tenant, device);
    issuer.input(at(0), &Event::Restored);
    let id = issuer.issue(at(0), Job::Pulse, Terms::DEFAULT).unwrap();
    pump(&mut issuer, &mut Store::new(), at(0));
    let mut buffer = [0; 64];
    let response = Response::new(id, Answer::Ended(Outcome::DONE));
    let len = response.encode(&mut buffer).unwrap();
    let message = Message::new(Channel::Command, &buffer[..len]);
    for impostor in [
        message,
        message.to(Peer::parse("acme", "door-2").unwrap()),
        message.to(Peer::parse("evil", "door-1").unwrap()),
    ] {
        issuer.input(at(0), &Event::Message(impostor));
        assert_eq!(issuer.concluded(), None);
    }
    let own = message.to(Peer::parse("acme", "door-1").unwrap());
    issuer.input(at(0), &Event::Message(own));
    assert_eq!(issuer.concluded().unwrap().outcome, Ok(Outcome::DONE));
}

/// A link that loses a third and doubles a third, the same way for the same seed.
struct Lossy(u64);

impl Lossy {
    fn copies(&mut self) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % 3
    }
}

#[test]
fn a_thousand_issuers_reach_a_thousand_restarting_devices_over_a_lossy_link() {
    const DEVICES: usize = 1_000;
    struct Pair {
        service: Service,
        device: Inbox<Job, 1, 8, 2>,
        store: Store,
        issued: u32,
        levels: Vec<u32>,
        ends: Vec<(u32, Outcome)>,
    }
    let boot = |store: &mut Store, second| {
        let mut inbox = Inbox::new();
        inbox.allow(SERVICE).unwrap();
        restore(&mut inbox, store, at(second));
        inbox
    };
    let mut pairs: Vec<_> = (0..DEVICES)
        .map(|_| Pair {
            service: Service::boot(Store::new(), 0),
            device: boot(&mut Store::new(), 0),
            store: Store::new(),
            issued: 2,
            levels: Vec::new(),
            ends: Vec::new(),
        })
        .collect();
    let (mut link, mut lost, mut doubled) = (Lossy(7), 0, 0);
    let mut seconds = 0..4_000;
    while pairs.iter().any(|pair| pair.ends.len() < 4) {
        let second = seconds.next().expect("some command was never answered");
        for (number, pair) in pairs.iter_mut().enumerate() {
            pair.service.second = second;
            if second == 0 {
                pair.service
                    .issue(Job::Set { level: 1 }, Terms::DEFAULT)
                    .unwrap();
                pair.service.issue(Job::Pulse, Terms::DEFAULT).unwrap();
            }
            if (second as usize + number) % 11 == 10 {
                pair.device = boot(&mut pair.store, second);
            }
            let issuer = &mut pair.service.issuer;
            for request in pump(issuer, &mut pair.service.records, at(second)) {
                let copies = link.copies();
                lost += usize::from(copies == 0);
                doubled += usize::from(copies == 2);
                for _ in 0..copies {
                    let message = Message::new(Channel::Command, &request);
                    pair.device.input(at(second), &Event::Message(message));
                }
            }
            let mut replies = pump(&mut pair.device, &mut pair.store, at(second));
            while let Some(job) = pair.device.next() {
                pair.levels.push(match job.command {
                    Job::Set { level } => level,
                    Job::Pulse => 0,
                });
                pair.device.finish(job.id, Outcome::DONE).unwrap();
                replies.extend(pump(&mut pair.device, &mut pair.store, at(second)));
            }
            for reply in replies {
                for _ in 0..link.copies() {
                    let message = Message::new(Channel::Command, &reply);
                    let issuer = &mut pair.service.issuer;
                    issuer.input(at(second), &Event::Message(message));
                }
            }
            while let Some((sequence, outcome)) = pair.service.concluded() {
                pair.ends.push((sequence, outcome.unwrap()));
                pair.service.pump();
                while pair.issued < 4
                    && (pair.service.issue(Job::Set { level: 2 }, Terms::DEFAULT)).is_ok()
                {
                    pair.issued += 1;
                }
            }
        }
    }
    assert!(
        lost > DEVICES && doubled > DEVICES,
        "the link was too good to prove anything"
    );
    for pair in &mut pairs {
        pair.ends.sort_unstable_by_key(|(sequence, _)| *sequence);
        assert_eq!(
            pair.ends,
            [1, 2, 3, 4].map(|sequence| (sequence, Outcome::DONE))
        );
        // Nothing was cut between a run and its record here, so every command ran exactly once.
        pair.levels.sort_unstable();
        assert_eq!(pair.levels, [0, 1, 2, 2]);
    }
}
