//! The port to a network.

use crate::engine::Event;
use crate::message::{Channel, Message, Ticket};

/// What went wrong on a link, coarse enough for generic code to act on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TransportErrorKind {
    /// The queue is full or the link is down: offer the message again later.
    Busy,
    /// The message exceeds [`Limits`]: it can never be sent.
    TooLarge,
    /// The other end does not allow it.
    Refused,
    /// The caller's buffer is too small for the message that arrived; the message is kept.
    Buffer,
    /// The transport was closed for good.
    Closed,
    /// Anything else; the original error says more.
    Other,
}

/// A transport's own error, as long as it can be classified.
pub trait TransportError: core::error::Error {
    /// Classifies the error.
    fn kind(&self) -> TransportErrorKind;
}

/// What a transport can carry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Limits {
    /// The longest payload in bytes.
    pub payload_bytes: usize,
    /// How many messages may wait for their fate.
    pub in_flight: usize,
}

impl Limits {
    /// States both limits.
    #[must_use]
    pub const fn new(payload_bytes: usize, in_flight: usize) -> Self {
        Self {
            payload_bytes,
            in_flight,
        }
    }
}

/// A link that carries messages and tells the fate of each.
///
/// A transport reconnects by itself; losing the link is an [`Event`], not an error.
pub trait Transport {
    /// The transport's own error.
    type Error: TransportError;

    /// Queues `message`; never waits for the peer.
    ///
    /// The ticket's fate follows from [`next`](Self::next) exactly once, unless the process ends or the
    /// transport is closed first.
    /// Dropping the future before it is ready leaves the message unqueued.
    ///
    /// # Errors
    ///
    /// The transport's error; the message was not queued.
    fn submit(
        &mut self,
        message: &Message<'_>,
    ) -> impl Future<Output = Result<Ticket, Self::Error>>;

    /// Waits for the next event: a message, a fate, or a change of the link.
    ///
    /// Cancel-safe: dropping the future loses nothing. A received message is acknowledged to the peer only
    /// when `next` is called again after it was returned, so that its effect can be made durable in between.
    ///
    /// # Errors
    ///
    /// The transport's error. After [`TransportErrorKind::Buffer`] the message is still there for a call
    /// with a larger buffer; after [`TransportErrorKind::Closed`] nothing will ever come.
    fn next<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<Event<'b>, Self::Error>>;

    /// Asks for the messages of `channel`; remembered and repeated after a reconnect.
    ///
    /// # Errors
    ///
    /// The transport's error; nothing was subscribed.
    fn subscribe(&mut self, channel: Channel) -> impl Future<Output = Result<(), Self::Error>>;

    /// What the transport can carry.
    fn limits(&self) -> Limits;
}

impl<T: Transport + ?Sized> Transport for &mut T {
    type Error = T::Error;
    fn submit(
        &mut self,
        message: &Message<'_>,
    ) -> impl Future<Output = Result<Ticket, Self::Error>> {
        (**self).submit(message)
    }
    fn next<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<Event<'b>, Self::Error>> {
        (**self).next(buffer)
    }
    fn subscribe(&mut self, channel: Channel) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).subscribe(channel)
    }
    fn limits(&self) -> Limits {
        (**self).limits()
    }
}
