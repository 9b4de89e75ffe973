//! The twin of a room: what is desired is done, and what was turned by hand is told.

use iot_twin::config::Config;

use super::View;
use crate::jobs::{RoomTwin, Setup};
use crate::plant::{Moment, Parts, Plant};

/// Does what is desired and not answered for; `None` when there is nothing. False when the power fails meanwhile.
pub fn obey(twin: &mut RoomTwin, plant: &Plant, view: &mut View) -> Option<bool> {
    let desired = twin.changed()?;
    // Only what differs: of a field that nobody has desired the twin knows what was reported last, and a hand may have
    // turned its part since, while the power was off.
    let known = twin.state();
    plant.set(|parts| {
        follow(&mut parts.setpoint, known.setpoint, desired.setpoint);
        follow(&mut parts.interval, known.interval, desired.interval);
        follow(&mut parts.blinds, known.blinds, desired.blinds);
        follow(&mut parts.fan, known.fan, desired.fan);
        follow(&mut parts.bolted, known.bolted, desired.bolted);
    });
    view.applied += 1;
    view.setpoint = desired.setpoint;
    view.interval = desired.interval;
    view.quarantined = desired.quarantined;
    if plant.springs_at(Moment::Obeyed) {
        return Some(false);
    }
    twin.acknowledge(desired.version, true);
    Some(true)
}

fn follow<V: PartialEq>(part: &mut V, known: V, desired: V) {
    if desired != known {
        *part = desired;
    }
}

/// Tells what the parts are set to. What is desired and not done yet has to be done before, or it would look like
/// somebody's hand.
pub fn look(twin: &mut RoomTwin, settings: &Config<Setup>, plant: &Plant) {
    let parts = plant.parts();
    let actual = Setup {
        trim: parts.trim,
        ..settings.current().clone()
    };
    let drift = settings.drift(&actual).count();
    twin.report(|room| {
        (room.setpoint, room.interval) = (parts.setpoint, parts.interval);
        (room.blinds, room.fan, room.bolted) = (parts.blinds, parts.fan, parts.bolted);
        room.drift = u8::try_from(drift).unwrap_or(u8::MAX);
    });
}

/// What the twin says of the parts.
pub fn parts(twin: &RoomTwin, settings: &Config<Setup>) -> Parts {
    let room = twin.state();
    Parts {
        setpoint: room.setpoint,
        interval: room.interval,
        blinds: room.blinds,
        fan: room.fan,
        bolted: room.bolted,
        trim: settings.current().trim,
    }
}
