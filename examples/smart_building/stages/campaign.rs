//! Two releases: a bad one that the canary stops, and a good one for everybody.

use std::time::Duration;

use iot_ota::rollout::{Campaign, CampaignId, Phase, Plan, Threshold, Wave};

use crate::desk::Release;
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::report::Plots;
use crate::stage::Stages;
use crate::world::World;

/// How many transfers run at once.
const AT_ONCE: usize = 32;
/// So many failures in the canary close the gate.
const FAILURES: usize = 3;
const PATIENCE: Duration = Duration::from_secs(120);

fn canary(total: usize) -> usize {
    (total / 20).max(5)
}

/// The bad release fails its self-test: the gate closes, and whoever tried it is back on the old one.
pub async fn bad(
    world: &World,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    let total = world.devices.len();
    let wave = canary(total);
    let running = stages.begin("bad release", wave);
    let plan = Plan::new([
        Wave::count(wave).halt_at(Threshold::Count(FAILURES)),
        Wave::percent(100),
    ])?;
    start(world, CampaignId::new(1), plan, world.releases.bad.clone()).await?;
    let over = |fleet: &mut crate::fleet::Fleet| {
        let running = fleet.desk.running.as_ref();
        usize::from(running.is_some_and(|running| {
            matches!(running.campaign.phase(), Phase::Halted(_))
                && running.campaign.progress().in_flight == 0
        }))
    };
    world.service.reach(1, PATIENCE, |_| {}, over).await?;
    let old = |device: &crate::device::Device| {
        let view = device.view();
        view.release == 1 && view.connected
    };
    world.reach(total, PATIENCE, |_| {}, old).await?;
    let Figures {
        progress,
        at_halt,
        outcomes,
        curve,
        ..
    } = figures(world).await?;
    let (exposed, in_flight) = at_halt.ok_or("the gate never closed")?;
    must(progress.exposed == exposed, || {
        format!(
            "{} devices were offered it after the gate closed",
            progress.exposed - exposed
        )
    })?;
    must(progress.exposed <= wave, || {
        format!(
            "{} devices were exposed, the wave has {wave}",
            progress.exposed
        )
    })?;
    must(progress.succeeded == 0, || {
        format!("{} devices confirmed a bad release", progress.succeeded)
    })?;
    let tried = world
        .devices
        .iter()
        .filter(|device| device.view().ended.is_some())
        .count();
    must(tried == progress.exposed, || {
        format!(
            "{tried} devices tried it, {} were offered it",
            progress.exposed
        )
    })?;
    findings.fact("bad_release_confirmed", progress.succeeded);
    findings.fact(
        "bad_release_beyond_the_wave",
        progress.exposed.saturating_sub(wave),
    );
    findings.fact("canary_wave", wave);
    findings.observe("bad_release_exposed", progress.exposed);
    findings.observe("bad_release_in_flight_at_halt", in_flight);
    findings.observe("bad_release_outcomes", format!("{outcomes:?}"));
    plots.rollout.push(("bad release".into(), curve));
    let counted = format!(
        "stopped: {} of {total} exposed (wave {wave}, {in_flight} in flight), all rolled back",
        progress.exposed
    );
    stages.end(running, counted);
    Ok(())
}

/// The good release reaches everybody.
pub async fn good(
    world: &World,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("good release", total);
    let waves = [
        Wave::count(canary(total)),
        Wave::percent(25),
        Wave::percent(100),
    ];
    let plan = Plan::new(waves.map(|wave| wave.halt_at(Threshold::Count(FAILURES))))?;
    start(world, CampaignId::new(2), plan, world.releases.good.clone()).await?;
    let confirmed = |fleet: &mut crate::fleet::Fleet| {
        let running = fleet.desk.running.as_ref();
        running.map_or(0, |running| running.campaign.progress().succeeded)
    };
    world
        .service
        .reach(total, PATIENCE, |count| running.at(count), confirmed)
        .await?;
    let new = |device: &crate::device::Device| {
        let view = device.view();
        view.release == 3 && view.connected
    };
    world.reach(total, PATIENCE, |_| {}, new).await?;
    let Figures {
        progress,
        most_busy,
        curve,
        ..
    } = figures(world).await?;
    must(most_busy <= AT_ONCE, || {
        format!("{most_busy} transfers ran at once")
    })?;
    findings.observe("most_transfers_at_once", most_busy);
    let bytes = world.releases.good.image.len();
    must(progress.failed == 0, || {
        format!("{} devices failed", progress.failed)
    })?;
    findings.fact("good_release_confirmed", progress.succeeded);
    findings.fact("image_bytes", bytes);
    plots.rollout.push(("good release".into(), curve));
    stages.end(
        running,
        format!(
            "{} devices confirmed {bytes} bytes, at most {most_busy} at once",
            progress.succeeded
        ),
    );
    Ok(())
}

async fn start(world: &World, id: CampaignId, plan: Plan, release: Release) -> Fallible<()> {
    let plan = plan.max_in_flight(AT_ONCE).timeout(Duration::from_secs(60));
    let campaign = Campaign::new(id, plan, world.devices.iter().map(|device| device.id));
    world
        .service
        .ask(move |fleet, now| {
            fleet.desk.start(now, campaign, release);
            fleet.settle_desk(now);
        })
        .await
}

struct Figures {
    progress: iot_ota::rollout::Progress,
    at_halt: Option<(usize, usize)>,
    most_busy: usize,
    outcomes: std::collections::BTreeMap<String, usize>,
    curve: Vec<(f64, f64)>,
}

async fn figures(world: &World) -> Fallible<Figures> {
    let figures = world
        .service
        .ask(|fleet, _| {
            let running = fleet.desk.running.as_ref()?;
            let progress = running.campaign.progress();
            let mut curve = running.curve.clone();
            curve.push((
                running.since.elapsed().as_secs_f64(),
                progress.succeeded as f64,
            ));
            Some(Figures {
                progress,
                at_halt: running.at_halt,
                most_busy: running.most_busy,
                outcomes: running.outcomes.clone(),
                curve,
            })
        })
        .await?;
    Ok(figures.ok_or("no campaign ran")?)
}
