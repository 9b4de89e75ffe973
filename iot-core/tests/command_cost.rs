//! What a command costs a device: no allocation, and memory and records that do not grow with history.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use iot_core::codec::encode_into;
use iot_core::command::{Inbox, Outcome, Request};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket};

iot_core::commands! {
    enum Job { #[idempotent] Set { level: u32 }, #[opaque] Pulse }
}

type Jobs = Inbox<Job, 2, 64, 8>;

const ONE: IssuerId = IssuerId::new(1);
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

struct Device {
    inbox: Jobs,
    records: FixedRecords<32, 160>,
    answers: u32,
    runs: u32,
}

impl Device {
    fn new() -> Self {
        let mut inbox = Jobs::new();
        inbox.allow(ONE).unwrap();
        inbox.input(NOW, &Event::Restored);
        Self {
            inbox,
            records: FixedRecords::new(),
            answers: 0,
            runs: 0,
        }
    }

    /// Takes in a message and does everything that follows from it.
    fn take_in(&mut self, message: &[u8]) {
        let message = Message::new(Channel::Command, message);
        self.inbox.input(NOW, &Event::Message(message));
        let mut buffer = [0; 256];
        loop {
            let done = match self.inbox.step(NOW, &mut buffer) {
                Step::Persist(batch) => {
                    block_on(self.records.commit(&batch)).unwrap();
                    Done::Persisted
                }
                Step::Send(_) => {
                    self.answers += 1;
                    Done::Sent(Ticket::new(0))
                }
                _ => {
                    let Some(job) = self.inbox.next() else { return };
                    self.runs += 1;
                    self.inbox.finish(job.id, Outcome::DONE).unwrap();
                    continue;
                }
            };
            self.inbox.done(NOW, done);
        }
    }

    fn records(&mut self) -> usize {
        let mut count = 0;
        let mut from = Some(RecordKey::new(0));
        while let Some(key) = from.and_then(|from| block_on(self.records.next_key(from)).unwrap()) {
            count += 1;
            from = key.offset(1);
        }
        count
    }
}

fn message(sequence: u32, bytes: &mut [u8]) -> &[u8] {
    let mut command = [0; 32];
    let job = match sequence % 2 {
        0 => Job::Pulse,
        _ => Job::Set { level: 7 },
    };
    let command = encode_into(&mut command, |out| out.encode(&job)?.ok()).unwrap();
    let request = Request::new(CommandId::new(ONE, 1, sequence), command).settled_below(sequence);
    let len = request.encode(bytes).unwrap();
    &bytes[..len]
}

#[test]
fn a_command_and_its_duplicates_allocate_nothing() {
    let mut device = Device::new();
    let (mut first, mut second) = ([0; 64], [0; 64]);
    let (first, second) = (message(1, &mut first), message(2, &mut second));
    let cost = allocation_counter::measure(|| {
        for message in [first, first, second, second, first] {
            device.take_in(message);
        }
    });
    assert_eq!((cost.count_total, cost.bytes_total), (0, 0));
    assert_eq!((device.runs, device.answers), (2, 5));
    // The counter counts.
    assert!(allocation_counter::measure(|| drop(Box::new(1))).count_total > 0);
}

#[test]
fn ten_thousand_commands_leave_no_more_than_eight_do() {
    let mut device = Device::new();
    let mut bytes = [0; 64];
    let mut counts = Vec::new();
    for sequence in 1..=10_000 {
        device.take_in(message(sequence, &mut bytes));
        counts.push(device.records());
    }
    assert_eq!((device.runs, device.answers), (10_000, 10_000));
    let most = counts.iter().max();
    assert_eq!(most, counts.last());
    assert!(counts[9_999] <= 8, "a record for each of RESULTS at most");
    // Nothing is on the heap, so this is all there is.
    assert!(size_of::<Jobs>() <= 2_048, "{}", size_of::<Jobs>());
}
