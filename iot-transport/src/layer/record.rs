//! Records what a transport is asked and what it answers.

use alloc::vec::Vec;

use iot_core::port::{Limits, Transport, TransportError};
use iot_core::{Channel, Event, Message, Ticket};

use super::Layer;
use super::tape::Entry;

/// Records every call and every event on a tape of bounded length, for [`Replay`](super::Replay).
///
/// Payloads are on the tape as they are: treat it as you treat them.
///
/// ```
/// use iot_core::{Message, port::Transport};
/// use iot_transport::layer::{Layered as _, Record, Replay};
/// use iot_transport::memory::Link;
///
/// let mut link = Link::<4, 64>::new();
/// let (device, _service) = link.split();
/// let mut device = device.layer(Record::new(1 << 20));
/// # futures::executor::block_on(async {
/// let message = Message::telemetry(b"21.5");
/// let ticket = device.submit(&message).await?;
///
/// let mut replay = Replay::new(device.tape())?;
/// assert_eq!(replay.submit(&message).await?, ticket); // the same answer to the same question
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record {
    most_bytes: usize,
}

impl Record {
    /// Records until the tape has `most_bytes` bytes.
    #[must_use]
    pub const fn new(most_bytes: usize) -> Self {
        Self { most_bytes }
    }
}

impl<T: Transport> Layer<T> for Record {
    type Over = Recorded<T>;
    fn over(self, inner: T) -> Recorded<T> {
        let mut tape = Tape {
            bytes: Vec::new(),
            most: self.most_bytes,
            full: false,
        };
        tape.note(&Entry::Opened(inner.limits()));
        Recorded { inner, tape }
    }
}

/// A transport that is recorded.
#[derive(Clone, Debug)]
pub struct Recorded<T> {
    inner: T,
    tape: Tape,
}

#[derive(Clone, Debug)]
struct Tape {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Tape {
    fn note(&mut self, entry: &Entry<'_>) {
        let before = self.bytes.len();
        // An entry that does not fit ends the tape: one with a hole would replay something that never was.
        if !self.full && (!entry.write(&mut self.bytes) || self.bytes.len() > self.most) {
            self.bytes.truncate(before);
            self.full = true;
        }
    }
}

impl<T: Transport> Recorded<T> {
    /// Gives the tape away and begins a new one.
    pub fn take_tape(&mut self) -> Vec<u8> {
        let bytes = core::mem::take(&mut self.tape.bytes);
        self.tape.full = false;
        self.tape.note(&Entry::Opened(self.inner.limits()));
        bytes
    }
}

impl<T> Recorded<T> {
    /// What was recorded so far.
    #[must_use]
    pub fn tape(&self) -> &[u8] {
        &self.tape.bytes
    }

    /// Whether the tape ended before the run did: what did not fit is missing, and all that came after it.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.tape.full
    }

    /// The transport below.
    pub const fn inner(&mut self) -> &mut T {
        &mut self.inner
    }

    /// Gives the transport below back.
    pub fn into_inner(self) -> T {
        self.inner
    }
}

impl<T: Transport> Transport for Recorded<T> {
    type Error = T::Error;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, T::Error> {
        let answer = self.inner.submit(message).await;
        match &answer {
            Ok(ticket) => self.tape.note(&Entry::Submitted(*message, *ticket)),
            Err(error) => self.tape.note(&Entry::TurnedAway(*message, error.kind())),
        }
        answer
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, T::Error> {
        let Self { inner, tape } = self;
        let answer = inner.next(buffer).await;
        let entry = match &answer {
            Ok(Event::Message(message)) => Entry::Received(*message),
            Ok(Event::Settled { ticket, fate }) => Entry::Settled(*ticket, *fate),
            Ok(Event::Connected { resumed }) => Entry::Connected(*resumed),
            Ok(Event::Disconnected) => Entry::Disconnected,
            // Nothing else comes from a transport.
            Ok(_) => return answer,
            Err(error) => Entry::Failed(error.kind()),
        };
        tape.note(&entry);
        answer
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), T::Error> {
        let answer = self.inner.subscribe(channel).await;
        match &answer {
            Ok(()) => self.tape.note(&Entry::Subscribed(channel)),
            Err(error) => self.tape.note(&Entry::NotSubscribed(channel, error.kind())),
        }
        answer
    }

    fn limits(&self) -> Limits {
        self.inner.limits()
    }
}

#[cfg(test)]
mod tests;
