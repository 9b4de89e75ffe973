//! Packets both ways over a stream that stands.

use core::task::{Context, Poll};

use iot_core::authz::Direction;
use iot_core::entropy::Entropy;
use iot_core::port::Timer;
use iot_core::{Channel, Fate, Instant, Peer};

use super::link::place;
use super::{Client, Hand, Happened, Link};
use crate::mqtt::Reason;
use crate::mqtt::chip::decode::{self, Packet};
use crate::mqtt::chip::encode::Publish;
use crate::mqtt::chip::shelf::{FIRST_SUBSCRIPTION, State};
use crate::mqtt::chip::stream::{Broken, Stream};
use crate::session::{Event, Welcome};
use crate::topic::{MAX_TOPIC_BYTES, Topic};

/// What became of looking at a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moved {
    Nothing,
    Something,
    Told(Happened),
}

/// What a packet that came in makes the client do.
enum Came {
    Told(Happened),
    Taken,
    /// There is a message that has to be acknowledged first.
    Waits,
}

impl<S, C, E, const MESSAGES: usize, const BYTES: usize, const PACKET: usize>
    Client<'_, S, C, E, MESSAGES, BYTES, PACKET>
where
    S: Stream,
    C: Timer,
    E: Entropy,
{
    /// Nothing is on its way out.
    pub(super) fn is_quiet(&self) -> bool {
        self.head.rest().is_empty() && self.shelf.sending().is_none()
    }

    /// Writes until the stream takes no more, or nothing is left; whether anything changed.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<bool, Broken> {
        let mut moved = false;
        loop {
            let head = self.head.rest();
            let rest = match self.shelf.sending() {
                _ if !head.is_empty() => head,
                Some((_, payload)) => payload.get(self.written..).unwrap_or_default(),
                None => &[],
            };
            if rest.is_empty() {
                self.shelf.sent();
                if !self.fill(now) {
                    return Ok(moved);
                }
                moved = true;
                continue;
            }
            let Poll::Ready(count) = self.stream.poll_write(cx, rest)? else {
                return Ok(moved);
            };
            if count == 0 {
                return Err(Broken);
            }
            if head.is_empty() {
                self.written += count;
            } else {
                self.head.advance(count);
            }
            self.session.input(now, Event::Sent);
            moved = true;
        }
    }

    /// Puts the next packet together; whether there is any.
    fn fill(&mut self, now: Instant) -> bool {
        if self.link != Link::Up {
            return false;
        }
        if let Hand::Owed { id } = self.hand {
            self.hand = Hand::Empty;
            self.head.acknowledge(id);
        } else if core::mem::take(&mut self.owes_ping) {
            self.head.ping();
        } else {
            return self.session.may_publish() && self.publish(now);
        }
        true
    }

    fn publish(&mut self, now: Instant) -> bool {
        let resumed = self.resumed;
        let Some(slot) = self.shelf.next() else {
            return false;
        };
        let own = Peer::new(&self.settings.tenant, &self.settings.device);
        let mut buffer = [0; MAX_TOPIC_BYTES];
        let topic = Topic::new(own, slot.channel, Direction::Up).write(&mut buffer);
        let publish = Publish {
            // The buffer is long enough for every name.
            topic: topic.unwrap_or_default(),
            payload_bytes: slot.len(),
            id: slot.id,
            // To a broker that lost the session it is new.
            again: slot.again && resumed,
            expiry_s: slot.expires.map(|at| {
                let span = at.since(now);
                let up = u64::from(span.subsec_nanos() > 0);
                u32::try_from(span.as_secs().saturating_add(up)).unwrap_or(u32::MAX)
            }),
        };
        self.head.publish(self.settings.version, &publish);
        if self.head.rest().len().saturating_add(slot.len()) > self.packet_limit {
            self.head.clear();
            slot.state = State::Settled(Fate::Refused);
            self.refusal = Some(Reason::TooLarge);
            return true;
        }
        // There is room: that was asked before, and nothing came in between.
        if slot.id != 0 && self.session.publish().is_err() {
            self.head.clear();
            return false;
        }
        slot.state = State::Sending;
        self.written = 0;
        true
    }

    /// Reads until the stream has no more, or there is something to tell.
    pub(super) fn read(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Moved, Broken> {
        let mut moved = Moved::Nothing;
        loop {
            match self.receive(now)? {
                Some(Came::Told(happened)) => return Ok(Moved::Told(happened)),
                Some(Came::Taken) => return Ok(Moved::Something),
                Some(Came::Waits) => return Ok(moved),
                None => {}
            }
            let Some(room) = self
                .input
                .get_mut(self.filled..)
                .filter(|room| !room.is_empty())
            else {
                return Ok(moved);
            };
            let Poll::Ready(count) = self.stream.poll_read(cx, room)? else {
                return Ok(moved);
            };
            if count == 0 {
                return Err(Broken);
            }
            self.filled = PACKET.min(self.filled + count);
            self.session.input(now, Event::Received);
            moved = Moved::Something;
        }
    }

    /// Takes in the first packet of the input, if it is there whole.
    fn receive(&mut self, now: Instant) -> Result<Option<Came>, Broken> {
        let Some((first, header, whole)) = self.frame()? else {
            return Ok(None);
        };
        let body = self.input.get(header..whole).unwrap_or_default();
        let packet = decode::decode(self.settings.version, first, body).map_err(|_| Broken)?;
        let mut came = Came::Taken;
        match (self.link, packet) {
            (Link::Greeting, Packet::Welcome(welcome)) => {
                if welcome.code != 0 {
                    self.refusal = Some(Reason::of(welcome.code));
                    return Err(Broken);
                }
                // Without acknowledgements no fate could be told.
                if !welcome.acknowledges {
                    self.refusal = Some(Reason::Qos);
                    return Err(Broken);
                }
                came = Came::Told(self.welcome(now, welcome));
            }
            (Link::Up, Packet::Publish { topic, id, .. }) => {
                let own = Peer::new(&self.settings.tenant, &self.settings.device);
                let is_ours = Topic::parse(topic)
                    .is_ok_and(|topic| topic.direction == Direction::Down && topic.peer == own);
                match self.hand {
                    Hand::Empty if is_ours => {
                        self.hand = Hand::Arrived;
                        return Ok(Some(Came::Told(Happened::Message)));
                    }
                    // Not acknowledging it would block the broker's window for good.
                    Hand::Empty if id != 0 => self.hand = Hand::Owed { id },
                    Hand::Empty => {}
                    _ => return Ok(Some(Came::Waits)),
                }
            }
            (Link::Up, Packet::Acknowledged { id, code }) => {
                let refused = code >= 0x80;
                let fate = if refused {
                    Fate::Refused
                } else {
                    Fate::Delivered
                };
                if self.shelf.acknowledge(id, fate) {
                    self.session.input(now, Event::Acknowledged);
                    self.refused(refused, code);
                }
            }
            (Link::Up, Packet::Subscribed { id, code }) => {
                let refused = code >= 0x80;
                let mut channels = Channel::ALL.into_iter();
                let asked = channels.find(|channel| FIRST_SUBSCRIPTION + place(*channel) == id);
                if let Some(key) = asked {
                    let granted = !refused;
                    self.session.input(now, Event::Subscribed { key, granted });
                    self.refused(refused, code);
                }
            }
            (Link::Up, Packet::Pong) => {}
            (Link::Up, Packet::Goodbye { code }) => {
                self.refused(true, code);
                return Err(Broken);
            }
            _ => return Err(Broken),
        }
        self.consume(whole);
        Ok(Some(came))
    }

    fn welcome(&mut self, now: Instant, welcome: decode::Welcome) -> Happened {
        // An attempt whose answer was lost may have made the session that this one found, without subscriptions.
        let resumed = welcome.resumed && !core::mem::take(&mut self.doubtful);
        let mut told = Welcome::new(resumed).with_window(welcome.receive_maximum);
        if let Some(span) = welcome.keep_alive {
            told = told.with_keep_alive(span);
        }
        self.session.input(now, Event::Welcomed(told));
        self.packet_limit = welcome.packet_bytes;
        self.resumed = resumed;
        self.link = Link::Up;
        Happened::Connected { resumed }
    }

    fn refused(&mut self, refused: bool, code: u8) {
        if refused {
            self.refusal = Some(Reason::of(code));
        }
    }

    /// The message at the front of the input: its channel, identifier and payload, and how long its packet is.
    pub(super) fn arrived(&self) -> Option<(Channel, u16, &[u8], usize)> {
        let (first, header, whole) = self.frame().ok()??;
        let body = self.input.get(header..whole)?;
        match decode::decode(self.settings.version, first, body) {
            Ok(Packet::Publish { topic, id, payload }) if self.hand == Hand::Arrived => {
                Some((Topic::parse(topic).ok()?.channel, id, payload, whole))
            }
            _ => None,
        }
    }

    /// The first packet of the input: its first byte, and where its header and itself end.
    fn frame(&self) -> Result<Option<(u8, usize, usize)>, Broken> {
        let input = self.input.get(..self.filled).unwrap_or_default();
        let frame = decode::frame(input, PACKET).map_err(|_| Broken)?;
        Ok(match (frame, input) {
            (Some((header, whole)), [first, ..]) if whole <= input.len() => {
                Some((*first, header, whole))
            }
            _ => None,
        })
    }

    /// Forgets the first packet of the input.
    pub(super) fn consume(&mut self, whole: usize) {
        if whole <= self.filled {
            self.input.copy_within(whole..self.filled, 0);
            self.filled -= whole;
        }
    }
}
