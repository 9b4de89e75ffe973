//! A transport as a stream of owned events and a sink of owned messages.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use futures::channel::mpsc;
use futures::future::{Either, select};
use futures::{Sink, SinkExt, Stream, StreamExt};
use iot_core::id::{MAX_NAME_BYTES, NameError};
use iot_core::port::{TransportError, TransportErrorKind};
use iot_core::{Channel, DeviceId, Event, Fate, Message, Peer, Priority, Qos, TenantId, Ticket};

use super::{DynError, SendTransport};

/// A message that owns its content, with a number of the sender's choice.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct OwnedMessage {
    /// Comes back with the message's fate; need not be unique.
    pub tag: u64,
    /// Its purpose.
    pub channel: Channel,
    /// The device at the other end, on a link that reaches many.
    pub peer: Option<(TenantId, DeviceId)>,
    /// Its content.
    pub payload: Box<[u8]>,
    /// What goes first, and what is dropped last.
    pub priority: Priority,
    /// How hard the transport tries.
    pub qos: Qos,
    /// How long it is worth sending.
    pub expires_in: Option<Duration>,
}

impl OwnedMessage {
    /// Copies a message.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the peer's names are not valid ids, which a [`Peer`] never has.
    pub fn new(tag: u64, message: &Message<'_>) -> Result<Self, NameError> {
        let peer = message
            .peer
            .map(|peer| Ok((TenantId::new(peer.tenant())?, DeviceId::new(peer.device())?)));
        Ok(Self {
            tag,
            channel: message.channel,
            peer: peer.transpose()?,
            payload: message.payload.into(),
            priority: message.priority,
            qos: message.qos,
            expires_in: message.expires_in,
        })
    }

    /// The message, borrowed.
    #[must_use]
    pub fn as_message(&self) -> Message<'_> {
        let mut message = Message::new(self.channel, &self.payload)
            .with_priority(self.priority)
            .with_qos(self.qos);
        message.expires_in = self.expires_in;
        match &self.peer {
            Some((tenant, device)) => message.to(Peer::new(tenant, device)),
            None => message,
        }
    }
}

/// An event that owns its content.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OwnedEvent {
    /// A message arrived.
    Message(OwnedMessage),
    /// A message that was sent through the sink has met its fate.
    Settled {
        /// The sender's number.
        tag: u64,
        /// How it ended.
        fate: Fate,
    },
    /// The transport did not take a message.
    Rejected {
        /// The sender's number.
        tag: u64,
        /// Why.
        kind: TransportErrorKind,
    },
    /// The link is up.
    Connected {
        /// Whether the other end kept the session.
        resumed: bool,
    },
    /// The link is down.
    Disconnected,
}

/// The sink: what is sent into it goes to the transport. Clones feed the same one.
#[derive(Clone, Debug)]
pub struct Messages(mpsc::Sender<OwnedMessage>);

/// The sink's transport is gone.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the transport has ended: nothing can be sent any more")]
#[non_exhaustive]
pub struct Ended;

impl Sink<OwnedMessage> for Messages {
    type Error = Ended;
    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.0.poll_ready_unpin(cx).map_err(|_| Ended)
    }
    fn start_send(mut self: Pin<&mut Self>, message: OwnedMessage) -> Result<(), Ended> {
        self.0.start_send_unpin(message).map_err(|_| Ended)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.0.poll_flush_unpin(cx).map_err(|_| Ended)
    }
    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        self.0.poll_close_unpin(cx).map_err(|_| Ended)
    }
}

/// The stream of events; dropping it ends the transport.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Result<OwnedEvent, DynError>>);

impl Stream for Events {
    type Item = Result<OwnedEvent, DynError>;
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

/// Splits a transport into a sink, a stream, and a driver that has to be polled or spawned.
///
/// `capacity` messages and events wait between the driver and either end. A received message is acknowledged
/// once the stream has room for the event after it: who needs the acknowledgement to follow the effect uses
/// the transport itself.
///
/// ```
/// # #[cfg(feature = "hub")] {
/// use futures::{SinkExt, StreamExt};
/// use iot_core::{DeviceId, Fate, Message, TenantId};
/// use iot_transport::dynamic::{OwnedEvent, OwnedMessage, stream};
/// use iot_transport::mqtt::{Client, Hub, Settings, Tcp};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let listening = Hub::default().listen("127.0.0.1:0").await?;
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("d1")?);
/// let client = Client::new(Tcp::new(listening.address().to_string()), settings);
///
/// let (mut messages, mut events, driver) = stream(client, 16);
/// tokio::spawn(driver);
/// messages.send(OwnedMessage::new(7, &Message::telemetry(b"21.5"))?).await?;
/// while let Some(event) = events.next().await {
///     if let OwnedEvent::Settled { tag, fate } = event? {
///         assert_eq!((tag, fate), (7, Fate::Delivered));
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn stream<T: SendTransport>(
    transport: T,
    capacity: usize,
) -> (Messages, Events, impl Future<Output = ()> + Send) {
    let (messages, outbox) = mpsc::channel(capacity);
    let (sender, events) = mpsc::channel(capacity);
    (
        Messages(messages),
        Events(events),
        drive(transport, outbox, sender),
    )
}

async fn drive<T: SendTransport>(
    mut transport: T,
    outbox: mpsc::Receiver<OwnedMessage>,
    mut events: mpsc::Sender<Result<OwnedEvent, DynError>>,
) {
    let mut outbox = outbox.fuse();
    let room = transport
        .limits()
        .payload_bytes
        .saturating_add(2 * MAX_NAME_BYTES);
    let mut buffer: Vec<u8> = alloc::vec![0; room];
    let mut tags: BTreeMap<Ticket, u64> = BTreeMap::new();
    let mut held: Option<OwnedMessage> = None;
    loop {
        let mut told = None;
        if let Some(message) = held.take() {
            match transport.submit(&message.as_message()).await {
                Ok(ticket) => {
                    tags.insert(ticket, message.tag);
                }
                // Offered again after the next event, which may have made room.
                Err(error) if error.kind() == TransportErrorKind::Busy => held = Some(message),
                Err(error) => {
                    let (tag, kind) = (message.tag, error.kind());
                    told = Some(Ok(OwnedEvent::Rejected { tag, kind }));
                }
            }
        }
        if told.is_none() {
            let next = pin!(transport.next(&mut buffer));
            let event = if held.is_some() {
                next.await
            } else {
                match select(next, outbox.select_next_some()).await {
                    Either::Left((event, _)) => event,
                    Either::Right((message, _)) => {
                        held = Some(message);
                        continue;
                    }
                }
            };
            told = event.map_or_else(
                |error| Some(Err(DynError::new(error))),
                |event| owned(&event, &mut tags).map(Ok),
            );
        }
        let Some(told) = told else {
            continue;
        };
        let closed = matches!(&told, Err(error) if error.kind() == TransportErrorKind::Closed);
        if events.send(told).await.is_err() || closed {
            return;
        }
    }
}

fn owned(event: &Event<'_>, tags: &mut BTreeMap<Ticket, u64>) -> Option<OwnedEvent> {
    match event {
        // A peer's names are valid by construction, so nothing is ever dropped here.
        Event::Message(message) => OwnedMessage::new(0, message).ok().map(OwnedEvent::Message),
        Event::Settled { ticket, fate } => {
            let tag = tags.remove(ticket)?;
            Some(OwnedEvent::Settled { tag, fate: *fate })
        }
        Event::Connected { resumed } => Some(OwnedEvent::Connected { resumed: *resumed }),
        Event::Disconnected => Some(OwnedEvent::Disconnected),
        _ => None,
    }
}
