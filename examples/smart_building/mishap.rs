//! What befalls a device while it is updated: its power fails where somebody planned it.

use std::sync::{Mutex, PoisonError};

use iot_core::sim::SimEntropy;

/// What is planned for one device, and how much of it has happened.
#[derive(Debug, Default)]
pub struct Mishaps(Mutex<Plans>);

#[derive(Clone, Copy, Debug, Default)]
struct Plans {
    planned: Plan,
    happened: Happened,
}

/// Where the power is to fail: behind so many operations on the flash.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Plan {
    /// Counted from when the download has begun.
    pub download: Option<u32>,
    /// Counted from when the boot loader begins that brings a new image to where it runs.
    pub boot: Option<u32>,
    /// Counted from when a new firmware confirms itself.
    pub confirm: Option<u32>,
    /// Before a new firmware has judged itself, in each trial.
    pub trials: bool,
}

/// How often a plan came into effect, by where.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Happened {
    pub downloads: u64,
    pub boots: u64,
    pub confirmations: u64,
    pub trials: u64,
}

/// A download of 256 KiB takes more operations, as does anything that is moved.
const MOST: u64 = 60_000;
/// To confirm is to erase a page and to write a boot record of 37 words; then the counter rises.
const MOST_TO_CONFIRM: u64 = 38;

impl Plan {
    /// In the middle of the download, and in each trial.
    pub fn everywhere(random: &mut SimEntropy, download: u64) -> Self {
        Self {
            download: Some(below(random, MOST.min(download))),
            trials: true,
            ..Self::default()
        }
    }

    /// Once, for some devices, depending on their number.
    pub fn once(index: usize, random: &mut SimEntropy, download: u64) -> Self {
        let mut plan = Self::default();
        match index % 20 {
            4 => plan.download = Some(below(random, MOST.min(download))),
            9 => plan.boot = Some(below(random, 30)),
            14 => plan.confirm = Some(below(random, MOST_TO_CONFIRM)),
            _ => {}
        }
        plan
    }
}

fn below(random: &mut SimEntropy, bound: u64) -> u32 {
    u32::try_from(random.below(bound)).unwrap_or(0)
}

impl Mishaps {
    pub fn plan(&self, plan: Plan) {
        self.change(|plans| plans.planned = plan);
    }

    pub fn planned(&self) -> Plan {
        self.change(|plans| plans.planned)
    }

    pub fn happened(&self) -> Happened {
        self.change(|plans| plans.happened)
    }

    /// A download begins: where its power fails.
    pub fn in_download(&self) -> Option<u32> {
        self.change(|plans| {
            let plan = plans.planned.download.take();
            plans.happened.downloads += u64::from(plan.is_some());
            plan
        })
    }

    /// A new image is to be booted for the first time: where its power fails.
    pub fn in_boot(&self) -> Option<u32> {
        self.change(|plans| {
            let plan = plans.planned.boot.take();
            plans.happened.boots += u64::from(plan.is_some());
            plan
        })
    }

    /// A new firmware confirms itself: where its power fails.
    pub fn in_confirmation(&self) -> Option<u32> {
        self.change(|plans| {
            let plan = plans.planned.confirm.take();
            plans.happened.confirmations += u64::from(plan.is_some());
            plan
        })
    }

    /// Whether the power fails in this trial.
    pub fn in_trial(&self) -> bool {
        self.change(|plans| {
            plans.happened.trials += u64::from(plans.planned.trials);
            plans.planned.trials
        })
    }

    fn change<T>(&self, change: impl FnOnce(&mut Plans) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
