//! Packets both ways over a link that stands.

use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use iot_core::{Channel, Fate, Qos};
use tokio::time::Instant;

use super::connect::{Connect, ConnectError};
use super::link::Link;
use super::{Client, Ready};
use crate::mqtt::packet::client::{Reply, decode, put_pingreq, put_subscribe};
use crate::mqtt::packet::{self, Outgoing, PacketError, Version};
use crate::mqtt::reason::Reason;
use crate::session::{Event, Step};
use crate::topic::MAX_TOPIC_BYTES;

/// Above this many bytes waiting to be written nothing more is encoded.
const BACKLOG_BYTES: usize = 64 * 1_024;
/// Above this many events waiting to be read nothing more is received.
const READY_EVENTS: usize = 64;

impl<C: Connect> Client<C> {
    /// Does what the session asks for on a link that stands; whether it was anything.
    pub(super) fn serve(&mut self, step: Step<Channel>) -> bool {
        match (step, &mut self.link) {
            (Step::Subscribe(channel), _) => self.send_subscription(channel),
            (Step::Ping, Link::Up(up)) => put_pingreq(&mut up.wire.out),
            _ => return false,
        }
        self.session.done(self.clock.now());
        true
    }

    fn send_subscription(&mut self, channel: Channel) {
        let mut buffer = [0; MAX_TOPIC_BYTES];
        let Ok(filter) = self.filter(channel).write(&mut buffer) else {
            return;
        };
        let (Link::Up(up), Some(id)) = (&mut self.link, self.outbox.free_id()) else {
            return;
        };
        if put_subscribe(&mut up.wire.out, self.settings.version, id, filter).is_ok() {
            self.outbox.reserve(id);
            up.subscribing.insert(id, channel);
        }
    }

    /// Moves packets both ways; whether anything happened.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        self.fill(Instant::now());
        let Link::Up(up) = &mut self.link else {
            return Ok(false);
        };
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
        self.note_traffic();
        Ok(moved)
    }

    fn note_traffic(&mut self) {
        let Link::Up(up) = &mut self.link else {
            return;
        };
        let now = self.clock.now();
        if up.wire.traffic.0 != up.seen.0 {
            self.session.input(now, Event::Received);
        }
        if up.wire.traffic.1 != up.seen.1 {
            self.session.input(now, Event::Sent);
        }
        up.seen = up.wire.traffic;
    }

    /// Encodes waiting messages while the window and the buffer have room.
    ///
    /// A window that was full is filled again when half of it is free: whoever sends as fast as the other end
    /// acknowledges writes many messages at once instead of one for each acknowledgement.
    pub(super) fn fill(&mut self, now: Instant) {
        let (in_flight, window) = (self.session.in_flight(), self.session.window());
        loop {
            let Link::Up(up) = &mut self.link else {
                return;
            };
            up.full &= in_flight > window / 2;
            if up.full || up.wire.backlog() >= BACKLOG_BYTES || !self.session.may_publish() {
                up.full |= self.session.in_flight() >= window;
                return;
            }
            let Some((ticket, again)) = self.outbox.next() else {
                return;
            };
            let Some(entry) = self.outbox.get(ticket) else {
                return;
            };
            let (topic, alias) = up.aliases.choose(&entry.topic);
            let packet = Outgoing {
                topic,
                payload: &entry.payload,
                id: entry.id,
                dup: again,
                retain: entry.retain,
                properties: &entry.properties,
                expiry_s: entry
                    .expires
                    .map(|at| seconds_up(at.saturating_duration_since(now))),
                alias,
            };
            if packet.bytes(self.settings.version) > up.packet_limit {
                if let Some(ticket) = self.outbox.remove(ticket) {
                    self.refuse(ticket, Reason::TooLarge);
                }
                continue;
            }
            // There is room: that was asked above, and nothing came in between.
            if packet.id.is_some() && self.session.publish().is_err() {
                return;
            }
            packet.put(self.settings.version, &mut up.wire.out);
            if alias.is_some() {
                up.aliases.sent(&entry.topic);
            }
            self.stats.sent += 1;
            self.stats.resent += u64::from(again);
            if entry.qos == Qos::AtMostOnce
                && let Some(ticket) = self.outbox.remove(ticket)
            {
                self.settle(ticket, Fate::Delivered);
            }
        }
    }

    pub(super) fn receive(&mut self, packet: Reply) -> Result<(), ConnectError> {
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
                    self.session.input(self.clock.now(), Event::Acknowledged);
                    if code < 0x80 {
                        self.settle(ticket, Fate::Delivered);
                    } else {
                        self.refuse(ticket, Reason::of(code));
                    }
                }
                Ok(())
            }
            Reply::Suback { id, codes } => {
                self.outbox.release(id);
                if let Some(key) = up.subscribing.remove(&id) {
                    let refusal = codes.iter().copied().find(|code| *code >= 0x80);
                    let granted = refusal.is_none();
                    self.refused.retain(|(channel, _)| *channel != key);
                    self.refused
                        .extend(refusal.map(|code| (key, Reason::of(code))));
                    self.stats.refused_subscriptions += u64::from(!granted);
                    let answer = Event::Subscribed { key, granted };
                    self.session.input(self.clock.now(), answer);
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
}

fn seconds_up(span: Duration) -> u32 {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    u32::try_from(whole.max(1)).unwrap_or(u32::MAX)
}
