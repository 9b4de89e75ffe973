//! What an inbox answers, and when it runs a command.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{Answer, FinishError, Inbox, Outcome, Reason, Request, Response};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::port::Records;
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket, Timestamp};

iot_core::commands! {
    enum Job {
        #[idempotent] Set { level: u8 },
        #[opaque] Pulse,
        #[probed] Swap,
        #[transactional] Note,
    }
}

const ONE: IssuerId = IssuerId::new(1);
const TWO: IssuerId = IssuerId::new(2);
const STRANGER: IssuerId = IssuerId::new(9);

type Store = FixedRecords<32, 96>;

/// A device with an inbox of 2 issuers, a window of 8 and 3 results.
struct Device {
    inbox: Inbox<Job, 2, 8, 3>,
    records: Store,
    now: Now,
    full: bool,
    busy: bool,
}

impl Device {
    fn new() -> Self {
        Self::boot(Store::new())
    }

    fn boot(mut records: Store) -> Self {
        let mut inbox = Inbox::new();
        inbox.allow(ONE).unwrap();
        inbox
            .allow_if(TWO, |job| matches!(job, Job::Set { .. }))
            .unwrap();
        let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
        let mut key = RecordKey::new(0);
        while let Some(found) = block_on(records.next_key(key)).unwrap() {
            let mut buffer = [0; 96];
            let value = block_on(records.read(found, &mut buffer)).unwrap().unwrap();
            inbox.input(now, &Event::Record { key: found, value });
            key = found.offset(1).unwrap();
        }
        inbox.input(now, &Event::Restored);
        Self {
            inbox,
            records,
            now,
            full: false,
            busy: false,
        }
    }

    fn reboot(self) -> Self {
        Self::boot(self.records)
    }

    /// Takes steps until the inbox is idle; returns what it answered.
    fn pump(&mut self) -> Vec<Response> {
        let (mut answers, mut buffer) = (Vec::new(), [0; 256]);
        for _ in 0..100 {
            let done = match self.inbox.step(self.now, &mut buffer) {
                Step::Idle => return answers,
                Step::Persist(_) if self.full => Done::Failed(Failure::StorageFull),
                Step::Persist(batch) => {
                    block_on(self.records.commit(&batch)).unwrap();
                    Done::Persisted
                }
                Step::Send(_) if self.busy => Done::Failed(Failure::Busy),
                Step::Send(message) => {
                    answers.push(Response::decode(message.payload).unwrap());
                    Done::Sent(Ticket::new(0))
                }
                other => panic!("an unexpected step: {other:?}"),
            };
            self.inbox.done(self.now, done);
        }
        panic!("the inbox never came to rest");
    }

    fn deliver(&mut self, request: Request<'_>) -> Vec<Response> {
        let mut bytes = [0; 256];
        let len = request.encode(&mut bytes).unwrap();
        let message = Message::new(Channel::Command, &bytes[..len]);
        self.inbox.input(self.now, &Event::Message(message));
        self.pump()
    }

    fn send(&mut self, id: CommandId, job: &Job) -> Option<Answer> {
        let answers = self.deliver(Request::new(id, &encoded(job)));
        assert!(answers.len() <= 1);
        assert!(answers.iter().all(|answer| answer.id == id));
        answers.first().map(|response| response.answer)
    }

    /// Finishes everything that is handed out, until nothing is; returns the ids.
    fn work(&mut self) -> Vec<CommandId> {
        let mut done = Vec::new();
        while let Some(job) = self.inbox.next() {
            self.inbox.finish(job.id, Outcome::DONE).unwrap();
            done.push(job.id);
            self.pump();
        }
        done
    }
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

const fn set(level: u8) -> Job {
    Job::Set { level }
}

const fn rejected(reason: Reason) -> Option<Answer> {
    Some(Answer::Ended(Outcome::Rejected { reason }))
}

const DONE: Option<Answer> = Some(Answer::Ended(Outcome::DONE));

#[test]
fn a_repetition_is_answered_and_not_run() {
    let mut device = Device::new();
    assert_eq!(device.send(id(1), &set(7)), None);
    let job = device.inbox.next().unwrap();
    assert_eq!((job.id, job.command, job.resumed), (id(1), set(7), false));
    assert_eq!(device.send(id(1), &set(7)), Some(Answer::InProgress));
    let result = Outcome::done_with(b"seven").unwrap();
    device.inbox.finish(id(1), result).unwrap();
    assert_eq!(device.pump()[0].answer, Answer::Ended(result));
    let mut device = device.reboot();
    assert_eq!(device.send(id(1), &set(7)), Some(Answer::Ended(result)));
    assert!(device.inbox.next().is_none());
}

#[test]
fn another_command_under_the_same_identity_is_refused() {
    let mut device = Device::new();
    device.send(id(1), &set(7));
    assert_eq!(device.send(id(1), &set(8)), rejected(Reason::Mismatch));
    assert_eq!(device.work(), [id(1)]);
    assert_eq!(device.send(id(1), &Job::Pulse), rejected(Reason::Mismatch));
    assert_eq!(device.send(id(1), &set(7)), DONE);
}

#[test]
fn only_known_issuers_run_only_what_they_may() {
    let mut device = Device::new();
    let stranger = CommandId::new(STRANGER, 1, 1);
    let unknown = Some(Answer::UnknownIssuer);
    assert_eq!(device.send(stranger, &set(1)), unknown);
    let second = |sequence| CommandId::new(TWO, 1, sequence);
    assert_eq!(
        device.send(second(1), &Job::Pulse),
        rejected(Reason::Unauthorised)
    );
    assert_eq!(device.send(second(2), &set(1)), None);
    assert_eq!(device.work(), [second(2)]);
    let mut nobody = Inbox::<Job, 1, 8, 1>::new();
    nobody.allow(ONE).unwrap();
    assert_eq!(nobody.allow(TWO).unwrap_err().limit, 1);
}

#[test]
fn what_was_rejected_is_never_run_even_when_it_is_allowed_later() {
    let second = |sequence| CommandId::new(TWO, 1, sequence);
    let stranger = CommandId::new(STRANGER, 1, 1);
    for restart in [false, true] {
        let mut device = Device::new();
        let no = rejected(Reason::Unauthorised);
        assert_eq!(device.send(second(1), &Job::Pulse), no);
        if restart {
            device = device.reboot();
        }
        device.inbox.allow(TWO).unwrap();
        assert_eq!(device.send(second(1), &Job::Pulse), no);
        assert_eq!(device.work(), []);
    }
    // Of a stranger nothing can be kept, so it must not be told that its command has ended.
    let mut device = Device {
        inbox: Inbox::new(),
        ..Device::new()
    };
    device.inbox.input(device.now, &Event::Restored);
    let answer = device.send(stranger, &Job::Pulse);
    assert!(!matches!(answer, None | Some(Answer::Ended(_))));
    device.inbox.allow(STRANGER).unwrap();
    assert_eq!(device.send(stranger, &Job::Pulse), None);
    assert_eq!(device.work(), [stranger]);
}

#[test]
fn what_left_the_ring_is_forgotten_and_what_left_the_window_is_too_old() {
    let mut device = Device::new();
    for sequence in 1..=20 {
        assert_eq!(device.send(id(sequence), &set(1)), None, "{sequence}");
        assert_eq!(device.work(), [id(sequence)]);
    }
    for mut device in [Device::boot(device.records.clone()), device] {
        assert_eq!(device.send(id(20), &set(1)), DONE);
        let forgotten = Some(Answer::Ended(Outcome::Forgotten));
        assert_eq!(device.send(id(17), &set(1)), forgotten);
        assert_eq!(device.send(id(13), &set(1)), forgotten);
        assert_eq!(device.send(id(12), &set(1)), rejected(Reason::TooOld));
        assert_eq!(device.work(), []);
    }
}

#[test]
fn an_end_stays_known_after_a_restart_and_after_its_record_was_replaced() {
    let mut device = Device::new();
    for sequence in 1..=6 {
        device.send(id(sequence), &set(1));
        assert_eq!(device.work(), [id(sequence)]);
        device = device.reboot();
    }
    for sequence in 1..=3 {
        let answer = device.send(id(sequence), &set(1));
        assert_eq!(
            answer,
            Some(Answer::Ended(Outcome::Forgotten)),
            "{sequence}"
        );
    }
    assert_eq!(device.work(), []);
}

#[test]
fn the_window_waits_for_a_gap_until_the_issuer_settles_it() {
    let mut device = Device::new();
    for sequence in 2..=7 {
        device.send(id(sequence), &set(1));
        device.work();
    }
    assert_eq!(device.send(id(8), &set(1)), None);
    device.work();
    // 1 never arrived: 9 would push it out of the window.
    assert_eq!(device.send(id(9), &set(1)), Some(Answer::Busy));
    let job = encoded(&set(1));
    let answers = device.deliver(Request::new(id(9), &job).settled_below(9));
    assert_eq!(answers, []);
    assert_eq!(device.work(), [id(9)]);
    assert_eq!(device.send(id(1), &set(1)), rejected(Reason::TooOld));
}

#[test]
fn what_was_called_too_old_stays_too_old_after_a_power_cut() {
    let mut device = Device::new();
    let job = encoded(&set(1));
    device.send(id(1), &set(1));
    device.work();
    // The floor rises with a command whose record is not written yet: a cut would bring the old one back.
    assert_eq!(
        device.deliver(Request::new(id(5), &job).settled_below(5)),
        []
    );
    assert_eq!(device.send(id(3), &set(1)), Some(Answer::Busy));
    let mut cut = Device::boot(device.records.clone());
    assert_eq!(cut.send(id(3), &set(1)), None);
    assert_eq!(device.work(), [id(5)]);
    for mut device in [Device::boot(device.records.clone()), device] {
        assert_eq!(device.send(id(3), &set(1)), rejected(Reason::TooOld));
        assert!(device.inbox.next().is_none());
    }
}

#[test]
fn what_was_given_up_while_it_ran_is_told_to_whoever_asks() {
    let mut device = Device::new();
    device.send(id(1), &Job::Pulse);
    let running = device.inbox.next().unwrap();
    let job = encoded(&set(1));
    device.deliver(Request::new(id(2), &job).settled_below(2));
    assert_eq!(device.send(id(1), &Job::Pulse), Some(Answer::InProgress));
    device.inbox.finish(running.id, Outcome::DONE).unwrap();
    assert_eq!(device.pump()[0].answer, Answer::Ended(Outcome::DONE));
    for mut device in [Device::boot(device.records.clone()), device] {
        assert_eq!(device.send(id(1), &Job::Pulse), DONE);
    }
}

#[test]
fn what_was_given_up_does_not_run_behind_what_still_does() {
    let mut device = Device::new();
    device.send(id(1), &Job::Pulse);
    assert_eq!(device.inbox.next().unwrap().id, id(1));
    let job = encoded(&set(1));
    // 2 was lost on its way, and given up.
    device.deliver(Request::new(id(3), &job).settled_below(3));
    assert_eq!(device.send(id(2), &Job::Pulse), Some(Answer::Busy));
    device.inbox.finish(id(1), Outcome::DONE).unwrap();
    device.pump();
    assert_eq!(device.work(), [id(3)]);
    for mut device in [Device::boot(device.records.clone()), device] {
        let too_old = rejected(Reason::TooOld);
        assert_eq!(device.send(id(2), &Job::Pulse), too_old);
        assert_eq!(device.work(), []);
    }
}

#[test]
fn what_was_given_up_while_it_waited_is_never_started() {
    let mut device = Device::new();
    device.send(id(1), &Job::Pulse);
    assert_eq!(device.inbox.next().unwrap().id, id(1));
    assert_eq!(device.send(id(2), &Job::Pulse), None);
    let job = encoded(&set(1));
    let answers = device.deliver(Request::new(id(3), &job).settled_below(3));
    let reason = Reason::TooOld;
    let too_old = Answer::Ended(Outcome::Rejected { reason });
    assert_eq!(answers, [Response::new(id(2), too_old)]);
    device.inbox.finish(id(1), Outcome::DONE).unwrap();
    device.pump();
    assert_eq!(device.work(), [id(3)]);
}

#[test]
fn a_result_is_kept_until_the_issuer_settles_it() {
    let mut device = Device::new();
    let job = encoded(&set(1));
    for sequence in 1..=3 {
        device.deliver(Request::new(id(sequence), &job).settled_below(1));
        device.work();
    }
    let fourth = Request::new(id(4), &job);
    let busy = Response::new(id(4), Answer::Busy);
    assert_eq!(device.deliver(fourth.settled_below(1)), [busy]);
    assert_eq!(device.send(id(1), &set(1)), DONE);
    assert_eq!(device.deliver(fourth.settled_below(2)), []);
    assert_eq!(device.work(), [id(4)]);
    assert_eq!(device.send(id(2), &set(1)), DONE);
}

#[test]
fn an_end_that_was_not_told_is_not_evicted() {
    let mut device = Device::new();
    device.busy = true;
    for sequence in 1..=3 {
        device.send(id(sequence), &set(1));
        assert_eq!(device.work(), [id(sequence)]);
    }
    device.busy = false;
    // Nothing is settled, but three answers are still owed.
    device.send(id(4), &set(1));
    device
        .inbox
        .input(device.now, &Event::Connected { resumed: true });
    let told: Vec<_> = device.pump().iter().map(|told| told.answer).collect();
    let done = Answer::Ended(Outcome::DONE);
    assert_eq!(told, [done, done, done, Answer::Busy]);
    assert_eq!(device.work(), []);
}

#[test]
fn the_oldest_command_finds_room_behind_results_that_wait_for_it() {
    let mut device = Device::new();
    let job = encoded(&set(1));
    for sequence in 2..=4 {
        device.deliver(Request::new(id(sequence), &job).settled_below(1));
        device.work();
    }
    assert_eq!(
        device.deliver(Request::new(id(1), &job).settled_below(1)),
        []
    );
    assert_eq!(device.work(), [id(1)]);
}

#[test]
fn a_new_epoch_starts_afresh_and_ends_the_old_one() {
    let mut device = Device::new();
    device.send(id(5), &Job::Pulse);
    let running = device.inbox.next().unwrap();
    let fresh = |sequence| CommandId::new(ONE, 2, sequence);
    assert_eq!(device.send(fresh(1), &set(1)), Some(Answer::Busy));
    device.inbox.finish(running.id, Outcome::DONE).unwrap();
    device.pump();
    assert_eq!(device.send(fresh(1), &set(1)), None);
    // The epoch is on record before its first command is handed out.
    let mut device = device.reboot();
    assert_eq!(device.send(id(6), &set(1)), rejected(Reason::TooOld));
    assert_eq!(device.send(fresh(1), &set(1)), Some(Answer::InProgress));
    assert_eq!(device.work(), [fresh(1)]);
}

#[test]
fn running_commands_are_never_dropped_for_new_ones() {
    let mut device = Device::new();
    for sequence in 1..=3 {
        assert_eq!(device.send(id(sequence), &set(1)), None);
    }
    assert_eq!(device.send(id(4), &set(1)), Some(Answer::Busy));
    assert_eq!(device.work(), [id(1), id(2), id(3)]);
    assert_eq!(device.send(id(4), &set(1)), None);
}

#[test]
fn an_expired_command_is_never_started_and_stays_expired() {
    let mut device = Device::new();
    let (job, moment) = (encoded(&set(1)), Timestamp::from_secs(100));
    let request = Request::new(id(1), &job).expires_at(Some(moment));
    let expired = Response::new(id(1), Answer::Ended(Outcome::Expired));
    device.now.wall = TimeBounds::exact(moment);
    assert_eq!(device.deliver(request), [expired]);
    // After the boot the clock is lost, and the answer must not change for it.
    let mut device = device.reboot();
    device.inbox.danger_run_when_time_is_unknown();
    assert_eq!(device.deliver(request), [expired]);
    assert!(device.inbox.next().is_none());
}

#[test]
fn a_command_that_waits_too_long_to_be_handed_out_expires() {
    let mut device = Device::new();
    let (job, moment) = (encoded(&Job::Pulse), Timestamp::from_secs(100));
    device.now.wall = TimeBounds::exact(Timestamp::from_secs(99));
    let request = Request::new(id(1), &job).expires_at(Some(moment));
    assert_eq!(device.deliver(request), []);
    device.now.wall = TimeBounds::exact(moment);
    assert_eq!(device.pump()[0].answer, Answer::Ended(Outcome::Expired));
    assert!(device.inbox.next().is_none());
}

#[test]
fn without_a_clock_a_command_that_expires_waits_unless_the_policy_says_otherwise() {
    let mut device = Device::new();
    let job = encoded(&set(1));
    let request = Request::new(id(1), &job).expires_at(Some(Timestamp::from_secs(100)));
    let answer = device.deliver(request)[0].answer;
    assert_eq!(answer, Answer::ClockUnknown);
    assert!(device.inbox.next().is_none());
    device.now.wall = TimeBounds::exact(Timestamp::from_secs(99));
    assert_eq!(device.deliver(request), []);
    assert!(device.inbox.next().is_some());

    let mut careless = Device::new();
    careless.inbox.danger_run_when_time_is_unknown();
    assert_eq!(careless.deliver(request), []);
    assert!(careless.inbox.next().is_some());
}

#[test]
fn an_unknown_command_is_invalid_and_stays_so() {
    let mut device = Device::new();
    for (sequence, command) in [
        (1, &b"\x81\x64Sett"[..]),
        (2, b"\x82\x63Set\xf5"),
        (3, b"\x07"),
    ] {
        let answers = device.deliver(Request::new(id(sequence), command));
        let invalid = Outcome::Rejected {
            reason: Reason::Invalid,
        };
        assert_eq!(
            answers,
            [Response::new(id(sequence), Answer::Ended(invalid))]
        );
    }
    assert_eq!(device.work(), []);
}

#[test]
fn full_storage_holds_a_start_back_and_keeps_an_end() {
    let mut device = Device::new();
    device.full = true;
    // The first command of an epoch is put on record whatever its class, so it may not be handed out.
    assert_eq!(device.send(id(1), &set(1)), None);
    assert!(device.inbox.next().is_none());
    assert_eq!(device.inbox.deadline(), Some(Instant::from_millis(500)));
    device.full = false;
    assert_eq!(device.pump(), []);
    assert!(device.inbox.next().is_none(), "tried again too soon");
    device.now.instant = Instant::from_millis(1_000);
    device.pump();
    assert_eq!(device.work(), [id(1)]);

    device.full = true;
    assert_eq!(device.send(id(2), &Job::Pulse), None);
    assert_eq!(device.send(id(2), &Job::Pulse), Some(Answer::InProgress));
    assert!(device.inbox.next().is_none());
    device.full = false;
    device.now.instant = Instant::from_millis(2_000);
    device.pump();
    let job = device.inbox.next().unwrap();
    device.full = true;
    device.inbox.finish(job.id, Outcome::DONE).unwrap();
    assert_eq!(device.pump(), []);
    assert!(device.inbox.deadline().is_some());
    assert_eq!(device.send(id(2), &Job::Pulse), Some(Answer::InProgress));
    device.full = false;
    device.now.instant = Instant::from_millis(3_000);
    assert_eq!(
        device.pump(),
        [Response::new(id(2), Answer::Ended(Outcome::DONE))]
    );
}

#[test]
fn an_answer_waits_for_the_link() {
    let mut device = Device::new();
    device.busy = true;
    device.send(id(1), &set(1));
    device.work();
    device.busy = false;
    assert_eq!(device.pump(), []);
    device
        .inbox
        .input(device.now, &Event::Connected { resumed: true });
    assert_eq!(
        device.pump(),
        [Response::new(id(1), Answer::Ended(Outcome::DONE))]
    );
    assert_eq!(device.pump(), []);
}

#[test]
fn a_command_is_finished_once_and_only_after_it_was_handed_out() {
    let mut device = Device::new();
    device.send(id(1), &Job::Note);
    let inbox = &mut device.inbox;
    assert_eq!(
        inbox.finish(id(1), Outcome::DONE),
        Err(FinishError::NotRunning)
    );
    inbox.next().unwrap();
    let long = inbox.finish_with(id(1), Outcome::DONE, RecordKey::new(1), b"x");
    assert_eq!(long, Err(FinishError::TooLong { bytes: 1, limit: 0 }));
    inbox.finish(id(1), Outcome::Failed { code: 3 }).unwrap();
    assert_eq!(
        inbox.finish(id(1), Outcome::DONE),
        Err(FinishError::NotRunning)
    );
}

#[test]
fn a_step_is_the_same_until_it_is_done() {
    let mut device = Device::new();
    let job = encoded(&Job::Pulse);
    let (mut bytes, mut first, mut second) = ([0; 64], [0; 256], [0; 256]);
    let len = Request::new(id(1), &job).encode(&mut bytes).unwrap();
    let message = Event::Message(Message::new(Channel::Command, &bytes[..len]));
    device.inbox.input(device.now, &message);
    let Step::Persist(dropped) = device.inbox.step(device.now, &mut first) else {
        panic!("not a record");
    };
    device.inbox.input(device.now, &message);
    let Step::Persist(again) = device.inbox.step(device.now, &mut second) else {
        panic!("not a record");
    };
    assert_eq!(dropped, again);
    assert!(
        device.inbox.next().is_none(),
        "handed out before it was on record"
    );
}

#[test]
fn records_that_cannot_be_read_stop_the_inbox() {
    let mut device = Device::new();
    device.send(id(1), &set(1));
    device.work();
    let mut buffer = [0; 32];
    let mut writer = iot_core::engine::BatchWriter::new(&mut buffer);
    writer.put(RecordKey::new(0x0200), b"\x85\x02").unwrap();
    block_on(device.records.commit(&writer.finish())).unwrap();
    let mut device = device.reboot();
    assert!(device.inbox.is_damaged());
    assert_eq!(device.send(id(2), &set(1)), Some(Answer::Busy));
    assert!(device.inbox.next().is_none());
}

#[test]
fn a_damaged_inbox_runs_nothing_that_it_had_accepted() {
    let mut device = Device::new();
    device.send(id(1), &set(1));
    device.work();
    // Probed, and on record as started: it would come back.
    device.send(id(2), &Job::Swap);
    let mut buffer = [0; 32];
    let mut writer = iot_core::engine::BatchWriter::new(&mut buffer);
    writer.put(RecordKey::new(0x0200), b"\x85\x02").unwrap();
    block_on(device.records.commit(&writer.finish())).unwrap();
    let mut device = device.reboot();
    assert!(device.inbox.is_damaged());
    assert!(device.inbox.next().is_none());
    assert_eq!(device.inbox.deadline(), None);
}

/// Restores an inbox of other sizes from `records`, sends it `id` and says what it answered, and whether it
/// would run it.
fn after_update<const ISSUERS: usize, const WINDOW: usize, const RESULTS: usize>(
    records: &mut Store,
    id: CommandId,
) -> (bool, Option<Answer>, bool) {
    let mut inbox = Inbox::<Job, ISSUERS, WINDOW, RESULTS>::new();
    inbox.allow(id.issuer).unwrap();
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let range = inbox.records();
    let mut from = range.first();
    while let Some(key) = from.and_then(|from| block_on(records.next_key(from)).unwrap()) {
        if !range.contains(key) {
            break;
        }
        let mut buffer = [0; 96];
        let value = block_on(records.read(key, &mut buffer)).unwrap().unwrap();
        inbox.input(now, &Event::Record { key, value });
        from = key.offset(1);
    }
    inbox.input(now, &Event::Restored);
    let (mut bytes, mut buffer, mut answer) = ([0; 256], [0; 256], None);
    let job = encoded(&Job::Pulse);
    let request = Request::new(id, &job).settled_below(id.sequence);
    let len = request.encode(&mut bytes).unwrap();
    let message = Message::new(Channel::Command, &bytes[..len]);
    inbox.input(now, &Event::Message(message));
    loop {
        let done = match inbox.step(now, &mut buffer) {
            Step::Idle => break,
            Step::Persist(batch) => {
                block_on(records.commit(&batch)).unwrap();
                Done::Persisted
            }
            Step::Send(message) => {
                let response = Response::decode(message.payload).unwrap();
                answer = (response.id == id).then_some(response.answer).or(answer);
                Done::Sent(Ticket::new(0))
            }
            other => panic!("an unexpected step: {other:?}"),
        };
        inbox.done(now, done);
    }
    (inbox.is_damaged(), answer, inbox.next().is_some())
}

/// What a device leaves on which both issuers had 5 commands run; 3, 4 and 5 never arrived.
fn records_of_two_issuers() -> Store {
    let mut device = Device::new();
    device.inbox.allow(TWO).unwrap();
    for issuer in [ONE, TWO] {
        for sequence in [1, 2, 8, 7, 6] {
            let id = CommandId::new(issuer, 1, sequence);
            assert_eq!(device.send(id, &Job::Pulse), None);
            assert_eq!(device.work(), [id]);
        }
    }
    device.records
}

#[test]
fn a_firmware_whose_sizes_hide_what_was_run_runs_nothing_and_says_so() {
    let stopped = (true, Some(Answer::Busy), false);
    for issuer in [ONE, TWO] {
        for sequence in [2, 8] {
            let id = CommandId::new(issuer, 1, sequence);
            let records = records_of_two_issuers();
            let mut fewer = records.clone();
            // Twice each: what it wrote the first time must not hide the damage the second time.
            for _ in 0..2 {
                assert_eq!(after_update::<2, 8, 1>(&mut fewer, id), stopped);
                assert_eq!(after_update::<2, 8, 2>(&mut fewer, id), stopped);
                assert_eq!(after_update::<2, 8, 4>(&mut fewer, id), stopped);
                assert_eq!(after_update::<1, 8, 3>(&mut fewer, id), stopped);
            }
            let mut wide = records.clone();
            let (damaged, _, runs) = after_update::<2, 64, 3>(&mut wide, id);
            assert!(!damaged && !runs);
            let fresh = CommandId::new(issuer, 1, 50);
            let (damaged, _, runs) = after_update::<2, 64, 3>(&mut wide, fresh);
            assert!(!damaged && runs);
            assert_eq!(after_update::<2, 8, 3>(&mut wide, id), stopped);
        }
    }
}

#[test]
fn a_firmware_with_room_for_more_issuers_and_a_wider_window_goes_on() {
    let mut records = records_of_two_issuers();
    for issuer in [ONE, TWO] {
        let id = CommandId::new(issuer, 1, 8);
        let (damaged, answer, runs) = after_update::<3, 64, 3>(&mut records, id);
        assert_eq!((damaged, answer, runs), (false, DONE, false));
        let fresh = CommandId::new(issuer, 1, 50);
        let (damaged, answer, runs) = after_update::<3, 64, 3>(&mut records, fresh);
        assert_eq!((damaged, answer, runs), (false, None, true));
    }
    // The larger sizes are on record, so the older firmware does not take its narrower view for the whole.
    let id = CommandId::new(ONE, 1, 50);
    let stopped = (true, Some(Answer::Busy), false);
    assert_eq!(after_update::<2, 8, 3>(&mut records, id), stopped);
}
