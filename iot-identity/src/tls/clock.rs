//! Time for TLS.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use iot_core::Now;
use iot_core::time::TimeBounds;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

/// Where a TLS configuration reads what is proved about the time.
///
/// ```
/// use iot_core::{Timestamp, time::TimeBounds};
/// use iot_identity::tls::Clock;
/// let built = Timestamp::from_secs(1_800_000_000);
/// let clock = Clock::new(move || TimeBounds::at_least(built)); // a device without a clock
/// assert_eq!(clock.now().not_before(), built);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> TimeBounds + Send + Sync>);

impl Clock {
    /// Reads the bounds from a function.
    #[must_use]
    pub fn new(read: impl Fn() -> TimeBounds + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The host's clock, taken as exact.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| Now::system().wall)
    }

    /// What is proved now.
    #[must_use]
    pub fn now(&self) -> TimeBounds {
        (self.0)()
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::system()
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = self.now().not_before().as_secs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({:?})", self.now())
    }
}
