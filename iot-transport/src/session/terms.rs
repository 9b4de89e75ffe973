//! What a session is told before it starts.

use core::time::Duration;

use iot_core::retry::Policy;

/// What a session is told before it starts; copies are free.
///
/// ```
/// use core::time::Duration;
/// use iot_core::retry::Policy;
/// use iot_transport::session::Terms;
///
/// const TERMS: Terms = Terms::new(Policy::new(Duration::from_secs(1), Duration::from_secs(120)))
///     .with_keep_alive(Duration::from_secs(900))
///     .with_window(4);
/// assert_eq!(TERMS.keep_alive(), Duration::from_secs(900));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    pub(super) retry: Policy,
    pub(super) keep_alive_ms: u32,
    pub(super) attempt_ms: u32,
    pub(super) window: u16,
}

impl Terms {
    /// Tries again as `retry` says; keep-alive and time for an attempt 30 s, window 16.
    #[must_use]
    pub const fn new(retry: Policy) -> Self {
        Self {
            retry,
            keep_alive_ms: 30_000,
            attempt_ms: 30_000,
            window: 16,
        }
    }

    /// Sets after how long a silence the other end is asked for a sign of life: 1 to 65,535 s, as MQTT counts.
    ///
    /// The link is given up when no answer came for half of that time.
    #[must_use]
    pub const fn with_keep_alive(mut self, span: Duration) -> Self {
        self.keep_alive_ms = bounded_ms(span, 1_000, 65_535_000);
        self
    }

    /// Sets how long one attempt may take, from dialling to the welcome: 1 ms to 49 days.
    #[must_use]
    pub const fn with_attempt(mut self, span: Duration) -> Self {
        self.attempt_ms = bounded_ms(span, 1, u32::MAX);
        self
    }

    /// Sets how many messages may be on the wire unacknowledged, at least 1; the other end may allow fewer.
    #[must_use]
    pub const fn with_window(mut self, messages: u16) -> Self {
        self.window = if messages == 0 { 1 } else { messages };
        self
    }

    /// After how long a silence the other end is asked for a sign of life.
    #[must_use]
    pub const fn keep_alive(self) -> Duration {
        Duration::from_millis(self.keep_alive_ms as u64)
    }

    /// How long one attempt may take.
    #[must_use]
    pub const fn attempt(self) -> Duration {
        Duration::from_millis(self.attempt_ms as u64)
    }

    /// How many messages may be on the wire unacknowledged.
    #[must_use]
    pub const fn window(self) -> u16 {
        self.window
    }
}

/// The span in milliseconds, within bounds.
pub(crate) const fn bounded_ms(span: Duration, least: u32, most: u32) -> u32 {
    let ms = span.as_millis();
    if ms < least as u128 {
        least
    } else if ms > most as u128 {
        most
    } else {
        // Checked just above: it fits.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "compared with a u32 above; `try_from` is not const"
        )]
        {
            ms as u32
        }
    }
}
