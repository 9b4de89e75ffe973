//! What runs of a component and what becomes of it, as fields of a twin.
//!
//! Whoever updates a component makes [facts](ComponentFact) of it. An audit keeps each of them; a twin shows where they lead:
//! what runs, what is under way, and how the last update ended.

use core::fmt::Write;

use iot_core::component::{ComponentEvent, ComponentFact, Refusal, RollBack, Running};

use crate::{Text, Twin, TwinEnum};

/// The longest version that is shown, in bytes.
const VERSION_BYTES: usize = 48;

/// What is the case of one component: a group of a twin, with eight fields that the device states.
///
/// A device makes one at each start, and has it [follow](Self::follow) every fact, also those that an audit has already: what was
/// found at a start is told again, and leads to the same. After the facts it says what [runs](Self::runs), since there are none of
/// a device to which nothing has happened. With both before the node's first turn, and after each, a service never sees a device of
/// which nothing is known. Nothing of it is kept over a restart, so that it never sees what is not so any more.
///
/// ```
/// use iot_twin::component::{ComponentState, Ending, Step};
/// use iot_twin::iot_core::component::{ComponentEvent, ComponentFact, ComponentId, Measurement, RollBack, Running};
/// use iot_twin::iot_core::time::TimeBounds;
/// use iot_twin::{Twin, TwinDevice};
///
/// #[derive(Twin)]
/// struct Boiler {
///     #[twin(desired, range = 5.0..=30.0)]
///     setpoint: f32,
///     #[twin(group, id = 16)]
///     firmware: ComponentState,
/// }
///
/// let mut device = TwinDevice::<Boiler, 64>::new();
/// let runs = Running::new(7, Measurement::sha256([7; 32])).with_version("1.2.0".parse()?);
/// let event = ComponentEvent::RolledBack { sequence: 8, reason: RollBack::SelfTest };
/// let fact = ComponentFact::new(ComponentId::new("firmware")?, Some(runs), event, TimeBounds::UNKNOWN);
/// device.report(|boiler| boiler.firmware.follow(&fact));
///
/// let firmware = &device.state().firmware;
/// assert_eq!((firmware.running, firmware.step), (Some(7), Step::Idle));
/// assert!(firmware.version.as_ref().is_some_and(|version| *version == "1.2.0"));
/// assert_eq!((firmware.ended, firmware.ending), (Some(8), Some(Ending::SelfTest)));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, Twin)]
#[non_exhaustive]
pub struct ComponentState {
    /// The number of the release that runs; none while a rejected one waits for the restart, and before the first fact.
    #[twin(reported, id = 0)]
    pub running: Option<u64>,
    /// What its makers call it; none where nobody has said so, or it is longer than 48 bytes.
    #[twin(reported, id = 1)]
    pub version: Option<Text<VERSION_BYTES>>,
    /// What is being done.
    #[twin(reported, id = 2)]
    pub step: Step,
    /// With which release; none while nothing is being done.
    #[twin(reported, id = 3)]
    pub candidate: Option<u64>,
    /// The last release whose update ended after it was staged; none before the first.
    #[twin(reported, id = 4)]
    pub ended: Option<u64>,
    /// How that ended.
    #[twin(reported, id = 5)]
    pub ending: Option<Ending>,
    /// The last release that was refused since the start; none also where nobody has vouched for its number.
    #[twin(reported, id = 6)]
    pub refused: Option<u64>,
    /// Why that was refused; none where nothing was since the start.
    #[twin(reported, id = 7)]
    pub refusal: Option<RefusedFor>,
}

/// What is being done with a release.
#[derive(Clone, Copy, Debug, Eq, PartialEq, TwinEnum)]
#[non_exhaustive]
pub enum Step {
    /// Nothing.
    Idle = 0,
    /// Somebody has to agree to it.
    Offered = 1,
    /// It is being fetched.
    Fetching = 2,
    /// It is there, verified, and runs from the next restart on.
    Staged = 3,
    /// It runs, and has yet to show that it is well.
    OnTrial = 4,
}

/// How the update of a release that was staged has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, TwinEnum)]
#[non_exhaustive]
pub enum Ending {
    /// It runs, and stays.
    Confirmed = 0,
    /// It has rejected itself: what ran before runs again, as in all that follow.
    SelfTest = 1,
    /// It did not confirm itself within its trial.
    Unconfirmed = 2,
    /// What was to be tried was not whole.
    Damaged = 3,
    /// Its security counter is below the device's.
    TooOld = 4,
    /// A reason that is newer than this software.
    Other = 23,
}

/// Why a release was not taken, or was given up before it was staged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, TwinEnum)]
#[non_exhaustive]
pub enum RefusedFor {
    /// Nobody who may do so has signed it.
    NotAuthentic = 0,
    /// It is for other devices.
    OtherDevice = 1,
    /// It asks for something that the device cannot do.
    Unsupported = 2,
    /// It is for this kind of device, and not for what runs on it, or not for now.
    NotApplicable = 3,
    /// Its number or its security counter is below what the device has.
    TooOld = 4,
    /// Its number belongs to another image.
    Reused = 5,
    /// There is no room for it.
    TooLarge = 6,
    /// Another one is staged or on trial.
    Busy = 7,
    /// It is encrypted, and not for this device.
    NoKey = 8,
    /// What arrived is not what was signed for.
    BadImage = 9,
    /// The device's memory failed.
    Memory = 10,
    /// It arrived too slowly.
    TooSlow = 11,
    /// Somebody called it off.
    CalledOff = 12,
    /// A reason that is newer than this software.
    Other = 23,
}

impl ComponentState {
    /// Becomes what is the case after a fact. Facts of one component belong to one state, in the order in which they are told.
    pub fn follow(&mut self, fact: &ComponentFact) {
        self.runs(fact.running.as_ref());
        match fact.event {
            ComponentEvent::Offered { sequence } => self.begin(Step::Offered, sequence),
            ComponentEvent::Fetching { sequence } => self.begin(Step::Fetching, sequence),
            ComponentEvent::Staged { sequence } => self.begin(Step::Staged, sequence),
            ComponentEvent::OnTrial { sequence } => self.begin(Step::OnTrial, sequence),
            ComponentEvent::Confirmed { sequence } => self.end(sequence, Ending::Confirmed),
            ComponentEvent::RolledBack { sequence, reason } => self.end(sequence, reason.into()),
            ComponentEvent::Refused { sequence, reason } => {
                (self.refused, self.refusal) = (sequence, Some(reason.into()));
                // Of what is under way that is the end; another one leaves it alone.
                if sequence.is_some() && sequence == self.candidate {
                    self.rest();
                }
            }
            // Something that is newer than this software.
            _ => {}
        }
    }

    /// Shows what runs, also while nothing has happened to it, as on a device that was never updated; none while a rejected image
    /// waits for the restart, with which nothing is done any more.
    pub fn runs(&mut self, running: Option<&Running>) {
        self.running = running.map(|running| running.sequence);
        let version = running.and_then(|running| running.version);
        self.version = version.and_then(|version| {
            let mut text = Text::EMPTY;
            write!(text, "{version}").ok().map(|()| text)
        });
        if running.is_none() {
            self.rest();
        }
    }

    const fn begin(&mut self, step: Step, sequence: u64) {
        (self.step, self.candidate) = (step, Some(sequence));
    }

    const fn rest(&mut self) {
        (self.step, self.candidate) = (Step::Idle, None);
    }

    const fn end(&mut self, sequence: u64, ending: Ending) {
        (self.ended, self.ending) = (Some(sequence), Some(ending));
        self.rest();
    }
}

impl From<RollBack> for Ending {
    fn from(reason: RollBack) -> Self {
        match reason {
            RollBack::SelfTest => Self::SelfTest,
            RollBack::Unconfirmed => Self::Unconfirmed,
            RollBack::Damaged => Self::Damaged,
            RollBack::TooOld => Self::TooOld,
            _ => Self::Other,
        }
    }
}

impl From<Refusal> for RefusedFor {
    fn from(reason: Refusal) -> Self {
        match reason {
            Refusal::NotAuthentic => Self::NotAuthentic,
            Refusal::OtherDevice => Self::OtherDevice,
            Refusal::Unsupported => Self::Unsupported,
            Refusal::NotApplicable => Self::NotApplicable,
            Refusal::TooOld => Self::TooOld,
            Refusal::Reused => Self::Reused,
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Busy => Self::Busy,
            Refusal::NoKey => Self::NoKey,
            Refusal::BadImage => Self::BadImage,
            Refusal::Memory => Self::Memory,
            Refusal::TooSlow => Self::TooSlow,
            Refusal::CalledOff => Self::CalledOff,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
