//! What lies in the input: a message that waits for the caller, then what the stream brought behind it.

use core::time::Duration;

use iot_core::authz::Direction;
use iot_core::entropy::Entropy;
use iot_core::port::Timer;
use iot_core::{Channel, Fate, Instant, Peer};

use super::link::place;
use super::pass::{PassedOver, Passing};
use super::{Client, Hand, Happened, Link};
use crate::mqtt::chip::decode::{self, Packet};
use crate::mqtt::chip::shelf::FIRST_SUBSCRIPTION;
use crate::mqtt::chip::stream::{Broken, Stream};
use crate::mqtt::{Reason, Version};
use crate::session::{Event, Welcome};
use crate::topic::Topic;

/// How long what is on the wire may take before the link is changed that brings passed messages again.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a packet that came in makes the client do.
pub(super) enum Came {
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
    /// Takes in the first packet of the input, if it is there whole.
    pub(super) fn receive(&mut self, now: Instant) -> Result<Option<Came>, Broken> {
        if self.passing.is_some() {
            return self.pass();
        }
        let base = self.waiting_bytes();
        let input = self.input.get(base..self.filled).unwrap_or_default();
        let (Some((header, whole)), [first, ..]) =
            (decode::frame(input).map_err(|_| Broken)?, input)
        else {
            return Ok(None);
        };
        let first = *first;
        if whole > PACKET.saturating_sub(base) {
            return self.pass_over(now, first, header, whole);
        }
        let Some(body) = input.get(header..whole) else {
            return Ok(None);
        };
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
            (Link::Up, Packet::Publish { topic, id, payload }) => {
                match (self.hand, self.own(topic)) {
                    (Hand::Empty, Some(channel)) => {
                        let len = payload.len();
                        self.hand = Hand::Arrived { channel, id, len };
                        // Only the payload stays, so that there is room behind it whatever its length.
                        self.consume(0, whole - len);
                        return Ok(Some(Came::Told(Happened::Message)));
                    }
                    // Not acknowledging it would block the broker's window for good.
                    (Hand::Empty, None) if id != 0 => self.hand = Hand::Owed { id },
                    (Hand::Empty, None) => {}
                    // What is behind it must not be hidden, and its acknowledgement would overtake the other one's: it
                    // comes again with another link [MQTT-4.6.0-2].
                    (Hand::Arrived { .. }, _) => self.again |= id != 0,
                    _ => return Ok(Some(Came::Waits)),
                }
            }
            (Link::Up, Packet::Acknowledged { id, code }) => self.acknowledged(now, id, code),
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
        self.consume(base, whole);
        Ok(Some(came))
    }

    /// Begins to read past a packet that has no room.
    #[cold]
    fn pass_over(
        &mut self,
        now: Instant,
        first: u8,
        header: usize,
        whole: usize,
    ) -> Result<Option<Came>, Broken> {
        let base = self.waiting_bytes();
        let too_long = whole > PACKET;
        // An MQTT 5 broker was told the limit; and nothing but a message is that long.
        let is_message = first & 0xf4 == 0x30;
        if self.link != Link::Up
            || too_long && (!is_message || self.settings.version == Version::V5)
        {
            return Err(Broken);
        }
        let room = PACKET.saturating_sub(base);
        let input = self.input.get(base..self.filled).unwrap_or_default();
        let mut passing = Passing::new(whole);
        match (first, input.get(header..)) {
            (0x30..=0x3f, Some([high, low, behind @ ..])) if is_message => {
                let topic_bytes = usize::from(u16::from_be_bytes([*high, *low]));
                let head = header + 2 + topic_bytes;
                if first & 0x02 != 0 && !passing.expect_id(head) || head > whole {
                    return Err(Broken);
                }
                passing.again = match self.hand {
                    Hand::Empty => false,
                    Hand::Arrived { .. } => true,
                    // Acknowledgements go in the order of their messages.
                    Hand::Returned { .. } | Hand::Owed { .. } => return Ok(Some(Came::Waits)),
                };
                let channel = match behind.get(..topic_bytes) {
                    Some(topic) => {
                        let topic = core::str::from_utf8(topic).map_err(|_| Broken)?;
                        self.own(topic).map(Some)
                    }
                    None if head <= room => return Ok(None),
                    // The name alone is too long to be seen.
                    None => Some(None),
                };
                if let (false, Some(channel)) = (passing.again, channel) {
                    let messages = self.passed_over.map_or(0, |passed| passed.messages);
                    self.passed_over = Some(PassedOver {
                        messages: messages.saturating_add(1),
                        channel,
                        bytes: whole,
                    });
                }
            }
            // What counts of an acknowledgement stands in front, and a reason in words behind it.
            (0x40, Some([high, low, code, ..])) => {
                let (id, code) = (u16::from_be_bytes([*high, *low]), *code);
                self.acknowledged(now, id, code);
            }
            // A subscription that was not answered is asked for again on the next link.
            (0x90, _) => passing.again = true,
            (0x30..=0x3f, _) if is_message => return Ok(None),
            (0x40, _) => return Ok(None),
            _ => return Err(Broken),
        }
        self.passing = Some(passing);
        self.pass()
    }

    /// Reads on past the packet that has no room.
    fn pass(&mut self) -> Result<Option<Came>, Broken> {
        let base = self.waiting_bytes();
        let input = self.input.get(base..self.filled).unwrap_or_default();
        let Some(passing) = self.passing.as_mut().filter(|_| !input.is_empty()) else {
            return Ok(None);
        };
        let bytes = passing.take(input);
        if passing.is_over() {
            let id = passing.id().map_err(|_| Broken)?;
            if passing.again {
                self.again = true;
            } else if id != 0 {
                // Nobody can ever take it: unacknowledged it would greet every link.
                self.hand = Hand::Owed { id };
            }
            self.passing = None;
        }
        self.consume(base, bytes);
        Ok(Some(Came::Taken))
    }

    /// Changes the link if messages were passed over that can be taken now.
    pub(super) fn ask_again(&mut self, now: Instant) {
        if self.again && self.hand == Hand::Empty {
            self.again = false;
            self.session.reconnect(now, PATIENCE);
        }
    }

    fn acknowledged(&mut self, now: Instant, id: u16, code: u8) {
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

    /// The channel of a topic that leads to this device.
    fn own(&self, topic: &str) -> Option<Channel> {
        let own = Peer::new(&self.settings.tenant, &self.settings.device);
        let topic = Topic::parse(topic).ok()?;
        (topic.direction == Direction::Down && topic.peer == own).then_some(topic.channel)
    }

    /// How many bytes at the front belong to a message that the caller has not taken.
    pub(super) fn waiting_bytes(&self) -> usize {
        match self.hand {
            Hand::Arrived { len, .. } => len.min(self.filled),
            _ => 0,
        }
    }

    /// Forgets so many bytes of the input from there on.
    pub(super) fn consume(&mut self, from: usize, bytes: usize) {
        let end = from + bytes;
        if end <= self.filled {
            self.input.copy_within(end..self.filled, from);
            self.filled -= bytes;
        }
    }
}
