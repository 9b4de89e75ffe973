//! Every certificate is renewed while telemetry and commands flow.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iot_core::command::Outcome;
use iot_core::crypto::KeyStore;
use iot_core::{DeviceId, Role};
use rustls::pki_types::CertificateDer;

use crate::args::Args;
use crate::device::{Device, Order};
use crate::fleet::Fleet;
use crate::jobs::Job;
use crate::outcome::{Findings, must};
use crate::pki::{Fallible, OPERATIONAL};
use crate::plant::Moment;
use crate::stage::Stages;
use crate::world::{SERVICE, World};

const PATIENCE: Duration = Duration::from_secs(120);
/// Readings each device takes meanwhile, in three parts.
const READINGS: u32 = 12;
/// How far each lamp is dimmed.
const PERCENT: u8 = 7;

/// Where the power of the device with this number fails in its renewal, if it does.
const fn cut(index: usize) -> Option<Moment> {
    match index % 20 {
        1 => Some(Moment::KeyMade),
        2 => Some(Moment::Stored),
        3 => Some(Moment::Committed),
        _ => None,
    }
}

/// What was counted of one device before its renewal.
struct Before {
    conclusions: usize,
    pulses: u64,
    readings: u64,
}

/// The front, the service and every device get a new key and certificate, and nobody notices.
pub async fn renew(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("renew", total);
    let old = shown(world)?;
    must(old.len() == total + 1, || {
        format!("{} of {} sessions are open", old.len(), total + 1)
    })?;
    let (enrolled, before) = (enrolled(world).await?, before(world).await?);
    let connections = world.gate.stats().handshakes;

    let measure = || order(world, Order::Measure(READINGS / 3));
    measure();
    issue(world, Job::Dim { percent: PERCENT }).await?;
    world.site.pki.renew_front()?;
    let name = DeviceId::new(SERVICE)?;
    world.service.renew(world.site.pki.service(&name)?).await?;
    for (index, device) in world.devices.iter().enumerate() {
        if let Some(moment) = cut(index) {
            device.plant.set_trap_at(moment);
        }
    }
    order(world, Order::Renew);
    measure();
    // In the middle of it: some have renewed, some are at it, some have not begun.
    let renewed = |device: &Device| device.view().renewed > 0;
    world
        .reach(total / 2, PATIENCE, |count| running.at(count), renewed)
        .await?;
    issue(world, Job::Unlock).await?;
    measure();
    world
        .reach(
            total,
            PATIENCE,
            |count| running.at(count),
            |device| renewed(device) && is_quiet(device),
        )
        .await?;
    let concluded: usize = before.values().map(|before| before.conclusions + 2).sum();
    world
        .service
        .reach(concluded, PATIENCE, |_| {}, conclusions)
        .await?;

    let packs = packs(world, args, &before).await?;
    let commands = commands(world, &before).await?;
    let new = shown(world)?;
    let same = new
        .iter()
        .filter(|(who, leaf)| old.get(who) == Some(leaf))
        .count();
    must(new.len() == total + 1 && same == 0, || {
        format!(
            "{} sessions, {same} of them on the old certificate",
            new.len()
        )
    })?;
    let issued = self::enrolled(world).await? - enrolled;
    must(issued == total, || {
        format!("{issued} certificates issued for {total} devices")
    })?;
    let is_there = |device: &&Device, slot| {
        let made = world.made.iter().find(|made| made.id == device.id);
        made.is_some_and(|made| made.keys.signer(slot).is_ok())
    };
    let one_key = |device: &&Device| {
        OPERATIONAL
            .into_iter()
            .filter(|slot| is_there(device, *slot))
            .count()
            == 1
    };
    let destroyed = world.devices.iter().filter(one_key).count();
    must(destroyed == total, || {
        format!("{destroyed} of {total} old keys are destroyed")
    })?;
    let cuts: u64 = world
        .devices
        .iter()
        .map(|device| device.plant.renewal_cut.load(Ordering::Relaxed))
        .sum();
    let expected = (0..total).filter(|index| cut(*index).is_some()).count();
    must(cuts == expected as u64, || {
        format!("{cuts} power failures of {expected}")
    })?;
    findings.fact("renewed", issued);
    findings.fact("renewal_old_keys_destroyed", destroyed);
    findings.fact("renewal_power_failures", cuts);
    findings.fact("renewal_sessions_on_old_certificates", same);
    findings.fact("renewal_packs_lost", packs.lost);
    findings.fact("renewal_commands", commands.issued);
    findings.fact("renewal_commands_run_twice", commands.twice);
    findings.observe("renewal_packs", packs.arrived);
    findings.observe("renewal_commands_in_doubt", commands.in_doubt);
    findings.observe(
        "renewal_handshakes",
        world.gate.stats().handshakes - connections,
    );
    stages.end(
        running,
        format!(
            "{issued} LDevIDs, service and front; {cuts} power failures; {} packs, {} lost; {} commands, {} twice",
            packs.arrived, packs.lost, commands.issued, commands.twice
        ),
    );
    Ok(())
}

fn order(world: &World, order: Order) {
    for device in &world.devices {
        device.tell(order);
    }
}

/// Everything is confirmed, and the old key had its time.
fn is_quiet(device: &Device) -> bool {
    let view = device.view();
    view.connected && view.waiting == 0 && view.settled
}

/// The certificate that each open session shows.
fn shown(world: &World) -> Fallible<BTreeMap<(DeviceId, Role), CertificateDer<'static>>> {
    let shown = Mutex::new(BTreeMap::new());
    let sessions = world.gate.count(|who, chain| {
        if let (Ok(mut shown), Some(leaf)) = (shown.lock(), chain.first()) {
            shown.insert((who.device, who.role), leaf.clone().into_owned());
        }
        true
    });
    let shown = shown.into_inner().unwrap_or_default();
    must(shown.len() == sessions, || {
        format!("{sessions} sessions of {} peers", shown.len())
    })?;
    Ok(shown)
}

async fn enrolled(world: &World) -> Fallible<usize> {
    world.service.ask(|fleet, _| fleet.desk.enrolled).await
}

fn conclusions(fleet: &mut Fleet) -> usize {
    fleet
        .members
        .iter()
        .map(|member| member.conclusions.len())
        .sum()
}

async fn before(world: &World) -> Fallible<BTreeMap<DeviceId, Before>> {
    let counted: Vec<_> = world
        .service
        .ask(|fleet, _| {
            let of = |member: &crate::member::Member| (member.id, member.conclusions.len());
            fleet.members.iter().map(of).collect()
        })
        .await?;
    let views: BTreeMap<_, _> = world
        .devices
        .iter()
        .map(|device| (device.id, device))
        .collect();
    let before = counted.into_iter().filter_map(|(id, conclusions)| {
        let device = views.get(&id)?;
        let pulses = device.plant.unlocked.load(Ordering::Relaxed);
        let readings = device.view().readings;
        Some((
            id,
            Before {
                conclusions,
                pulses,
                readings,
            },
        ))
    });
    Ok(before.collect())
}

/// Issues a command to everybody.
async fn issue(world: &World, job: Job) -> Fallible<()> {
    let ids: Vec<_> = world.devices.iter().map(|device| device.id).collect();
    let issued = world.service.ask(move |fleet, now| -> Result<(), String> {
        for id in &ids {
            if let Some(member) = fleet.member(id) {
                member.copies = 0;
            }
            fleet
                .issue(now, id, job)
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    });
    Ok(issued.await??)
}

#[derive(Default)]
struct Packs {
    arrived: u64,
    lost: u64,
}

/// Every reading was taken, and every pack arrived.
async fn packs(world: &World, args: &Args, before: &BTreeMap<DeviceId, Before>) -> Fallible<Packs> {
    let mut packs = Packs::default();
    for (index, device) in world.devices.iter().enumerate() {
        let (id, view) = (device.id, device.view());
        let ledger = world.service.ask(move |fleet, _| {
            let ledger = fleet.member(&id).map(|member| &member.ledger);
            ledger.map(|ledger| (ledger.unique, ledger.missing(), ledger.contiguous()))
        });
        let (unique, missing, contiguous) = ledger.await?.ok_or("a device nobody knows")?;
        let sensors = if index == 0 {
            1 + crate::world::WIRED as u64
        } else {
            1
        };
        let taken = view.readings - before.get(&id).map_or(0, |before| before.readings);
        must(taken == u64::from(READINGS) * sensors, || {
            format!("{id} took {taken} readings")
        })?;
        must(contiguous == view.packs && missing == 0, || {
            format!(
                "{id} submitted {} packs, {unique} arrived, seed {}",
                view.packs, args.seed
            )
        })?;
        packs.arrived += unique;
        packs.lost += view.packs - unique;
    }
    Ok(packs)
}

#[derive(Default)]
struct Commands {
    issued: usize,
    twice: u64,
    in_doubt: usize,
}

/// Every lamp is dimmed and every lock pulsed once; a lock whose device lost power may be in doubt, and is not pulsed twice.
async fn commands(world: &World, before: &BTreeMap<DeviceId, Before>) -> Fallible<Commands> {
    let mut counted = Commands::default();
    for (index, device) in world.devices.iter().enumerate() {
        let id = device.id;
        let before = before.get(&id).ok_or("a device nobody knows")?;
        let outcomes = world
            .service
            .ask(move |fleet, _| fleet.member(&id).map(|member| member.conclusions.clone()));
        let outcomes = outcomes.await?.unwrap_or_default();
        let Some([lamp, lock]) = outcomes.get(before.conclusions..) else {
            return Err(format!("{id} has {} outcomes", outcomes.len()).into());
        };
        let is_done = |outcome| matches!(outcome, Ok(Outcome::Done { .. }));
        let in_doubt = lock.outcome == Ok(Outcome::InDoubt) && cut(index).is_some();
        must(
            is_done(lamp.outcome) && (is_done(lock.outcome) || in_doubt),
            || format!("{id}: lamp {:?}, lock {:?}", lamp.outcome, lock.outcome),
        )?;
        let plant = &device.plant;
        must(plant.lamp() == Some(PERCENT), || {
            format!("{id}: the lamp is at {:?}", plant.lamp())
        })?;
        let pulses = plant.unlocked.load(Ordering::Relaxed) - before.pulses;
        must(pulses == 1 || in_doubt, || {
            format!("{id}: the lock was pulsed {pulses} times")
        })?;
        counted.issued += 2;
        counted.twice += pulses.saturating_sub(1);
        counted.in_doubt += usize::from(in_doubt);
    }
    must(counted.twice == 0, || {
        format!("{} commands ran twice", counted.twice)
    })?;
    Ok(counted)
}
