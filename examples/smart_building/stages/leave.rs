//! One device is revoked, one retires.

use std::time::{Duration, Instant};

use iot_core::crypto::KeyStore;
use iot_core::lifecycle::{LifeEvent, Stage};
use iot_identity::revocation::Denied;
use iot_transport::mqtt::{Client, Settings, Tls};

use crate::args::Args;
use crate::device::{Device, Order};
use crate::outcome::{Findings, must};
use crate::pki::{FACTORY, Fallible, OPERATIONAL, SERVER_NAME};
use crate::stage::Stages;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// A stolen device: its live session is cut, and it comes back by no way.
pub async fn revoke(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let running = stages.begin("revoke", 1);
    let device = pick(world, args, 0)?;
    must(device.view().connected, || {
        format!("{} is not connected", device.id)
    })?;
    let refused_before = refusals(world);
    let since = Instant::now();
    world
        .site
        .pki
        .revocations
        .deny(Denied::Device(world.site.pki.tenant, device.id));
    world
        .reach(
            1,
            PATIENCE,
            |_| {},
            |one| one.id == device.id && !one.view().connected,
        )
        .await?;
    let cut_ms = since.elapsed().as_millis();
    must(cut_ms < 1_000, || {
        format!("the live session lasted {cut_ms} ms more")
    })?;
    // It keeps trying; the front refuses it, and the service hears nothing.
    let heard = heard(world, device).await?;
    device.tell(Order::Measure(40));
    while refusals(world) == refused_before {
        must(since.elapsed() < PATIENCE, || {
            "the front never refused the revoked device".into()
        })?;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let view = device.view();
    must(!view.connected, || {
        format!("{} is connected again", device.id)
    })?;
    let after = self::heard(world, device).await?;
    must(after == heard, || {
        format!("{} packs of a revoked device arrived", after - heard)
    })?;
    // Its factory identity opens no door either.
    knock_in_vain(world, device).await?;
    let id = device.id;
    let quarantined = world
        .service
        .ask(move |fleet, _| {
            if let Some(member) = fleet.member(&id) {
                member.stage = member
                    .stage
                    .on(LifeEvent::Quarantine)
                    .unwrap_or(member.stage);
            }
            fleet.count(|member| member.stage == Stage::Quarantined)
        })
        .await?;
    must(quarantined == 1, || {
        format!("{quarantined} devices are in quarantine")
    })?;
    findings.fact("revoked", quarantined);
    findings.observe(
        "revoked_session_cut_ms",
        u64::try_from(cut_ms).unwrap_or(u64::MAX),
    );
    stages.end(
        running,
        format!("{} cut after {cut_ms} ms and refused since", device.id),
    );
    Ok(())
}

/// A device at the end of its life: its key is destroyed, and its name opens no door again.
pub async fn retire(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let running = stages.begin("retire", 1);
    let device = pick(world, args, 1)?;
    device.tell(Order::Retire);
    world
        .reach(
            1,
            PATIENCE,
            |_| {},
            |one| one.id == device.id && one.view().retired,
        )
        .await?;
    let made = world
        .made
        .iter()
        .find(|made| made.id == device.id)
        .ok_or("a device nobody made")?;
    let is_empty = |slot| made.keys.signer(slot).is_err();
    must(OPERATIONAL.into_iter().all(is_empty), || {
        "its key is still there".into()
    })?;
    let (id, tenant) = (device.id, world.site.pki.tenant);
    world.site.pki.revocations.deny(Denied::Device(tenant, id));
    let retired = world
        .service
        .ask(move |fleet, _| {
            if let Some(member) = fleet.member(&id) {
                member.stage = member.stage.on(LifeEvent::Retire).unwrap_or(member.stage);
            }
            fleet.count(|member| member.stage == Stage::Retired)
        })
        .await?;
    must(retired == 1, || format!("{retired} devices are retired"))?;
    // Its factory identity is for life, but it opens nothing any more.
    knock_in_vain(world, device).await?;
    findings.fact("retired", retired);
    stages.end(running, format!("{id} destroyed its key and is refused"));
    Ok(())
}

fn pick<'w>(world: &'w World, args: &Args, which: usize) -> Fallible<&'w Device> {
    let sensors = world.sensors();
    let index = (usize::try_from(args.seed % 1_000)? + which) % sensors.len();
    Ok(sensors.get(index).ok_or("a building without sensors")?)
}

/// Shows the factory identity at the front, and must be turned away by it.
async fn knock_in_vain(world: &World, device: &Device) -> Fallible<()> {
    let made = world.made.iter().find(|made| made.id == device.id);
    let made = made.ok_or("a device nobody made")?;
    let before = refusals(world);
    let config = world.site.pki.device(made, FACTORY, made.idevid.clone())?;
    let tls = Tls::new(world.site.address.clone(), SERVER_NAME, config)?;
    let mut client = Client::new(tls, Settings::device(world.site.pki.tenant, device.id));
    let refused = client.connected(Duration::from_secs(3)).await;
    must(refused.is_err() && refusals(world) > before, || {
        format!("{} came in with its factory identity", device.id)
    })
}

/// Connections that the front has turned away, in the handshake or after it.
fn refusals(world: &World) -> u64 {
    let stats = world.gate.stats();
    stats.refused_handshake + stats.refused_admit
}

async fn heard(world: &World, device: &Device) -> Fallible<u64> {
    let id = device.id;
    let heard = world
        .service
        .ask(move |fleet, _| fleet.member(&id).map(|member| member.ledger.unique))
        .await?;
    Ok(heard.unwrap_or(0))
}
