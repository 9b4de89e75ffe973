//! When to renew, and how long to keep what was replaced.

use core::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

/// Whether a certificate that has provably expired is still shown to the service to renew it.
///
/// The service must take it for that one purpose; one that does not sends the device to its factory identity.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RenewAfterExpiry {
    /// It is shown first, and the factory identity when it is refused.
    #[default]
    Allowed,
    /// The factory identity is shown at once, and the expired one only when that is refused: the clock may be wrong.
    Never,
}

/// When a [`Rotation`](super::Rotation) renews, and how long it keeps what was replaced.
///
/// ```
/// use core::time::Duration;
/// use iot_identity::rotate::{Policy, RenewAfterExpiry};
/// const DAY: Duration = Duration::from_secs(86_400);
/// let policy = Policy::new(8 * DAY).jitter(2 * DAY).after_expiry(RenewAfterExpiry::Never);
/// assert_ne!(policy, Policy::default());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Policy {
    pub(super) window: Duration,
    pub(super) jitter: Duration,
    pub(super) overlap: Duration,
    pub(super) after_expiry: RenewAfterExpiry,
    pub(super) probes: u8,
}

impl Policy {
    /// Renews at least `window` before the end, or a third of the certificate's life where that is less.
    ///
    /// Devices begin up to two days earlier than that, each at its own time; the old key is kept for a day
    /// after it was replaced; a candidate that the service refuses four times is thrown away.
    #[must_use]
    pub const fn new(window: Duration) -> Self {
        Self {
            window,
            jitter: Duration::from_secs(2 * 86_400),
            overlap: DAY,
            after_expiry: RenewAfterExpiry::Allowed,
            probes: 4,
        }
    }

    /// Spreads a fleet over `span` before the window, or over a third of the certificate's life where that is less.
    #[must_use]
    pub const fn jitter(mut self, span: Duration) -> Self {
        self.jitter = span;
        self
    }

    /// Keeps the old key for `span` after it was replaced, for sessions that still show it; the next renewal
    /// ends that early. Where the clock had no upper bound at the change, only the time that the device is up counts.
    #[must_use]
    pub const fn overlap(mut self, span: Duration) -> Self {
        self.overlap = span;
        self
    }

    /// What to do with a certificate that has expired.
    #[must_use]
    pub const fn after_expiry(mut self, policy: RenewAfterExpiry) -> Self {
        self.after_expiry = policy;
        self
    }

    /// Throws a candidate away that failed `count` probes (at least one) while the service could be reached.
    #[must_use]
    pub const fn probes(mut self, count: u8) -> Self {
        self.probes = if count == 0 { 1 } else { count };
        self
    }
}

impl Default for Policy {
    /// A window of eight days: half of what is left in the last third of a month, and the usual outages fit in.
    fn default() -> Self {
        Self::new(Duration::from_secs(8 * 86_400))
    }
}
