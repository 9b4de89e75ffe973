//! The message that came from below and is not on record yet.

use iot_core::authz::Direction;
use iot_core::{Channel, Message, Now};

use super::carried::Carried;
use super::{Turn, refusal};
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
    bytes: [u8; BYTES],
    len: usize,
}

impl<const BYTES: usize> Up<BYTES> {
    pub(super) const fn new() -> Self {
        Self {
            way: Way::Empty,
            channel: Channel::Telemetry,
            bytes: [0; BYTES],
            len: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.way == Way::Empty
    }

    /// Takes a message in hand, if it can be carried at all.
    pub(super) fn take(&mut self, message: &Message<'_>) -> Turn {
        let carried = message.peer.and_then(|peer| {
            let carried = Carried::new(peer, message.payload);
            carried.encode(&mut self.bytes).ok().map(<[u8]>::len)
        });
        let Some(len) = carried else {
            return Turn::Refused(refusal(message, Direction::Up));
        };
        (self.way, self.channel, self.len) = (Way::Held, message.channel, len);
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
            let message = Message::new(self.channel, payload);
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
