//! Time as an engine sees it: handed in, monotonic, and honest about what it cannot know.
//!
//! A device often has no clock it can trust. [`Instant`] counts milliseconds of this boot and never runs
//! back; [`TimeBounds`] states what is *proved* about the wall clock, and every comparison with it has
//! three answers.

use core::fmt;
use core::time::Duration;

/// Milliseconds since this boot, from a clock that never runs back.
///
/// ```
/// use core::time::Duration;
/// use iot_core::Instant;
/// let start = Instant::from_millis(40);
/// assert_eq!(start + Duration::from_secs(1), Instant::from_millis(1_040));
/// assert_eq!(start.since(Instant::from_millis(100)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Instant(u64);

impl Instant {
    /// The moment of boot.
    pub const ZERO: Self = Self(0);

    /// `millis` milliseconds after boot.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since boot.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time that passed since `earlier`; zero when `earlier` lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment plus `span`, rounded down to milliseconds; stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        self.after(span)
    }
}

const fn millis(span: Duration) -> u64 {
    span.as_secs()
        .saturating_mul(1_000)
        .saturating_add(span.subsec_millis() as u64)
}

/// Milliseconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX time).
///
/// ```
/// use iot_core::Timestamp;
/// assert_eq!(Timestamp::from_secs(2).as_millis(), 2_000);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Timestamp(u64);

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// `millis` milliseconds after 1970.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// `secs` seconds after 1970.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000))
    }

    /// Milliseconds after 1970.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds after 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000
    }

    /// This moment plus `span`; stops at the end of time instead of wrapping.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This moment minus `span`; stops at 1970.
    #[must_use]
    pub const fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
    }
}

/// The answer to a question about the wall clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[must_use]
#[non_exhaustive]
pub enum Proof {
    /// It is proved.
    Yes,
    /// The opposite is proved.
    No,
    /// The bounds leave both open.
    Uncertain,
}

/// What is proved about the wall clock: it is not before one moment, and perhaps not after another.
///
/// The lower bound is always known: the build time, the last persisted time, the last authenticated time.
///
/// ```
/// use iot_core::{Timestamp, time::{Proof, TimeBounds}};
/// let bounds = TimeBounds::at_least(Timestamp::from_secs(100));
/// assert_eq!(bounds.reached(Timestamp::from_secs(50)), Proof::Yes);
/// assert_eq!(bounds.reached(Timestamp::from_secs(200)), Proof::Uncertain);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TimeBounds {
    not_before: Timestamp,
    not_after: Option<Timestamp>,
}

impl TimeBounds {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self::at_least(Timestamp::EPOCH);

    /// A trusted clock reads `now`.
    #[must_use]
    pub const fn exact(now: Timestamp) -> Self {
        Self {
            not_before: now,
            not_after: Some(now),
        }
    }

    /// Only a lower bound is known.
    #[must_use]
    pub const fn at_least(not_before: Timestamp) -> Self {
        Self {
            not_before,
            not_after: None,
        }
    }

    /// Both bounds are known; `None` when `not_after` lies before `not_before`.
    #[must_use]
    pub fn between(not_before: Timestamp, not_after: Timestamp) -> Option<Self> {
        (not_before <= not_after).then_some(Self {
            not_before,
            not_after: Some(not_after),
        })
    }

    /// The earliest the wall clock can read.
    #[must_use]
    pub const fn not_before(self) -> Timestamp {
        self.not_before
    }

    /// The latest the wall clock can read, where that is known.
    #[must_use]
    pub const fn not_after(self) -> Option<Timestamp> {
        self.not_after
    }

    /// Whether the wall clock has reached `moment` (reads `moment` or later).
    pub fn reached(self, moment: Timestamp) -> Proof {
        match self.not_after {
            _ if self.not_before >= moment => Proof::Yes,
            Some(latest) if latest < moment => Proof::No,
            _ => Proof::Uncertain,
        }
    }
}

/// The time an engine is told with every call.
///
/// ```
/// use iot_core::{Instant, Now, Timestamp, time::TimeBounds};
/// let now = Now::new(Instant::ZERO, TimeBounds::exact(Timestamp::from_secs(1)));
/// assert_eq!(now.wall.not_before(), Timestamp::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Now {
    /// Monotonic time of this boot.
    pub instant: Instant,
    /// What is proved about the wall clock.
    pub wall: TimeBounds,
}

impl Now {
    /// Joins both clocks.
    #[must_use]
    pub const fn new(instant: Instant, wall: TimeBounds) -> Self {
        Self { instant, wall }
    }

    /// The host's clocks: monotonic since the first call in this process, and the system time taken as exact.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn system() -> Self {
        use std::sync::OnceLock;
        use std::time::{Instant as Monotonic, SystemTime, UNIX_EPOCH};
        static START: OnceLock<Monotonic> = OnceLock::new();
        let elapsed = START.get_or_init(Monotonic::now).elapsed();
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::new(
            Instant::from_millis(millis(elapsed)),
            TimeBounds::exact(Timestamp::from_millis(millis(wall))),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_clock_is_never_uncertain() {
        let now = TimeBounds::exact(Timestamp::from_secs(10));
        assert_eq!(now.reached(Timestamp::from_secs(10)), Proof::Yes);
        assert_eq!(now.reached(Timestamp::from_secs(11)), Proof::No);
    }

    #[test]
    fn bounds_that_contradict_each_other_are_refused() {
        assert!(TimeBounds::between(Timestamp::from_secs(2), Timestamp::from_secs(1)).is_none());
    }

    #[test]
    fn time_stops_at_its_end_instead_of_wrapping() {
        assert_eq!(
            Instant::from_millis(u64::MAX) + Duration::MAX,
            Instant::from_millis(u64::MAX)
        );
        assert_eq!(Timestamp::EPOCH.before(Duration::MAX), Timestamp::EPOCH);
    }
}
