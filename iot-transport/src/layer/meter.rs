//! Counts what passes, and how long it takes.

use core::time::Duration;

use iot_core::port::{Limits, Timer, Transport};
use iot_core::{Channel, Event, Fate, Instant, Message, Ticket};

use super::Layer;

/// So many messages under way are timed; others are counted without their time.
const TIMED: usize = 64;
/// Bucket `n` counts spans below 2ⁿ ms; the last one is for all that took longer.
const BUCKETS: usize = 20;

/// What went one way on one channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Traffic {
    /// Messages accepted for sending.
    pub sent: u64,
    /// Their payloads, in bytes.
    pub sent_bytes: u64,
    /// Messages received, repetitions included.
    pub received: u64,
    /// Their payloads, in bytes.
    pub received_bytes: u64,
}

/// How long messages took from their submission until their fate was told; a histogram of powers of two.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Latency {
    buckets: [u32; BUCKETS],
}

impl Latency {
    fn add(&mut self, span: Duration) {
        let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = usize::try_from(u64::BITS - ms.leading_zeros()).unwrap_or(BUCKETS);
        if let Some(bucket) = self.buckets.get_mut(at.min(BUCKETS - 1)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// How many messages were timed.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|count| u64::from(*count)).sum()
    }

    /// Each bucket's bound in milliseconds, which its spans stay below, with how many there are.
    ///
    /// The last one has no bound: its number is `u64::MAX`.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u32)> {
        (0u32..).zip(self.buckets).map(|(power, count)| {
            let last = power as usize == BUCKETS - 1;
            (if last { u64::MAX } else { 1 << power }, count)
        })
    }

    /// The bound in milliseconds below which so many of a thousand messages stayed; `None` without any.
    ///
    /// ```
    /// # use iot_transport::layer::Latency;
    /// assert_eq!(Latency::default().below_ms(990), None);
    /// ```
    #[must_use]
    pub fn below_ms(&self, per_mille: u16) -> Option<u64> {
        let wanted = (self.count() * u64::from(per_mille)).div_ceil(1_000);
        let mut seen = 0;
        let reached = |(bound, count): (u64, u32)| {
            seen += u64::from(count);
            (seen >= wanted && seen > 0).then_some(bound)
        };
        self.buckets().find_map(reached)
    }
}

/// What a [`Measured`] transport has seen so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Readings {
    /// Messages accepted for sending.
    pub submitted: u64,
    /// Submissions that were refused at once.
    pub turned_away: u64,
    /// Messages that ended as delivered.
    pub delivered: u64,
    /// Messages whose time ran out.
    pub expired: u64,
    /// Messages that made room for others.
    pub evicted: u64,
    /// Messages that the next hop refused.
    pub refused: u64,
    /// How often the link came up.
    pub connects: u64,
    /// How often it came up without the old session.
    pub fresh_sessions: u64,
    /// How often it went down.
    pub disconnects: u64,
    /// Messages under way whose time is not taken, because too many were.
    pub untimed: u64,
    /// How long messages took until their fate, whichever it was.
    pub latency: Latency,
    channels: [Traffic; Channel::ALL.len()],
}

impl Readings {
    /// What passed on one channel.
    #[must_use]
    pub fn channel(&self, channel: Channel) -> Traffic {
        let mut all = Channel::ALL.iter().zip(self.channels);
        let found = all.find(|(known, _)| **known == channel);
        found.map_or_else(Traffic::default, |(_, traffic)| traffic)
    }

    fn channel_mut(&mut self, channel: Channel) -> Option<&mut Traffic> {
        let mut all = Channel::ALL.iter().zip(&mut self.channels);
        all.find(|(known, _)| **known == channel)
            .map(|(_, traffic)| traffic)
    }
}

/// Measures a transport: counts, latencies, and bytes for each channel. It changes nothing and needs no allocator.
#[derive(Clone, Copy, Debug)]
pub struct Meter<C> {
    timer: C,
}

impl<C: Timer> Meter<C> {
    /// Takes the time from `timer`.
    #[must_use]
    pub const fn new(timer: C) -> Self {
        Self { timer }
    }
}

impl<T: Transport, C: Timer> Layer<T> for Meter<C> {
    type Over = Measured<T, C>;
    fn over(self, inner: T) -> Measured<T, C> {
        Measured {
            inner,
            timer: self.timer,
            readings: Readings::default(),
            under_way: [None; TIMED],
        }
    }
}

/// A transport that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Measured<T, C> {
    inner: T,
    timer: C,
    readings: Readings,
    under_way: [Option<(Ticket, Instant)>; TIMED],
}

impl<T, C> Measured<T, C> {
    /// What was seen so far.
    #[must_use]
    pub const fn readings(&self) -> &Readings {
        &self.readings
    }

    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Transport, C: Timer> Transport for Measured<T, C> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        let since = self.timer.now().instant;
        let answer = self.inner.submit(message).await;
        let Ok(ticket) = &answer else {
            self.readings.turned_away += 1;
            return answer;
        };
        self.readings.submitted += 1;
        if let Some(traffic) = self.readings.channel_mut(message.channel) {
            traffic.sent += 1;
            traffic.sent_bytes += message.payload.len() as u64;
        }
        match self.under_way.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some((*ticket, since)),
            None => self.readings.untimed += 1,
        }
        answer
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        // Nothing is counted before the event is there: a future that is dropped counts nothing twice.
        let event = self.inner.next(buffer).await?;
        match &event {
            Event::Message(message) => {
                if let Some(traffic) = self.readings.channel_mut(message.channel) {
                    traffic.received += 1;
                    traffic.received_bytes += message.payload.len() as u64;
                }
            }
            Event::Connected { resumed } => {
                self.readings.connects += 1;
                self.readings.fresh_sessions += u64::from(!resumed);
            }
            Event::Disconnected => self.readings.disconnects += 1,
            _ => {}
        }
        if let Event::Settled { ticket, fate } = event {
            let counter = match fate {
                Fate::Delivered => &mut self.readings.delivered,
                Fate::Expired => &mut self.readings.expired,
                Fate::Evicted => &mut self.readings.evicted,
                _ => &mut self.readings.refused,
            };
            *counter += 1;
            let now = self.timer.now().instant;
            let timed =
                |place: &&mut Option<_>| matches!(place, Some((known, _)) if *known == ticket);
            let place = self.under_way.iter_mut().find(timed);
            if let Some((_, since)) = place.and_then(Option::take) {
                self.readings.latency.add(now.since(since));
            }
        }
        Ok(event)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        self.inner.subscribe(channel).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

#[cfg(test)]
mod tests;
