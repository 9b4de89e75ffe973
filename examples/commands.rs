//! A door whose power goes between the start and the end of a command of each class, over a link that loses
//! and doubles; last a command that is taken back.
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
        #[transactional] Count,
        #[idempotent] OpenValve,
        #[probed] SwapBank,
        #[opaque] Unlock,
    }
}

type Answer<T> = Result<T, Box<dyn Error>>;
type SimNode = Node<SimLink, MemoryRecords, SimClock>;
type Jobs = Inbox<Job, 1, 64, 4, 1>;
const SERVICE: IssuerId = IssuerId::new(1);
const COUNT: RecordKey = RecordKey::new(0x0900);

fn main() -> Answer<()> {
    let clock = SimClock::new();
    let today = Timestamp::from_secs(1_800_000_000);
    clock.set_wall(TimeBounds::exact(today));
    // Of a thousand messages 200 are lost and 500 of the others doubled; all are up to 80 ms under way.
    let network = SimNetwork::new(7, clock.clone(), Faults::new(200, 500, 5, 80));
    let (device_link, service_link) = network.link();
    let (mut device, mut jobs) = boot(device_link, MemoryRecords::new(), &clock)?;
    let mut service = Node::new(service_link, MemoryRecords::new(), clock.clone());
    let mut issuer = Issuer::<Job, 4>::new(SERVICE, RecordKey::new(0));
    let mut buffer = [0; 1024];
    block_on(service.restore(&mut (&mut issuer,), &mut buffer))?;
    // How it must end, how often its handler runs, and how often its effect happens.
    let acts = [
        (Job::Count, Outcome::DONE, 2, 1), // effect and end are one commit, so both were cut off
        (Job::OpenValve, Outcome::DONE, 2, 2), // opened twice, which is as good as once
        (Job::SwapBank, Outcome::DONE, 2, 1), // the second run found it swapped
        (Job::Unlock, Outcome::InDoubt, 1, 1), // never run again
        (Job::Unlock, Outcome::Cancelled, 0, 0), // taken back before its moment
    ];
    for (job, outcome, runs, effects) in acts {
        let (mut cut, mut ran, mut happened, mut end) = (runs > 0, 0, 0, None);
        let mut terms = Terms::DEFAULT;
        if outcome == Outcome::Cancelled {
            terms = terms.not_before(today.after(Duration::from_secs(3_600)));
        }
        let id = issuer.issue(clock.now(), job.clone(), terms)?;
        while end.is_none() {
            clock.advance(Duration::from_millis(50));
            assert!(clock.instant().as_millis() < 600_000, "not answered");
            while once(&mut service, &mut issuer, &mut buffer)? {
                end = end.or(issuer.concluded());
                if outcome == Outcome::Cancelled && issuer.heard(id).is_some() {
                    issuer.cancel(id)?; // once it is known to wait on the device
                }
            }
            while once(&mut device, &mut jobs, &mut buffer)? {
                let Some(pending) = jobs.next() else { continue };
                let at = clock.instant().as_millis();
                println!(
                    "{at:>6} ms  {job:?} {}",
                    if cut { "is cut off" } else { "runs" }
                );
                ran += 1;
                // A probe tells what was done before; a transactional effect happens with its end alone.
                let probed = pending.resumed && happened > 0;
                happened += u32::from(!probed && (job != Job::Count || !cut));
                if core::mem::take(&mut cut) {
                    let (link, records, _) = device.into_parts();
                    link.reboot();
                    (device, jobs) = boot(link, records, &clock)?;
                } else if job == Job::Count {
                    jobs.finish_with(pending.id, Outcome::DONE, COUNT, &[1])?;
                } else {
                    jobs.finish(pending.id, Outcome::DONE)?;
                }
            }
        }
        println!("{job:?}: {outcome}; {ran} runs, {happened} effects");
        assert_eq!(end.map(|end| end.outcome), Some(Ok(outcome)));
        assert_eq!((ran, happened), (runs, effects));
    }
    let (sent, lost, doubled) = network.counts();
    assert!(lost > 0 && doubled > 0, "the link was too good");
    println!("RESULT ok commands=5 cuts=4 messages={sent} lost={lost} doubled={doubled}");
    Ok(())
}

/// Boots the door from what is on record.
fn boot(link: SimLink, records: MemoryRecords, clock: &SimClock) -> Answer<(SimNode, Jobs)> {
    let mut jobs = Jobs::with_effects(RecordKey::new(0x0200));
    let mut node = Node::new(link, records, clock.clone());
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
