//! Tells `tracing` what passes, with the correlation of each message.

use alloc::collections::BTreeMap;

use iot_core::port::{Limits, Transport};
use iot_core::{Channel, Event, Message, Ticket};
use tracing::Instrument as _;

use super::Layer;

/// So many messages under way are remembered for the sake of their fates.
const UNDER_WAY: usize = 1_024;

/// Traces a transport with the crate `tracing`, under the target `iot_transport`.
///
/// Each submission is a span `submit` with channel, bytes, priority, ticket and correlation; each message
/// received, fate and change of the link is an event. Payloads are never traced.
///
/// ```
/// use iot_transport::layer::{Layered as _, Trace};
/// use iot_transport::memory::Link;
/// let mut link = Link::<4, 64>::new();
/// let (device, _service) = link.split();
/// // The first eight bytes of these payloads say which request they belong to.
/// let device = device.layer(Trace::new().with_correlation(|message| {
///     message.payload.first_chunk().map(|id| u64::from_be_bytes(*id))
/// }));
/// # drop(device);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    correlation: Option<fn(&Message<'_>) -> Option<u64>>,
}

impl Trace {
    /// Traces without correlation.
    #[must_use]
    pub const fn new() -> Self {
        Self { correlation: None }
    }

    /// Reads from each message what it belongs to.
    #[must_use]
    pub const fn with_correlation(mut self, read: fn(&Message<'_>) -> Option<u64>) -> Self {
        self.correlation = Some(read);
        self
    }
}

impl<T: Transport> Layer<T> for Trace {
    type Over = Traced<T>;
    fn over(self, inner: T) -> Traced<T> {
        Traced {
            inner,
            trace: self,
            under_way: BTreeMap::new(),
        }
    }
}

/// A transport that is traced.
#[derive(Clone, Debug)]
pub struct Traced<T> {
    inner: T,
    trace: Trace,
    /// The correlation of messages whose fate is not known.
    under_way: BTreeMap<Ticket, u64>,
}

impl<T> Traced<T> {
    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn correlation(&self, message: &Message<'_>) -> Option<u64> {
        self.trace.correlation.and_then(|read| read(message))
    }
}

impl<T: Transport> Transport for Traced<T> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        let correlation = self.correlation(message);
        let span = tracing::debug_span!(
            target: "iot_transport",
            "submit",
            channel = message.channel.name(),
            bytes = message.payload.len(),
            priority = ?message.priority,
            correlation,
            ticket = tracing::field::Empty,
        );
        let answer = self.inner.submit(message).instrument(span.clone()).await;
        match &answer {
            Ok(ticket) => {
                span.record("ticket", ticket.get());
                if let Some(correlation) = correlation {
                    if self.under_way.len() >= UNDER_WAY {
                        self.under_way.pop_first();
                    }
                    self.under_way.insert(*ticket, correlation);
                }
            }
            Err(error) => {
                tracing::debug!(target: "iot_transport", parent: &span, %error, "refused");
            }
        }
        answer
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        let event = match self.inner.next(buffer).await {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(target: "iot_transport", %error, "next failed");
                return Err(error);
            }
        };
        match &event {
            Event::Message(message) => {
                let correlation = self.trace.correlation.and_then(|read| read(message));
                tracing::debug!(
                    target: "iot_transport",
                    channel = message.channel.name(),
                    bytes = message.payload.len(),
                    device = message.peer.map(|peer| peer.device()),
                    correlation,
                    "received"
                );
            }
            Event::Settled { ticket, fate } => {
                let correlation = self.under_way.remove(ticket);
                let ticket = ticket.get();
                tracing::debug!(target: "iot_transport", ticket, ?fate, correlation, "settled");
            }
            Event::Connected { resumed } => {
                tracing::info!(target: "iot_transport", resumed, "connected");
            }
            Event::Disconnected => tracing::info!(target: "iot_transport", "disconnected"),
            _ => {}
        }
        Ok(event)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        let span =
            tracing::debug_span!(target: "iot_transport", "subscribe", channel = channel.name());
        self.inner.subscribe(channel).instrument(span).await
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

#[cfg(test)]
mod tests;
