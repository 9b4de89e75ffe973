//! Settings that are tried before they are kept: a way into the network by a link, everything else by a self-test.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use iot_core::Now;
use iot_twin::Code;
use iot_twin::config::{Config, Phase, StageError, Terms};

use crate::jobs::{SETTINGS, Setup, SetupTwin};
use crate::plant::{Moment, Plant};

/// What the rest of the device has to do about them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    Nothing,
    /// Other settings are in force.
    Look,
    /// They name another door.
    Redial,
    /// The power fails.
    Fall,
}

/// What a device leaves the factory with.
pub fn factory() -> Config<Setup> {
    let setup = Setup {
        door: crate::door::MAIN,
        patience_s: 60,
        trim: 0.0,
    };
    Config::new(setup, SETTINGS)
}

/// Does what is to be done about what is desired and what is being tried.
pub fn settle(
    twin: &mut SetupTwin,
    settings: &mut Config<Setup>,
    plant: &Plant,
    door: &AtomicU8,
    measured: f32,
    now: Now,
) -> Then {
    if let Some((version, code)) = settings.answer() {
        twin.acknowledge(version, code);
    }
    match settings.phase() {
        Phase::Steady => stage(twin, settings),
        Phase::Applying | Phase::Restoring => {
            let (number, trim) = (settings.current().door, settings.current().trim);
            plant.set(|parts| parts.trim = trim);
            settings.applied(now, true);
            if settings.phase() == Phase::Proving && plant.springs_at(Moment::Tried) {
                return Then::Fall;
            }
            if door.swap(number, Ordering::Relaxed) == number {
                return Then::Look;
            }
            return Then::Redial;
        }
        // No room of this building is frozen or on fire: then it is the trim.
        Phase::Proving if !(-10.0..50.0).contains(&(measured + plant.parts().trim)) => {
            settings.fail();
        }
        Phase::Proving => settings.confirm(),
        _ => {}
    }
    Then::Nothing
}

/// Begins to try what is desired.
fn stage(twin: &mut SetupTwin, settings: &mut Config<Setup>) {
    let Some(desired) = twin.changed() else {
        return;
    };
    let wanted = |setup: &mut Setup| {
        (setup.door, setup.patience_s) = (desired.door, desired.patience_s);
        setup.trim = desired.trim;
    };
    let within = Duration::from_secs(desired.patience_s.into());
    let terms = if desired.door == settings.confirmed().door {
        Terms::health(within)
    } else {
        Terms::reconnect(within)
    };
    let terms = terms.restarts(1).answering(desired.version);
    match settings.stage(terms, wanted, |_| true) {
        Ok(()) | Err(StageError::Busy) => {}
        Err(StageError::Range { .. }) => twin.acknowledge(desired.version, Code::OUT_OF_RANGE),
        Err(_) => twin.acknowledge(desired.version, false),
    }
}
