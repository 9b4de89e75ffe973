//! The message that came from outside and is not with the local broker yet.

use iot_core::authz::Direction;
use iot_core::engine::Done;
use iot_core::{Channel, Engine, Event, Fate, Message, Now, Step, Ticket};

use super::carried::Carried;
use super::{Refusal, Turn};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Empty,
    Held,
    Handed(Ticket),
}

/// As an engine it hears what the node hears; it asks for nothing.
#[derive(Debug)]
pub(super) struct Down<const BYTES: usize> {
    way: Way,
    channel: Channel,
    bytes: [u8; BYTES],
    /// How long it is; more than there is room for when it was not kept.
    len: usize,
}

impl<const BYTES: usize> Engine for Down<BYTES> {
    fn handles(&self, _: Channel) -> bool {
        true
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        let Event::Message(message) = event else {
            return;
        };
        // What is not carried is for the gateway itself, or for nobody.
        if Carried::decode(message.payload).is_err() {
            return;
        }
        let len = message.payload.len();
        if let Some(room) = self.bytes.get_mut(..len) {
            room.copy_from_slice(message.payload);
        }
        (self.way, self.channel, self.len) = (Way::Held, message.channel, len);
    }

    fn step<'b>(&mut self, _: Now, _: &'b mut [u8]) -> Step<'b> {
        Step::Idle
    }

    fn done(&mut self, _: Now, _: Done<'_>) {}
}

impl<const BYTES: usize> Down<BYTES> {
    pub(super) const fn new() -> Self {
        Self {
            way: Way::Empty,
            channel: Channel::Command,
            bytes: [0; BYTES],
            len: 0,
        }
    }

    pub(super) const fn way(&self) -> Way {
        self.way
    }

    /// The message for the local broker, and its ticket if it was handed over.
    pub(super) fn message(&self) -> Result<(Message<'_>, Option<Ticket>), Refusal> {
        let bytes = self.bytes.get(..self.len);
        let carried = bytes.and_then(|bytes| Carried::decode(bytes).ok());
        let carried = carried.ok_or_else(|| self.refusal(None))?;
        let message = Message::new(self.channel, carried.payload).to(carried.peer);
        let ticket = match self.way {
            Way::Handed(ticket) => Some(ticket),
            _ => None,
        };
        Ok((message, ticket))
    }

    pub(super) const fn handed(&mut self, ticket: Ticket) {
        self.way = Way::Handed(ticket);
    }

    pub(super) fn ended(&mut self, fate: Fate) -> Turn {
        if fate == Fate::Delivered {
            self.way = Way::Empty;
            return Turn::Moved;
        }
        self.refuse(self.refusal(Some(fate)))
    }

    pub(super) const fn refuse(&mut self, refusal: Refusal) -> Turn {
        self.way = Way::Empty;
        Turn::Refused(refusal)
    }

    const fn refusal(&self, fate: Option<Fate>) -> Refusal {
        Refusal {
            direction: Direction::Down,
            channel: self.channel,
            bytes: self.len,
            fate,
        }
    }
}
