//! Power cuts at every boundary of a command: around each durable write, each message and each run of the
//! handler, twice in one life, with every message doubled. The claim of each class must hold in every run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::cell::Cell;

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{Answer, Inbox, Issuer, Outcome, Request, Response, Terms};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::node;
use iot_core::port::Records;
use iot_core::storage::memory::FixedRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket};

iot_core::commands! {
    enum Job {
        #[transactional] Count,
        #[idempotent] SetValve { open: bool },
        #[probed] Swap,
        #[opaque] Unlock,
        #[idempotent] Greet,
    }
}

const SERVICE: IssuerId = IssuerId::new(1);
/// The command under test. The first of an epoch is on record whatever its class, so it is the second.
const ID: CommandId = CommandId::new(SERVICE, 1, 2);
const TOTAL: RecordKey = RecordKey::new(0x0900);
type Store = FixedRecords<16, 96>;
type Device = Inbox<Job, 1, 8, 4, 8>;

/// The power goes when the budget of boundaries is spent.
#[derive(Debug)]
struct Cut;

struct Power {
    left: u32,
    spent: u32,
}

impl Power {
    const UNLIMITED: u32 = u32::MAX;

    fn boundary(&mut self) -> Result<(), Cut> {
        self.spent += 1;
        self.left = self.left.checked_sub(1).ok_or(Cut)?;
        Ok(())
    }
}

/// The part of the world that a power cut does not undo.
#[derive(Default)]
struct World {
    pulses: u32,
    valve: Option<bool>,
    valve_runs: u32,
    swaps: u32,
    probes: u32,
    to_device: Vec<Vec<u8>>,
    to_service: Vec<Vec<u8>>,
    answers: Vec<Outcome>,
}

fn now(second: u64) -> Now {
    Now::new(Instant::from_millis(second * 1_000), TimeBounds::UNKNOWN)
}

fn restore(engine: &mut dyn Engine, records: &mut Store, at: Now) {
    block_on(node::restore(engine, records, at, &mut [0; 96])).unwrap();
}

/// Takes every step an engine wants, with a boundary before and after each.
fn pump(
    engine: &mut dyn Engine,
    records: &mut Store,
    at: Now,
    power: &mut Power,
    out: &mut Vec<Vec<u8>>,
) -> Result<(), Cut> {
    let mut buffer = [0; 1024];
    loop {
        power.boundary()?;
        let done = match engine.step(at, &mut buffer) {
            Step::Idle => return Ok(()),
            Step::Persist(batch) => {
                block_on(records.commit(&batch)).unwrap();
                Done::Persisted
            }
            Step::Send(message) => {
                out.push(message.payload.to_vec());
                Done::Sent(Ticket::new(0))
            }
            other => panic!("an unexpected step: {other:?}"),
        };
        power.boundary()?;
        engine.done(at, done);
    }
}

fn total(records: &mut Store) -> u32 {
    let mut buffer = [0; 8];
    let value = block_on(records.read(TOTAL, &mut buffer)).unwrap();
    value.map_or(0, |value| u32::from_be_bytes(value.try_into().unwrap()))
}

/// Carries out what the inbox hands out, with a boundary before and after each effect.
fn handle(
    inbox: &mut Device,
    world: &mut World,
    records: &mut Store,
    second: u64,
    power: &mut Power,
    replies: &mut Vec<Vec<u8>>,
) -> Result<(), Cut> {
    while let Some(job) = inbox.next() {
        power.boundary()?;
        match job.command {
            Job::Count => {
                let sum = total(records) + 1;
                let effect = sum.to_be_bytes();
                inbox
                    .finish_with(job.id, Outcome::DONE, TOTAL, &effect)
                    .unwrap();
            }
            Job::SetValve { open } => {
                (world.valve, world.valve_runs) = (Some(open), world.valve_runs + 1);
            }
            // The probe: the swap counter of the world tells whether it happened.
            Job::Swap if job.resumed && world.swaps > 0 => world.probes += 1,
            Job::Swap => world.swaps += 1,
            Job::Unlock => world.pulses += 1,
            Job::Greet => {}
        }
        power.boundary()?;
        if job.command != Job::Count {
            inbox.finish(job.id, Outcome::DONE).unwrap();
        }
        pump(inbox, records, now(second), power, replies)?;
    }
    Ok(())
}

/// One life of the device, from boot to a power cut or to the given second.
fn live(world: &mut World, records: &mut Store, second: u64, power: &mut Power) -> Result<(), Cut> {
    let mut inbox = Device::with_effects(RecordKey::new(0x0200));
    inbox.allow(SERVICE).unwrap();
    restore(&mut inbox, records, now(second));
    let mut replies = Vec::new();
    let result = (|| {
        pump(&mut inbox, records, now(second), power, &mut replies)?;
        let mail = core::mem::take(&mut world.to_device);
        // What was started before the cut comes back without any message, so the inbox is asked first.
        handle(&mut inbox, world, records, second, power, &mut replies)?;
        for payload in mail.iter().flat_map(|message| [message, message]) {
            let message = Message::new(Channel::Command, payload);
            inbox.input(now(second), &Event::Message(message));
            pump(&mut inbox, records, now(second), power, &mut replies)?;
            handle(&mut inbox, world, records, second, power, &mut replies)?;
        }
        Ok(())
    })();
    for reply in &replies {
        let response = Response::decode(reply).unwrap();
        if let (ID, Answer::Ended(outcome)) = (response.id, response.answer) {
            world.answers.push(outcome);
        }
    }
    world.to_service.append(&mut replies);
    result
}

/// What a run leaves behind.
struct Run {
    world: World,
    end: Outcome,
    total: u32,
    boundaries: u32,
    fired: u32,
}

/// Issues one command and lives through the given cuts, one in each life, until the issuer knows how it
/// ended; then a straggling repetition reaches the device after yet another boot.
fn run(command: &Job, cuts: &[u32]) -> Run {
    let (mut world, mut records) = (World::default(), Store::new());
    let mut issuer = Issuer::<Job, 2>::new(SERVICE, RecordKey::new(0x4000));
    let unlimited = || Power {
        left: Power::UNLIMITED,
        spent: 0,
    };
    let mut service_records = Store::new();
    restore(&mut issuer, &mut service_records, now(0));
    issuer.issue(now(0), Job::Greet, Terms::DEFAULT).unwrap();
    let mut cuts = cuts.iter();
    let mut issued = None;
    let (mut boundaries, mut fired, mut conclusion) = (0, 0, None);
    for second in 0..2_000 {
        let at = now(second);
        let mut power = unlimited();
        pump(
            &mut issuer,
            &mut service_records,
            at,
            &mut power,
            &mut world.to_device,
        )
        .unwrap();
        let cut = issued.and_then(|_| cuts.next().copied());
        let mut power = Power {
            left: cut.unwrap_or(Power::UNLIMITED),
            spent: 0,
        };
        fired += u32::from(live(&mut world, &mut records, second, &mut power).is_err());
        if issued.is_some() {
            boundaries = boundaries.max(power.spent);
        }
        for reply in core::mem::take(&mut world.to_service) {
            issuer.input(at, &Event::Message(Message::new(Channel::Command, &reply)));
        }
        if let Some(end) = issuer.concluded() {
            if end.id == ID {
                conclusion = Some(end.outcome.unwrap());
                break;
            }
            let id = issuer.issue(at, command.clone(), Terms::DEFAULT);
            issued = Some(id.unwrap());
            assert_eq!(issued, Some(ID));
        }
    }
    // A straggler arrives when all is over, and the device has been restarted once more.
    let mut bytes = [0; 64];
    let mut encoded = [0; 32];
    let encoded = encode_into(&mut encoded, |out| out.encode(command)?.ok()).unwrap();
    let len = Request::new(ID, encoded).encode(&mut bytes).unwrap();
    world.to_device.push(bytes[..len].to_vec());
    live(&mut world, &mut records, 3_000, &mut unlimited()).unwrap();
    let end = conclusion.expect("the issuer never heard how it ended");
    assert!(
        world.answers.iter().all(|answer| *answer == end),
        "{command:?} ended as {end:?}, but the device said {:?}",
        world.answers
    );
    Run {
        end,
        total: total(&mut records),
        boundaries,
        fired,
        world,
    }
}

/// Every single cut and every pair of cuts in two lives; `check` sees what each run leaves.
fn explore(command: &Job, check: impl Fn(&Run)) {
    let clean = run(command, &[]);
    check(&clean);
    assert!(
        clean.boundaries >= 10,
        "only {} boundaries",
        clean.boundaries
    );
    let mut twice = 0;
    for first in 0..clean.boundaries {
        for second in (0..clean.boundaries + 8).map(Some).chain([None]) {
            let cuts: Vec<u32> = [Some(first), second].into_iter().flatten().collect();
            let run = run(command, &cuts);
            assert!(run.fired >= 1, "the cut at boundary {first} did not happen");
            check(&run);
            twice += u32::from(run.fired == 2);
        }
    }
    assert!(twice >= 10, "only {twice} runs were cut twice");
}

#[test]
fn a_transactional_command_has_exactly_one_effect() {
    explore(&Job::Count, |run| {
        assert_eq!((run.end, run.total), (Outcome::DONE, 1));
    });
}

#[test]
fn an_idempotent_command_takes_effect_and_may_run_again() {
    let again = Cell::new(false);
    explore(&Job::SetValve { open: true }, |run| {
        assert_eq!((run.end, run.world.valve), (Outcome::DONE, Some(true)));
        again.set(again.get() || run.world.valve_runs > 1);
    });
    assert!(again.get(), "no cut fell between the effect and its record");
}

#[test]
fn a_probed_command_has_one_effect() {
    let probed = Cell::new(false);
    explore(&Job::Swap, |run| {
        assert_eq!((run.end, run.world.swaps), (Outcome::DONE, 1));
        probed.set(probed.get() || run.world.probes > 0);
    });
    assert!(probed.get(), "no cut fell between the start and its end");
}

#[test]
fn an_opaque_command_runs_at_most_once_and_says_when_it_is_in_doubt() {
    let doubts = Cell::new((false, false));
    explore(&Job::Unlock, |run| match run.end {
        Outcome::Done(_) => assert_eq!(run.world.pulses, 1),
        Outcome::InDoubt => {
            assert!(run.world.pulses <= 1);
            let (without, with) = doubts.get();
            doubts.set((
                without || run.world.pulses == 0,
                with || run.world.pulses == 1,
            ));
        }
        other => panic!("ended as {other:?}"),
    });
    assert_eq!(
        doubts.get(),
        (true, true),
        "doubt must have been justified both ways"
    );
}
