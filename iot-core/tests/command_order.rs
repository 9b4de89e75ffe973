//! When an inbox hands out a command: lanes, moments, cancellation, progress, batches.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::time::Duration;

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{Answer, Class, Inbox, Outcome, Reason, Request, Response};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::node;
use iot_core::port::Records;
use iot_core::storage::fault::{Fault, FaultyRecords};
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket, Timestamp};

iot_core::commands! {
    enum Job {
        #[idempotent] Set { level: u8 },
        #[opaque] Pulse,
        #[idempotent, lane = 1] Lamp,
        #[opaque, lane = 2] Horn,
        #[probed, lane = 3] Swap,
    }
}

const ONE: IssuerId = IssuerId::new(1);
const TWO: IssuerId = IssuerId::new(2);
const DONE: Answer = Answer::Ended(Outcome::DONE);
const CANCELLED: Answer = Answer::Ended(Outcome::Cancelled);

type Faulty = FaultyRecords<MemoryRecords>;

struct Device {
    inbox: Inbox<Job, 2, 16, 8>,
    records: Faulty,
    now: Now,
    persisted: usize,
}

impl Device {
    fn new() -> Self {
        Self::boot(MemoryRecords::new(), Fault::Full, u32::MAX, 0)
    }

    /// Boots with one fault planned; the clock reads 1,000 s and `second`.
    fn boot(records: MemoryRecords, fault: Fault, at: u32, second: u64) -> Self {
        let mut device = Self {
            inbox: Inbox::new(),
            records: FaultyRecords::new(records, fault, at),
            now: now(second),
            persisted: 0,
        };
        device.inbox.allow(ONE).unwrap();
        device.inbox.allow(TWO).unwrap();
        let mut buffer = [0; 256];
        let Device {
            inbox,
            records,
            now,
            ..
        } = &mut device;
        block_on(node::restore(inbox, records, *now, &mut buffer)).unwrap();
        assert!(!device.inbox.is_damaged());
        device
    }

    fn reboot(self) -> Self {
        let second = self.now.instant.as_millis() / 1_000;
        Self::boot(self.records.into_inner(), Fault::Full, u32::MAX, second)
    }

    fn at(&mut self, second: u64) -> &mut Self {
        self.now = now(second);
        self
    }

    fn input(&mut self, requests: &[Request<'_>]) {
        let (mut bytes, mut used) = ([0; 512], 0);
        for request in requests {
            used += request.encode(&mut bytes[used..]).unwrap();
        }
        let message = Message::new(Channel::Command, &bytes[..used]);
        self.inbox.input(self.now, &Event::Message(message));
    }

    /// Takes steps until there are none, or the power is cut; returns what was answered.
    fn pump(&mut self) -> Vec<(u32, Answer)> {
        let (mut answers, mut buffer) = (Vec::new(), [0; 512]);
        for _ in 0..200 {
            let done = match self.inbox.step(self.now, &mut buffer) {
                Step::Idle => return answers,
                Step::Persist(batch) => {
                    if block_on(self.records.commit(&batch)).is_err() {
                        return answers;
                    }
                    self.persisted += 1;
                    Done::Persisted
                }
                Step::Send(message) => {
                    let response = Response::decode(message.payload).unwrap();
                    answers.push((response.id.sequence, response.answer));
                    Done::Sent(Ticket::new(0))
                }
                other => panic!("an unexpected step: {other:?}"),
            };
            self.inbox.done(self.now, done);
        }
        panic!("the inbox never came to rest");
    }

    fn send(&mut self, sequence: u32, job: &Job) -> Vec<(u32, Answer)> {
        self.deliver(Request::new(id(sequence), &encoded(job)))
    }

    fn deliver(&mut self, request: Request<'_>) -> Vec<(u32, Answer)> {
        self.input(&[request]);
        self.pump()
    }

    /// Everything that can be handed out before anything is finished.
    fn handed(&mut self) -> Vec<u32> {
        let mut handed = Vec::new();
        while let Some(job) = self.inbox.next() {
            handed.push(job.id.sequence);
        }
        handed
    }

    fn finish(&mut self, sequence: u32) -> Vec<(u32, Answer)> {
        self.inbox.finish(id(sequence), Outcome::DONE).unwrap();
        self.pump()
    }
}

fn now(second: u64) -> Now {
    let wall = TimeBounds::exact(Timestamp::from_secs(1_000 + second));
    Now::new(Instant::from_millis(second * 1_000), wall)
}

fn at(second: u64) -> Option<Timestamp> {
    Some(Timestamp::from_secs(1_000 + second))
}

fn encoded(job: &Job) -> Vec<u8> {
    let mut buffer = [0; 64];
    encode_into(&mut buffer, |out| out.encode(job)?.ok())
        .unwrap()
        .to_vec()
}

const fn id(sequence: u32) -> CommandId {
    CommandId::new(ONE, 1, sequence)
}

#[test]
fn a_lane_is_first_in_first_out_and_one_at_a_time() {
    let mut device = Device::new();
    for sequence in [3, 1, 2] {
        assert_eq!(device.send(sequence, &Job::Set { level: 1 }), []);
    }
    assert_eq!(device.handed(), [3]);
    assert_eq!(device.finish(3), [(3, DONE)]);
    assert_eq!(device.handed(), [1]);
    assert_eq!(device.handed(), []);
    assert_eq!(device.finish(1), [(1, DONE)]);
    assert_eq!(device.handed(), [2]);
}

#[test]
fn a_lane_is_shared_by_all_issuers() {
    let mut device = Device::new();
    let job = encoded(&Job::Set { level: 1 });
    let theirs = CommandId::new(TWO, 1, 1);
    assert_eq!(device.deliver(Request::new(theirs, &job)), []);
    assert_eq!(device.send(1, &Job::Pulse), []);
    assert_eq!(device.inbox.next().unwrap().id, theirs);
    assert!(device.inbox.next().is_none());
    device.inbox.finish(theirs, Outcome::DONE).unwrap();
    device.pump();
    assert_eq!(device.handed(), [1]);
}

#[test]
fn lanes_do_not_wait_for_each_other() {
    let mut device = Device::new();
    device.send(1, &Job::Pulse);
    device.send(2, &Job::Pulse);
    device.send(3, &Job::Horn);
    device.send(4, &Job::Lamp);
    assert_eq!(device.handed(), [1, 3, 4]);
    assert_eq!(device.finish(4), [(4, DONE)]);
    assert_eq!(device.handed(), []);
    assert_eq!(device.finish(1), [(1, DONE)]);
    assert_eq!(device.handed(), [2]);
}

#[test]
fn a_lane_keeps_its_order_over_a_restart() {
    let mut device = Device::new();
    let jobs = [Job::Pulse, Job::Set { level: 1 }, Job::Pulse, Job::Pulse];
    let encoded: Vec<_> = jobs.iter().map(encoded).collect();
    let order = [9, 6, 8, 7];
    let batch: Vec<_> = order
        .iter()
        .zip(&encoded)
        .map(|(&sequence, command)| Request::new(id(sequence), command))
        .collect();
    device.input(&batch);
    device.pump();
    assert_eq!(device.handed(), [9]);
    let mut device = device.reboot();
    // 9 was started and is in doubt; 6 is idempotent, so nothing is on record and its issuer repeats it.
    assert_eq!(device.pump(), [(9, Answer::Ended(Outcome::InDoubt))]);
    assert_eq!(device.send(6, &Job::Set { level: 1 }), []);
    for sequence in [8, 7, 6] {
        assert_eq!(device.handed(), [sequence]);
        assert_eq!(device.finish(sequence), [(sequence, DONE)]);
    }
}

#[test]
fn no_result_is_dropped_for_a_command_at_the_floor_while_an_older_one_runs() {
    let mut device = Device::new();
    let set = encoded(&Job::Set { level: 1 });
    device.send(1, &Job::Horn);
    assert_eq!(device.handed(), [1]);
    for sequence in 3..=9 {
        device.deliver(Request::new(id(sequence), &set).settled_below(1));
        assert_eq!(device.handed(), [sequence]);
        device.finish(sequence);
    }
    // 1 is given up, and 2 the oldest that its issuer waits for.
    let second = Request::new(id(2), &set).settled_below(2);
    assert_eq!(device.deliver(second), [(2, Answer::Busy)]);
    for sequence in 3..=9 {
        let told = device.deliver(Request::new(id(sequence), &set).settled_below(2));
        assert_eq!(told, [(sequence, DONE)]);
    }
    assert_eq!(device.finish(1), [(1, DONE)]);
    assert_eq!(device.deliver(second), []);
    assert_eq!(device.handed(), [2]);
}

#[test]
fn the_window_waits_for_an_end_that_its_issuer_may_still_ask_for() {
    let mut inbox = Inbox::<Job, 1, 4, 8>::new();
    inbox.allow(ONE).unwrap();
    inbox.input(now(0), &Event::Restored);
    let set = encoded(&Job::Set { level: 1 });
    let mut answers = Vec::new();
    for sequence in [1, 2, 3, 4, 5, 6, 1] {
        let (mut bytes, mut buffer) = ([0; 64], [0; 256]);
        let request = Request::new(id(sequence), &set).settled_below(1);
        let len = request.encode(&mut bytes).unwrap();
        let message = Message::new(Channel::Command, &bytes[..len]);
        inbox.input(now(0), &Event::Message(message));
        loop {
            let done = match inbox.step(now(0), &mut buffer) {
                Step::Persist(_) => Done::Persisted,
                Step::Send(message) => {
                    let response = Response::decode(message.payload).unwrap();
                    answers.push((response.id.sequence, response.answer));
                    Done::Sent(Ticket::new(0))
                }
                _ => {
                    let Some(job) = inbox.next() else { break };
                    inbox.finish(job.id, Outcome::DONE).unwrap();
                    continue;
                }
            };
            inbox.done(now(0), done);
        }
    }
    // The window is four wide, and nothing is settled: with the fifth the first would fall out of it.
    let busy = [5, 6].map(|sequence| (sequence, Answer::Busy));
    let done = |sequence| (sequence, DONE);
    let expected = [[1, 2, 3, 4].map(done).as_slice(), &busy, &[done(1)]].concat();
    assert_eq!(answers, expected);
}

#[test]
fn what_need_not_wait_costs_no_record_of_its_acceptance() {
    let mut device = Device::new();
    device.send(1, &Job::Pulse);
    assert_eq!(device.persisted, 1, "started");
    assert_eq!(device.handed(), [1]);
    device.send(2, &Job::Pulse);
    assert_eq!(device.persisted, 2, "accepted, behind the first");
    device.send(3, &Job::Set { level: 1 });
    assert_eq!(device.persisted, 2, "an idempotent one is not on record");
    device.finish(1);
    assert_eq!(device.persisted, 4, "one ended, the next started");
}

#[test]
fn nothing_starts_before_its_moment_and_the_deadline_is_that_moment() {
    for class in [Class::Idempotent, Class::Opaque] {
        let job = match class {
            Class::Opaque => Job::Pulse,
            _ => Job::Set { level: 1 },
        };
        let mut device = Device::new();
        let command = encoded(&job);
        assert_eq!(
            device.deliver(Request::new(id(1), &command).not_before(at(60))),
            []
        );
        assert_eq!(device.handed(), []);
        assert_eq!(device.inbox.deadline(), Some(now(60).instant));
        assert_eq!(device.send(1, &job), [(1, Answer::InProgress)]);
        device.at(59).pump();
        assert_eq!(device.handed(), []);
        // It is on record whatever its class: nobody repeats it at the right moment.
        let mut device = device.reboot();
        device.at(59).pump();
        assert_eq!(device.handed(), []);
        assert_eq!(device.inbox.deadline(), Some(now(60).instant));
        device.at(60).pump();
        assert_eq!(device.handed(), [1]);
        assert_eq!(device.finish(1), [(1, DONE)]);
    }
}

#[test]
fn what_waits_for_its_moment_is_looked_at_again_when_the_clock_is_lost() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    device.deliver(Request::new(id(1), &command).not_before(at(60)));
    let mut device = device.reboot();
    device.now.wall = TimeBounds::UNKNOWN;
    device.pump();
    assert_eq!(device.handed(), []);
    // Nobody tells when the clock is set.
    let again = device.now.instant + Duration::from_millis(500);
    assert_eq!(device.inbox.deadline(), Some(again));
    device.at(60).pump();
    assert_eq!(device.handed(), [1]);
}

#[test]
fn what_was_accepted_of_an_issuer_is_rejected_when_it_may_no_longer_issue_it() {
    for revoke in [
        |inbox: &mut Inbox<Job, 2, 16, 8>| inbox.allow_if(ONE, |_| false).unwrap(),
        |inbox: &mut Inbox<Job, 2, 16, 8>| inbox.disallow(ONE),
    ] {
        let mut device = Device::new();
        let command = encoded(&Job::Pulse);
        device.deliver(Request::new(id(1), &command).not_before(at(60)));
        revoke(&mut device.inbox);
        let reason = Reason::Unauthorised;
        let refused = Answer::Ended(Outcome::Rejected { reason });
        assert_eq!(device.at(60).pump(), [(1, refused)]);
        assert_eq!(device.handed(), []);
    }
}

#[test]
fn a_command_that_waits_for_its_moment_holds_back_its_lane_and_no_other() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    device.deliver(Request::new(id(1), &command).not_before(at(60)));
    device.send(2, &Job::Set { level: 1 });
    device.send(3, &Job::Horn);
    assert_eq!(device.handed(), [3]);
    device.at(60).pump();
    assert_eq!(device.handed(), [1]);
    device.finish(1);
    assert_eq!(device.handed(), [2]);
}

#[test]
fn a_clock_that_cannot_tell_answers_so_and_starts_nothing() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    let wait = Request::new(id(1), &command).not_before(at(60));
    let unknown = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    device.now = unknown;
    assert_eq!(device.deliver(wait), [(1, Answer::ClockUnknown)]);
    let (from, to) = (at(50).unwrap(), at(70).unwrap());
    let vague = TimeBounds::between(from, to).unwrap();
    device.now = Now::new(Instant::ZERO, vague);
    assert_eq!(device.deliver(wait), [(1, Answer::ClockUnknown)]);
    assert_eq!(device.at(0).deliver(wait), []);
    // The clock is lost with the power, and found again.
    let mut device = device.reboot();
    device.now = unknown;
    device.pump();
    assert_eq!(device.handed(), []);
    device.at(60).pump();
    assert_eq!(device.handed(), [1]);

    let mut careless = Device::new();
    careless.inbox.danger_run_when_time_is_unknown();
    careless.now = unknown;
    assert_eq!(careless.deliver(wait), []);
    assert_eq!(careless.handed(), [1]);
}

#[test]
fn what_expires_while_it_waits_is_not_started_and_says_so_after_a_restart_too() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    device.send(1, &Job::Pulse);
    device.deliver(Request::new(id(2), &command).expires_at(at(30)));
    assert_eq!(device.handed(), [1]);
    let expired = [(2, Answer::Ended(Outcome::Expired))];
    assert_eq!(device.at(30).pump(), expired);
    device.finish(1);
    assert_eq!(device.handed(), []);
    let mut device = device.reboot();
    assert_eq!(device.at(0).send(2, &Job::Pulse), expired);
}

#[test]
fn cancelling_wins_before_a_command_is_started() {
    for restart in [false, true] {
        let mut device = Device::new();
        let command = encoded(&Job::Pulse);
        device.send(1, &Job::Pulse);
        assert_eq!(device.handed(), [1]);
        device.send(2, &Job::Pulse);
        if restart {
            device = device.reboot();
            device.pump();
        }
        let cancel = Request::new(id(2), &command).cancel();
        let answers = device.deliver(cancel);
        if restart {
            // 1 is in doubt, so the lane is free and 2 was started at once.
            assert_eq!(answers, [(2, Answer::TooLate)]);
            continue;
        }
        assert_eq!(answers, [(2, CANCELLED)]);
        assert_eq!(device.finish(1), [(1, DONE)]);
        assert_eq!(device.handed(), []);
        let mut device = device.reboot();
        assert_eq!(device.send(2, &Job::Pulse), [(2, CANCELLED)]);
        assert_eq!(device.deliver(cancel), [(2, CANCELLED)]);
    }
}

#[test]
fn cancelling_wins_when_it_overtakes_the_command() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    let cancel = Request::new(id(1), &command).cancel();
    assert_eq!(device.deliver(cancel), [(1, CANCELLED)]);
    let mut device = device.reboot();
    assert_eq!(device.send(1, &Job::Pulse), [(1, CANCELLED)]);
    assert_eq!(device.handed(), []);
    // Another command of the same number is another command.
    let mismatch = Outcome::Rejected {
        reason: Reason::Mismatch,
    };
    assert_eq!(device.send(1, &Job::Horn), [(1, Answer::Ended(mismatch))]);
}

#[test]
fn cancelling_after_the_start_is_too_late_and_the_handler_can_see_it() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    let cancel = Request::new(id(1), &command).cancel();
    device.send(1, &Job::Pulse);
    assert_eq!(device.handed(), [1]);
    assert!(!device.inbox.is_cancelled(id(1)));
    assert_eq!(device.deliver(cancel), [(1, Answer::TooLate)]);
    assert!(device.inbox.is_cancelled(id(1)));
    // It ended in its own way, and so it is told to whoever asks, or cancels again.
    device
        .inbox
        .finish(id(1), Outcome::Failed { code: 9 })
        .unwrap();
    let failed = [(1, Answer::Ended(Outcome::Failed { code: 9 }))];
    assert_eq!(device.pump(), failed);
    assert!(!device.inbox.is_cancelled(id(1)));
    assert_eq!(device.deliver(cancel), failed);
}

#[test]
fn cancelling_wins_over_an_unknown_clock() {
    let mut device = Device::new();
    let command = encoded(&Job::Pulse);
    device.now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let request = Request::new(id(1), &command).expires_at(at(30));
    assert_eq!(device.deliver(request), [(1, Answer::ClockUnknown)]);
    assert_eq!(device.deliver(request.cancel()), [(1, CANCELLED)]);
}

#[test]
fn progress_is_told_once_while_it_runs_and_to_whoever_asks() {
    let mut device = Device::new();
    device.send(1, &Job::Swap);
    assert!(device.inbox.progress(id(1), 3).is_err(), "not handed out");
    assert_eq!(device.handed(), [1]);
    device.inbox.progress(id(1), 3).unwrap();
    device.inbox.progress(id(1), 4).unwrap();
    let told = [(1, Answer::Progress { number: 4 })];
    assert_eq!(device.pump(), told);
    assert_eq!(device.pump(), []);
    assert_eq!(device.send(1, &Job::Swap), told);
    let persisted = device.persisted;
    assert_eq!(persisted, 1, "only the start is on record");
    // After a cut it begins anew.
    let mut device = device.reboot();
    assert_eq!(device.send(1, &Job::Swap), [(1, Answer::InProgress)]);
    let job = device.inbox.next().unwrap();
    assert!(job.resumed);
    assert_eq!(device.finish(1), [(1, DONE)]);
}

#[test]
fn a_batch_is_taken_in_in_order_and_answered_for_each_command() {
    let mut device = Device::new();
    let (set, bad) = (encoded(&Job::Set { level: 1 }), b"\x81\x63Bad".to_vec());
    let stranger = CommandId::new(IssuerId::new(9), 1, 1);
    let batch = [
        Request::new(id(2), &set),
        Request::new(id(1), &set),
        Request::new(id(3), &bad),
        Request::new(stranger, &set),
        Request::new(id(4), &set).cancel(),
    ];
    device.input(&batch);
    let invalid = Outcome::Rejected {
        reason: Reason::Invalid,
    };
    assert_eq!(
        device.pump(),
        [
            (3, Answer::Ended(invalid)),
            (4, CANCELLED),
            (1, Answer::UnknownIssuer)
        ]
    );
    assert_eq!(device.handed(), [2]);
    assert_eq!(device.finish(2), [(2, DONE)]);
    assert_eq!(device.handed(), [1]);
    assert_eq!(device.finish(1), [(1, DONE)]);
}

#[test]
fn of_a_damaged_batch_only_what_precedes_the_damage_is_taken_in() {
    let mut device = Device::new();
    let (mut bytes, job) = ([0; 128], encoded(&Job::Pulse));
    let first = Request::new(id(1), &job).encode(&mut bytes).unwrap();
    let second = Request::new(id(2), &job).encode(&mut bytes[first..]);
    let len = first + second.unwrap();
    for damage in first..len {
        let mut damaged = bytes;
        damaged[damage] ^= 0x1f;
        let message = Message::new(Channel::Command, &damaged[..len]);
        device.inbox.input(device.now, &Event::Message(message));
    }
    let message = Message::new(Channel::Command, &bytes[..len - 1]);
    device.inbox.input(device.now, &Event::Message(message));
    device.pump();
    assert_eq!(device.handed(), [1]);
    assert_eq!(device.finish(1)[0], (1, DONE));
}

/// What the world saw of a run with cuts: how often the horn was blown and the pulse given.
#[derive(Debug, Default)]
struct World {
    pulses: [u32; 2],
    ends: Vec<(u32, Outcome)>,
}

/// A pulse runs, another waits behind it and is cancelled while the power is cut around some commit.
fn cut_while_cancelling(fault: Fault, commit: u32) -> (World, bool) {
    let mut world = World::default();
    let mut device = Device::boot(MemoryRecords::new(), fault, commit, 0);
    let command = encoded(&Job::Pulse);
    let mut fired = false;
    for round in 0..4 {
        let first = Request::new(id(1), &command);
        let second = Request::new(id(2), &command);
        device.input(&[first, second]);
        let mut answers = device.pump();
        if round > 0 {
            answers.extend(device.deliver(second.cancel()));
        }
        while let Some(job) = device.inbox.next() {
            world.pulses[usize::from(job.id.sequence == 2)] += 1;
            answers.extend(device.deliver(second.cancel()));
            device.inbox.finish(job.id, Outcome::DONE).unwrap();
            answers.extend(device.pump());
        }
        for (sequence, answer) in answers {
            if let Answer::Ended(outcome) = answer {
                world.ends.push((sequence, outcome));
            }
        }
        if device.records.fired() && !fired {
            fired = true;
            device = device.reboot();
        }
    }
    (world, fired)
}

#[test]
fn a_cancelled_command_never_ran_wherever_the_power_was_cut() {
    let mut outcomes = Vec::new();
    for fault in [Fault::CutBefore, Fault::CutAfter] {
        for commit in 0..4 {
            let (world, fired) = cut_while_cancelling(fault, commit);
            assert!(fired, "the cut at commit {commit} did not happen");
            for sequence in [1, 2] {
                let mut ends = world.ends.iter().filter(|(of, _)| *of == sequence);
                let (_, end) = ends.next().unwrap();
                assert!(ends.all(|(_, other)| other == end), "{world:?}");
                let runs = world.pulses[usize::from(sequence == 2)];
                match end {
                    Outcome::Cancelled => assert_eq!(runs, 0, "{world:?}"),
                    Outcome::Done(_) => assert_eq!(runs, 1, "{world:?}"),
                    _ => assert!(runs <= 1, "{world:?}"),
                }
                outcomes.push(*end);
            }
        }
    }
    assert!(outcomes.contains(&Outcome::Cancelled) && outcomes.contains(&Outcome::InDoubt));
}
