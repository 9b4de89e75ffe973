//! Configuration, telemetry and commands.

use std::sync::atomic::Ordering;
use std::time::Duration;

use iot_core::command::Outcome;
use iot_core::lifecycle::LifeEvent;

use crate::args::Args;
use crate::device::Order;
use crate::jobs::{Job, RoomDesired};
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::report::Plots;
use crate::stage::Stages;
use crate::world::{WIRED, World};

const PATIENCE: Duration = Duration::from_secs(60);
/// Readings each device takes, in two halves.
const READINGS: u32 = 20;

/// What the building wants of the room with this number.
fn setpoint(index: usize) -> f32 {
    18.0 + (index % 8) as f32 * 0.5
}

/// Every room gets a setpoint and an interval through its twin, and answers for it.
pub async fn configure(
    world: &World,
    stages: &mut Stages,
    findings: &mut Findings,
) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("configure", total);
    let mut refused = 0;
    for (index, device) in world.devices.iter().enumerate() {
        let wish = move |room: &mut RoomDesired| {
            room.setpoint = setpoint(index);
            room.interval = 30;
        };
        world.console.room(device.id, wish).await?;
        // What no room can take is refused where it is asked for.
        let impossible = |room: &mut RoomDesired| room.setpoint = 95.0;
        refused += usize::from(world.console.room(device.id, impossible).await.is_err());
    }
    let activated = world.service.ask(|fleet, _| -> Result<(), String> {
        for member in &mut fleet.members {
            let stage = member.stage.on(LifeEvent::Activate);
            member.stage = stage.map_err(|error| error.to_string())?;
        }
        Ok(())
    });
    activated.await??;
    world
        .service
        .reach(
            total,
            PATIENCE,
            |count| running.at(count),
            |fleet| {
                fleet.count(|member| {
                    let twin = &member.room.twin;
                    twin.desired("setpoint").is_some() && twin.is_converged()
                })
            },
        )
        .await?;
    for (index, device) in world.devices.iter().enumerate() {
        let view = device.view();
        must(
            view.setpoint == setpoint(index) && view.interval == 30,
            || {
                format!(
                    "{} applied {} and {}",
                    device.id, view.setpoint, view.interval
                )
            },
        )?;
    }
    must(refused == total, || {
        format!("{refused} of {total} impossible setpoints refused")
    })?;
    findings.fact("configured", total);
    findings.fact("impossible_setpoints_refused", refused);
    stages.end(
        running,
        format!("{total} twins agree on both sides, {refused} impossible setpoints refused"),
    );
    Ok(())
}

/// Every room measures; every pack arrives and is confirmed end to end.
pub async fn telemetry(
    world: &World,
    args: &Args,
    stages: &mut Stages,
    findings: &mut Findings,
    plots: &mut Plots,
) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("telemetry", total);
    let measure = |count| {
        for device in &world.devices {
            device.tell(Order::Measure(count));
        }
    };
    measure(READINGS / 2);
    if args.broker_restart {
        // In the middle of it: some packs are with the hub, some with the service, some on the way.
        let arrived = |fleet: &mut crate::fleet::Fleet| {
            fleet
                .members
                .iter()
                .map(|member| usize::try_from(member.ledger.unique).unwrap_or(0))
                .sum()
        };
        world
            .service
            .reach(total, PATIENCE, |_| {}, arrived)
            .await?;
        world.hub.restart_empty();
    }
    measure(READINGS - READINGS / 2);
    let each = u64::from(READINGS);
    let gateway = world.devices.first().map(|device| device.id);
    let readings = move |device: &crate::device::Device| match Some(device.id) == gateway {
        true => each * (1 + WIRED as u64),
        false => each,
    };
    let confirmed = |device: &crate::device::Device| {
        let view = device.view();
        view.readings == readings(device)
            && view.packs + view.filtered == view.readings
            && view.waiting == 0
    };
    world
        .reach(total, PATIENCE, |count| running.at(count), confirmed)
        .await?;
    let (mut submitted, mut taken) = (0, 0);
    let (mut packs, mut filtered, mut resent, mut repeated, mut widest) = (0, 0, 0, 0, 0);
    for device in &world.devices {
        let (id, view) = (device.id, device.view());
        let (unique, again, missing, contiguous, gap, series) = world
            .service
            .ask(move |fleet, _| {
                fleet.member(&id).map(|member| {
                    let ledger = &member.ledger;
                    let figures = (ledger.unique, ledger.repeated, ledger.missing());
                    (
                        figures.0,
                        figures.1,
                        figures.2,
                        ledger.contiguous(),
                        ledger.widest_gap,
                        member.series.clone(),
                    )
                })
            })
            .await?
            .ok_or("a device the service does not know")?;
        must(
            unique == view.packs && contiguous == view.packs && missing == 0,
            || {
                format!(
                    "{id} submitted {} packs, {unique} arrived, {missing} are missing",
                    view.packs
                )
            },
        )?;
        submitted += view.packs;
        taken += view.readings;
        packs += unique;
        filtered += view.filtered;
        resent += view.resent;
        repeated += again;
        widest = widest.max(gap);
        if Some(id) != gateway && plots.telemetry.len() < 3 {
            let mut points: Vec<_> = series
                .iter()
                .map(|(number, value)| (*number as f64, *value))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            plots.telemetry.push((id.to_string(), points));
        }
    }
    findings.fact("readings", taken);
    findings.fact("wired_sensors", WIRED);
    findings.fact("packs", packs);
    findings.fact("packs_lost", submitted - packs);
    findings.fact("readings_within_deadband", filtered);
    findings.observe("packs_sent_again", resent);
    findings.observe("packs_received_twice", repeated);
    findings.observe("widest_gap", widest);
    let restart = if args.broker_restart {
        ", hub restarted empty"
    } else {
        ""
    };
    stages.end(
        running,
        format!(
            "{packs} packs, {} lost, {resent} sent again, {repeated} came twice{restart}",
            submitted - packs
        ),
    );
    Ok(())
}

/// Whether the command before this number's lock is cut by a power failure, and whether its lamp's is.
const fn cut_at_lamp(index: usize) -> bool {
    index.is_multiple_of(5)
}

const fn cut_at_lock(index: usize) -> bool {
    index.is_multiple_of(7)
}

/// How far the lamp of the room with this number is dimmed.
fn dimming(index: usize) -> u8 {
    u8::try_from(index % 101).unwrap_or(0)
}

/// Every lamp is dimmed and every lock pulsed, among duplicates and power failures.
pub async fn commands(world: &World, stages: &mut Stages, findings: &mut Findings) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("commands", 2 * total);
    let percent = dimming;
    for (round, job) in [
        |index: usize| Job::Dim {
            percent: dimming(index),
        },
        |_| Job::Unlock,
    ]
    .into_iter()
    .enumerate()
    {
        let ids: Vec<_> = world.devices.iter().map(|device| device.id).collect();
        for (index, device) in world.devices.iter().enumerate() {
            if if round == 0 {
                cut_at_lamp(index)
            } else {
                cut_at_lock(index)
            } {
                device.plant.set_trap();
            }
        }
        world
            .service
            .ask(move |fleet, now| -> Result<(), String> {
                for (index, id) in ids.iter().enumerate() {
                    if let Some(member) = fleet.member(id) {
                        member.copies = if index % 3 == 0 { 2 } else { 0 };
                    }
                    fleet
                        .issue(now, id, job(index))
                        .map_err(|error| error.to_string())?;
                }
                Ok(())
            })
            .await??;
        let done = (round + 1) * total;
        let concluded = |fleet: &mut crate::fleet::Fleet| {
            fleet
                .members
                .iter()
                .map(|member| member.conclusions.len())
                .sum()
        };
        world
            .service
            .reach(done, PATIENCE, |count| running.at(count), concluded)
            .await?;
    }
    let (mut in_doubt, mut lamps, mut copies) = (0, 0, 0);
    let (mut dimmed, mut unlocked, mut cuts) = (0, 0, 0);
    for (index, device) in world.devices.iter().enumerate() {
        let id = device.id;
        let (outcomes, echoed) = world
            .service
            .ask(move |fleet, _| {
                let member = fleet.member(&id);
                member.map(|member| (member.conclusions.clone(), member.echoed))
            })
            .await?
            .unwrap_or_default();
        let [lamp, lock] = outcomes.as_slice() else {
            return Err(format!("{id} has {} outcomes", outcomes.len()).into());
        };
        must(matches!(lamp.outcome, Ok(Outcome::Done { .. })), || {
            format!("{id}: the lamp ended as {:?}", lamp.outcome)
        })?;
        let as_it_should = match lock.outcome {
            Ok(Outcome::InDoubt) => cut_at_lock(index),
            Ok(Outcome::Done { .. }) => !cut_at_lock(index),
            _ => false,
        };
        must(as_it_should, || {
            format!("{id}: the lock ended as {:?}", lock.outcome)
        })?;
        in_doubt += usize::from(lock.outcome == Ok(Outcome::InDoubt));
        copies += echoed;
        let plant = &device.plant;
        must(plant.lamp() == Some(percent(index)), || {
            format!("{id}: the lamp is at {:?}", plant.lamp())
        })?;
        lamps += 1;
        let pulses = plant.unlocked.load(Ordering::Relaxed);
        must(pulses == 1, || {
            format!("{id}: the lock was pulsed {pulses} times")
        })?;
        unlocked += pulses;
        dimmed += plant.dimmed.load(Ordering::Relaxed);
        cuts += plant.cut.load(Ordering::Relaxed);
    }
    let expected: u64 = (0..total)
        .map(|index| u64::from(cut_at_lamp(index)) + u64::from(cut_at_lock(index)))
        .sum();
    must(cuts == expected, || {
        format!("{cuts} power failures of {expected}")
    })?;
    findings.fact("commands", 2 * total);
    must(copies > 0, || "no command was duplicated".into())?;
    findings.fact("lamps_right", lamps);
    findings.observe("command_copies_injected", copies);
    findings.fact("lock_pulses", unlocked);
    findings.fact("in_doubt_reported", in_doubt);
    findings.fact("power_failures", cuts);
    findings.observe("lamp_handler_runs", dimmed);
    stages.end(
        running,
        format!("{} commands, {copies} copies and {cuts} power failures: {lamps} lamps right, {unlocked} pulses, {in_doubt} in doubt", 2 * total),
    );
    Ok(())
}
