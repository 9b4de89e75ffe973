//! A whole device on a Cortex-M4, without an allocator: a twin, a command inbox and a release to verify.
//!
//! Its service runs on the same chip, at the other end of a link in memory, and sends everything twice. In
//! the middle the device loses its power: what it knew is then only what it had put on record.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::command::{Inbox, Issuer, Outcome, Terms};
use iot_core::engine::RecordKey;
use iot_core::node::{Node, PollTimer};
use iot_core::storage::memory::FixedRecords;
use iot_core::{Channel, IssuerId};
use iot_firmware::board::{Board, exit, millis, opaque, sleep};
use iot_firmware::fixture::{DESIRED, ISSUER, Job, MANIFEST, Room, SETPOINT};
use iot_firmware::release;
use iot_firmware::service::{Ear, Sent, Twice};
use iot_firmware::world::{Stuck, now, poll};
use iot_transport::memory::Link;
use iot_twin::TwinDevice;

const BUFFER_BYTES: usize = 768;
// A round takes a millisecond; the service asks again after a second at most.
const ROUNDS: usize = 5_000;

type Store = FixedRecords<24, 96>;
type Wire = Link<8, 160>;
type Twin = TwinDevice<Room, 8>;
type Jobs = Inbox<Job, 2, 64, 8>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match run() {
        Ok(house) => board.finish(Ok(&[
            ("valve", house.valve_moves),
            ("unlocks", house.unlocks),
            ("repeated", house.repeated),
            ("twin", house.twin_messages),
            ("image", house.image_bytes),
            ("forgeries", house.forgeries),
            ("millis", millis() as usize),
        ])),
        Err(Stuck(stage)) => board.finish(Err(stage)),
    }
}

/// What the device did to the world, which no power cut undoes.
#[derive(Default)]
struct House {
    setpoint: f32,
    valve_moves: usize,
    unlocks: usize,
    repeated: usize,
    twin_messages: usize,
    image_bytes: usize,
    forgeries: usize,
}

fn run() -> Result<House, Stuck> {
    let mut house = House {
        image_bytes: release::verify(opaque(MANIFEST)).ok_or(Stuck("verify"))?,
        forgeries: release::refused_forgeries().ok_or(Stuck("forgery"))?,
        ..House::default()
    };
    let (mut device_store, mut service_store) = (Store::new(), Store::new());
    let sent = first_life(&mut device_store, &mut service_store, &mut house)?;
    second_life(&mut device_store, &sent, &mut house)?;
    match (house.valve_moves, house.unlocks) {
        (1, 1) => Ok(house),
        _ => Err(Stuck("twice")),
    }
}

/// The service desires a setpoint and issues two commands; everything arrives twice and happens once.
fn first_life(
    device_store: &mut Store,
    service_store: &mut Store,
    house: &mut House,
) -> Result<Sent, Stuck> {
    let mut link = Wire::new();
    let (device_end, service_end) = link.split();
    let mut device = Node::new(device_end, device_store, PollTimer::new(now));
    let mut service = Node::new(Twice::new(service_end), service_store, PollTimer::new(now));
    let (mut twin, mut jobs) = (Twin::new(), Jobs::new());
    let mut issuer = Issuer::<Job, 4>::new(IssuerId::new(ISSUER), RecordKey::new(0x4000));
    let mut ear = Ear::default();
    let (mut buffer, mut service_buffer) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);

    jobs.allow(IssuerId::new(ISSUER))
        .map_err(|_| Stuck("allow"))?;
    let mut engines = (&mut twin, &mut jobs);
    poll(device.restore(&mut engines, &mut buffer))?.map_err(|_| Stuck("restore"))?;
    let mut asking = (&mut issuer, &mut ear);
    poll(service.restore(&mut asking, &mut service_buffer))?.map_err(|_| Stuck("restore"))?;
    for job in [Job::SetValve { open: true }, Job::Unlock] {
        let issued = asking.0.issue(now(), job, Terms::DEFAULT);
        issued.map_err(|_| Stuck("issue"))?;
    }
    service.transport().say(Channel::Twin, DESIRED)?;
    engines.0.report(|room| room.temperature = opaque(19.5));

    let mut concluded = 0;
    for _ in 0..ROUNDS {
        // A turn that waits is dropped; the next one goes on where it stood.
        let _ = poll(device.turn(&mut engines, &mut buffer));
        let _ = poll(service.turn(&mut asking, &mut service_buffer));
        work(house, engines.0, engines.1)?;
        while let Some(end) = asking.0.concluded() {
            concluded += usize::from(end.outcome == Ok(Outcome::DONE));
        }
        let said = (concluded, asking.1.answers, asking.1.twin_messages);
        if said.0 == 2 && said.1 > 2 && said.2 > 1 && house.setpoint == SETPOINT {
            house.twin_messages = said.2;
            return service.transport().first();
        }
        sleep();
    }
    Err(Stuck("first_life"))
}

/// After the cut: the setpoint is still known, and the first command of the first life, sent again, moves
/// nothing but is answered.
fn second_life(store: &mut Store, sent: &Sent, house: &mut House) -> Result<(), Stuck> {
    let mut link = Wire::new();
    let (device_end, service_end) = link.split();
    let mut device = Node::new(device_end, store, PollTimer::new(now));
    let mut service = Node::new(Twice::new(service_end), Store::new(), PollTimer::new(now));
    let (mut twin, mut jobs, mut ear) = (Twin::new(), Jobs::new(), Ear::default());
    let (mut buffer, mut service_buffer) = ([0; BUFFER_BYTES], [0; BUFFER_BYTES]);

    jobs.allow(IssuerId::new(ISSUER))
        .map_err(|_| Stuck("allow"))?;
    let mut engines = (&mut twin, &mut jobs);
    poll(device.restore(&mut engines, &mut buffer))?.map_err(|_| Stuck("restore"))?;
    let mut listening = (&mut ear,);
    poll(service.restore(&mut listening, &mut service_buffer))?.map_err(|_| Stuck("restore"))?;
    // What the application knew is gone with the power; the twin offers it again from its record.
    house.setpoint = 0.0;
    service.transport().say(Channel::Command, sent.payload())?;
    for _ in 0..ROUNDS {
        let _ = poll(device.turn(&mut engines, &mut buffer));
        let _ = poll(service.turn(&mut listening, &mut service_buffer));
        work(house, engines.0, engines.1)?;
        if listening.0.answers >= 2 {
            house.repeated = listening.0.answers;
            break;
        }
        sleep();
    }
    match house.repeated >= 2 && house.setpoint == SETPOINT {
        true => Ok(()),
        false => Err(Stuck("second_life")),
    }
}

/// The application: it applies what is desired and does what it is told to.
fn work(house: &mut House, twin: &mut Twin, jobs: &mut Jobs) -> Result<(), Stuck> {
    if let Some(change) = twin.changed() {
        house.setpoint = change.setpoint;
        twin.acknowledge(change.version, true);
    }
    while let Some(job) = jobs.next() {
        match job.command {
            Job::SetValve { open } => house.valve_moves += usize::from(open),
            Job::Unlock => house.unlocks += 1,
        }
        let finished = jobs.finish(job.id, Outcome::DONE);
        finished.map_err(|_| Stuck("finish"))?;
    }
    Ok(())
}
