//! Transports as trait objects, and as a `Stream` of events with a `Sink` of messages.
//!
//! [`Transport`] is made for generic code: its futures need no box, and say nothing about `Send`. A service
//! that holds transports of several kinds, or moves one to another task, goes through [`SendTransport`]:
//! every transport whose futures are `Send` can implement it in four lines, and the MQTT client does.

mod stream;

use alloc::boxed::Box;
use core::fmt;

use async_trait::async_trait;
use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Message, Ticket};

pub use stream::{Ended, Events, Messages, OwnedEvent, OwnedMessage, stream};

/// A [`Transport`] whose futures can move between threads.
pub trait SendTransport: Send {
    /// The transport's own error.
    type Error: TransportError + Send + Sync + 'static;

    /// See [`Transport::submit`].
    ///
    /// # Errors
    ///
    /// The transport's error; the message was not queued.
    fn submit(
        &mut self,
        message: &Message<'_>,
    ) -> impl Future<Output = Result<Ticket, Self::Error>> + Send;

    /// See [`Transport::next`].
    ///
    /// # Errors
    ///
    /// The transport's error.
    fn next<'b>(
        &mut self,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<Event<'b>, Self::Error>> + Send;

    /// See [`Transport::subscribe`].
    ///
    /// # Errors
    ///
    /// The transport's error; nothing was subscribed.
    fn subscribe(
        &mut self,
        channel: Channel,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// See [`Transport::limits`].
    fn limits(&self) -> Limits;
}

#[cfg(feature = "mqtt")]
impl<C: crate::mqtt::Connect> SendTransport for crate::mqtt::Client<C> {
    type Error = crate::mqtt::client::ClientError;
    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, Self::Error> {
        Transport::submit(self, message).await
    }
    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, Self::Error> {
        Transport::next(self, buffer).await
    }
    async fn subscribe(&mut self, channel: Channel) -> Result<(), Self::Error> {
        Transport::subscribe(self, channel).await
    }
    fn limits(&self) -> Limits {
        Transport::limits(self)
    }
}

/// The error of a transport whose type is not known.
#[derive(Debug)]
pub struct DynError {
    kind: TransportErrorKind,
    source: Box<dyn core::error::Error + Send + Sync>,
}

impl DynError {
    fn new(error: impl TransportError + Send + Sync + 'static) -> Self {
        Self {
            kind: error.kind(),
            source: Box::new(error),
        }
    }
}

impl fmt::Display for DynError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl core::error::Error for DynError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.source.source()
    }
}

impl TransportError for DynError {
    fn kind(&self) -> TransportErrorKind {
        self.kind
    }
}

/// The object-safe form of a transport; `Box<dyn DynTransport>` is a [`Transport`] again.
///
/// ```
/// # #[cfg(feature = "mqtt")] {
/// use iot_core::{DeviceId, TenantId, port::Transport};
/// use iot_transport::dynamic::DynTransport;
/// use iot_transport::mqtt::{Client, Settings, Tcp};
///
/// fn open(address: &str, settings: Settings) -> Box<dyn DynTransport> {
///     Box::new(Client::new(Tcp::new(address), settings))
/// }
/// fn generic(transport: impl Transport) -> usize { transport.limits().in_flight }
///
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("d1")?);
/// assert_eq!(generic(open("localhost:1883", settings)), 1_000);
/// # }
/// # Ok::<(), iot_core::id::NameError>(())
/// ```
#[async_trait]
pub trait DynTransport: Send {
    /// See [`Transport::submit`].
    ///
    /// # Errors
    ///
    /// The transport's error; the message was not queued.
    async fn submit_dyn(&mut self, message: &Message<'_>) -> Result<Ticket, DynError>;

    /// See [`Transport::next`].
    ///
    /// # Errors
    ///
    /// The transport's error.
    async fn next_dyn<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, DynError>;

    /// See [`Transport::subscribe`].
    ///
    /// # Errors
    ///
    /// The transport's error; nothing was subscribed.
    async fn subscribe_dyn(&mut self, channel: Channel) -> Result<(), DynError>;

    /// See [`Transport::limits`].
    fn limits_dyn(&self) -> Limits;
}

#[async_trait]
impl<T: SendTransport> DynTransport for T {
    async fn submit_dyn(&mut self, message: &Message<'_>) -> Result<Ticket, DynError> {
        self.submit(message).await.map_err(DynError::new)
    }
    async fn next_dyn<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, DynError> {
        self.next(buffer).await.map_err(DynError::new)
    }
    async fn subscribe_dyn(&mut self, channel: Channel) -> Result<(), DynError> {
        self.subscribe(channel).await.map_err(DynError::new)
    }
    fn limits_dyn(&self) -> Limits {
        self.limits()
    }
}

impl Transport for Box<dyn DynTransport> {
    type Error = DynError;
    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, DynError> {
        (**self).submit_dyn(message).await
    }
    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, DynError> {
        (**self).next_dyn(buffer).await
    }
    async fn subscribe(&mut self, channel: Channel) -> Result<(), DynError> {
        (**self).subscribe_dyn(channel).await
    }
    fn limits(&self) -> Limits {
        (**self).limits_dyn()
    }
}
