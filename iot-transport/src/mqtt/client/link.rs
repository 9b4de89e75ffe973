//! The client's link: dialling, greeting, moving packets, and giving up in time.

use alloc::boxed::Box;
use core::hash::BuildHasher;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::hash::RandomState;
use std::io;

use iot_core::entropy::{Entropy, EntropyError};
use iot_core::{Channel, Fate, Qos};
use tokio::time::{Instant, Sleep, sleep_until};

use super::connect::{Connect, ConnectError, Dialling};
use super::{Client, Ready};
use crate::mqtt::packet::client::{Connack, Hello, Reply, decode, put_pingreq, put_subscribe};
use crate::mqtt::packet::{self, Outgoing, PacketError, Version};
use crate::mqtt::wire::{Io, Wire};
use crate::topic::MAX_TOPIC_BYTES;

/// Above this many bytes waiting to be written nothing more is encoded.
const BACKLOG_BYTES: usize = 64 * 1_024;
/// Above this many events waiting to be read nothing more is received.
const READY_EVENTS: usize = 64;
/// As often input is read for each poll of a closing link, so that a busy broker cannot hold the end up.
const LAST_READS: usize = 64;

/// Where the link stands.
pub(super) enum Link {
    Down {
        until: Option<Instant>,
    },
    Dialling {
        attempt: Dialling,
        deadline: Instant,
    },
    Greeting {
        wire: Wire<Box<dyn Io>>,
        deadline: Instant,
    },
    Up(Box<Up>),
}

/// A session that stands.
pub(super) struct Up {
    pub(super) wire: Wire<Box<dyn Io>>,
    window: usize,
    packet_limit: usize,
    keep_alive: Duration,
    seen: (u64, u64),
    last_received: Instant,
    last_sent: Instant,
    /// When the unanswered PINGREQ was sent.
    pinged: Option<Instant>,
    /// Whether the DISCONNECT is in the buffer, or out.
    parting: bool,
    /// Subscriptions on their way, by packet identifier.
    subscribing: alloc::collections::BTreeMap<u16, Channel>,
}

impl Up {
    /// When silence has to be broken, or has lasted too long.
    fn deadline(&self) -> Option<Instant> {
        if self.keep_alive.is_zero() {
            return None;
        }
        Some(match self.pinged {
            Some(at) => at + self.keep_alive / 2,
            None => self.last_received.min(self.last_sent) + self.keep_alive,
        })
    }
}

/// One resettable sleep.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready when `deadline` has come; otherwise the task is woken then.
    fn poll(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = deadline else {
            return Poll::Pending;
        };
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if sleep.deadline() != deadline {
            sleep.as_mut().reset(deadline);
        }
        sleep.as_mut().poll(cx)
    }
}

fn earliest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl<C: Connect> Client<C> {
    /// Does one piece of work; pending when there is none.
    pub(super) fn progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if let Some(ticket) = self.outbox.expire(now) {
            self.settle(ticket, Fate::Expired);
            return Poll::Ready(());
        }
        match &mut self.link {
            Link::Down { until } => {
                let until = *until;
                if until.is_none_or(|at| at <= now) {
                    self.link = Link::Dialling {
                        attempt: self.connector.connect(),
                        deadline: now + self.settings.connect_timeout,
                    };
                    return Poll::Ready(());
                }
                self.wait(until, cx)
            }
            Link::Dialling { attempt, deadline } => {
                let deadline = *deadline;
                match attempt.as_mut().poll(cx) {
                    Poll::Ready(Ok(stream)) => self.greet(stream, deadline),
                    Poll::Ready(Err(error)) => self.give_up(ConnectError::while_dialling(error)),
                    Poll::Pending if deadline <= now => self.give_up(ConnectError::TimedOut),
                    Poll::Pending => return self.wait(Some(deadline), cx),
                }
                Poll::Ready(())
            }
            Link::Greeting { deadline, .. } => {
                let deadline = *deadline;
                if deadline <= now {
                    self.give_up(ConnectError::TimedOut);
                    return Poll::Ready(());
                }
                match self.await_welcome(cx) {
                    Ok(true) => Poll::Ready(()),
                    Ok(false) => self.wait(Some(deadline), cx),
                    Err(error) => {
                        self.give_up(error);
                        Poll::Ready(())
                    }
                }
            }
            Link::Up(_) => match self.pump(now, cx) {
                Ok(true) => Poll::Ready(()),
                Ok(false) => {
                    let deadline = match &self.link {
                        Link::Up(up) => up.deadline(),
                        _ => None,
                    };
                    self.wait(deadline, cx)
                }
                Err(error) => {
                    self.give_up(error);
                    Poll::Ready(())
                }
            },
        }
    }

    fn wait(&mut self, deadline: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = earliest(deadline, self.outbox.next_expiry());
        self.timer.poll(deadline, cx)
    }

    fn greet(&mut self, stream: Box<dyn Io>, deadline: Instant) {
        let settings = &self.settings;
        let mut wire = Wire::new(stream, settings.packet_bytes());
        let hello = Hello {
            version: settings.version,
            client_id: &settings.client_id,
            clean: false,
            keep_alive_s: u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX),
            session_expiry_s: u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX),
            receive_maximum: settings.window,
            packet_limit: u32::try_from(settings.packet_bytes()).unwrap_or(u32::MAX),
            login: settings
                .login
                .as_ref()
                .map(|(name, password)| (name.as_str(), password.as_slice())),
        };
        match hello.put(&mut wire.out) {
            Ok(()) => self.link = Link::Greeting { wire, deadline },
            Err(error) => self.give_up(error.into()),
        }
    }

    /// Moves the CONNECT out and the CONNACK in; whether anything happened.
    fn await_welcome(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        let Link::Greeting { wire, .. } = &mut self.link else {
            return Ok(false);
        };
        if let Poll::Ready(Err(error)) = wire.poll_write(cx) {
            // The reason for a refusal may stand in the input already: it says more than a broken pipe.
            return match wire.poll_read(cx) {
                Poll::Ready(Err(told)) => Err(ConnectError::while_greeting(told)),
                _ => Err(ConnectError::while_greeting(error)),
            };
        }
        match wire.frame()? {
            Some((first, body)) => match decode(self.settings.version, first, body)? {
                Reply::Connack(connack) if connack.code == 0 => {
                    self.welcome(&connack);
                    Ok(true)
                }
                Reply::Connack(connack) => Err(ConnectError::Refused { code: connack.code }),
                _ => Err(PacketError::Unexpected.into()),
            },
            None => match wire.poll_read(cx) {
                Poll::Ready(Ok(0)) => Err(ConnectError::Lost(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => Ok(true),
                Poll::Ready(Err(error)) => Err(ConnectError::while_greeting(error)),
                Poll::Pending => Ok(false),
            },
        }
    }

    fn welcome(&mut self, connack: &Connack) {
        let Link::Greeting { wire, .. } =
            core::mem::replace(&mut self.link, Link::Down { until: None })
        else {
            return;
        };
        let now = Instant::now();
        let keep_alive = connack
            .keep_alive_s
            .map_or(self.settings.keep_alive, |seconds| {
                Duration::from_secs(seconds.into())
            });
        self.link = Link::Up(Box::new(Up {
            seen: wire.traffic,
            wire,
            window: usize::from(self.settings.window.min(connack.receive_maximum)),
            packet_limit: connack.packet_limit,
            keep_alive,
            last_received: now,
            last_sent: now,
            pinged: None,
            parting: false,
            subscribing: alloc::collections::BTreeMap::new(),
        }));
        self.link_number += 1;
        self.retry.succeeded();
        self.last_error = None;
        self.stats.connections += 1;
        let resumed = connack.session_present;
        // Subscriptions first, so that no answer to what we send next can be missed.
        for channel in Channel::ALL {
            if let Some(confirmed) = self.subscriptions.get_mut(&channel) {
                *confirmed &= resumed;
                if !*confirmed {
                    self.send_subscription(channel);
                }
            }
        }
        self.ready.push_back(Ready::Connected { resumed });
    }

    /// Tells the broker about a subscription if a session stands; otherwise that follows with the next one.
    pub(super) fn send_subscription(&mut self, channel: Channel) {
        if self.subscriptions.get(&channel) != Some(&false) {
            return;
        }
        let mut buffer = [0; MAX_TOPIC_BYTES];
        let Ok(filter) = self.filter(channel).write(&mut buffer) else {
            return;
        };
        let Link::Up(up) = &mut self.link else {
            return;
        };
        let known = up.subscribing.values().any(|waiting| *waiting == channel);
        let Some(id) = self.outbox.free_id().filter(|_| !known) else {
            return;
        };
        if put_subscribe(&mut up.wire.out, self.settings.version, id, filter).is_ok() {
            self.outbox.reserve(id);
            up.subscribing.insert(id, channel);
        }
    }

    /// Moves packets both ways; whether anything happened.
    fn pump(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        self.fill(now);
        let Link::Up(up) = &mut self.link else {
            return Ok(false);
        };
        if up.deadline().is_some_and(|at| at <= now) {
            if up.pinged.is_some() {
                return Err(ConnectError::Lost(io::ErrorKind::TimedOut.into()));
            }
            put_pingreq(&mut up.wire.out);
            up.pinged = Some(now);
        }
        if let Poll::Ready(Err(error)) = up.wire.poll_write(cx) {
            return Err(ConnectError::while_greeting(error));
        }
        let mut moved = false;
        while self.ready.len() < READY_EVENTS {
            let Link::Up(up) = &mut self.link else {
                return Ok(moved);
            };
            match up.wire.frame()? {
                Some((first, body)) => {
                    let packet = decode(self.settings.version, first, body)?;
                    self.receive(packet)?;
                    moved = true;
                }
                None => match up.wire.poll_read(cx) {
                    Poll::Ready(Ok(0)) => {
                        return Err(ConnectError::Lost(io::ErrorKind::UnexpectedEof.into()));
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Err(ConnectError::while_greeting(error)),
                    Poll::Pending => break,
                },
            }
        }
        self.note_traffic(now);
        Ok(moved)
    }

    fn note_traffic(&mut self, now: Instant) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        if up.wire.traffic.0 != up.seen.0 {
            up.last_received = now;
            up.pinged = None;
        }
        if up.wire.traffic.1 != up.seen.1 {
            up.last_sent = now;
        }
        up.seen = up.wire.traffic;
    }

    /// Encodes waiting messages while the window and the buffer have room.
    fn fill(&mut self, now: Instant) {
        loop {
            let Link::Up(up) = &mut self.link else {
                return;
            };
            if up.wire.backlog() >= BACKLOG_BYTES || self.outbox.on_wire() >= up.window {
                return;
            }
            let Some((ticket, again)) = self.outbox.next() else {
                return;
            };
            let Some(entry) = self.outbox.get(ticket) else {
                return;
            };
            let packet = Outgoing {
                topic: &entry.topic,
                payload: &entry.payload,
                id: entry.id,
                dup: again,
                retain: false,
                properties: &[],
                expiry_s: entry
                    .expires
                    .map(|at| seconds_up(at.saturating_duration_since(now))),
            };
            if packet.bytes(self.settings.version) > up.packet_limit {
                if let Some(ticket) = self.outbox.remove(ticket) {
                    self.settle(ticket, Fate::Refused);
                }
                continue;
            }
            packet.put(self.settings.version, &mut up.wire.out);
            self.stats.sent += 1;
            self.stats.resent += u64::from(again);
            if entry.qos == Qos::AtMostOnce
                && let Some(ticket) = self.outbox.remove(ticket)
            {
                self.settle(ticket, Fate::Delivered);
            }
        }
    }

    fn receive(&mut self, packet: Reply) -> Result<(), ConnectError> {
        let Link::Up(up) = &mut self.link else {
            return Ok(());
        };
        match packet {
            Reply::Publish(publish) if publish.qos() == 2 => Err(PacketError::Unexpected.into()),
            Reply::Publish(publish) => {
                if self.is_ours(publish.topic()) {
                    let link = self.link_number;
                    self.ready.push_back(Ready::Message { publish, link });
                } else {
                    // Not acknowledging it would block the broker's window for good.
                    self.stats.foreign += 1;
                    if let (Some(id), Link::Up(up)) = (publish.id(), &mut self.link) {
                        packet::put_puback(&mut up.wire.out, self.settings.version, id, 0);
                    }
                }
                Ok(())
            }
            Reply::Puback { id, code } => {
                if let Some(ticket) = self.outbox.acknowledge(id) {
                    let fate = if code < 0x80 {
                        Fate::Delivered
                    } else {
                        Fate::Refused
                    };
                    self.settle(ticket, fate);
                }
                Ok(())
            }
            Reply::Suback { id, codes } => {
                self.outbox.release(id);
                if let Some(channel) = up.subscribing.remove(&id) {
                    let granted = codes.iter().all(|code| *code < 0x80);
                    self.stats.refused_subscriptions += u64::from(!granted);
                    self.subscriptions.insert(channel, granted);
                }
                Ok(())
            }
            Reply::Pingresp => Ok(()),
            Reply::Disconnect { code } if self.settings.version == Version::V5 => {
                Err(ConnectError::Refused { code })
            }
            _ => Err(PacketError::Unexpected.into()),
        }
    }

    /// Drops the link and plans the next attempt.
    fn give_up(&mut self, error: ConnectError) {
        if self.is_connected() {
            self.outbox.wire_broke();
            self.ready.push_back(Ready::Disconnected);
        }
        // A policy without a budget never gives up, and this entropy never fails.
        let pause = self.retry.next_delay(&mut Spread).unwrap_or_default();
        self.last_error = Some(error);
        self.link = Link::Down {
            until: Some(Instant::now() + pause),
        };
    }

    /// Takes in the acknowledgements that have arrived already.
    fn take_last_fates(&mut self, cx: &mut Context<'_>) {
        for _ in 0..LAST_READS {
            loop {
                let Link::Up(up) = &mut self.link else {
                    return;
                };
                let Ok(Some((first, body))) = up.wire.frame() else {
                    break;
                };
                let Ok(packet) = decode(self.settings.version, first, body) else {
                    return;
                };
                // Nothing else is answered or handed over any more.
                if matches!(packet, Reply::Puback { .. }) && self.receive(packet).is_err() {
                    return;
                }
            }
            let Link::Up(up) = &mut self.link else {
                return;
            };
            if !matches!(up.wire.poll_read(cx), Poll::Ready(Ok(1..))) {
                return;
            }
        }
    }

    pub(super) fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let version = self.settings.version;
        if matches!(&self.link, Link::Up(up) if !up.parting) {
            self.fill(Instant::now());
        }
        self.take_last_fates(cx);
        let Link::Up(up) = &mut self.link else {
            return Poll::Ready(());
        };
        // Written once and last: an empty buffer afterwards means that the goodbye is out.
        if !up.parting {
            packet::put_disconnect(&mut up.wire.out, version, 0);
            up.parting = true;
        }
        match up.wire.poll_write(cx) {
            Poll::Ready(Ok(())) => up.wire.poll_shutdown(cx).map(|_| ()),
            Poll::Ready(Err(_)) => Poll::Ready(()),
            Poll::Pending => Poll::Pending,
        }
    }
}

fn seconds_up(span: Duration) -> u32 {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}

/// Randomness that spreads reconnects; never for keys.
struct Spread;

impl Entropy for Spread {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for chunk in out.chunks_mut(8) {
            // Every `RandomState` has keys of its own.
            let random = RandomState::new().hash_one(chunk.len()).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(random) {
                *to = from;
            }
        }
        Ok(())
    }
}
