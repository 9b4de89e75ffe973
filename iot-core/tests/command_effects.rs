//! Effects that are committed with the end of their command, and what happens when they cannot be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{Answer, FinishError, Inbox, Outcome, Request, Response};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::port::{Records, RecordsError, RecordsErrorKind};
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket};

iot_core::commands! {
    enum Job {
        #[idempotent] Greet,
        #[transactional, lane = 1] Count,
        #[transactional, lane = 2] Score,
    }
}

const SERVICE: IssuerId = IssuerId::new(1);
const COUNTED: RecordKey = RecordKey::new(0x0900);
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

/// Its storage has room for so many records; the inbox keeps 4.
struct Device<const KEYS: usize> {
    inbox: Inbox<Job, 1, 8, 4, 8>,
    records: FixedRecords<KEYS, 96>,
    ends: Vec<(u32, Outcome)>,
}

impl<const KEYS: usize> Device<KEYS> {
    fn new() -> Self {
        let mut inbox = Inbox::with_effects(RecordKey::new(0x0200));
        inbox.allow(SERVICE).unwrap();
        inbox.input(NOW, &Event::Restored);
        Self {
            inbox,
            records: FixedRecords::new(),
            ends: Vec::new(),
        }
    }

    fn send(&mut self, sequence: u32, settled: u32, job: &Job) {
        let (mut command, mut bytes) = ([0; 32], [0; 128]);
        let command = encode_into(&mut command, |out| out.encode(job)?.ok()).unwrap();
        let id = CommandId::new(SERVICE, 1, sequence);
        let request = Request::new(id, command).settled_below(settled);
        let len = request.encode(&mut bytes).unwrap();
        let message = Message::new(Channel::Command, bytes.get(..len).unwrap());
        self.inbox.input(NOW, &Event::Message(message));
        self.pump();
    }

    fn pump(&mut self) {
        let mut buffer = [0; 512];
        loop {
            let done = match self.inbox.step(NOW, &mut buffer) {
                Step::Idle => return,
                Step::Persist(batch) => match block_on(self.records.commit(&batch)) {
                    Ok(()) => Done::Persisted,
                    Err(error) => {
                        assert_eq!(error.kind(), RecordsErrorKind::Full);
                        Done::Failed(Failure::StorageFull)
                    }
                },
                Step::Send(message) => {
                    let response = Response::decode(message.payload).unwrap();
                    if let Answer::Ended(outcome) = response.answer {
                        self.ends.push((response.id.sequence, outcome));
                    }
                    Done::Sent(Ticket::new(0))
                }
                other => panic!("an unexpected step: {other:?}"),
            };
            self.inbox.done(NOW, done);
        }
    }

    /// Carries out everything, each transactional command with an effect.
    fn work(&mut self) {
        while let Some(job) = self.inbox.next() {
            let finished = match job.command {
                Job::Greet => self.inbox.finish(job.id, Outcome::DONE),
                Job::Count | Job::Score => {
                    let inbox = &mut self.inbox;
                    inbox.finish_with(job.id, Outcome::done_with(b"1").unwrap(), COUNTED, b"1")
                }
            };
            finished.unwrap();
            self.pump();
        }
    }

    fn counted(&mut self) -> bool {
        let mut buffer = [0; 8];
        block_on(self.records.read(COUNTED, &mut buffer))
            .unwrap()
            .is_some()
    }
}

#[test]
fn an_effect_without_room_ends_its_command_and_holds_nobody_up() {
    let mut device = Device::<4>::new();
    for sequence in 1..=3 {
        device.send(sequence, 1, &Job::Greet);
    }
    device.work();
    device.ends.clear();
    // Their three records, that of a fourth command, and an effect would be five.
    device.send(4, 1, &Job::Count);
    device.send(5, 3, &Job::Greet);
    device.send(6, 3, &Job::Score);
    device.work();
    device.ends.sort_unstable_by_key(|(sequence, _)| *sequence);
    let (done, no_room) = (Outcome::DONE, Outcome::NO_ROOM);
    assert_eq!(device.ends, [(4, no_room), (5, done), (6, no_room)]);
    assert!(!device.counted());
}

#[test]
fn an_effect_that_may_be_on_record_is_never_given_up() {
    let mut device = Device::<5>::new();
    device.send(1, 1, &Job::Greet);
    device.work();
    device.send(2, 1, &Job::Count);
    let job = device.inbox.next().unwrap();
    device
        .inbox
        .finish_with(job.id, Outcome::DONE, COUNTED, b"1")
        .unwrap();
    // It is written, but the driver was dropped before it could say so, and then the storage fails.
    let mut buffer = [0; 512];
    let Step::Persist(batch) = device.inbox.step(NOW, &mut buffer) else {
        panic!("the effect is to be written");
    };
    block_on(device.records.commit(&batch)).unwrap();
    assert!(matches!(
        device.inbox.step(NOW, &mut buffer),
        Step::Persist(_)
    ));
    device.inbox.done(NOW, Done::Failed(Failure::StorageFull));
    let later = Now::new(Instant::from_millis(1_000), TimeBounds::UNKNOWN);
    assert!(matches!(
        device.inbox.step(later, &mut buffer),
        Step::Persist(_)
    ));
    device.inbox.done(later, Done::Persisted);
    device.pump();
    assert_eq!(device.ends.last(), Some(&(2, Outcome::DONE)));
    assert!(device.counted());
}

#[test]
fn nothing_is_handed_out_while_an_effect_waits() {
    let mut device = Device::<8>::new();
    device.send(1, 1, &Job::Count);
    device.send(2, 1, &Job::Score);
    let first = device.inbox.next().unwrap();
    device
        .inbox
        .finish_with(first.id, Outcome::DONE, COUNTED, b"1")
        .unwrap();
    assert!(device.inbox.next().is_none());
    device.pump();
    let second = device.inbox.next().unwrap();
    assert_eq!(second.id.sequence, 2);
    // Whoever took both before finishing one keeps the second until the next turn.
    device.send(3, 1, &Job::Count);
    let third = device.inbox.next().unwrap();
    device
        .inbox
        .finish_with(second.id, Outcome::DONE, COUNTED, b"2")
        .unwrap();
    let refused = device
        .inbox
        .finish_with(third.id, Outcome::DONE, COUNTED, b"3");
    assert_eq!(refused, Err(FinishError::Busy));
    device.pump();
    device
        .inbox
        .finish_with(third.id, Outcome::DONE, COUNTED, b"3")
        .unwrap();
}
