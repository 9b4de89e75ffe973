//! What both sides do by themselves, at random.

use core::time::Duration;

use iot_core::sim::SimEntropy;

use super::{Violation, World};
use crate::reflect::Twin;
use crate::sync::device::Change;
use crate::sync::service::TwinService;
use crate::sync::slot::Code;

/// What the users of both sides do; a world rolls the dice for when.
pub trait Life<T: Twin> {
    /// A user of the service changes what is desired.
    fn desire(&mut self, twin: &mut TwinService, dice: &mut SimEntropy);

    /// Something is measured, or somebody at the device changes a field by hand.
    fn measure(&mut self, state: &mut T, dice: &mut SimEntropy);

    /// The device's application answers for what is desired; by default everything is applied.
    fn answer(&mut self, change: &Change<T::Desired>, dice: &mut SimEntropy) -> Code {
        let _ = (change, dice);
        Code::APPLIED
    }

    /// A service that has lost its memory starts again; by default it knows the fields, and begins in the epoch given.
    fn begin(&mut self, epoch: u32) -> TwinService {
        TwinService::of::<T>().in_epoch(epoch)
    }
}

/// How often something happens to one of both sides, in thousandths of the occasions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Hazards {
    /// The device's power is cut around one of its operations, or between two.
    pub cuts: u16,
    /// The device loses its records.
    pub wipes: u16,
    /// The device comes back with older records.
    pub rolls_back: u16,
    /// The service loses its memory, and starts in a new epoch.
    pub forgets: u16,
    /// The service loses its memory, and does not know in which epoch it was.
    pub collides: u16,
    /// The service comes back from a backup, which may be old.
    pub restores: u16,
    /// The link refuses a message of the device.
    pub refused: u16,
}

impl Hazards {
    /// Nothing happens.
    pub const NONE: Self = Self {
        cuts: 0,
        wipes: 0,
        rolls_back: 0,
        forgets: 0,
        collides: 0,
        restores: 0,
        refused: 0,
    };
    /// Only what a device must live with every day: power cuts, and a link that refuses.
    pub const POWER: Self = Self {
        cuts: 100,
        refused: 50,
        ..Self::NONE
    };
    /// Everything happens.
    pub const ALL: Self = Self {
        wipes: 100,
        rolls_back: 100,
        forgets: 100,
        collides: 100,
        restores: 200,
        ..Self::POWER
    };
}

impl<T: Twin, const PENDING: usize> World<T, PENDING> {
    /// Lets one thing happen, chosen by the seed, and then holds both sides against the claims.
    ///
    /// # Errors
    ///
    /// [`Violation`] with the first claim that does not hold.
    pub fn turn(&mut self, life: &mut impl Life<T>) -> Result<(), Violation> {
        self.counts.steps += 1;
        let wait = Duration::from_millis(self.dice.below(2_000));
        self.clock.advance(wait);
        match self.dice.below(20) {
            0..3 => life.desire(&mut self.service, &mut self.dice),
            3..6 => {
                let mut dice = self.dice.fork();
                self.device.report(|state| life.measure(state, &mut dice));
            }
            6 if self.hazards.cuts > 0 => self.cut(),
            7 => self.happens(life),
            8 => self.answer(life),
            9..12 => drop(self.service_step()?),
            12..15 => drop(self.device_step()?),
            15..17 => drop(self.deliver_down()),
            _ => drop(self.deliver_up()),
        }
        self.check()
    }

    /// What happens rarely.
    fn happens(&mut self, life: &mut impl Life<T>) {
        let Hazards {
            wipes,
            rolls_back,
            forgets,
            collides,
            restores,
            ..
        } = self.hazards;
        let used = self.known.epochs.keys().max().copied().unwrap_or(0);
        if self.dice.chance(wipes) {
            self.wipe();
        } else if self.dice.chance(rolls_back) {
            self.roll_back();
        } else if self.dice.chance(forgets) {
            self.counts.forgotten += 1;
            self.replace_service(life.begin(used + 1_000));
        } else if self.dice.chance(collides) {
            self.counts.forgotten += 1;
            self.replace_service(life.begin(1));
        } else if self.dice.chance(restores) {
            self.counts.restored += 1;
            let epoch = if self.dice.chance(500) { used + 1 } else { 1 };
            let service = life.begin(epoch).reopened(&self.backup);
            self.replace_service(service);
        } else if self.dice.chance(300) {
            self.backup = self.service.snapshot();
        } else if rolls_back > 0 && self.dice.chance(300) {
            self.keep_image();
        }
    }
}
