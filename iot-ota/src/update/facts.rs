//! What an updater does and says, as facts for twin, attestation and audit.

use core::ops::{Deref, DerefMut};

use iot_core::component::{
    ComponentEvent, ComponentFact, ComponentId, Measurement, Refusal, RollBack, Running, Version,
};
use iot_core::crypto::Digest;
use iot_core::engine::{Done, RecordRange};
use iot_core::{Channel, Engine, Event, Instant, Now, Step};

use super::payload::Payloads;
use super::report::{Outcome, Report};
use super::updater::{Activity, Status, Updater};
use super::wire::FromDevice;
use crate::manifest::ManifestKeys;
use crate::slot::{Banks, Ended, EndedAs, RollBackReason};

/// An [`Updater`] and the [facts](ComponentFact) about what it updates: an engine in its place, which is used as it is.
///
/// After each turn of the node, and once before the first, [`observe`](Self::observe) it until there is nothing more to tell. Then:
///
/// - while the device runs, each event is told once, in order. What began and was over between two looks is not told, and of
///   several refusals only the newest, beside that of what was under way; how an update ended is.
/// - After a restart, whenever the power failed, the end that the boot record holds is told first, and then what the device is at.
///   Both are [marked](ComponentFact::may_repeat), for they may have been told before: a [`Trail`](iot_core::component::Trail)
///   knows. So no end is lost, as long as somebody looks once between an end and the staging of the next release.
/// - What a fact says of what runs is what runs, as [`Updater::status`] does.
///
/// A roll back is told by what runs after it, and a refusal when its report is handed out. What was refused before a power cut and
/// not told is not told any more.
///
/// It has no record of its own, and costs a device without it nothing.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Clone, Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_add(*b) } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let sha256 = Sum::default();
/// # let digest = { let mut d = sha256.clone(); d.update(b"one"); d.finish() };
/// # let now = iot_core::Now::new(iot_core::Instant::ZERO, iot_core::time::TimeBounds::UNKNOWN);
/// use iot_core::component::{ComponentEvent, ComponentId};
/// use iot_core::{Engine, Event, sim::ToyKey};
/// use iot_ota::manifest::{Device, SigningKey};
/// use iot_ota::sim::MemoryBanks;
/// use iot_ota::slot::{Banks, BootEvent, Release, load, store};
/// use iot_ota::update::{Facts, Trust, Updater, Want};
///
/// const BOILER: Device<'static> = Device::new([1; 16], [2; 16], &[b"firmware"]);
/// # let mut banks = MemoryBanks::factory(4_096, 256, b"one", Release::new(1, digest, 3));
/// # let record = load(&mut banks).unwrap().unwrap();
/// # let digest = { let mut d = sha256.clone(); d.update(b"two"); d.finish() };
/// # banks.write(banks.running().other(), 0, b"two").unwrap();
/// # let record = record.on(BootEvent::Stage { candidate: Release::new(2, digest, 3), trials: 1 }).unwrap();
/// # store(&mut banks, &record).unwrap();
/// # banks.reboot(&mut sha256.clone()).unwrap();
/// // The firmware of release 2 starts for the first time.
/// let trust = Trust::new(SigningKey::new(ToyKey::new(1)), sha256, BOILER);
/// let mut update = Facts::new(ComponentId::from_path(BOILER.component)?, Updater::new(banks, trust))
///     .with_version("2.0.0".parse()?);
/// update.input(now, &Event::Restored);                  // a node does this
///
/// let fact = update.observe(now).ok_or("it is on trial")?;
/// assert_eq!(fact.event, ComponentEvent::OnTrial { sequence: 2 });
/// assert_eq!(update.wants(), Want::Confirm);
/// update.confirm(true);
/// let fact = update.observe(now).ok_or("it was confirmed")?;
/// assert_eq!(fact.event, ComponentEvent::Confirmed { sequence: 2 });
/// assert_eq!(fact.running.ok_or("it runs")?.measurement.digest(), digest);
/// assert_eq!(update.observe(now), None);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Facts<U> {
    updater: U,
    component: ComponentId,
    version: Option<Version>,
    // What was there when the device started, until it is told.
    found: Option<Found>,
    ended: Option<Ended>,
    step: Option<ComponentEvent>,
    // The number of what is offered, fetched or staged.
    candidate: Option<u64>,
    refused: Option<Refused>,
    // The one before has yet to be told.
    refused_now: bool,
    // What was under way and was given up, until it is told: a refusal of something else must not take its place.
    given_up: Option<Refused>,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    ended: Option<Ended>,
    step: Option<ComponentEvent>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Refused {
    sequence: Option<u64>,
    reason: Refusal,
}

impl<U> Facts<U> {
    /// Tells of `updater`'s image as that component.
    #[must_use]
    pub const fn new(component: ComponentId, updater: U) -> Self {
        Self {
            updater,
            component,
            version: None,
            found: None,
            ended: None,
            step: None,
            candidate: None,
            refused: None,
            refused_now: false,
            given_up: None,
        }
    }

    /// What the makers of this firmware call it. Only where the component is the firmware that says so.
    #[must_use]
    pub const fn with_version(mut self, version: Version) -> Self {
        self.version = Some(version);
        self
    }

    /// Gives the updater back.
    pub fn into_updater(self) -> U {
        self.updater
    }

    /// Keeps up with which release is under way; `refusal` waits to be reported.
    fn note(&mut self, status: &Status, refusal: Option<(Option<u64>, Outcome)>) {
        let candidate = match status.activity {
            Activity::AwaitingApproval { release }
            | Activity::Fetching { release, .. }
            | Activity::Staged { release } => Some(release.sequence),
            _ => None,
        };
        let given_up = self.candidate.filter(|_| candidate != self.candidate);
        if let Some((sequence, outcome)) = refusal
            && given_up.is_some()
            && sequence == given_up
            && let Some(reason) = refusal_of(outcome)
        {
            self.given_up = Some(Refused { sequence, reason });
        }
        self.candidate = candidate;
    }

    /// What the device is at.
    fn step_of(&self, status: &Status) -> Option<ComponentEvent> {
        Some(match status.activity {
            Activity::AwaitingApproval { release } => ComponentEvent::Offered {
                sequence: release.sequence,
            },
            Activity::Fetching { release, .. } => ComponentEvent::Fetching {
                sequence: release.sequence,
            },
            Activity::Staged { release } => ComponentEvent::Staged {
                sequence: release.sequence,
            },
            Activity::OnTrial => ComponentEvent::OnTrial {
                sequence: status.running?.sequence,
            },
            _ => return None,
        })
    }

    fn tell(&mut self, status: &Status, now: Now) -> Option<ComponentFact> {
        if status.activity == Activity::Restoring {
            return None;
        }
        let step = self.step_of(status);
        let found = *self.found.get_or_insert(Found {
            ended: status.ended,
            step,
        });
        // An image that was rejected still runs: its end is told by what replaces it.
        if let Some(ended) = status.ended
            && self.ended != status.ended
            && status.activity != Activity::Rejected
        {
            self.ended = status.ended;
            return Some(self.fact(status, now, event_of(ended), found.ended == self.ended));
        }
        if let Some(given_up) = self.given_up.take() {
            if !self.refused_now {
                self.refused = Some(given_up);
            }
            return Some(self.refusal(given_up, status, now));
        }
        if let Some(refused) = self.refused
            && core::mem::take(&mut self.refused_now)
        {
            return Some(self.refusal(refused, status, now));
        }
        if self.step == step {
            return None;
        }
        self.step = step;
        // Whatever comes after the first step is new, also if it is the same again.
        let found = self.found.as_mut().and_then(|found| found.step.take());
        step.map(|event| self.fact(status, now, event, found == step))
    }

    fn refusal(&mut self, refused: Refused, status: &Status, now: Now) -> ComponentFact {
        let Refused { sequence, reason } = refused;
        // Who hears of it takes that release for over: if it is under way again, that is told again.
        if sequence.is_some() && self.step.and_then(|step| step.sequence()) == sequence {
            self.step = None;
        }
        self.fact(
            status,
            now,
            ComponentEvent::Refused { sequence, reason },
            false,
        )
    }

    fn runs(&self, status: &Status) -> Option<Running> {
        status.running.map(|release| {
            let running = Running::new(release.sequence, Measurement::sha256(release.digest));
            match self.version {
                Some(version) => running.with_version(version),
                None => running,
            }
        })
    }

    fn fact(&self, status: &Status, now: Now, event: ComponentEvent, found: bool) -> ComponentFact {
        let running = self.runs(status);
        let fact = ComponentFact::new(self.component, running, event, now.wall);
        if found { fact.found() } else { fact }
    }

    /// A report is on its way: if it says that something was refused, that is an event, once.
    fn heard(&mut self, report: &Report, status: &Status) {
        let Some(reason) = refusal_of(report.outcome) else {
            return;
        };
        let sequence = report.sequence;
        let refused = Some(Refused { sequence, reason });
        let is_under_way =
            sequence.is_some() && self.step_of(status).and_then(|step| step.sequence()) == sequence;
        // Of what is under way only an offer or an abort was refused, which came again, too late or with other bytes. It
        // goes on.
        if is_under_way || self.refused == refused || self.given_up == refused {
            return;
        }
        (self.refused, self.refused_now) = (refused, true);
    }
}

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Facts<Updater<'_, B, K, D, P>> {
    /// The next thing that has happened; `None` when everything was told. `now` says when it was seen.
    pub fn observe(&mut self, now: Now) -> Option<ComponentFact> {
        let status = self.noted();
        self.tell(&status, now)
    }

    /// What runs, also while nothing has happened to it: `None` before the records are there, and while a rejected image waits
    /// for the restart.
    #[must_use]
    pub fn running(&self) -> Option<Running> {
        self.runs(&self.updater.status())
    }

    fn noted(&mut self) -> Status {
        let status = self.updater.status();
        self.note(&status, self.updater.refusal());
        status
    }
}

/// How an update ended, by the boot record.
const fn event_of(ended: Ended) -> ComponentEvent {
    let sequence = ended.sequence;
    match ended.how {
        EndedAs::Confirmed => ComponentEvent::Confirmed { sequence },
        EndedAs::RolledBack(reason) => ComponentEvent::RolledBack {
            sequence,
            reason: match reason {
                RollBackReason::SelfTest => RollBack::SelfTest,
                RollBackReason::Unconfirmed => RollBack::Unconfirmed,
                RollBackReason::Damaged => RollBack::Damaged,
                RollBackReason::TooOld => RollBack::TooOld,
            },
        },
    }
}

/// `None` for how an update ended: that is in the boot record.
const fn refusal_of(outcome: Outcome) -> Option<Refusal> {
    Some(match outcome {
        Outcome::Confirmed | Outcome::RolledBack(_) => return None,
        Outcome::NotAuthentic => Refusal::NotAuthentic,
        Outcome::OtherDevice => Refusal::OtherDevice,
        Outcome::Unsupported => Refusal::Unsupported,
        Outcome::TooOld | Outcome::BelowCounter => Refusal::TooOld,
        Outcome::SequenceReused => Refusal::Reused,
        Outcome::TooLarge => Refusal::TooLarge,
        Outcome::Busy => Refusal::Busy,
        Outcome::BadImage | Outcome::BadPayload => Refusal::BadImage,
        Outcome::Memory => Refusal::Memory,
        Outcome::Aborted | Outcome::Cancelled => Refusal::CalledOff,
        Outcome::TooSlow => Refusal::TooSlow,
        Outcome::NotApplicable => Refusal::NotApplicable,
        Outcome::NoKey => Refusal::NoKey,
    })
}

impl<B: Banks, K: ManifestKeys, D: Digest + Clone, P: Payloads<D>> Engine
    for Facts<Updater<'_, B, K, D, P>>
{
    fn handles(&self, channel: Channel) -> bool {
        self.updater.handles(channel)
    }

    fn records(&self) -> RecordRange {
        self.updater.records()
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        // What the application has called off meanwhile must not be forgotten for what comes in.
        self.noted();
        self.updater.input(now, event);
        self.noted();
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        let step = self.updater.step(now, buffer);
        if let Step::Send(message) = &step
            && let Ok(FromDevice::Report(report)) = FromDevice::decode(message.payload)
        {
            let status = self.updater.status();
            self.note(&status, self.updater.refusal());
            self.heard(&report, &status);
        }
        step
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        self.updater.done(now, done);
        self.noted();
    }

    fn deadline(&self) -> Option<Instant> {
        self.updater.deadline()
    }
}

impl<U> Deref for Facts<U> {
    type Target = U;

    fn deref(&self) -> &U {
        &self.updater
    }
}

impl<U> DerefMut for Facts<U> {
    fn deref_mut(&mut self) -> &mut U {
        &mut self.updater
    }
}
