//! Handlers by name: who is called, what runs beside what, and that the inbox keeps its promises.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::future::poll_fn;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{Answer, Dispatch, Inbox, Outcome, Reason, Request, Response};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::port::Records;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket};

iot_core::commands! {
    enum Job {
        #[idempotent] Set { level: u32 },
        #[opaque, lane = 1] Pulse,
        #[probed, lane = 2] Swap,
    }
}

const ONE: IssuerId = IssuerId::new(1);
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const DONE: Answer = Answer::Ended(Outcome::DONE);

struct Device {
    inbox: Inbox<Job, 1, 16, 8>,
    records: MemoryRecords,
}

impl Device {
    fn boot(mut records: MemoryRecords) -> Self {
        let mut inbox = Inbox::new();
        inbox.allow(ONE).unwrap();
        let mut from = inbox.records().first();
        while let Some(key) = from.and_then(|from| block_on(records.next_key(from)).unwrap()) {
            let mut buffer = [0; 256];
            let value = block_on(records.read(key, &mut buffer)).unwrap().unwrap();
            inbox.input(NOW, &Event::Record { key, value });
            from = key.offset(1);
        }
        inbox.input(NOW, &Event::Restored);
        Self { inbox, records }
    }

    fn pump(&mut self) -> Vec<(u32, Answer)> {
        let (mut answers, mut buffer) = (Vec::new(), [0; 512]);
        loop {
            let done = match self.inbox.step(NOW, &mut buffer) {
                Step::Idle => return answers,
                Step::Persist(batch) => {
                    block_on(self.records.commit(&batch)).unwrap();
                    Done::Persisted
                }
                Step::Send(message) => {
                    let response = Response::decode(message.payload).unwrap();
                    answers.push((response.id.sequence, response.answer));
                    Done::Sent(Ticket::new(0))
                }
                other => panic!("an unexpected step: {other:?}"),
            };
            self.inbox.done(NOW, done);
        }
    }

    fn send(&mut self, sequence: u32, job: &Job, cancel: bool) -> Vec<(u32, Answer)> {
        let (mut command, mut bytes) = ([0; 64], [0; 128]);
        let command = encode_into(&mut command, |out| out.encode(job)?.ok()).unwrap();
        let request = Request::new(CommandId::new(ONE, 1, sequence), command);
        let request = if cancel { request.cancel() } else { request };
        let len = request.encode(&mut bytes).unwrap();
        let message = Message::new(Channel::Command, &bytes[..len]);
        self.inbox.input(NOW, &Event::Message(message));
        self.pump()
    }
}

/// Polls the handlers once; says whether one of them had something to say.
fn work(handlers: &mut Dispatch<'_, Job>) -> bool {
    let future = pin!(handlers.work());
    future
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// Exchanges, works and pumps until nothing moves; returns what was answered.
fn run(handlers: &mut Dispatch<'_, Job>, device: &mut Device) -> Vec<(u32, Answer)> {
    let mut answers = device.pump();
    loop {
        handlers.exchange(&mut device.inbox);
        answers.extend(device.pump());
        let is_due = device.inbox.deadline() == Some(Instant::ZERO);
        if !work(handlers) && !is_due {
            return answers;
        }
    }
}

#[test]
fn each_name_has_its_handler_and_the_last_one_said_counts() {
    let sum = AtomicU32::new(0);
    let mut handlers = Dispatch::new();
    handlers
        .on("Set", async |_| Outcome::Failed { code: 1 })
        .unwrap();
    let add = async |call: iot_core::command::Call<Job>| {
        if let Job::Set { level } = call.command {
            sum.fetch_add(level, Ordering::Relaxed);
        }
        Outcome::DONE
    };
    handlers.on("Set", add).unwrap();
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Set { level: 3 }, false);
    device.send(2, &Job::Set { level: 4 }, false);
    assert_eq!(run(&mut handlers, &mut device), [(1, DONE), (2, DONE)]);
    assert_eq!(sum.load(Ordering::Relaxed), 7);
    assert_eq!(device.send(1, &Job::Set { level: 3 }, false), [(1, DONE)]);
    assert_eq!(run(&mut handlers, &mut device), []);
    assert_eq!(sum.load(Ordering::Relaxed), 7);
}

#[test]
fn a_name_that_no_command_has_is_refused_and_a_command_without_handler_rejected() {
    let mut handlers = Dispatch::<Job>::new();
    let refused = handlers.on("Sett", async |_| Outcome::DONE).unwrap_err();
    assert_eq!(
        (refused.name, refused.known),
        ("Sett", &["Set", "Pulse", "Swap"][..])
    );
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Pulse, false);
    let invalid = Outcome::Rejected {
        reason: Reason::Invalid,
    };
    assert_eq!(
        run(&mut handlers, &mut device),
        [(1, Answer::Ended(invalid))]
    );
}

#[test]
fn handlers_of_different_lanes_run_beside_each_other() {
    let gate = AtomicBool::new(false);
    let mut handlers = Dispatch::new();
    let wait = async |_| {
        poll_fn(|_| match gate.load(Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
        Outcome::DONE
    };
    handlers.on("Set", wait).unwrap();
    handlers.on("Pulse", async |_| Outcome::DONE).unwrap();
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Set { level: 1 }, false);
    device.send(2, &Job::Set { level: 2 }, false);
    device.send(3, &Job::Pulse, false);
    assert_eq!(run(&mut handlers, &mut device), [(3, DONE)]);
    assert_eq!(handlers.running(), 1, "of a lane one at a time");
    gate.store(true, Ordering::Relaxed);
    assert!(work(&mut handlers));
    assert_eq!(run(&mut handlers, &mut device), [(1, DONE), (2, DONE)]);
}

#[test]
fn a_handler_tells_how_far_it_has_come_and_hears_that_it_is_cancelled() {
    let mut handlers = Dispatch::new();
    handlers
        .on("Swap", async |call| {
            for number in 1..=2 {
                call.progress(number);
                yield_once().await;
            }
            call.cancelled().await;
            Outcome::Failed { code: 99 }
        })
        .unwrap();
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Swap, false);
    let progress = |number| (1, Answer::Progress { number });
    assert_eq!(run(&mut handlers, &mut device), [progress(1), progress(2)]);
    assert_eq!(device.send(1, &Job::Swap, true), [(1, Answer::TooLate)]);
    let failed = Answer::Ended(Outcome::Failed { code: 99 });
    assert_eq!(run(&mut handlers, &mut device), [(1, failed)]);
}

#[test]
fn what_was_cut_in_a_handler_is_resumed_or_in_doubt_as_its_class_says() {
    let resumed = AtomicU32::new(0);
    let probe = async |call: iot_core::command::Call<Job>| {
        resumed.fetch_add(u32::from(call.resumed), Ordering::Relaxed);
        Outcome::DONE
    };
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Pulse, false);
    device.send(2, &Job::Swap, false);
    {
        let mut handlers = Dispatch::new();
        for name in ["Pulse", "Swap"] {
            handlers
                .on(name, async |_| core::future::pending().await)
                .unwrap();
        }
        assert_eq!(run(&mut handlers, &mut device), []);
        assert_eq!(handlers.running(), 2);
    }
    let mut device = Device::boot(device.records);
    let mut handlers = Dispatch::new();
    handlers.on("Swap", probe).unwrap();
    let doubt = Answer::Ended(Outcome::InDoubt);
    assert_eq!(run(&mut handlers, &mut device), [(1, doubt), (2, DONE)]);
    assert_eq!(resumed.load(Ordering::Relaxed), 1);
}

#[test]
fn a_future_that_drives_handlers_is_send_and_may_be_dropped() {
    fn send<T: Send>(future: T) -> T {
        future
    }
    let mut handlers = Dispatch::new();
    handlers
        .on("Pulse", async |_| {
            yield_once().await;
            Outcome::DONE
        })
        .unwrap();
    let mut device = Device::boot(MemoryRecords::new());
    device.send(1, &Job::Pulse, false);
    handlers.exchange(&mut device.inbox);
    {
        let dropped = pin!(send(handlers.work()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(dropped.poll(&mut context).is_pending());
    }
    block_on(handlers.work());
    assert_eq!(run(&mut handlers, &mut device), [(1, DONE)]);
}

async fn yield_once() {
    let mut yielded = false;
    poll_fn(move |context| {
        if core::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
