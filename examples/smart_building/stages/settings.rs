//! Settings: what proves good is kept, what does not is taken back, and the service is told either way.

use std::sync::atomic::Ordering;
use std::time::Duration;

use iot_twin::Code;
use iot_twin::config::Ending;

use crate::device::Device;
use crate::door::{EAST, MAIN, WALLED_UP};
use crate::jobs::{Setup, SetupDesired};
use crate::outcome::{Findings, must};
use crate::pki::Fallible;
use crate::plant::Moment;
use crate::stage::Stages;
use crate::world::{World, wing};

const PATIENCE: Duration = Duration::from_secs(120);
/// What no room can be.
const IMPOSSIBLE: f32 = 60.0;
/// How long a door that leads nowhere is waited for.
const NOWHERE_S: u16 = 1;

/// What becomes of the settings of the device with this number.
fn ending(index: usize) -> Option<Ending> {
    match index {
        _ if wing(index) == "east" => Some(Ending::Confirmed),
        _ if index % 10 == 3 => Some(Ending::Failed),
        _ if index % 20 == 5 => Some(Ending::TimedOut),
        _ => None,
    }
}

/// Whether the power of the device with this number fails while its settings are on trial.
fn cut(index: usize) -> bool {
    wing(index) == "east" && index.is_multiple_of(4)
}

/// The east wing is moved to a door of its own, some devices get settings that make them unwell, and some a door
/// that leads nowhere.
pub async fn settle(world: &World, stages: &mut Stages, findings: &mut Findings) -> Fallible<()> {
    let total = world.devices.len();
    let running = stages.begin("settings", total);
    let numbered = || world.devices.iter().enumerate();
    for (_, device) in numbered().filter(|(index, _)| cut(*index)) {
        device.plant.set_trap_at(Moment::Tried);
    }
    let moved = move_east(world, EAST).await?;
    for (index, device) in numbered() {
        let wish = move |setup: &mut SetupDesired| match ending(index) {
            Some(Ending::TimedOut) => {
                (setup.door, setup.patience_s) = (WALLED_UP, NOWHERE_S);
            }
            _ => (setup.trim, setup.patience_s) = (IMPOSSIBLE, 60),
        };
        if ending(index).is_some_and(|ending| ending != Ending::Confirmed) {
            world.console.setup(device.id, wish).await?;
        }
    }
    answered(world, |count| running.at(count)).await?;

    let (mut kept, mut unwell, mut lost) = (0, 0, 0);
    for (index, device) in numbered() {
        let expected = ending(index);
        let view = device.view();
        must(view.trial == expected, || {
            format!(
                "{}: a trial ended as {:?}, not {expected:?}",
                device.id, view.trial
            )
        })?;
        let told = answer(world, device).await?;
        must(told == expected.map(Code::from), || {
            format!("{}: the service was told {told:?}", device.id)
        })?;
        // What is in force is what was proved, or what was in force before.
        let parts = device.plant.parts();
        must(parts.trim == 0.0, || {
            format!("{} is trimmed by {}", device.id, parts.trim)
        })?;
        kept += usize::from(expected == Some(Ending::Confirmed));
        unwell += usize::from(expected == Some(Ending::Failed));
        lost += usize::from(expected == Some(Ending::TimedOut));
    }
    must(kept == moved, || {
        format!("{kept} of {moved} are at the other door")
    })?;
    let is_back = |device: &Device| device.view().connected;
    world.reach(total, PATIENCE, |_| {}, is_back).await?;
    let cuts = cuts(world);
    let expected = (0..total).filter(|index| cut(*index)).count();
    must(cuts == expected as u64, || {
        format!("{cuts} power failures of {expected}")
    })?;
    findings.fact("settings_kept", kept);
    findings.fact("settings_taken_back_unwell", unwell);
    findings.fact("settings_taken_back_without_link", lost);
    findings.fact("settings_power_failures", cuts);
    stages.end(
        running,
        format!(
            "{kept} moved to another door, with {cuts} power failures; taken back: {unwell} unwell, {lost} without a link"
        ),
    );
    Ok(())
}

/// Desires another door for the east wing; says for how many devices.
pub async fn move_east(world: &World, door: u8) -> Fallible<usize> {
    let wish = move |setup: &mut SetupDesired| (setup.door, setup.patience_s) = (door, 60);
    let east = "wing == 'east' && twin == 'setup'";
    world.console.all::<Setup>(east, wish).await
}

/// Waits until every device has answered for its settings.
pub async fn answered(world: &World, progress: impl FnMut(usize)) -> Fallible<()> {
    let total = world.devices.len();
    let settled =
        |fleet: &mut crate::fleet::Fleet| fleet.count(|member| member.setup.twin.is_converged());
    world
        .service
        .reach(total, PATIENCE, progress, settled)
        .await
}

/// How often the power failed while twins were at work.
pub fn cuts(world: &World) -> u64 {
    let cut = |device: &Device| device.plant.twin_cut.load(Ordering::Relaxed);
    world.devices.iter().map(cut).sum()
}

async fn answer(world: &World, device: &Device) -> Fallible<Option<Code>> {
    let id = device.id;
    let answer = world.service.ask(move |fleet, _| {
        let (_, member) = fleet.known(&id)?;
        member.setup.twin.acknowledgement("patience_s")
    });
    Ok(answer.await?.map(|answer| answer.code))
}

/// The east wing comes back to the main door.
pub async fn move_back(world: &World) -> Fallible<usize> {
    let moved = move_east(world, MAIN).await?;
    answered(world, |_| {}).await?;
    Ok(moved)
}
