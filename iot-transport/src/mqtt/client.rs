//! A client for devices and services.
//!
//! Nothing is spawned and nothing happens between calls: sockets move only while
//! [`next`](Transport::next) is polled, and the whole state lies in the [`Client`], so that the future can
//! be dropped anywhere. A message that was submitted stays with the client until the broker acknowledged it,
//! its time ran out or it was refused; it is sent again after every broken link, also when the broker lost
//! its session.

mod aliases;
mod clock;
mod connect;
mod error;
mod extras;
mod flow;
mod goodbye;
mod link;
mod outbox;
mod receive;
mod settings;
#[cfg(feature = "tls")]
pub mod tls;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::task::{Context, Poll};
use core::time::Duration;

use iot_core::authz::Direction;
use iot_core::port::{Limits, Transport};
use iot_core::{Channel, Event, Fate, Message, Peer, Ticket};
use tokio::time::{Instant, timeout_at};

use self::clock::{Clock, Timer};
use self::link::Link;
use self::outbox::{Draft, Outbox};
use self::settings::Side;
use crate::mqtt::packet::{self, Publish, Version};
use crate::mqtt::reason::Reason;
use crate::session::{self, Session};
use crate::topic::{Filter, MAX_TOPIC_BYTES};

pub use connect::{Connect, ConnectError, Dialling, Tcp};
pub use error::ClientError;
pub use extras::{Extras, Will};
pub use settings::Settings;

/// How many subscriptions there can be.
const CHANNELS: usize = Channel::ALL.len();

/// What a client has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ClientStats {
    /// Sessions opened.
    pub connections: u64,
    /// Attempts that failed and sessions that were lost; each left a [`Client::last_error`].
    pub failures: u64,
    /// Messages put on the wire, repetitions included.
    pub sent: u64,
    /// Messages put on the wire again.
    pub resent: u64,
    /// Messages handed to the application.
    pub received: u64,
    /// Messages that arrived and were not addressed to this client.
    pub foreign: u64,
    /// Subscriptions that the broker refused.
    pub refused_subscriptions: u64,
}

/// What waits to be returned by `next`.
#[derive(Debug)]
enum Ready {
    Connected {
        resumed: bool,
    },
    Disconnected,
    Settled {
        ticket: Ticket,
        fate: Fate,
        reason: Option<Reason>,
    },
    Message {
        publish: Publish,
        link: u64,
    },
}

/// An MQTT client that implements the core's [`Transport`].
///
/// ```
/// # #[cfg(feature = "hub")] {
/// use core::time::Duration;
/// use iot_core::port::Transport;
/// use iot_core::{Channel, DeviceId, Event, Fate, Message, TenantId};
/// use iot_transport::mqtt::{Client, Hub, Settings, Tcp};
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let hub = Hub::default();
/// let listening = hub.listen("127.0.0.1:0").await?;
/// let broker = Tcp::new(listening.address().to_string());
///
/// let settings = Settings::device(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let mut client = Client::new(broker, settings);
/// client.connected(Duration::from_secs(10)).await?;
/// let ticket = client.submit(&Message::telemetry(b"21.5")).await?;
/// let mut buffer = [0; 1_024];
/// loop {
///     if let Event::Settled { ticket: settled, fate } = client.next(&mut buffer).await? {
///         assert_eq!((settled, fate), (ticket, Fate::Delivered));
///         break;
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Client<C> {
    connector: C,
    settings: Settings,
    outbox: Outbox,
    ready: VecDeque<Ready>,
    unread_fates: usize,
    /// What the last returned message is acknowledged with, and on which link it came.
    delivered: Option<(u64, u16)>,
    /// When to dial, greet, subscribe, ping, send and give up.
    session: Session<Channel, CHANNELS>,
    clock: Clock,
    link: Link,
    /// Counts links, so that an acknowledgement never goes to another one than its message came from.
    link_number: u64,
    last_error: Option<ConnectError>,
    timer: Timer,
    stats: ClientStats,
    /// The last refused message whose fate was told.
    refusal: Option<(Ticket, Reason)>,
    /// Subscriptions that the broker refused on this link or the last one.
    refused: Vec<(Channel, Reason)>,
    /// What came with the message that was returned last.
    properties: Vec<(String, String)>,
    was_retained: bool,
    closed: bool,
}

impl<C> core::fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Client")
            .field("client_id", &self.settings.client_id)
            .field("connected", &self.is_connected())
            .field("waiting", &self.outbox.len())
            .finish_non_exhaustive()
    }
}

impl<C: Connect> Client<C> {
    /// A client that connects through `connector` as soon as [`next`](Transport::next) is polled.
    #[must_use]
    pub fn new(connector: C, settings: Settings) -> Self {
        let clock = Clock::start();
        let mut session = Session::new(settings.terms());
        session.start(clock.now());
        Self {
            connector,
            outbox: Outbox::default(),
            ready: VecDeque::new(),
            unread_fates: 0,
            delivered: None,
            session,
            clock,
            link: Link::Down,
            link_number: 0,
            last_error: None,
            timer: Timer::default(),
            stats: ClientStats::default(),
            refusal: None,
            refused: Vec::new(),
            properties: Vec::new(),
            was_retained: false,
            closed: false,
            settings,
        }
    }

    /// Waits until a session stands, for at most `patience`: a clear answer at start instead of silent retries.
    ///
    /// Events are not consumed: `Connected` still comes from [`next`](Transport::next). Cancel-safe.
    ///
    /// # Errors
    ///
    /// At once an error that waiting cannot cure, or the last one when it has given up; otherwise the last one
    /// when `patience` ran out. The client stays usable and would go on trying.
    pub async fn connected(&mut self, patience: Duration) -> Result<(), ConnectError> {
        let deadline = Instant::now() + patience;
        let attempt = poll_fn(|cx| {
            loop {
                if self.is_connected() {
                    return Poll::Ready(Ok(()));
                }
                let pending = self.progress(cx).is_pending();
                let gave_up = self.has_given_up();
                let is_over = |error: &mut ConnectError| gave_up || !error.is_transient();
                if let Some(error) = self.last_error.take_if(is_over) {
                    return Poll::Ready(Err(error));
                }
                if pending {
                    return Poll::Pending;
                }
            }
        });
        match timeout_at(deadline, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(self.last_error.take().unwrap_or(ConnectError::TimedOut)),
        }
    }

    /// Begins a new session at once, for which the connector is asked again: its credentials or address changed.
    ///
    /// It happens while [`next`](Transport::next) is polled. What is on the wire may be acknowledged for at most
    /// `patience` before; with none the link is cut at once. Nothing is lost either way: what is not acknowledged
    /// by then is sent again.
    pub fn reconnect(&mut self, patience: Duration) {
        self.session.reconnect(self.clock.now(), patience);
    }

    /// The same through another connector; returns the old one.
    ///
    /// The link that stands is not touched before what is on it was acknowledged, or `patience` ran out.
    pub fn reconnect_through(&mut self, connector: C, patience: Duration) -> C {
        self.reconnect(patience);
        core::mem::replace(&mut self.connector, connector)
    }

    /// Queues `message` with what MQTT can carry beside it; otherwise like [`submit`](Transport::submit).
    ///
    /// # Errors
    ///
    /// [`ClientError`]; the message was not queued.
    pub fn submit_with(
        &mut self,
        message: &Message<'_>,
        extras: &Extras,
    ) -> Result<Ticket, ClientError> {
        if self.closed {
            return Err(ClientError::Closed);
        }
        let told = extras.properties.is_empty() || self.settings.version == Version::V5;
        if extras.too_long || !told {
            return Err(ClientError::Properties);
        }
        let limit = self.settings.payload_bytes;
        let bytes = message
            .payload
            .len()
            .saturating_add(extras.properties.len());
        if bytes > limit {
            return Err(ClientError::TooLarge { bytes, limit });
        }
        // Fates that nobody read count as well: otherwise a caller that only submits grows without bound.
        let waiting = self.outbox.len() + self.unread_fates;
        if waiting >= self.settings.queue_messages
            || self.outbox.bytes().saturating_add(bytes) > self.settings.queue_bytes
        {
            return Err(ClientError::Busy { waiting });
        }
        let mut buffer = [0; MAX_TOPIC_BYTES];
        let topic = self
            .settings
            .topic(message.peer, message.channel)?
            .write(&mut buffer)
            .map_err(|_| ClientError::Address)?;
        Ok(self.outbox.push(&Draft {
            topic,
            payload: message.payload,
            qos: message.qos,
            priority: message.priority,
            retain: extras.retain,
            properties: &extras.properties,
            expires: message
                .expires_in
                .and_then(|span| Instant::now().checked_add(span)),
        }))
    }

    /// Sends what can be sent, says goodbye and gives the link up, for at most `patience`.
    ///
    /// Afterwards [`next`](Transport::next) still tells the fates that are known, then it and every other call
    /// return [`ClientError::Closed`]. Messages without a fate are not told one; [`waiting`](Self::waiting)
    /// counts them. Messages that were not returned, and the one returned last, are not acknowledged: they come
    /// again with the next session.
    pub async fn close(&mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let goodbye = poll_fn(|cx| self.say_goodbye(cx));
        // The broker notices a missing goodbye by itself: not worth an error.
        let _ = timeout_at(deadline, goodbye).await;
        self.link = Link::Down;
        self.session.stop();
        self.session
            .input(self.clock.now(), session::Event::Lost { wait: None });
        self.closed = true;
        self.ready
            .retain(|ready| matches!(ready, Ready::Settled { .. }));
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        loop {
            if !self.ready.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if self.closed {
                return Poll::Ready(Err(ClientError::Closed));
            }
            if self.progress(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Acknowledges the message returned last: its effect is durable once the caller comes back for more.
    fn acknowledge(&mut self) {
        let Some((link, id)) = self.delivered.take() else {
            return;
        };
        if let Link::Up(up) = &mut self.link
            && link == self.link_number
        {
            packet::put_puback(&mut up.wire.out, self.settings.version, id, 0);
        }
    }

    fn settle(&mut self, ticket: Ticket, fate: Fate) {
        self.unread_fates += 1;
        let reason = None;
        self.ready.push_back(Ready::Settled {
            ticket,
            fate,
            reason,
        });
    }

    fn refuse(&mut self, ticket: Ticket, reason: Reason) {
        self.unread_fates += 1;
        let (fate, reason) = (Fate::Refused, Some(reason));
        self.ready.push_back(Ready::Settled {
            ticket,
            fate,
            reason,
        });
    }

    fn filter(&self, channel: Channel) -> Filter<'_> {
        match &self.settings.side {
            Side::Device(tenant, device) => Filter::device(Peer::new(tenant, device), channel),
            Side::Service(tenant) => Filter {
                tenant: tenant.as_str(),
                device: None,
                channel: Some(channel),
                direction: Direction::Up,
            },
        }
    }
}

impl<C> Client<C> {
    /// Whether a session stands right now, as far as this side knows.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Whether as many attempts failed as [`Settings::with_attempts`] allows, and nothing is tried any more.
    #[must_use]
    pub fn has_given_up(&self) -> bool {
        self.session.state() == session::State::GaveUp
    }

    /// How many messages wait for their fate.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Why there was no session the last time one was tried or lost.
    #[must_use]
    pub const fn last_error(&self) -> Option<&ConnectError> {
        self.last_error.as_ref()
    }

    /// Which message was refused last among those whose fate was told, and why.
    #[must_use]
    pub const fn last_refusal(&self) -> Option<(Ticket, Reason)> {
        self.refusal
    }

    /// Why the broker refused the subscription to `channel`; it is asked again with the next session.
    #[must_use]
    pub fn subscription_refusal(&self, channel: Channel) -> Option<Reason> {
        let mut refused = self.refused.iter();
        refused
            .find(|(known, _)| *known == channel)
            .map(|(_, reason)| *reason)
    }

    /// The user properties of the message that was returned last, in their order (MQTT 5).
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether the message that was returned last is one that the broker had kept.
    #[must_use]
    pub const fn was_retained(&self) -> bool {
        self.was_retained
    }

    /// What the client has done so far.
    #[must_use]
    pub const fn stats(&self) -> ClientStats {
        self.stats
    }
}

impl<C: Connect> Transport for Client<C> {
    type Error = ClientError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, ClientError> {
        self.submit_with(message, &Extras::default())
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, ClientError> {
        self.acknowledge();
        poll_fn(|cx| self.poll_ready(cx)).await?;
        self.hand_over(buffer)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), ClientError> {
        if self.closed {
            return Err(ClientError::Closed);
        }
        // There is a place for every channel.
        let _ = self.session.subscribe(channel);
        Ok(())
    }

    fn limits(&self) -> Limits {
        Limits::new(self.settings.payload_bytes, self.settings.queue_messages)
    }
}
