//! The service's end of the link: it says everything twice, and listens.

use iot_core::command::{Answer, Response};
use iot_core::engine::{Done, Event};
use iot_core::port::{Limits, Transport};
use iot_core::{Channel, Engine, Message, Now, Step, Ticket};

use crate::world::{Stuck, poll};

const MAX_REQUEST_BYTES: usize = 64;

/// A request as it was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    bytes: [u8; MAX_REQUEST_BYTES],
    len: usize,
}

impl Sent {
    /// Its bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

/// A transport that submits each command twice, as a network that doubles messages would, and remembers the
/// first.
#[derive(Debug)]
pub struct Twice<T> {
    link: T,
    first: Option<Sent>,
}

impl<T: Transport> Twice<T> {
    /// Doubles what goes to `link`.
    pub const fn new(link: T) -> Self {
        Self { link, first: None }
    }

    /// The first command that was sent.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when none was, or it was longer than expected.
    pub fn first(&self) -> Result<Sent, Stuck> {
        self.first.ok_or(Stuck("first"))
    }

    /// Sends a message of no engine.
    ///
    /// # Errors
    ///
    /// [`Stuck`] when the link does not take it.
    pub fn say(&mut self, channel: Channel, payload: &[u8]) -> Result<(), Stuck> {
        let submitted = poll(self.submit(&Message::new(channel, payload)))?;
        submitted.map(drop).map_err(|_| Stuck("say"))
    }
}

impl<T: Transport> Transport for Twice<T> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        if message.channel == Channel::Command {
            let mut bytes = [0; MAX_REQUEST_BYTES];
            let len = message.payload.len();
            if let (None, Some(room)) = (self.first, bytes.get_mut(..len)) {
                room.copy_from_slice(message.payload);
                self.first = Some(Sent { bytes, len });
            }
            self.link.submit(message).await?;
        }
        self.link.submit(message).await
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        self.link.next(buffer).await
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        self.link.subscribe(channel).await
    }

    fn limits(&self) -> Limits {
        self.link.limits()
    }
}

/// Counts what the device says.
#[derive(Debug, Default)]
pub struct Ear {
    /// Messages of its twin.
    pub twin_messages: usize,
    /// Answers that tell how a command ended.
    pub answers: usize,
}

impl Engine for Ear {
    fn handles(&self, channel: Channel) -> bool {
        matches!(channel, Channel::Twin | Channel::Command)
    }

    fn input(&mut self, _: Now, event: &Event<'_>) {
        let Event::Message(message) = event else {
            return;
        };
        match (message.channel, Response::decode(message.payload)) {
            (Channel::Twin, _) => self.twin_messages += 1,
            (_, Ok(response)) => {
                self.answers += usize::from(matches!(response.answer, Answer::Ended(_)));
            }
            _ => {}
        }
    }

    fn step<'b>(&mut self, _: Now, _: &'b mut [u8]) -> Step<'b> {
        Step::Idle
    }

    fn done(&mut self, _: Now, _: Done<'_>) {}
}
