//! The revoked device comes back: readmitted, approved, confined, released.

use std::time::Duration;

use iot_core::command::Outcome;
use iot_core::lifecycle::{LifeEvent, Stage};
use iot_identity::revocation::Denied;

use super::knock;
use super::leave::pick;
use crate::args::Args;
use crate::device::{Device, Order, View};
use crate::fleet::Fleet;
use crate::jobs::{Job, RoomDesired};
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::stage::Stages;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(30);
const PERCENT: u8 = 42;

/// Its old identity stays dead; by its factory identity it gets a new one, under quarantine.
pub async fn readmit(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let running = stages.begin("readmit", 1);
    let device = pick(world, args, 0)?;
    let (id, tenant) = (device.id, world.site.pki.tenant);
    let own = knock::operational(world, device).await?;
    let heard = knock::heard(world, device).await?;

    // Somebody has looked at the device. What it held stays denied by itself, then the device may come again.
    let closed = world
        .service
        .ask(move |fleet, _| fleet.desk.readmit(&id))
        .await?;
    // Told before it comes: the first thing that its twin says must not be that it may speak.
    desire(world, device, true).await?;
    must(closed > 0, || "it held nothing that was denied".into())?;
    world
        .site
        .pki
        .revocations
        .withdraw(&Denied::Device(tenant, id));
    own.is_rejected(world).await?;
    device.tell(Order::Apply);

    // It asks, and nothing is issued before somebody approves.
    let issued = world.service.ask(|fleet, _| fleet.desk.enrolled).await?;
    let deferred = |fleet: &mut Fleet| fleet.desk.deferred;
    world.service.reach(1, PATIENCE, |_| {}, deferred).await?;
    must(!device.view().connected, || format!("{id} is back already"))?;
    let quarantine = &world.quarantine;
    must(quarantine.approve(&tenant, &id), || {
        "it waits for no approval".into()
    })?;
    let told = |view: &View| view.connected && view.quarantined;
    world.wait(device, PATIENCE, told).await?;
    let deferred = world.service.ask(|fleet, _| fleet.desk.deferred).await?;
    let issued = world.service.ask(|fleet, _| fleet.desk.enrolled).await? - issued;
    must(issued == 1, || {
        format!("{issued} certificates for one device")
    })?;

    // Confined: it keeps what it measures, is given no command, and the front takes nothing else from it.
    device.tell(Order::Measure(10));
    let refused = world
        .service
        .ask(move |fleet, now| fleet.issue(now, &id, Job::Unlock).is_err())
        .await?;
    must(refused, || {
        "a device in quarantine was given a command".into()
    })?;
    let fresh = knock::operational(world, device).await?;
    fresh.speaks_in_vain(world).await?;
    world
        .wait(device, PATIENCE, |view| view.connected && view.waiting > 0)
        .await?;
    must(knock::heard(world, device).await? == heard, || {
        format!("{id} was heard of in quarantine")
    })?;

    // Released, it goes on where it was.
    must(quarantine.release(&tenant, &id), || {
        "it waits for no release".into()
    })?;
    desire(world, device, false).await?;
    let concluded = world
        .service
        .ask(move |fleet, now| -> Result<usize, String> {
            let member = fleet
                .member(&id)
                .ok_or("a device the service does not know")?;
            let stage = member.stage.on(LifeEvent::Release);
            member.stage = stage.map_err(|error| error.to_string())?;
            let concluded = member.conclusions.len();
            fleet
                .issue(now, &id, Job::Dim { percent: PERCENT })
                .map_err(|error| error.to_string())?;
            Ok(concluded)
        })
        .await??;
    let free = |view: &View| view.connected && !view.quarantined && view.waiting == 0;
    world.wait(device, PATIENCE, free).await?;
    let obeyed = move |fleet: &mut Fleet| {
        let outcomes = fleet.member(&id).map(|member| member.conclusions.clone());
        let done = |outcome| matches!(outcome, Ok(Outcome::Done { .. }));
        let fresh = outcomes.iter().flatten().skip(concluded);
        fresh.filter(|conclusion| done(conclusion.outcome)).count()
    };
    world.service.reach(1, PATIENCE, |_| {}, obeyed).await?;
    let (missing, contiguous, active) = world
        .service
        .ask(move |fleet, _| {
            let member = fleet.member(&id);
            member.map(|member| {
                let ledger = &member.ledger;
                (
                    ledger.missing(),
                    ledger.contiguous(),
                    member.stage == Stage::Active,
                )
            })
        })
        .await?
        .ok_or("a device the service does not know")?;
    let packs = device.view().packs;
    must(missing == 0 && contiguous == packs && active, || {
        format!("{id} submitted {packs} packs, {contiguous} arrived, active: {active}")
    })?;
    must(device.plant.lamp() == Some(PERCENT), || {
        "it does not obey".into()
    })?;
    findings.fact("readmitted", 1);
    findings.fact("quarantine_messages_refused", 1);
    findings.fact("quarantine_commands_refused", 1);
    findings.fact("quarantine_packs_lost", packs - contiguous);
    findings.observe("approval_asked_for", deferred);
    findings.observe("quarantine_packs_kept", contiguous - heard);
    stages.end(
        running,
        format!(
            "{id} asked {deferred} times before it was approved; {} packs kept in quarantine, none lost; released",
            contiguous - heard
        ),
    );
    Ok(())
}

/// Tells a device through its twin whether it is in quarantine.
async fn desire(world: &World, device: &Device, quarantined: bool) -> Fallible<()> {
    let wish = move |room: &mut RoomDesired| room.quarantined = quarantined;
    world.console.room(device.id, wish).await?;
    Ok(())
}
