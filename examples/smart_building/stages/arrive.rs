//! Manufacture and onboarding.

use std::time::Duration;

use iot_core::lifecycle::LifeEvent;

use crate::args::Args;
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::stage::Stages;
use crate::world::World;

/// Keys and factory certificates for everybody; the front opens, the service connects.
pub async fn manufacture(
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<World> {
    let running = stages.begin("manufacture", args.devices);
    let world = World::build(args).await?;
    findings.fact("manufactured", world.made.len());
    stages.end(
        running,
        format!(
            "{} devices and a gateway have a key and an IDevID",
            args.devices
        ),
    );
    Ok(world)
}

/// Each device shows its IDevID, asks for an LDevID with a request it signs, and comes back with it.
pub async fn onboard(
    world: &mut World,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let total = world.made.len();
    let running = stages.begin("onboard", total);
    world.switch_on()?;
    let patience = Duration::from_secs(60);
    let here = |device: &crate::device::Device| {
        let view = device.view();
        view.enrolled && view.connected
    };
    world
        .reach(total, patience, |count| running.at(count), here)
        .await?;
    let (enrolled, answered) = world
        .service
        .ask(|fleet, _| {
            for member in &mut fleet.members {
                member.stage = member.stage.on(LifeEvent::Enrol).unwrap_or(member.stage);
            }
            (fleet.desk.enrolled, fleet.desk.answered)
        })
        .await?;
    must(enrolled == total, || {
        format!("{enrolled} certificates for {total} devices")
    })?;
    findings.fact("enrolled", enrolled);
    findings.observe("enrolment_requests", answered);
    stages.end(
        running,
        format!("{enrolled} LDevIDs issued, {answered} requests answered"),
    );
    Ok(())
}
