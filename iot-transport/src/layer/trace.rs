//! Tells `tracing` what passes, with the correlation and the trace context of each message.

mod request;

use alloc::collections::BTreeMap;

use iot_core::port::{Limits, Transport};
use iot_core::{Channel, Event, Fate, Message, Ticket};
use tracing::{Instrument as _, Span};

use self::request::Request;
use super::Layer;
use crate::envelope::Envelope;
use crate::outbox::Context;

/// So many messages under way are remembered for the sake of their fates.
const UNDER_WAY: usize = 1_024;

type Read = for<'a> fn(&Message<'a>) -> Context<'a>;

/// Traces a transport with the crate `tracing`, under the target `iot_transport`.
///
/// | | what | fields |
/// |---|---|---|
/// | span `submit` | from the submission to the fate | `channel`, `bytes`, `priority`, `ticket`, `fate`, and of the request |
/// | its events | `refused`, `settled` | `error`; `ticket`, `fate`, and of the request |
/// | span `receive` | from the arrival of a message to the next call of `next` | `channel`, `bytes`, `device`, and of the request |
/// | its event | `received` | the same |
/// | span `subscribe` | one subscription | `channel` |
/// | events | `connected`, `disconnected`, `next failed` | `resumed`; none; `error` |
///
/// Of the request are `correlation`, `trace_id` and `parent_id`, as far as the message has them. By default they are
/// read from our [envelope](crate::envelope), which an [outbox](crate::outbox) writes; a payload that is none has none.
/// A correlation of visible ASCII is shown as text, any other as hexadecimal digits behind `0x`; trace id and parent id
/// are shown in the 32 and 16 digits of W3C Trace Context, section 3.2.2, and not at all when they are invalid there.
///
/// All spans are of the level debug. Payloads are never traced, and nobody's keys. The spans of 1,024 messages under
/// way are kept open; with more, those that are longest under way end without their fate, which is still told as an
/// event.
///
/// ```
/// use iot_core::{Event, Message, port::Transport};
/// use iot_transport::envelope::{Envelope, Position};
/// use iot_transport::layer::{Layered as _, Trace};
/// use iot_transport::memory::Link;
///
/// let mut link = Link::<4, 64>::new();
/// let (device, service) = link.split();
/// let (mut device, mut service) = (device.layer(Trace::new()), service.layer(Trace::new()));
/// # futures::executor::block_on(async {
/// service.subscribe(iot_core::Channel::Telemetry).await?;
/// let mut buffer = [0; 64];
/// let envelope = Envelope::new(Position::new(1, 1, 1), b"21.5").with_correlation(b"request-9");
/// // submit{channel="telemetry" bytes=26 priority=Normal correlation=request-9}
/// device.submit(&Message::telemetry(envelope.encode(&mut buffer)?)).await?;
///
/// service.next(&mut buffer).await?; // connected
/// let Event::Message(message) = service.next(&mut buffer).await? else { panic!("nothing came") };
/// // receive{channel="telemetry" bytes=26 correlation=request-9}: stored
/// service.handling(async { tracing::info!("stored") }).await;
/// # assert!(!message.payload.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    read: Read,
}

impl Trace {
    /// Traces, and reads from our envelope what a message belongs to.
    #[must_use]
    pub const fn new() -> Self {
        Self { read: enveloped }
    }

    /// Reads from each message in another way what it belongs to, for payloads that are no envelopes of ours.
    ///
    /// What is longer than an envelope could hold is not shown: see [`Context`].
    ///
    /// ```
    /// use iot_transport::layer::Trace;
    /// use iot_transport::outbox::Context;
    /// // The first eight bytes of these payloads are the number of a request.
    /// let trace = Trace::new().with_context(|message| {
    ///     Context::NONE.correlated(message.payload.get(..8).unwrap_or_default())
    /// });
    /// # drop(trace);
    /// ```
    #[must_use]
    pub const fn with_context(mut self, read: for<'a> fn(&Message<'a>) -> Context<'a>) -> Self {
        self.read = read;
        self
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self::new()
    }
}

fn enveloped<'a>(message: &Message<'a>) -> Context<'a> {
    Envelope::decode(message.payload).map_or(Context::NONE, |envelope| {
        Context::NONE
            .correlated(envelope.correlation)
            .traced(envelope.trace)
    })
}

impl<T: Transport> Layer<T> for Trace {
    type Over = Traced<T>;
    fn over(self, inner: T) -> Traced<T> {
        Traced {
            inner,
            trace: self,
            under_way: BTreeMap::new(),
            received: Span::none(),
        }
    }
}

/// A transport that is traced.
#[derive(Clone, Debug)]
pub struct Traced<T> {
    inner: T,
    trace: Trace,
    /// The messages whose fate is not known.
    under_way: BTreeMap<Ticket, (Span, Request)>,
    /// The message that was handed out last, until the caller comes back.
    received: Span,
}

impl<T> Traced<T> {
    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back. The spans of what is under way end.
    pub fn into_inner(self) -> T {
        self.inner
    }

    /// Does `work` in the span of the message that was received last, so that what it traces can be found by its
    /// correlation. Once the next event was asked for, or when nothing was received, it is in no span of ours.
    ///
    /// ```
    /// use iot_transport::layer::{Layered as _, Trace};
    /// use iot_transport::memory::Link;
    /// let mut link = Link::<4, 64>::new();
    /// let (_device, service) = link.split();
    /// let service = service.layer(Trace::new());
    /// let stored = futures::executor::block_on(service.handling(async { 1 + 1 }));
    /// assert_eq!(stored, 2);
    /// ```
    pub fn handling<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F, T> {
        work.instrument(self.received.clone())
    }

    fn request(&self, message: &Message<'_>) -> Request {
        Request::of((self.trace.read)(message))
    }

    fn keep(&mut self, ticket: Ticket, span: Span, request: Request) {
        if span.is_disabled() {
            return;
        }
        if self.under_way.len() >= UNDER_WAY {
            self.under_way.pop_first();
        }
        self.under_way.insert(ticket, (span, request));
    }

    fn settled(&mut self, ticket: Ticket, fate: Fate) {
        let kept = self.under_way.remove(&ticket);
        let (span, request) = kept.unwrap_or((Span::none(), Request::default()));
        span.record("fate", tracing::field::debug(fate));
        tracing::debug!(
            target: "iot_transport",
            parent: span.id(),
            ticket = ticket.get(),
            ?fate,
            correlation = request.correlation(),
            trace_id = request.trace_id(),
            parent_id = request.parent_id(),
            "settled"
        );
    }

    fn arrived(&mut self, message: &Message<'_>) {
        let request = self.request(message);
        let device = message.peer.map(|peer| peer.device());
        self.received = tracing::debug_span!(
            target: "iot_transport",
            "receive",
            channel = message.channel.name(),
            bytes = message.payload.len(),
            device,
            correlation = request.correlation(),
            trace_id = request.trace_id(),
            parent_id = request.parent_id(),
        );
        tracing::debug!(
            target: "iot_transport",
            parent: self.received.id(),
            channel = message.channel.name(),
            bytes = message.payload.len(),
            device,
            correlation = request.correlation(),
            trace_id = request.trace_id(),
            parent_id = request.parent_id(),
            "received"
        );
    }
}

impl<T: Transport> Transport for Traced<T> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        let request = self.request(message);
        let span = tracing::debug_span!(
            target: "iot_transport",
            "submit",
            channel = message.channel.name(),
            bytes = message.payload.len(),
            priority = ?message.priority,
            correlation = request.correlation(),
            trace_id = request.trace_id(),
            parent_id = request.parent_id(),
            ticket = tracing::field::Empty,
            fate = tracing::field::Empty,
        );
        let answer = self.inner.submit(message).instrument(span.clone()).await;
        match &answer {
            Ok(ticket) => {
                span.record("ticket", ticket.get());
                self.keep(*ticket, span, request);
            }
            Err(error) => {
                tracing::debug!(target: "iot_transport", parent: &span, %error, "refused");
            }
        }
        answer
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        // Who comes back is done with the message before: it is acknowledged now.
        self.received = Span::none();
        let event = match self.inner.next(buffer).await {
            Ok(event) => event,
            Err(error) => {
                tracing::warn!(target: "iot_transport", %error, "next failed");
                return Err(error);
            }
        };
        match &event {
            Event::Message(message) => self.arrived(message),
            Event::Settled { ticket, fate } => self.settled(*ticket, *fate),
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
