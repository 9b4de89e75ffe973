//! Where a campaign stands.

use std::collections::{BTreeMap, BTreeSet};

use iot_core::DeviceId;
use iot_ota::rollout::{HaltReason, Phase, Progress};

use crate::fleet::Fleet;
use crate::outcome::Taken;
use crate::pki::Fallible;
use crate::world::World;

/// What the service knows of the campaign that was started last.
#[derive(Debug)]
pub struct Figures {
    pub phase: Phase,
    pub progress: Progress,
    /// How many had been offered the release when the gate closed, and how many were still at it.
    pub at_halt: Option<(usize, usize)>,
    pub why: Option<HaltReason>,
    pub offered: BTreeSet<DeviceId>,
    pub most_at_once: usize,
    pub turned_away: u64,
    pub taken: Taken,
    pub seconds: f64,
    pub curve: Vec<(f64, f64)>,
}

impl Figures {
    pub fn reported(&self) -> usize {
        self.taken.reasons.values().sum()
    }
}

/// Asks the service.
pub async fn figures(world: &World) -> Fallible<Figures> {
    let figures = world.service.ask(|fleet, _| of(fleet)).await?;
    Ok(figures.ok_or("no campaign ran")?)
}

fn of(fleet: &Fleet) -> Option<Figures> {
    let running = fleet.desk.running.as_ref()?;
    let progress = running.campaign.progress();
    let mut curve = running.curve.clone();
    let seconds = running.since.elapsed().as_secs_f64();
    curve.push((seconds, progress.succeeded as f64));
    let (mut reasons, mut ran) = (BTreeMap::new(), BTreeMap::new());
    for (outcome, release) in running.said.values() {
        *reasons.entry(outcome.to_string()).or_default() += 1;
        *ran.entry(*release).or_default() += 1;
    }
    Some(Figures {
        phase: running.campaign.phase(),
        at_halt: running.at_halt,
        why: running.why,
        offered: running.offered.clone(),
        most_at_once: running.transfers.most,
        turned_away: running.transfers.turned_away,
        taken: Taken {
            release: running.release.sequence,
            what: running.release.fault.words(),
            offered: running.offered.len(),
            confirmed: progress.succeeded,
            reasons,
            ran,
            halted: running.why.map(|why| why.to_string()),
        },
        progress,
        seconds,
        curve,
    })
}
