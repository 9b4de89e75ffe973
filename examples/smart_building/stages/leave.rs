//! One device is revoked and comes back, one retires.

use std::time::{Duration, Instant};

use iot_core::crypto::{KeyStore, SignatureAlgorithm, Signer, SlotId};
use iot_core::lifecycle::{LifeEvent, Stage};
use iot_core::{Principal, Role};
use iot_identity::cert::csr;
use iot_identity::enrol::{Answer, Refusal, Request};
use iot_identity::revocation::Denied;
use iot_identity::ring::SoftwareKey;

use super::knock;
use crate::args::Args;
use crate::device::{Device, Order};
use crate::outcome::{Findings, must};
use crate::pki::{Fallible, OPERATIONAL};
use crate::stage::Stages;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(20);

/// A stolen device: its live session is cut, it comes back by no way, and no way gets it a certificate.
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
    let own = knock::operational(world, device).await?;
    let since = Instant::now();
    world
        .site
        .pki
        .revocations
        .deny(Denied::Device(world.site.pki.tenant, device.id));
    world.wait(device, PATIENCE, |view| !view.connected).await?;
    let cut_ms = since.elapsed().as_millis();
    must(cut_ms < 1_000, || {
        format!("the live session lasted {cut_ms} ms more")
    })?;
    // It keeps trying; the front refuses it, the device hears why, and the service hears nothing.
    let heard = knock::heard(world, device).await?;
    device.tell(Order::Measure(40));
    device.tell(Order::Renew);
    world.wait(device, PATIENCE, |view| view.barred).await?;
    let mut reconnects = 0;
    for knock in [&own, &knock::factory(world, device)?] {
        knock.is_rejected(world).await?;
        reconnects += 1;
    }
    let renewals = ask_in_vain(world, device, own.slot).await?;
    let after = knock::heard(world, device).await?;
    must(after == heard && !device.view().connected, || {
        format!("{} packs of a revoked device arrived", after - heard)
    })?;
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
    findings.fact("revoked_reconnects_refused", reconnects);
    findings.fact("revoked_renewals_refused", renewals);
    findings.observe(
        "revoked_session_cut_ms",
        u64::try_from(cut_ms).unwrap_or(u64::MAX),
    );
    stages.end(
        running,
        format!(
            "{id} cut after {cut_ms} ms; {reconnects} reconnects and {renewals} renewals refused"
        ),
    );
    Ok(())
}

/// Asks for a certificate with the device's own key and with a new one, as whom it showed itself last and as a
/// newcomer: what a front would pass on that has not heard of the revocation. Returns how many were refused.
async fn ask_in_vain(world: &World, device: &Device, own: SlotId) -> Fallible<usize> {
    let made = world.made(device)?;
    let mut requests = Vec::new();
    let mut write = |key: &dyn Signer| -> Fallible<()> {
        let (mut csr, mut request) = ([0; csr::MAX_CSR_BYTES], [0; 1_024]);
        let csr = csr::write(&device.id, key, &mut csr)?;
        requests.push(Request::new(7, csr).encode(&mut request)?.to_vec());
        Ok(())
    };
    write(&made.keys.signer(own)?)?;
    write(&SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?)?;
    let mut refused = 0;
    for role in [Role::Newcomer, Role::Device] {
        let who = Principal::new(world.site.pki.tenant, device.id, role);
        for request in &requests {
            let request = request.clone();
            let answer = world
                .service
                .ask(move |fleet, now| fleet.desk.decide(&who, &request, now))
                .await?;
            let outcome = Answer::decode(&answer)?.certificates().map(Iterator::count);
            must(outcome == Err(Refusal::Revoked), || {
                format!("{}: asked as {role:?} it was told {outcome:?}", device.id)
            })?;
            refused += 1;
        }
    }
    Ok(refused)
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
    world.wait(device, PATIENCE, |view| view.retired).await?;
    let made = world.made(device)?;
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
    knock::factory(world, device)?.is_rejected(world).await?;
    findings.fact("retired", retired);
    stages.end(running, format!("{id} destroyed its key and is refused"));
    Ok(())
}

/// The device that this seed picks, or the one behind it.
pub fn pick<'w>(world: &'w World, args: &Args, which: usize) -> Fallible<&'w Device> {
    let sensors = world.sensors();
    let index = (usize::try_from(args.seed % 1_000)? + which) % sensors.len();
    Ok(sensors.get(index).ok_or("a building without sensors")?)
}
