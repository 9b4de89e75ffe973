//! A thousand devices: a bad release ends at the canary, a good one reaches everybody.
//! The campaign decides, the simulated fleet answers or keeps silent.

use core::time::Duration;
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Instant, Now, Timestamp};
use iot_ota::rollout::{
    Campaign, CampaignId, Decision, Event, OnHalt, Phase, Plan, Threshold, Wave,
};

const DEVICES: usize = 1_000;
const CANARY: usize = 50;

/// How a release fares, in thousandths of the devices it is offered to.
struct Fares {
    fails: u16,
    silent: u16,
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let bad = run(
        1,
        &Fares {
            fails: 300,
            silent: 20,
        },
    )?;
    let progress = bad.progress();
    assert!(
        matches!(bad.phase(), Phase::RolledBack),
        "{:?}",
        bad.phase()
    );
    assert!(progress.exposed <= CANARY, "{progress:?}");
    assert_eq!(progress.succeeded, 0, "whoever had it has given it back");
    println!(
        "bad release: stopped at the canary, {} devices exposed",
        progress.exposed
    );

    let good = run(
        2,
        &Fares {
            fails: 2,
            silent: 2,
        },
    )?;
    let reached = good.progress();
    assert_eq!(good.phase(), Phase::Completed);
    assert_eq!(reached.exposed, DEVICES);
    assert!(reached.succeeded > 980, "{reached:?}");
    println!(
        "good release: {} of {DEVICES} devices confirmed it",
        reached.succeeded
    );

    println!(
        "RESULT ok devices={DEVICES} bad_exposed={} good_confirmed={}",
        progress.exposed, reached.succeeded
    );
    Ok(())
}

/// Drives one campaign to its end.
fn run(number: u64, fares: &Fares) -> Result<Campaign, Box<dyn core::error::Error>> {
    let plan = Plan::new([
        Wave::count(CANARY)
            .halt_at(Threshold::Count(3))
            .soak(Duration::from_secs(3_600)),
        Wave::percent(25)
            .halt_at(Threshold::Count(10))
            .soak(Duration::from_secs(600)),
        Wave::percent(100).halt_at(Threshold::Count(30)),
    ])?
    .max_in_flight(32)
    .timeout(Duration::from_secs(900))
    .on_halt(OnHalt::RollBack);
    let fleet: Result<Vec<_>, _> = (0..DEVICES)
        .map(|n| DeviceId::new(&format!("boiler-{n}")))
        .collect();
    let mut campaign = Campaign::new(CampaignId::new(number), plan, fleet?);

    let mut entropy = SimEntropy::new(number);
    let (mut clock, mut busy) = (Timestamp::from_secs(1_700_000_000), Vec::new());
    let mut event = Event::Tick;
    loop {
        let now = Now::new(Instant::ZERO, TimeBounds::exact(clock));
        for decision in campaign.on(now, &event)? {
            match decision {
                Decision::Offer(device) if entropy.chance(fares.silent) => {
                    println!("  {device} keeps silent");
                }
                Decision::Offer(device) if entropy.chance(fares.fails) => {
                    busy.push(Event::Failed(device));
                }
                Decision::Offer(device) => busy.push(Event::Succeeded(device)),
                Decision::RollBack(device) => busy.push(Event::Restored(device)),
                Decision::Open { wave, devices } => println!("  wave {wave}: {devices} devices"),
                Decision::Halt { reason } => println!("  halt: {reason}"),
                _ => {}
            }
        }
        // Answers come in any order; when none is left, only time can change anything.
        event = match usize::try_from(entropy.below(busy.len().max(1) as u64)) {
            Ok(at) if at < busy.len() => {
                clock = clock.after(Duration::from_secs(1));
                busy.swap_remove(at)
            }
            _ => match campaign.deadline() {
                Some(deadline) => {
                    clock = clock.max(deadline);
                    Event::Tick
                }
                None => return Ok(campaign),
            },
        };
    }
}
