//! Five releases: four bad ones, each of which is stopped at its canaries, and a good one for everybody.

mod figures;

use std::time::Duration;

use iot_core::sim::SimEntropy;
use iot_ota::rollout::{Campaign, CampaignId, HaltReason, Phase, Plan, Threshold, Wave};
use iot_ota::slot::EndedAs;
use iot_ota::update::Outcome;

use self::figures::{Figures, figures};
use crate::args::Args;
use crate::device::Device;
use crate::firmware::{FACTORY, Fault, GOOD, TRIALS};
use crate::fleet::Fleet;
use crate::jobs::Room;
use crate::member::Member;
use crate::mishap::{self, Happened};
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::report::Plots;
use crate::stage::Stages;
use crate::transfers::AT_ONCE;
use crate::world::World;

/// So many failures in the canary close the gate.
const FAILURES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);
/// So many devices may have the release and not have answered: those on trial fetch nothing.
const IN_FLIGHT: usize = 2 * AT_ONCE;

/// All canaries fetch at once, so that all have the release when the first one fails.
fn canary(total: usize) -> usize {
    (total / 20).clamp(5, AT_ONCE)
}

/// Each bad release closes the gate behind its canaries, and whoever tried it is back on the old one.
pub async fn bad(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    let total = world.devices.len();
    let wave = canary(total);
    let running = stages.begin("bad releases", wave * Fault::BAD.len());
    findings.fact("canary_wave", wave);
    for (done, fault) in Fault::BAD.into_iter().enumerate() {
        let before = cuts(world);
        if fault == Fault::PowerCuts {
            plan(world, args, |_, random, words| {
                mishap::Plan::everywhere(random, words)
            })?;
        }
        let canaries = Wave::count(wave).halt_at(Threshold::Count(FAILURES));
        let plan = Plan::new([canaries, Wave::percent(100)])?;
        start(world, fault, plan).await?;
        wait(world, |figures| {
            running.at(done * wave + figures.reported());
            figures.phase != Phase::Running && figures.progress.in_flight == 0
        })
        .await?;
        let halted = figures(world).await?;
        must(halted.why.is_some(), || {
            format!("{}: {:?}", fault.words(), halted.taken)
        })?;
        let old = |device: &Device| {
            let view = device.view();
            view.release == FACTORY && view.connected && view.idle
        };
        world.reach(total, PATIENCE, |_| {}, old).await?;
        twins(world, FACTORY).await?;
        let figures = figures(world).await?;
        judge_bad(world, fault, wave, &figures)?;
        if fault == Fault::PowerCuts {
            judge_cuts(world, wave, before, findings)?;
        }
        findings.observe(
            &format!("release_{}_seconds", fault.sequence()),
            figures.seconds,
        );
        plots.rollout.push((fault.words().into(), figures.curve));
        findings.releases.push(figures.taken);
    }
    let counted = format!(
        "{} of {} releases stopped at their {wave} canaries of {total}, all of which run the old one",
        findings.releases.len(),
        Fault::BAD.len()
    );
    stages.end(running, counted);
    Ok(())
}

/// The release has reached its canaries alone, each has said what is wrong with it, and has believed nothing else.
fn judge_bad(world: &World, fault: Fault, wave: usize, figures: &Figures) -> Fallible<()> {
    let name = fault.words();
    let Figures {
        progress,
        taken,
        at_halt,
        ..
    } = figures;
    judge_places(figures.most_at_once)?;
    let (exposed, _) = at_halt.ok_or("the gate never closed")?;
    must(exposed == wave && progress.exposed == wave, || {
        format!(
            "{name}: {} devices were offered it, {exposed} of them before the gate closed, and {wave} are canaries",
            progress.exposed
        )
    })?;
    let first = |reason: &HaltReason| {
        matches!(
            reason,
            HaltReason::Failures {
                wave: 0,
                silent: 0,
                ..
            }
        )
    };
    must(figures.why.as_ref().is_some_and(first), || {
        format!("{name}: the gate closed because of {:?}", figures.why)
    })?;
    must(progress.succeeded == 0, || {
        format!("{name}: {} devices confirmed it", progress.succeeded)
    })?;
    let reason = fault.outcome().to_string();
    must(taken.said_by_all(wave, &reason), || {
        format!("{name}: {wave} canaries should have said '{reason}': {taken:?}")
    })?;
    must(taken.runs_everywhere(wave, FACTORY), || {
        format!("{name}: not all say that they run the old release: {taken:?}")
    })?;
    let Outcome::RolledBack(reason) = fault.outcome() else {
        return Ok(());
    };
    let ended = Some((fault.sequence(), EndedAs::RolledBack(reason)));
    let canaries = world.devices.iter();
    let canaries = canaries.filter(|device| figures.offered.contains(&device.id));
    let stand = canaries
        .filter(|device| device.view().ended == ended)
        .count();
    must(stand == wave, || {
        format!("{name}: {stand} of {wave} devices have it on record")
    })
}

/// Each canary lost its power in the middle of its download and in each of its trials.
fn judge_cuts(world: &World, wave: usize, before: u64, findings: &mut Findings) -> Fallible<()> {
    let happened = happened(world);
    let expected = Happened {
        downloads: wave as u64,
        trials: wave as u64 * u64::from(TRIALS),
        ..Happened::default()
    };
    let torn = cuts(world) - before;
    must(happened == expected && torn == expected.downloads, || {
        format!("{torn} operations were torn: {happened:?} instead of {expected:?}")
    })?;
    findings.fact("bad_release_cuts_in_downloads", happened.downloads);
    findings.fact("bad_release_cuts_in_trials", happened.trials);
    Ok(())
}

/// The good release reaches everybody, although the power fails here and there.
pub async fn good(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("good release", total);
    let (before, already) = (cuts(world), happened(world));
    plan(world, args, mishap::Plan::once)?;
    let waves = [
        Wave::count(canary(total)),
        Wave::percent(25),
        Wave::percent(100),
    ];
    let plan = Plan::new(waves.map(|wave| wave.halt_at(Threshold::Count(FAILURES))))?;
    start(world, Fault::None, plan).await?;
    wait(world, |figures| {
        running.at(figures.progress.succeeded);
        figures.phase != Phase::Running
    })
    .await?;
    let new = |device: &Device| {
        let view = device.view();
        view.release == GOOD && view.connected && view.idle
    };
    world.reach(total, PATIENCE, |_| {}, new).await?;
    let figures = figures(world).await?;
    let (progress, taken) = (figures.progress, figures.taken);
    let reason = Outcome::Confirmed.to_string();
    must(
        progress.succeeded == total
            && taken.said_by_all(total, &reason)
            && taken.runs_everywhere(total, GOOD),
        || format!("not all have it: {progress:?}, {taken:?}"),
    )?;
    judge_places(figures.most_at_once)?;
    twins(world, GOOD).await?;
    let left = world.devices.iter().filter(|device| {
        let planned = device.mishaps.planned();
        planned != mishap::Plan::default()
    });
    let (left, torn) = (left.count(), cuts(world) - before);
    let happened = happened(world);
    let single = |happened: Happened| happened.downloads + happened.boots + happened.confirmations;
    let planned = single(happened) - single(already);
    must(left == 0 && torn == planned && planned > 0, || {
        format!("the power failed {torn} times of {planned}, and {left} devices wait for it")
    })?;
    judge_flash(world, findings)?;
    let bytes = world.releases.of(Fault::None)?.served.len();
    findings.fact("image_bytes", bytes);
    findings.fact("good_release_cuts", planned);
    let most = figures.most_at_once;
    findings.observe("most_transfers_at_once", most);
    findings.observe("requests_turned_away", figures.turned_away);
    plots.rollout.push(("good release".into(), figures.curve));
    let counted = format!(
        "{} devices confirmed {bytes} bytes, at most {most} at once, power failed {planned} times",
        progress.succeeded
    );
    findings.releases.push(taken);
    stages.end(running, counted);
    Ok(())
}

fn judge_places(most: usize) -> Fallible<()> {
    must(most <= AT_ONCE, || {
        format!("{most} transfers ran at once, at most {AT_ONCE} may")
    })
}

/// Waits until every twin says that this release runs.
async fn twins(world: &World, release: u64) -> Fallible<()> {
    let says = move |member: &Member| {
        let room = member.room.twin.state::<Room>();
        room.is_some_and(|room| u64::from(room.release) == release)
    };
    let count = move |fleet: &mut Fleet| fleet.count(says);
    let total = world.devices.len();
    world.service.reach(total, PATIENCE, |_| {}, count).await
}

/// No flash was misused, and every device was asked about its firmware and told the truth.
fn judge_flash(world: &World, findings: &mut Findings) -> Fallible<()> {
    world.believe()?;
    let mut compared = 0;
    for device in &world.devices {
        if let Some(abuse) = device.board.abuse() {
            return Err(format!("{}: {abuse}", device.id).into());
        }
        let own = device.view().compared;
        must(own > 1, || format!("nobody has asked {}", device.id))?;
        compared += own;
    }
    findings.observe("statuses_compared_after_a_start", compared);
    let (different, pages) = world.releases.stock.pages();
    findings.observe("whole_pages_of_flash", pages);
    findings.observe("different_pages_of_flash", different);
    Ok(())
}

/// Plans where the power of each device fails.
fn plan(
    world: &World,
    args: &Args,
    of: impl Fn(usize, &mut SimEntropy, u64) -> mishap::Plan,
) -> Fallible<()> {
    let words = world.releases.of(Fault::None)?.served.len().div_ceil(4);
    let mut random = SimEntropy::new(args.seed);
    for (index, device) in world.devices.iter().enumerate() {
        let plan = of(index, &mut random.fork(), words as u64);
        device.mishaps.plan(plan);
    }
    Ok(())
}

fn happened(world: &World) -> Happened {
    let each = world.devices.iter().map(|device| device.mishaps.happened());
    each.fold(Happened::default(), |sum, one| Happened {
        downloads: sum.downloads + one.downloads,
        boots: sum.boots + one.boots,
        confirmations: sum.confirmations + one.confirmations,
        trials: sum.trials + one.trials,
    })
}

/// How often the power has failed in the middle of an operation on flash.
fn cuts(world: &World) -> u64 {
    world.devices.iter().map(|device| device.power.cuts()).sum()
}

async fn start(world: &World, fault: Fault, plan: Plan) -> Fallible<()> {
    let release = world.releases.of(fault)?;
    let plan = plan
        .max_in_flight(IN_FLIGHT)
        .timeout(Duration::from_secs(60));
    let id = CampaignId::new(release.sequence);
    let campaign = Campaign::new(id, plan, world.devices.iter().map(|device| device.id));
    world
        .service
        .ask(move |fleet, now| {
            fleet.desk.start(now, campaign, release);
            fleet.settle_desk(now);
        })
        .await
}

/// Waits until the campaign is `over`; a device that lies ends it at once.
async fn wait(world: &World, mut over: impl FnMut(&Figures) -> bool) -> Fallible<()> {
    let since = std::time::Instant::now();
    loop {
        world.believe()?;
        let figures = figures(world).await?;
        if over(&figures) {
            return Ok(());
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("not over after {} s: {figures:?}", PATIENCE.as_secs()).into());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
