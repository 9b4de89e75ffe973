//! Commands over a link that loses and doubles, to a door that loses its power at the worst moments.
//!
//! `cargo run --example commands`

use core::error::Error;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::command::{Inbox, Issuer, Outcome, Terms};
use iot_core::node::{Node, block_on};
use iot_core::sim::{Faults, SimClock, SimLink, SimNetwork};
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Engine, IssuerId, Timestamp, engine::RecordKey, port::Timer, time::TimeBounds};

iot_core::commands! {
    enum Job {
        /// Running it again changes nothing more.
        #[idempotent] SetValve { open: bool },
        /// Nobody can tell afterwards whether the pulse was given.
        #[opaque] Unlock,
    }
}

type Answer<T> = Result<T, Box<dyn Error>>;
type SimNode = Node<SimLink, MemoryRecords, SimClock>;
type Jobs = Inbox<Job, 1, 64, 4>;
const SERVICE: IssuerId = IssuerId::new(1);

/// What a power cut does not undo.
#[derive(Default)]
struct Door {
    open: bool,
    runs: u32,
    pulses: u32,
    restarts: u64,
}

fn main() -> Answer<()> {
    let clock = SimClock::new();
    clock.set_wall(TimeBounds::exact(Timestamp::from_secs(1_800_000_000)));
    // Of a thousand messages 200 are lost and 500 of the others doubled; all are up to 80 ms under way.
    let network = SimNetwork::new(7, clock.clone(), Faults::new(200, 500, 5, 80));
    let (device_link, service_link) = network.link();
    let (mut door, mut buffer) = (Door::default(), [0; 1024]);
    let (mut device, mut jobs) = boot(device_link, MemoryRecords::new(), &clock)?;
    let mut service = Node::new(service_link, MemoryRecords::new(), clock.clone());
    let mut issuer = Issuer::<Job, 4>::new(SERVICE, RecordKey::new(0));
    block_on(service.restore(&mut (&mut issuer,), &mut buffer))?;
    let expected = [
        (Job::SetValve { open: true }, Outcome::DONE), // cut after the effect: runs again
        (Job::Unlock, Outcome::InDoubt),               // cut after the pulse: never runs again
        (Job::Unlock, Outcome::DONE),
        (Job::SetValve { open: false }, Outcome::DONE),
    ];
    for (job, outcome) in expected {
        let id = issuer.issue(clock.now(), job, Terms::DEFAULT)?;
        let mut end = None;
        while end.is_none() {
            clock.advance(Duration::from_millis(50));
            assert!(clock.instant().as_millis() < 600_000, "not answered");
            while once(&mut service, &mut issuer, &mut buffer)? {
                end = end.or(issuer.concluded());
            }
            while once(&mut device, &mut jobs, &mut buffer)? {
                let Some(job) = jobs.next() else { continue };
                println!(
                    "{:>5} ms  runs {:?}",
                    clock.instant().as_millis(),
                    job.command
                );
                door.runs += 1;
                match job.command {
                    Job::SetValve { open } => door.open = open,
                    Job::Unlock => door.pulses += 1,
                }
                // Twice the power goes when the effect has happened and its end is not on record yet.
                if door.restarts < 2 && job.id.sequence > door.restarts {
                    door.restarts += 1;
                    let (link, records, _) = device.into_parts();
                    link.reboot();
                    (device, jobs) = boot(link, records, &clock)?;
                    continue;
                }
                jobs.finish(job.id, Outcome::DONE)?;
            }
        }
        println!("{:>5} ms  {id} {outcome}", clock.instant().as_millis());
        assert_eq!(
            end.map(|end| (end.id, end.outcome)),
            Some((id, Ok(outcome)))
        );
    }
    let (sent, lost, doubled) = network.counts();
    assert!(lost > 0 && doubled > 0, "the link was too good");
    assert_eq!((door.open, door.runs, door.pulses), (false, 5, 2));
    println!(
        "RESULT ok commands=4 runs=5 pulses=2 cuts=2 messages={sent} lost={lost} doubled={doubled}"
    );
    Ok(())
}

/// Boots the door from what is on record.
fn boot(link: SimLink, records: MemoryRecords, clock: &SimClock) -> Answer<(SimNode, Jobs)> {
    let (mut node, mut jobs) = (Node::new(link, records, clock.clone()), Jobs::new());
    jobs.allow(SERVICE)?;
    block_on(node.restore(&mut (&mut jobs,), &mut [0; 1024]))?;
    Ok((node, jobs))
}

/// One turn, unless there is nothing to do: then it is dropped, which loses nothing.
fn once(node: &mut SimNode, engine: &mut impl Engine, buffer: &mut [u8]) -> Answer<bool> {
    let mut engines = (engine,);
    let turn = pin!(node.turn(&mut engines, buffer));
    match turn.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turned) => Ok(turned.map(|()| true)?),
        Poll::Pending => Ok(false),
    }
}
