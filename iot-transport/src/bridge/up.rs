//! The message that came from below and is not on record yet.

use core::time::Duration;

use iot_core::authz::Direction;
use iot_core::{Channel, Fate, Instant, Message, Now, Priority, Qos};

use super::carried::Carried;
use super::{Refusal, Turn, refusal};
use crate::envelope::Envelope;
use crate::outbox::{Outbox, PushError, Sequence};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Way {
    Empty,
    /// In hand; the outbox has no room.
    Held,
    /// In the outbox; not on record.
    Pushed(Sequence),
}

#[derive(Debug)]
pub(super) struct Up<const BYTES: usize> {
    way: Way,
    channel: Channel,
    priority: Priority,
    qos: Qos,
    /// When it is worth nothing any more.
    expires: Option<Instant>,
    bytes: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> Up<BYTES> {
    pub(super) const fn new() -> Self {
        Self {
            way: Way::Empty,
            channel: Channel::Telemetry,
            priority: Priority::Normal,
            qos: Qos::AtLeastOnce,
            expires: None,
            bytes: [0; BYTES],
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.way == Way::Empty
    }

    /// Takes a message in hand, if it can be carried at all.
    ///
    /// A device that has an outbox of its own says in its envelope how urgent it is and how long it lives.
    pub(super) fn take(&mut self, now: Now, message: &Message<'_>) -> Turn {
        let carried = message.peer.and_then(|peer| {
            let carried = Carried::new(peer, message.payload);
            carried.encode(&mut self.bytes).ok().map(<[u8]>::len)
        });
        let Some(len) = carried else {
            return Turn::Refused(refusal(message, Direction::Up));
        };
        (self.way, self.channel, self.len) = (Way::Held, message.channel, len);
        let inside = Envelope::decode(message.payload).ok();
        let lives = [message.expires_in, inside.and_then(|inside| inside.life)];
        let life = lives.into_iter().flatten().min();
        self.expires = life.map(|life| now.instant.after(life));
        self.priority = inside.map_or(message.priority, |inside| inside.priority);
        self.qos = message.qos;
        Turn::Moved
    }

    /// Brings it into the outbox and onto record, as far as that goes now.
    pub(super) fn keep<const I: usize, const B: usize>(
        &mut self,
        outbox: &mut Outbox<I, B>,
        now: Now,
    ) -> Result<Option<Turn>, PushError> {
        if self.way == Way::Held {
            let payload = self.bytes.get(..self.len).unwrap_or_default();
            let mut message = Message::new(self.channel, payload)
                .with_priority(self.priority)
                .with_qos(self.qos);
            if let Some(expires) = self.expires {
                let left = expires.since(now.instant);
                if left == Duration::ZERO {
                    self.way = Way::Empty;
                    let fate = Some(Fate::Expired);
                    let refusal = refusal(&message, Direction::Up);
                    return Ok(Some(Turn::Refused(Refusal { fate, ..refusal })));
                }
                message = message.expires_in(left);
            }
            match outbox.push(now, &message) {
                Ok(sequence) => self.way = Way::Pushed(sequence),
                // It stays here, and what comes behind it with the local broker.
                Err(PushError::Full { .. } | PushError::Busy | PushError::Unread { .. }) => {}
                Err(PushError::TooLarge { .. } | PushError::Context) => {
                    self.way = Way::Empty;
                    return Ok(Some(Turn::Refused(refusal(&message, Direction::Up))));
                }
                Err(error) => return Err(error),
            }
        }
        match self.way {
            Way::Pushed(sequence) if outbox.is_stored(sequence) => {
                self.way = Way::Empty;
                Ok(Some(Turn::Stored(sequence)))
            }
            _ => Ok(None),
        }
    }
}
