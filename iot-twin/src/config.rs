//! Configuration that cannot lock a device out: tried first, kept when it was proved good, and taken back otherwise.
//!
//! New settings are [staged](Config::stage): checked, put on record as a *trial*, and only then handed to the
//! application. They become the confirmed ones when the device proves that it still works: by its
//! [own judgement](Config::confirm), or by a link that comes up with them ([`Proof::Reconnect`], for network
//! profiles). When the proof does not come in time, the application fails to apply them, or the device restarts more
//! often than allowed, the confirmed settings are to be in force again, at once: that is on record only afterwards,
//! because storage that fails must not keep a device on settings that cut it off. The power may be cut at any moment:
//! what is on record is the old confirmed settings or the new ones, whole.
//!
//! Firmware of another age reads the same records. Of what is confirmed it takes what it can: a field that it does not
//! know, or a value outside its range, is left out, and the factory's value stands there. A trial that it cannot take
//! whole is over ([`Ending::Restarted`]), because the rest of it alone is something that nobody has staged.
//!
//! A configuration is a twin's struct; a feature flag is a field of type `bool`. It is no twin itself: an application
//! stages what a twin [desires](crate::TwinDevice::changed), and answers the twin with what
//! [became of it](Config::answer), also after a restart.
//!
//! | phase | what is in force | goes on with |
//! |---|---|---|
//! | [`Steady`](Phase::Steady) | confirmed | `stage` |
//! | [`Recording`](Phase::Recording) | confirmed | the trial is on record |
//! | [`Applying`](Phase::Applying) | trial | `applied` |
//! | [`Proving`](Phase::Proving) | trial | `confirm`, a link, `fail`, the deadline, a restart |
//! | [`Confirming`](Phase::Confirming) | trial | it is on record as confirmed |
//! | [`Restoring`](Phase::Restoring) | confirmed | `applied` |
//! | [`Reverting`](Phase::Reverting) | confirmed | it is on record that the trial is over |

mod engine;
mod record;
#[cfg(test)]
#[cfg(all(feature = "alloc", feature = "derive"))]
mod tests;

use core::fmt;
use core::time::Duration;

use iot_core::engine::RecordKey;

use crate::reflect::Twin;
use crate::schema::FieldId;
use crate::sync::{Code, Version};

/// What proves that a device still works with its new settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Proof {
    /// [`Config::confirm`] is called: the application has looked at itself.
    Health,
    /// A link comes up after the settings were applied.
    Reconnect,
}

/// How a trial is to be proved.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Terms {
    /// By what.
    pub proof: Proof,
    /// Within which time after it was applied, and anew after each restart.
    pub within: Duration,
    /// How many restarts it may take; after one more it is over.
    pub restarts: u8,
    /// For which version of a twin's desire, so that [`Config::answer`] knows; [`Version::ZERO`] for none.
    pub answers: Version,
}

impl Terms {
    /// By its own judgement within that time, and not after a restart.
    #[must_use]
    pub const fn health(within: Duration) -> Self {
        Self {
            proof: Proof::Health,
            within,
            restarts: 0,
            answers: Version::ZERO,
        }
    }

    /// By a link within that time, and not after a restart.
    #[must_use]
    pub const fn reconnect(within: Duration) -> Self {
        Self {
            proof: Proof::Reconnect,
            within,
            restarts: 0,
            answers: Version::ZERO,
        }
    }

    /// May restart so often before it is proved.
    #[must_use]
    pub const fn restarts(mut self, restarts: u8) -> Self {
        self.restarts = restarts;
        self
    }

    /// Is what a twin desires under this version: [`Config::answer`] tells what became of it.
    #[must_use]
    pub const fn answering(mut self, version: Version) -> Self {
        self.answers = version;
        self
    }
}

/// Where a configuration stands; the table of the [module](self) shows what is in force.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Phase {
    /// Nothing is being tried.
    Steady,
    /// A trial is on its way to storage.
    Recording,
    /// The application is to apply a trial.
    Applying,
    /// A trial is applied, and not proved yet.
    Proving,
    /// A trial was proved, and is on its way to storage.
    Confirming,
    /// The confirmed settings are applied again after a trial, and that it is over is on its way to storage.
    Reverting,
    /// The application is to apply the confirmed settings again; also after each restart.
    Restoring,
}

/// How the last trial ended. It is durable.
///
/// As a twin's [`Code`] each has a number of its own, those of HTTP that come nearest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Ending {
    /// It was proved good: 200.
    Confirmed,
    /// The application could not apply it: 400.
    NotApplied,
    /// The application found itself unwell: 417.
    Failed,
    /// No proof came in time: 408.
    TimedOut,
    /// The device restarted too often, or such that it could not be put on record, or with firmware that does not
    /// take the trial whole: 503.
    Restarted,
}

impl From<Ending> for Code {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Confirmed => Self::APPLIED,
            Ending::NotApplied => Self::REJECTED,
            Ending::Failed => Self::new(417),
            Ending::TimedOut => Self::new(408),
            Ending::Restarted => Self::new(503),
        }
    }
}

/// Why settings cannot be tried; everything is as before.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StageError {
    /// Another trial is not over, or that is not on record, or the records were not read yet.
    #[error("another configuration is being tried: wait until it is over and on record")]
    Busy,
    /// A field is outside its range.
    #[error("field {} is outside its range: stage a value that the schema allows", field.get())]
    Range {
        /// Which field.
        field: FieldId,
    },
    /// The application would not have them.
    #[error("the settings contradict each other: stage those that go together at once")]
    Invalid,
}

/// A device's configuration: an [`Engine`](iot_core::Engine) that keeps two records.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use core::time::Duration;
/// use iot_twin::config::{Config, Phase, Terms};
/// use iot_twin::iot_core::engine::{Done, Engine, Event, RecordKey, Step};
/// use iot_twin::iot_core::{Instant, Now, time::TimeBounds};
/// use iot_twin::Twin;
///
/// #[derive(Clone, Twin)]
/// struct Network {
///     #[twin(desired, range = 1..=13)]
///     channel: u8,
///     #[twin(desired)]
///     roaming: bool, // a feature flag
/// }
///
/// let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
/// let factory = Network { channel: 6, roaming: false };
/// let mut config = Config::new(factory, RecordKey::new(0x6000));
/// config.input(now, &Event::Restored);
/// config.applied(now, true); // the factory's settings
///
/// let terms = Terms::reconnect(Duration::from_secs(60));
/// config.stage(terms, |network| network.channel = 11, |_| true)?;
/// let mut buffer = [0; 256];
/// let Step::Persist(_) = config.step(now, &mut buffer) else { unreachable!() };
/// config.done(now, Done::Persisted);
/// assert_eq!(config.phase(), Phase::Applying);
/// assert_eq!(config.current().channel, 11);
/// config.applied(now, true);
/// // The link never comes up with channel 11.
/// let later = Now::new(config.deadline().unwrap(), TimeBounds::UNKNOWN);
/// assert!(matches!(config.step(later, &mut buffer), Step::Persist(_)));
/// config.done(later, Done::Persisted);
/// assert_eq!((config.phase(), config.current().channel), (Phase::Restoring, 6));
/// # }
/// # Ok::<(), iot_twin::config::StageError>(())
/// ```
#[derive(Clone)]
pub struct Config<T> {
    confirmed: T,
    trial: T,
    terms: Terms,
    phase: Phase,
    /// How many trials were confirmed.
    revision: u32,
    ending: Option<Ending>,
    /// For which version of a twin's desire the trial was that ended last.
    answered: Version,
    records: RecordKey,
    restored: bool,
    /// Whether the records hold a trial.
    tried: bool,
    issued: bool,
    deadline_ms: Option<u64>,
    hold_until_ms: u64,
}

impl<T: Twin + Clone> Config<T> {
    /// The settings that a device leaves the factory with; its two records are keyed from `records` on.
    #[must_use]
    pub fn new(factory: T, records: RecordKey) -> Self {
        Self {
            trial: factory.clone(),
            confirmed: factory,
            terms: Terms::health(Duration::ZERO),
            phase: Phase::Restoring,
            revision: 0,
            ending: None,
            answered: Version::ZERO,
            records,
            restored: false,
            tried: false,
            issued: false,
            deadline_ms: None,
            hold_until_ms: 0,
        }
    }

    /// Begins to try other settings: what `edit` makes of the confirmed ones, if every field is in its range and
    /// `valid` says that they go together. It is asked now and not again, whatever firmware finds the trial on record.
    ///
    /// # Errors
    ///
    /// [`StageError`]; nothing has changed.
    pub fn stage(
        &mut self,
        terms: Terms,
        edit: impl FnOnce(&mut T),
        valid: impl FnOnce(&T) -> bool,
    ) -> Result<(), StageError> {
        let rests = matches!(self.phase, Phase::Steady | Phase::Restoring);
        if !self.restored || !rests || self.tried {
            return Err(StageError::Busy);
        }
        let mut trial = self.confirmed.clone();
        edit(&mut trial);
        let outside = (0..)
            .zip(T::FIELDS)
            .find(|(index, _)| !trial.accepts(*index));
        if let Some((_, field)) = outside {
            return Err(StageError::Range { field: field.id });
        }
        if !valid(&trial) {
            return Err(StageError::Invalid);
        }
        (self.trial, self.terms) = (trial, terms);
        self.phase = Phase::Recording;
        Ok(())
    }

    /// States that the application has put [`current`](Self::current) in force, or could not.
    ///
    /// Confirmed settings that cannot be applied stay in [`Phase::Restoring`]: try again.
    pub fn applied(&mut self, now: iot_core::Now, well: bool) {
        let end = now.instant.as_millis().saturating_add(self.within_ms());
        match (self.phase, well) {
            (Phase::Applying, true) => {
                self.phase = Phase::Proving;
                self.deadline_ms = Some(end);
            }
            (Phase::Applying, false) => self.end(Ending::NotApplied),
            (Phase::Restoring, true) if self.tried => self.phase = Phase::Reverting,
            (Phase::Restoring, true) => self.phase = Phase::Steady,
            _ => {}
        }
    }

    /// States that the device works with the trial. Without one that waits for this, nothing changes.
    pub fn confirm(&mut self) {
        if self.phase == Phase::Proving && self.terms.proof == Proof::Health {
            self.prove();
        }
    }

    /// States that the device does not work with the trial, whatever was to prove it.
    pub fn fail(&mut self) {
        if self.phase == Phase::Proving {
            self.end(Ending::Failed);
        }
    }

    /// The settings that are to be in force now.
    #[must_use]
    pub const fn current(&self) -> &T {
        match self.phase {
            Phase::Applying | Phase::Proving | Phase::Confirming => &self.trial,
            _ => &self.confirmed,
        }
    }

    /// The settings that a restart comes back to.
    #[must_use]
    pub const fn confirmed(&self) -> &T {
        &self.confirmed
    }

    /// Where it stands.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// How the last trial ended; `None` before the first did.
    #[must_use]
    pub const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// What became of the last trial that was staged for a [version](Terms::answering) of a twin's desire, to
    /// [acknowledge](crate::TwinDevice::acknowledge) it with: [`Code::PENDING`] until it is over, then how it
    /// [ended](Ending). It is durable, so a desire that is offered again after a restart is not tried twice.
    ///
    /// ```
    /// # #[cfg(feature = "derive")] {
    /// use core::time::Duration;
    /// use iot_twin::config::{Config, Phase, Terms};
    /// use iot_twin::iot_core::Now;
    /// use iot_twin::{Twin, TwinDevice};
    ///
    /// #[derive(Clone, Twin)]
    /// struct Network {
    ///     #[twin(desired, range = 1..=13)]
    ///     channel: u8,
    /// }
    ///
    /// /// What an application does after each turn of its node; applying the settings is left out.
    /// fn settle(twin: &mut TwinDevice<Network, 4>, config: &mut Config<Network>) {
    ///     if let Some((version, code)) = config.answer() {
    ///         twin.acknowledge(version, code);
    ///     }
    ///     if config.phase() == Phase::Steady
    ///         && let Some(change) = twin.changed()
    ///     {
    ///         let terms = Terms::reconnect(Duration::from_secs(60)).answering(change.version);
    ///         let staged = config.stage(terms, |network| network.channel = change.channel, |_| true);
    ///         if staged.is_err() {
    ///             twin.acknowledge(change.version, false);
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn answer(&self) -> Option<(Version, Code)> {
        let (version, code) = match (self.phase, self.ending) {
            // How it ended is told once that is durable.
            _ if self.tried => (self.terms.answers, Code::PENDING),
            (Phase::Steady | Phase::Restoring, Some(ending)) => (self.answered, ending.into()),
            (Phase::Steady | Phase::Restoring, None) => return None,
            _ => (self.terms.answers, Code::PENDING),
        };
        (version > Version::ZERO).then_some((version, code))
    }

    /// How many trials were confirmed.
    #[must_use]
    pub const fn revision(&self) -> u32 {
        self.revision
    }

    /// The fields in which what a device really does differs from what is to be in force: by somebody's hand, or by a
    /// part that lost its setting. A difference within the field's deadband is none.
    pub fn drift<'a>(&'a self, actual: &'a T) -> impl Iterator<Item = FieldId> + 'a {
        (0..)
            .zip(T::FIELDS)
            .filter(|(index, _)| actual.moved(*index, self.current()))
            .map(|(_, field)| field.id)
    }

    fn prove(&mut self) {
        (self.phase, self.deadline_ms) = (Phase::Confirming, None);
    }

    fn end(&mut self, ending: Ending) {
        (self.phase, self.deadline_ms) = (Phase::Restoring, None);
        self.ending = Some(ending);
        self.answered = self.terms.answers;
    }

    fn within_ms(&self) -> u64 {
        u64::try_from(self.terms.within.as_millis()).unwrap_or(u64::MAX)
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No values: some are not for logs.
        f.debug_struct("Config")
            .field("phase", &self.phase)
            .field("terms", &self.terms)
            .field("revision", &self.revision)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
