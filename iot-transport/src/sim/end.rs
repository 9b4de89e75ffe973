//! One end as a transport.

use alloc::rc::Rc;
use core::future::poll_fn;
use core::task::{Context, Poll};

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Message, Peer, Ticket};

use super::Net;
use super::client::{Client, Link, Pending, Ready, Up};
use super::world::{Letter, What, World, bit};
use crate::hand;

/// Why a call to an [`End`] failed; nothing was changed then.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// As many messages as there is room for wait for their fate, or for it to be read.
    #[error("{waiting} messages wait: read events until one is settled")]
    Busy {
        /// How many wait.
        waiting: usize,
    },
    /// The payload is longer than the limit.
    #[error("the payload has {bytes} bytes: the limit is {limit}")]
    TooLarge {
        /// How long it is.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A service's message names no device of its own tenant, or a device's message names another device.
    #[error("the message is not addressed to a device of this end: set its peer")]
    Address,
    /// The caller's buffer is too small; the message is kept.
    #[error("the message needs a buffer of {needed} bytes")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
}

impl TransportError for SimError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Busy { .. } => TransportErrorKind::Busy,
            Self::TooLarge { .. } => TransportErrorKind::TooLarge,
            Self::Address => TransportErrorKind::Refused,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
        }
    }
}

/// A device or a service of a simulated [`Net`].
#[derive(Debug)]
pub struct End {
    net: Net,
    me: usize,
}

impl End {
    pub(super) const fn new(net: Net, me: usize) -> Self {
        Self { net, me }
    }

    /// Breaks this end's connection for a moment; both sides notice at once.
    pub fn cut(&self) {
        self.with(|world, me| world.cut(me));
    }

    /// Lets the link swallow every packet, or carry packets again.
    ///
    /// Both sides notice after [`Rules::silence_ms`](super::Rules::silence_ms), or not at all when it heals before.
    pub fn set_silent(&self, silent: bool) {
        self.with(|world, me| {
            if silent {
                world.silence(me)
            } else {
                world.heal(me)
            }
        });
    }

    /// Takes the link down at once and keeps it down, or lets it come back.
    pub fn set_connected(&self, connected: bool) {
        self.set_silent(!connected);
        if !connected {
            self.cut();
        }
    }

    /// Clears, without a word, every message without a fate whenever the broker has lost the session.
    ///
    /// This is the control of an experiment: a client that does so loses messages, and a schedule of faults
    /// under which it loses none shows nothing about others.
    pub fn danger_forget_with_session(&self) {
        self.with(|world, me| {
            if let Some(client) = world.clients.get_mut(me) {
                client.forgetful = true;
            }
        });
    }

    /// This end lost power: everything in its memory is gone, submitted messages and subscriptions too.
    ///
    /// The broker notices at once; the message that was handed over last comes again.
    pub fn reboot(&self) {
        self.with(|world, me| {
            world.cut(me);
            if let Some(client) = world.clients.get_mut(me) {
                client.pending.clear();
                client.ready.clear();
                client.unread_fates = 0;
                client.handed = None;
                (client.wanted, client.granted) = (0, 0);
            }
        });
    }

    /// Whether a session stands, as far as this end knows.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        let world = self.net.world.borrow();
        let client = world.clients.get(self.me);
        client.is_some_and(|client| client.link == Link::Up)
    }

    fn with<R>(&self, work: impl FnOnce(&mut World, usize) -> R) -> R {
        let now = self.net.now();
        let mut world = self.net.world.borrow_mut();
        world.run(now);
        work(&mut world, self.me)
    }

    fn post(&self, world: &mut World, message: &Message<'_>) -> Result<Ticket, SimError> {
        let (me, now, rules) = (self.me, world.now, world.rules);
        let (bytes, limit) = (message.payload.len(), rules.payload_bytes);
        if bytes > limit {
            return Err(SimError::TooLarge { bytes, limit });
        }
        let client = world.clients.get(me).ok_or(SimError::Address)?;
        let waiting = client.pending.len() + client.unread_fates;
        if waiting >= rules.in_flight {
            return Err(SimError::Busy { waiting });
        }
        let to = address(world, client, message.peer)?;
        let expires_ms = message.expires_in.map_or(u64::MAX, |span| {
            let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            now.saturating_add(span)
        });
        let letter = Rc::new(Letter {
            channel: message.channel,
            priority: message.priority,
            qos: message.qos,
            payload: message.payload.into(),
            from: me,
            to,
            expires_ms,
        });
        world.counts.submitted += 1;
        let client = world.clients.get_mut(me).ok_or(SimError::Address)?;
        client.last_ticket += 1;
        let ticket = client.last_ticket;
        client.pending.push_back(Pending {
            ticket,
            letter,
            on_wire: false,
        });
        if expires_ms != u64::MAX {
            world.at(expires_ms, What::Expire { end: me, ticket });
        }
        world.pump(me);
        Ok(Ticket::new(ticket))
    }

    /// Acknowledges the message returned last, on the connection that it came on.
    fn acknowledge(&self) {
        self.with(|world, me| {
            let Some(client) = world.clients.get_mut(me) else {
                return;
            };
            if let Some((epoch, id)) = client.handed.take()
                && client.epoch == epoch
                && client.link == Link::Up
            {
                world.send_up(me, epoch, Up::Puback { id });
            }
        });
    }

    fn poll_ready(&self, cx: &Context<'_>) -> Poll<()> {
        self.with(|world, me| match world.clients.get_mut(me) {
            Some(client) if client.ready.is_empty() => {
                client.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }

    fn hand_over<'b>(&self, buffer: &'b mut [u8]) -> Result<Event<'b>, SimError> {
        let mut world = self.net.world.borrow_mut();
        let world = &mut *world;
        let Some(client) = world.clients.get_mut(self.me) else {
            return Ok(Event::Disconnected);
        };
        let is_service = client.device.is_none();
        match client.ready.pop_front() {
            Some(Ready::Connected { resumed }) => Ok(Event::Connected { resumed }),
            Some(Ready::Settled { ticket, fate }) => {
                client.unread_fates = client.unread_fates.saturating_sub(1);
                Ok(Event::Settled { ticket, fate })
            }
            Some(Ready::Message { epoch, id, letter }) => {
                let tenant = client.tenant_name.clone();
                let from = world.clients.get(letter.from);
                let device = from.and_then(|from| from.device.clone());
                let device = device.filter(|_| is_service);
                let mut message = Message::new(letter.channel, &letter.payload)
                    .with_priority(letter.priority)
                    .with_qos(letter.qos);
                message.peer = device
                    .as_deref()
                    .and_then(|name| Peer::parse(&tenant, name).ok());
                let needed = hand::needed(&message);
                let copied = hand::copy(&message, buffer);
                let Some(client) = world.clients.get_mut(self.me) else {
                    return Ok(Event::Disconnected);
                };
                let Some(copied) = copied else {
                    client
                        .ready
                        .push_front(Ready::Message { epoch, id, letter });
                    return Err(SimError::Buffer { needed });
                };
                client.handed = (id != 0).then_some((epoch, id));
                world.counts.handed += 1;
                world.mix(0x4a ^ id);
                Ok(Event::Message(copied))
            }
            // `poll_ready` saw something, so nothing else is left.
            Some(Ready::Disconnected) | None => Ok(Event::Disconnected),
        }
    }
}

/// The device that a message is for; `None` for the service, and for a device that nobody knows.
fn address(
    world: &World,
    client: &Client,
    peer: Option<Peer<'_>>,
) -> Result<Option<usize>, SimError> {
    match (&client.device, peer) {
        (Some(_), None) => Ok(None),
        (Some(own), Some(peer)) => {
            let same = peer.tenant() == &*client.tenant_name && peer.device() == &**own;
            same.then_some(None).ok_or(SimError::Address)
        }
        (None, Some(peer)) if peer.tenant() == &*client.tenant_name => {
            let tenant = world.tenants.get(client.tenant);
            Ok(tenant.and_then(|tenant| tenant.devices.get(peer.device()).copied()))
        }
        (None, _) => Err(SimError::Address),
    }
}

impl Transport for End {
    type Error = SimError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, SimError> {
        self.with(|world, _| self.post(world, message))
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, SimError> {
        self.acknowledge();
        poll_fn(|cx| self.poll_ready(cx)).await;
        self.hand_over(buffer)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), SimError> {
        self.with(|world, me| {
            if let Some(client) = world.clients.get_mut(me) {
                client.wanted |= bit(channel);
                let epoch = client.epoch;
                world.ask(me, epoch);
            }
        });
        Ok(())
    }

    fn limits(&self) -> Limits {
        let rules = self.net.world.borrow().rules;
        Limits::new(rules.payload_bytes, rules.in_flight)
    }
}
