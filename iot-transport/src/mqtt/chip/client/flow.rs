//! Packets both ways over a stream that stands.

use core::task::{Context, Poll};

use iot_core::authz::Direction;
use iot_core::entropy::Entropy;
use iot_core::port::Timer;
use iot_core::{Fate, Instant, Peer};

use super::input::Came;
use super::{Client, Hand, Happened, Link};
use crate::mqtt::Reason;
use crate::mqtt::chip::encode::Publish;
use crate::mqtt::chip::shelf::State;
use crate::mqtt::chip::stream::{Broken, Stream};
use crate::session::Event;
use crate::topic::{MAX_TOPIC_BYTES, Topic};

/// What became of looking at a stream.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moved {
    Nothing,
    Something,
    Told(Happened),
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
        self.ask_again(now);
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
}
