//! How patient an exchange is.

use core::time::Duration;

use crate::session::bounded_ms;

/// How long to wait for an answer and how often to ask (RFC 7252 §4.8); copies are free.
///
/// ```
/// use core::time::Duration;
/// use iot_transport::coap::Terms;
///
/// const NARROW_BAND: Terms = Terms::new()
///     .with_ack_timeout(Duration::from_secs(6))
///     .with_floor(Duration::from_secs(1))
///     .with_patience(Duration::from_secs(180));
/// assert_eq!(NARROW_BAND.patience(), Duration::from_secs(180));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Terms {
    pub(super) ack_timeout_ms: u32,
    pub(super) floor_ms: u32,
    pub(super) patience_ms: u32,
    pub(super) retransmissions: u8,
}

impl Terms {
    /// Waits for 2 s before the round trip was measured and never less than 50 ms; asks 8 times more, and gives up
    /// after 60 s.
    ///
    /// While nothing was measured, 60 s are over after the four repetitions of RFC 7252.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ack_timeout_ms: 2_000,
            floor_ms: 50,
            patience_ms: 60_000,
            retransmissions: 8,
        }
    }

    /// Sets how long the first answer is waited for, up to half of it more at random: 1 s to 60 s. It is the standard's
    /// `ACK_TIMEOUT`; below 1 s it would be a danger to the network (RFC 8085 §3.1.1).
    #[must_use]
    pub const fn with_ack_timeout(mut self, span: Duration) -> Self {
        self.ack_timeout_ms = bounded_ms(span, 1_000, 60_000);
        self
    }

    /// Sets below what the wait never falls, however short round trips are: 10 ms to 60 s. A server that takes long
    /// now and then is asked twice for nothing when it is short.
    #[must_use]
    pub const fn with_floor(mut self, span: Duration) -> Self {
        self.floor_ms = bounded_ms(span, 10, 60_000);
        self
    }

    /// Sets how long one exchange may take from its first message on, an answer that the server has promised and sends
    /// by itself included: 1 s to an hour.
    #[must_use]
    pub const fn with_patience(mut self, span: Duration) -> Self {
        self.patience_ms = bounded_ms(span, 1_000, 3_600_000);
        self
    }

    /// Sets how often a message is repeated at most: the standard's `MAX_RETRANSMIT`, from 0 to 20.
    #[must_use]
    pub const fn with_retransmissions(mut self, most: u8) -> Self {
        self.retransmissions = if most > 20 { 20 } else { most };
        self
    }

    /// How long the first answer is waited for.
    #[must_use]
    pub const fn ack_timeout(self) -> Duration {
        Duration::from_millis(self.ack_timeout_ms as u64)
    }

    /// Below what the wait never falls.
    #[must_use]
    pub const fn floor(self) -> Duration {
        Duration::from_millis(self.floor_ms as u64)
    }

    /// How long one exchange may take.
    #[must_use]
    pub const fn patience(self) -> Duration {
        Duration::from_millis(self.patience_ms as u64)
    }

    /// How often a message is repeated at most.
    #[must_use]
    pub const fn retransmissions(self) -> u8 {
        self.retransmissions
    }
}

impl Default for Terms {
    fn default() -> Self {
        Self::new()
    }
}
