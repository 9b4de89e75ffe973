//! An issuer with arbitrary records, driven through arbitrary answers, failures and power cuts.

use std::collections::BTreeMap;

use iot_core::command::{Answer, IssueError, Issuer, Outcome, Request, Response, Terms};
use iot_core::engine::RecordKey;
use iot_core::{CommandId, Engine, IssuerId, Timestamp};

use crate::driver::{Deed, Driver, End, RECORD};
use crate::input::Input;

iot_core::commands! {
    enum Job {
        #[idempotent]
        Set { open: bool, level: u8 },
        #[opaque]
        Pulse,
    }
}

type Door = Issuer<Job, 3>;

const BYTES: u8 = 1;
const ANSWER: u8 = 2;
const STEP: u8 = 3;
const ISSUE: u8 = 4;
const CONCLUDED: u8 = 5;
const PASS: u8 = 6;
const HAPPEN: u8 = 7;
const REBOOT: u8 = 8;
const EPOCH: u8 = 9;
const CANCEL: u8 = 10;
const KINDS: u8 = 11;

const ISSUER: IssuerId = IssuerId::new(7);
const FIRST_RECORD: RecordKey = RecordKey::new(0x4000);

struct World {
    driver: Driver,
    door: Door,
    /// No record is anybody's but the issuer's: only then are the promises checked that rest on them.
    trusted: bool,
    /// The command that each identity stands for, as sent.
    sent: BTreeMap<CommandId, Vec<u8>>,
}

/// The input is a list of deeds; see the constants. Nothing panics and every step repeats until it is done.
/// An issuer that wrote its records itself never sends two commands under one identity, never one that it
/// has declared settled, and is not damaged after a restart. A damaged one issues nothing.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let Some(driver) = Driver::begin(&mut input, KINDS, FIRST_RECORD, 6) else {
        return;
    };
    let mut world = World {
        trusted: driver.records.is_empty(),
        door: boot(&driver),
        driver,
        sent: BTreeMap::new(),
    };
    while world.act(&mut input).is_some() {}
    world.come_to_rest();
}

fn boot(driver: &Driver) -> Door {
    let mut door = Door::new(ISSUER, FIRST_RECORD);
    driver.restore(&mut door);
    door
}

impl World {
    fn act(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % KINDS {
            BYTES => self.driver.hand(&mut self.door, input.short()?),
            ANSWER => self.answer(input)?,
            STEP => {
                let end = End::choose(input)?;
                // Some buffers are too small.
                let bytes = match input.byte()? {
                    small @ 0..96 => usize::from(small),
                    _ => Door::BUFFER_BYTES,
                };
                self.step(end, bytes);
            }
            ISSUE => self.issue(input.byte()?),
            CONCLUDED => {
                let _ = self.door.concluded();
            }
            PASS => self.driver.pass(input.byte()?),
            HAPPEN => self.driver.happen(&mut self.door, input.byte()?),
            REBOOT => self.reboot(),
            EPOCH => self.door.open_epoch(self.driver.now()),
            CANCEL => self.cancel(input.byte()?),
            _ => {}
        }
        Some(())
    }

    fn issue(&mut self, byte: u8) {
        let job = match byte & 1 {
            0 => Job::Pulse,
            _ => Job::Set {
                open: byte & 2 == 0,
                level: byte >> 2,
            },
        };
        let terms = match byte & 4 {
            0 => Terms::DEFAULT,
            _ => Terms::DEFAULT
                .expires_at(Timestamp::from_secs(byte.into()))
                .give_up_after(core::time::Duration::from_secs(byte.into())),
        };
        let issued = self.door.issue(self.driver.now(), job, terms);
        assert!(!matches!(
            issued,
            Err(IssueError::NotRestored | IssueError::TooLong)
        ));
        assert!(self.door.under_way() <= 3);
    }

    /// Takes back one of the commands that were sent, whether it is still under way or not.
    fn cancel(&mut self, place: u8) {
        let ids: Vec<_> = self.sent.keys().copied().collect();
        if let Some(&id) = ids.get(usize::from(place) % ids.len().max(1)) {
            let _ = self.door.cancel(id);
        }
    }

    /// An answer to one of the commands that were sent, so that the fuzzer need not learn to write one.
    fn answer(&mut self, input: &mut Input<'_>) -> Option<()> {
        let (place, what) = (usize::from(input.byte()?), input.byte()?);
        if self.sent.is_empty() {
            return Some(());
        }
        let id = *self.sent.keys().nth(place % self.sent.len())?;
        let answer = match what % 6 {
            0 => Answer::Busy,
            1 => Answer::InProgress,
            2 => Answer::Ended(Outcome::InDoubt),
            3 => Answer::Ended(Outcome::Forgotten),
            4 => Answer::Ended(Outcome::Failed { code: what.into() }),
            _ => Answer::Ended(Outcome::DONE),
        };
        let mut buffer = [0; 64];
        let len = Response::new(id, answer).encode(&mut buffer)?;
        self.driver.hand(&mut self.door, &buffer[..len]);
        Some(())
    }

    fn step(&mut self, end: End, buffer_bytes: usize) -> Deed {
        let deed = self.driver.step(&mut self.door, end, buffer_bytes);
        if let Deed::Sent(message) = &deed {
            self.sends(message);
        }
        if end == End::Cut {
            self.reboot();
        }
        deed
    }

    fn sends(&mut self, mut message: &[u8]) {
        assert!(!message.is_empty());
        while !message.is_empty() {
            let first = Request::decode_first(message);
            let (request, rest) = first.expect("the issuer's own message");
            message = rest;
            assert_eq!(request.id.issuer, ISSUER);
            assert!(request.settled_below <= request.id.sequence);
            let first = self
                .sent
                .entry(request.id)
                .or_insert_with(|| request.command.to_vec());
            assert!(
                !self.trusted || *first == request.command,
                "{} stands for two commands",
                request.id
            );
        }
    }

    /// Lets everything succeed from now on: what has ended can be told, and the rest waits for its time.
    fn come_to_rest(&mut self) {
        for _ in 0..20 {
            // Longer than the pause after a failure.
            self.driver.pass(u8::MAX);
            let steps =
                (0..100).take_while(|_| self.step(End::Done, Door::BUFFER_BYTES) != Deed::Nothing);
            assert!(steps.count() < 100, "it steps without end");
            if self.door.concluded().is_none() {
                let now = self.driver.now().instant;
                let deadline = self.door.deadline();
                assert!(
                    deadline.is_none_or(|at| at > now),
                    "it asks for a step and has none"
                );
                return;
            }
        }
        panic!("conclusions are told without end");
    }

    fn reboot(&mut self) {
        self.door = boot(&self.driver);
        let issued = || boot(&self.driver).issue(self.driver.now(), Job::Pulse, Terms::DEFAULT);
        assert!(
            !self.trusted || issued() != Err(IssueError::Damaged),
            "the issuer cannot read its own records"
        );
    }
}

/// Lives with an answer, a cut and a new epoch, and one with records of an earlier life.
pub fn seeds() -> Vec<Vec<u8>> {
    let (done, cut, whole) = (7, 5, 255);
    let mut life = vec![
        ISSUE, 0, STEP, done, whole, STEP, done, whole, ISSUE, 3, STEP, cut, whole,
    ];
    life.extend([
        STEP, done, whole, ANSWER, 0, 5, CONCLUDED, STEP, done, whole, ISSUE, 7,
    ]);
    life.extend([
        STEP, 0, whole, PASS, 255, STEP, done, whole, STEP, 1, whole, HAPPEN, 1,
    ]);
    life.extend([CANCEL, 1, STEP, done, whole, STEP, done, whole]);
    let epoch = [
        &life[..],
        &[
            EPOCH, STEP, done, whole, ISSUE, 1, STEP, done, whole, REBOOT,
        ],
    ]
    .concat();
    let mut driver = Driver::default();
    let mut door = boot(&driver);
    door.issue(driver.now(), Job::Pulse, Terms::DEFAULT)
        .expect("room");
    driver.step(&mut door, End::Done, Door::BUFFER_BYTES);
    let mut records = Vec::new();
    for (key, value) in &driver.records {
        let offset = u8::try_from(key.get() - FIRST_RECORD.get()).expect("a small key");
        records.extend([
            RECORD,
            offset,
            u8::try_from(value.len()).expect("a short record"),
        ]);
        records.extend(value);
    }
    assert!(
        !records.is_empty(),
        "a command is on record before it is sent"
    );
    records.extend(&life);
    vec![life, epoch, records]
}

#[test]
fn every_seed_keeps_the_claims() {
    seeds().iter().for_each(|seed| run(seed));
}

/// What was due when a step was dropped is over before the next one: that must not hide what else is wanted.
#[test]
fn a_dropped_message_hides_no_other_step() {
    const FOUND: &[u8] = &[
        4, 129, 101, 80, 0, 0, 26, 5, 7, 0, 3, 255, 3, 7, 255, 4, 3, 135, 7, 185, 3, 0, 255, 6,
        255, 3, 7, 255, 3, 1, 255, 7, 1, 10, 1, 3, 132, 132, 7, 255, 255, 3, 135, 7, 135, 115, 246,
        3, 44, 255, 255, 255, 255, 4, 59, 1, 3, 7, 255, 8,
    ];
    run(FOUND);
}
