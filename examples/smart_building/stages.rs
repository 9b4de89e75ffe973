//! The life of the building, stage by stage.

mod arrive;
mod back;
mod campaign;
mod knock;
mod leave;
mod partition;
mod renew;
mod settings;
mod work;

use iot_core::Channel;

use crate::args::Args;
use crate::outcome::Findings;
use crate::pki::Fallible;
use crate::report::Plots;
use crate::stage::Stages;
use crate::world::World;

/// Lives the whole life; stops at the first stage whose facts do not hold.
pub async fn live(
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    findings.fact("devices", args.devices);
    findings.fact("seed", args.seed);
    findings.fact("broker_restart", args.broker_restart);
    let mut world = arrive::manufacture(args, stages, findings).await?;
    arrive::onboard(&mut world, stages, findings).await?;
    work::configure(&world, stages, findings).await?;
    work::telemetry(&world, args, stages, findings, plots).await?;
    work::commands(&world, stages, findings).await?;
    settings::settle(&world, stages, findings).await?;
    partition::part(&world, stages, findings).await?;
    campaign::bad(&world, args, stages, findings, plots).await?;
    campaign::good(&world, args, stages, findings, plots).await?;
    renew::renew(&world, args, stages, findings).await?;
    leave::revoke(&world, args, stages, findings).await?;
    back::readmit(&world, args, stages, findings).await?;
    leave::retire(&world, args, stages, findings).await?;
    count_messages(&world, findings, plots).await?;
    stages.current = "shutdown";
    world.stop().await
}

async fn count_messages(world: &World, findings: &mut Findings, plots: &mut Plots) -> Fallible<()> {
    let (received, sent) = world
        .service
        .ask(|fleet, _| (fleet.received, fleet.sent))
        .await?;
    for (channel, (received, sent)) in Channel::ALL.into_iter().zip(received.into_iter().zip(sent))
    {
        if received + sent == 0 {
            continue;
        }
        findings.observe(&format!("{channel}_received"), received);
        findings.observe(&format!("{channel}_sent"), sent);
        plots
            .messages
            .push((format!("{channel}, from devices"), received));
        plots
            .messages
            .push((format!("{channel}, to devices"), sent));
    }
    let gate = world.gate.stats();
    findings.observe("gate", format!("{gate:?}"));
    findings.observe("hub", format!("{:?}", world.hub.stats()));
    Ok(())
}
