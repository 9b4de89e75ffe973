//! A budget of bytes or messages: what exceeds it is refused, and told when it may pass.

use core::time::Duration;

use iot_core::port::{Limits, Timer, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Instant, Message, Priority, Ticket};

use super::Layer;

/// Why a call to a [`Limited`] transport failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError<E> {
    /// The budget does not reach.
    #[error(
        "the budget has {available} of the {needed} that this message takes: offer it again in {} ms",
        ready_in.as_millis()
    )]
    Spent {
        /// What the message takes, in bytes or messages.
        needed: u32,
        /// What there is.
        available: u32,
        /// After how long the budget reaches, if nothing else passes meanwhile.
        ready_in: Duration,
    },
    /// The message takes more than the budget can ever hold.
    #[error("the message takes {needed} bytes of a budget that never has more than {most}")]
    Never {
        /// What the message takes.
        needed: u32,
        /// The most that the budget holds.
        most: u32,
    },
    /// The transport below.
    #[error(transparent)]
    Inner(E),
}

impl<E: TransportError> TransportError for LimitError<E> {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Spent { .. } => TransportErrorKind::Busy,
            Self::Never { .. } => TransportErrorKind::TooLarge,
            Self::Inner(error) => error.kind(),
        }
    }
}

/// A token bucket; levels are in tokens times milliseconds of the span, so that nothing is rounded away.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    burst: u32,
    refill: u32,
    span_ms: u32,
    level: i64,
    filled_at: Option<Instant>,
}

impl Bucket {
    const fn new(burst: u32, refill: u32, span: Duration) -> Self {
        // Spans are bounded so that a full bucket fits 63 bits.
        let most = i32::MAX as u128;
        let ms = span.as_millis();
        let ms = if ms == 0 {
            1
        } else if ms > most {
            most
        } else {
            ms
        };
        #[allow(clippy::cast_possible_truncation, reason = "bounded above")]
        let span_ms = ms as u32;
        Self {
            burst,
            refill: if refill == 0 { 1 } else { refill },
            span_ms,
            level: burst as i64 * span_ms as i64,
            filled_at: None,
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = self.filled_at.replace(now).unwrap_or(now);
        let passed = i64::try_from(now.since(since).as_millis()).unwrap_or(i64::MAX);
        let gained = passed.saturating_mul(i64::from(self.refill));
        let full = i64::from(self.burst) * i64::from(self.span_ms);
        self.level = self.level.saturating_add(gained).min(full);
    }

    fn available(&self) -> u32 {
        let tokens = self.level.max(0) / i64::from(self.span_ms);
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }

    const fn cost(&self, tokens: u32) -> i64 {
        tokens as i64 * self.span_ms as i64
    }

    /// After how long `tokens` are there; zero when they are now.
    fn ready_in(&self, tokens: u32) -> Duration {
        let missing = self
            .cost(tokens)
            .saturating_sub(self.level)
            .max(0)
            .unsigned_abs();
        Duration::from_millis(missing.div_ceil(u64::from(self.refill)))
    }
}

/// Bytes that may pass in a span of time.
///
/// In any span of time at most the burst passes, and as much as is refilled in it. Counted are the payloads of
/// submitted messages and a fixed overhead for each; what is received, or sent again below, is not seen here.
///
/// ```
/// use core::time::Duration;
/// use iot_transport::layer::ByteBudget;
/// # let timer = iot_core::node::PollTimer::new(|| unreachable!());
/// let sim_card = ByteBudget::per_day(20_000_000, timer).with_overhead(60);
/// # let timer = iot_core::node::PollTimer::new(|| unreachable!());
/// let radio = ByteBudget::new(500, 50, Duration::from_secs(1), timer); // 50 bytes/s, 500 at once
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByteBudget<C> {
    bucket: Bucket,
    overhead: u32,
    exempt: Option<Priority>,
    timer: C,
}

impl<C: Timer> ByteBudget<C> {
    /// At most `burst` bytes at once, and `bytes` more in each `per`, 1 ms to 24 days.
    #[must_use]
    pub const fn new(burst: u32, bytes: u32, per: Duration, timer: C) -> Self {
        Self {
            bucket: Bucket::new(burst, bytes, per),
            overhead: 0,
            exempt: None,
            timer,
        }
    }

    /// At most `bytes` in any 24 hours of powered-on time, and a tenth of that at once.
    ///
    /// A message longer than that tenth never passes. After a reboot the budget is full again.
    #[must_use]
    pub const fn per_day(bytes: u32, timer: C) -> Self {
        let burst = bytes / 10;
        Self::new(burst, bytes - burst, Duration::from_secs(86_400), timer)
    }

    /// Counts so many bytes more for each message, for topic, headers and acknowledgement; 0 by default.
    #[must_use]
    pub const fn with_overhead(mut self, bytes: u32) -> Self {
        self.overhead = bytes;
        self
    }

    /// Lets messages of at least that priority pass always; they are counted, and others wait the longer.
    #[must_use]
    pub const fn with_exempt(mut self, least: Priority) -> Self {
        self.exempt = Some(least);
        self
    }
}

impl<T: Transport, C: Timer> Layer<T> for ByteBudget<C> {
    type Over = Limited<T, C>;
    fn over(self, inner: T) -> Limited<T, C> {
        Limited {
            inner,
            bucket: self.bucket,
            per_byte: 1,
            per_message: self.overhead,
            exempt: self.exempt,
            timer: self.timer,
        }
    }
}

/// Messages that may pass in a span of time.
///
/// ```
/// use core::time::Duration;
/// use iot_transport::layer::RateLimit;
/// # let timer = iot_core::node::PollTimer::new(|| unreachable!());
/// let gentle = RateLimit::new(10, 1, Duration::from_secs(1), timer); // ten at once, then one each second
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RateLimit<C> {
    bucket: Bucket,
    exempt: Option<Priority>,
    timer: C,
}

impl<C: Timer> RateLimit<C> {
    /// At most `burst` messages at once, at least one, and `messages` more in each `per`, 1 ms to 24 days.
    #[must_use]
    pub const fn new(burst: u32, messages: u32, per: Duration, timer: C) -> Self {
        let burst = if burst == 0 { 1 } else { burst };
        Self {
            bucket: Bucket::new(burst, messages, per),
            exempt: None,
            timer,
        }
    }

    /// Lets messages of at least that priority pass always; they are counted, and others wait the longer.
    #[must_use]
    pub const fn with_exempt(mut self, least: Priority) -> Self {
        self.exempt = Some(least);
        self
    }
}

impl<T: Transport, C: Timer> Layer<T> for RateLimit<C> {
    type Over = Limited<T, C>;
    fn over(self, inner: T) -> Limited<T, C> {
        Limited {
            inner,
            bucket: self.bucket,
            per_byte: 0,
            per_message: 1,
            exempt: self.exempt,
            timer: self.timer,
        }
    }
}

/// A transport with a budget.
#[derive(Clone, Copy, Debug)]
pub struct Limited<T, C> {
    inner: T,
    bucket: Bucket,
    per_byte: u32,
    per_message: u32,
    exempt: Option<Priority>,
    timer: C,
}

impl<T, C: Timer> Limited<T, C> {
    /// What may pass now, in bytes or messages.
    pub fn available(&mut self) -> u32 {
        self.bucket.fill(self.timer.now().instant);
        self.bucket.available()
    }

    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn cost(&self, payload: &[u8]) -> u32 {
        let bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        bytes
            .saturating_mul(self.per_byte)
            .saturating_add(self.per_message)
    }
}

impl<T: Transport, C: Timer> Transport for Limited<T, C> {
    type Error = LimitError<T::Error>;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, Self::Error> {
        let needed = self.cost(message.payload);
        self.bucket.fill(self.timer.now().instant);
        let exempt = self.exempt.is_some_and(|least| message.priority >= least);
        let most = self.bucket.burst;
        if needed > most && !exempt {
            return Err(LimitError::Never { needed, most });
        }
        let ready_in = self.bucket.ready_in(needed);
        if !ready_in.is_zero() && !exempt {
            return Err(LimitError::Spent {
                needed,
                available: self.bucket.available(),
                ready_in,
            });
        }
        let ticket = self
            .inner
            .submit(message)
            .await
            .map_err(LimitError::Inner)?;
        // Only what was taken is paid for.
        self.bucket.level = self.bucket.level.saturating_sub(self.bucket.cost(needed));
        Ok(ticket)
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
        self.inner.next(buffer).await.map_err(LimitError::Inner)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), Self::Error> {
        self.inner
            .subscribe(channel)
            .await
            .map_err(LimitError::Inner)
    }

    fn limits(&self) -> Limits {
        let below = self.inner.limits();
        if self.per_byte == 0 {
            return below;
        }
        let most = self.bucket.burst.saturating_sub(self.per_message);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        Limits::new(below.payload_bytes.min(most), below.in_flight)
    }
}

#[cfg(test)]
mod tests;
