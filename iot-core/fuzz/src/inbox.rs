//! An inbox with arbitrary records, driven through arbitrary messages, failures and power cuts.

use std::collections::BTreeMap;

use iot_core::command::{
    Answer, Class, Command, FinishError, Inbox, Outcome, Pending, Reason, Request, Response,
};
use iot_core::engine::RecordKey;
use iot_core::{CommandId, Engine, IssuerId, Timestamp};

use crate::driver::{Deed, Driver, End, RECORD};
use crate::input::Input;

iot_core::commands! {
    enum Job {
        #[transactional]
        Store { value: u16 },
        #[idempotent]
        Set { open: bool },
        #[probed]
        Restart,
        #[opaque]
        Pulse { ms: u8 },
    }
}

type Jobs = Inbox<Job, 2, 8, 3, 16>;

const BYTES: u8 = 1;
const REQUEST: u8 = 2;
const STEP: u8 = 3;
const NEXT: u8 = 4;
const FINISH: u8 = 5;
const PASS: u8 = 6;
const HAPPEN: u8 = 7;
const REBOOT: u8 = 8;
const KINDS: u8 = 9;

/// A buffer that every step fits.
const WHOLE: usize = Jobs::BUFFER_BYTES + 64;
const FIRST_RECORD: RecordKey = RecordKey::new(0x200);
/// Where the effects of transactional commands go: beside the inbox's own records.
const EFFECT: RecordKey = RecordKey::new(0x9000);

struct World {
    driver: Driver,
    jobs: Jobs,
    /// What was handed out since the last boot and not finished.
    running: Vec<Pending<Job>>,
    /// No record is anybody's but the inbox's: only then are the promises checked that rest on them.
    trusted: bool,
    /// How often each was handed out, over all boots.
    pulses: BTreeMap<CommandId, u32>,
    /// How often the effect of each became durable.
    effects: BTreeMap<CommandId, u32>,
    /// How each ended, as first told.
    told: BTreeMap<CommandId, Outcome>,
}

/// The input is a list of deeds; see the constants. Nothing panics and every engine step repeats until it is
/// done. An inbox that wrote its records itself hands out an opaque command at most once, commits the effect
/// of a transactional one at most once, and never tells two ends of one command. A damaged one runs nothing.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(driver) = Driver::begin(&mut input, KINDS, FIRST_RECORD, 10) else {
        return;
    };
    let mut world = World {
        trusted: driver.records.is_empty(),
        jobs: boot(&driver),
        driver,
        running: Vec::new(),
        pulses: BTreeMap::new(),
        effects: BTreeMap::new(),
        told: BTreeMap::new(),
    };
    while world.act(&mut input).is_some() {}
    world.come_to_rest();
}

fn boot(driver: &Driver) -> Jobs {
    let mut jobs = Jobs::with_effects(FIRST_RECORD);
    jobs.allow(IssuerId::new(0)).expect("room");
    jobs.allow_if(IssuerId::new(1), |job| *job != Job::Restart)
        .expect("room");
    driver.restore(&mut jobs);
    jobs
}

impl World {
    fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % KINDS {
            BYTES => self.driver.hand(&mut self.jobs, input.short()?),
            REQUEST => {
                let request = request(input)?;
                self.driver.hand(&mut self.jobs, &request);
            }
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
                if let Some(job) = self.jobs.next() {
                    self.handed_out(job);
                }
            }
            FINISH => self.finish(input)?,
            PASS => self.driver.pass(input.byte()?),
            HAPPEN => self.driver.happen(&mut self.jobs, input.byte()?),
            REBOOT => self.reboot(),
            _ => {}
        }
        Some(())
    }

    fn handed_out(&mut self, job: Pending<Job>) {
        assert!(!self.jobs.is_damaged(), "a damaged inbox ran {job:?}");
        if job.command.class() == Class::Opaque {
            let times = self.pulses.entry(job.id).or_default();
            *times += 1;
            assert!(
                !self.trusted || *times == 1,
                "{job:?} was handed out {times} times"
            );
        }
        let again = self.running.iter().any(|running| running.id == job.id);
        assert!(!self.trusted || !again, "{job:?} is running already");
        self.running.push(job);
    }

    fn finish(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (place, how) = (usize::from(input.byte()?), input.byte()?);
        if self.running.is_empty() {
            return Some(());
        }
        let place = place % self.running.len();
        let job = self.running[place].clone();
        let outcome = match how % 3 {
            0 => Outcome::DONE,
            1 => Outcome::Failed { code: how.into() },
            _ => Outcome::done_with(&[how; 8]).expect("a short result"),
        };
        let finished = self.end(&job, outcome);
        if finished.is_ok() {
            self.running.remove(place);
        }
        Some(())
    }

    fn end(&mut self, job: &Pending<Job>, outcome: Outcome) -> Result<(), FinishError> {
        let id = job.id;
        match job.command {
            Job::Store { .. } => {
                let sequence = u64::from(id.sequence) << 8 | u64::from(id.issuer.get());
                let value = [u64::from(id.epoch).to_be_bytes(), sequence.to_be_bytes()].concat();
                self.jobs.finish_with(id, outcome, EFFECT, &value)
            }
            _ => self.jobs.finish(id, outcome),
        }
    }

    fn step(&mut self, end: End, buffer_bytes: usize) -> Deed {
        let deed = self.driver.step(&mut self.jobs, end, buffer_bytes);
        match &deed {
            // What the engine did not hear of it writes again, the same bytes in the same place.
            Deed::Persisted(batch) if end != End::Unheard => {
                for (_, value) in batch.iter().filter(|(key, _)| *key == EFFECT) {
                    self.effect(value.as_deref().expect("an effect is written"));
                }
            }
            Deed::Sent(message) => self.answered(message),
            Deed::Persisted(_) | Deed::Nothing => {}
        }
        if end == End::Cut {
            self.reboot();
        }
        deed
    }

    fn effect(&mut self, value: &[u8]) {
        let number =
            |at: usize| u64::from_be_bytes(value[at..at + 8].try_into().expect("eight bytes"));
        let issuer = IssuerId::new((number(8) & 0xff) as u32);
        let id = CommandId::new(issuer, number(0) as u32, (number(8) >> 8) as u32);
        let times = self.effects.entry(id).or_default();
        *times += 1;
        assert!(
            !self.trusted || *times == 1,
            "the effect of {id} took place {times} times"
        );
    }

    fn answered(&mut self, message: &[u8]) {
        let response = Response::decode(message).expect("the inbox's own message");
        let Answer::Ended(outcome) = response.answer else {
            return;
        };
        // These say what is no longer known, or something of another command under the same identity.
        let nothing_new = matches!(
            outcome,
            Outcome::Forgotten
                | Outcome::Rejected {
                    reason: Reason::TooOld | Reason::Mismatch
                }
        );
        if self.trusted && !nothing_new {
            let first = *self.told.entry(response.id).or_insert(outcome);
            assert_eq!(outcome, first, "{} ended twice", response.id);
        }
    }

    /// Lets everything succeed from now on: what runs can be finished, and then there is nothing left to do.
    fn come_to_rest(&mut self) {
        for _ in 0..20 {
            // Longer than any pause.
            self.driver.pass(u8::MAX);
            let steps = (0..100).take_while(|_| self.step(End::Done, WHOLE) != Deed::Nothing);
            assert!(steps.count() < 100, "it steps without end");
            while let Some(job) = self.jobs.next() {
                self.handed_out(job);
            }
            let Some(job) = self.running.pop() else {
                let now = self.driver.now().instant;
                let deadline = self.jobs.deadline();
                assert!(
                    deadline.is_none_or(|at| at > now),
                    "it asks for a step and has none"
                );
                return;
            };
            let finished = self.end(&job, Outcome::DONE);
            assert!(!self.trusted || finished == Ok(()), "{job:?}: {finished:?}");
        }
        panic!("commands are handed out without end");
    }

    fn reboot(&mut self) {
        self.running.clear();
        self.jobs = boot(&self.driver);
        assert!(
            !self.trusted || !self.jobs.is_damaged(),
            "the inbox cannot read its own records"
        );
    }
}

/// A well-formed request, so that the fuzzer need not learn to write one.
fn request(input: &mut Input<'_>) -> Option<Vec<u8>> {
    let (who, sequence, terms, value) =
        (input.byte()?, input.byte()?, input.byte()?, input.byte()?);
    let id = CommandId::new(
        IssuerId::new(u32::from(who % 3)),
        u32::from(who >> 6),
        u32::from(sequence % 24),
    );
    let job = match value % 4 {
        0 => Job::Store {
            value: value.into(),
        },
        1 => Job::Set { open: value > 99 },
        2 => Job::Restart,
        _ => Job::Pulse { ms: value },
    };
    let command = minicbor::to_vec(&job).expect("room");
    let expires = (terms & 1 == 1).then(|| Timestamp::from_millis(u64::from(terms) * 100));
    let request = Request::new(id, &command)
        .settled_below(u32::from(terms >> 3))
        .not_before((terms & 2 == 2).then(|| Timestamp::from_millis(u64::from(value) * 100)))
        .expires_at(expires);
    let request = match terms & 4 {
        4 => request.cancel(),
        _ => request,
    };
    let mut buffer = [0; 128];
    let len = request.encode(&mut buffer)?;
    Some(buffer[..len].to_vec())
}

/// A life of each class of command with a power cut in it, and one with records of an earlier life.
pub fn seeds() -> Vec<Vec<u8>> {
    let (done, cut, whole) = (7, 5, 255);
    let mut seeds: Vec<_> = (0..4)
        .map(|class| {
            let mut seed = vec![
                REQUEST, 0, 1, 0, class, STEP, done, whole, NEXT, REBOOT, NEXT,
            ];
            seed.extend([FINISH, 0, 0, STEP, cut, whole, REQUEST, 0, 1, 0, class]);
            seed.extend([STEP, done, whole, STEP, done, whole, NEXT]);
            seed.extend([
                REQUEST, 1, 9, 8, class, STEP, 0, whole, PASS, 41, STEP, 1, whole, HAPPEN, 1,
            ]);
            seed
        })
        .collect();
    // A pulse's start is on record although its issuer was told that there was no room. It is sent again when
    // its place is taken, runs in another, and ends; then both places are read.
    let (unheard, full, set, pulse) = (4, 0, 1, 3);
    let mut seed = vec![
        REQUEST, 0, 2, 0, pulse, STEP, unheard, whole, STEP, full, whole,
    ];
    seed.extend([
        STEP, done, whole, REQUEST, 0, 3, 0, set, REQUEST, 0, 2, 0, pulse,
    ]);
    seed.extend([
        STEP, done, whole, NEXT, NEXT, FINISH, 1, 0, STEP, done, whole, STEP, done, whole,
    ]);
    seed.extend([
        REBOOT, STEP, done, whole, REQUEST, 0, 2, 0, pulse, STEP, done, whole,
    ]);
    seeds.push(seed);
    // The records that a start leaves behind.
    let mut driver = Driver::default();
    let mut jobs = boot(&driver);
    let pulse = request(&mut Input(&[0, 1, 0, 3])).expect("a request");
    driver.hand(&mut jobs, &pulse);
    driver.step(&mut jobs, End::Done, WHOLE);
    let mut seed = Vec::new();
    for (key, value) in &driver.records {
        let offset = u8::try_from(key.get() - FIRST_RECORD.get()).expect("a small key");
        seed.extend([
            RECORD,
            offset,
            u8::try_from(value.len()).expect("a short record"),
        ]);
        seed.extend(value);
    }
    assert!(!seed.is_empty(), "a pulse starts on record");
    seed.extend([
        NEXT, STEP, done, whole, REQUEST, 0, 1, 0, 3, STEP, done, whole,
    ]);
    seeds.push(seed);
    seeds
}

#[test]
fn every_seed_keeps_the_claims() {
    seeds().iter().for_each(|seed| run(seed));
}

#[test]
fn a_pulse_that_was_cut_off_is_not_handed_out_again() {
    let records = seeds().pop().unwrap();
    let mut input = Input(&records);
    let mut driver = Driver::default();
    while input.0.first() == Some(&RECORD) {
        input.byte();
        let offset = u32::from(input.byte().unwrap());
        let value = input.short().unwrap().to_vec();
        driver
            .records
            .insert(FIRST_RECORD.offset(offset).unwrap(), value);
    }
    let mut jobs = boot(&driver);
    assert!(!jobs.is_damaged() && driver.records.len() == 1);
    assert_eq!(jobs.next(), None);
}
