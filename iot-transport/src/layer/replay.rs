//! Plays a tape: the same answers to the same questions.

use core::future::poll_fn;
use core::task::{Poll, Waker};

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Event, Message, Ticket};

use super::tape::{Entry, TapeError, rounded};
use crate::hand;

/// Why a call to a [`Replay`] failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recorded transport failed so at this place.
    #[error("the recorded transport failed here ({0:?})")]
    Recorded(TransportErrorKind),
    /// The call is not the one that was recorded here; the tape stays where it is.
    #[error("the call is not the one recorded as entry {entry}: the run is another one")]
    Diverged {
        /// Which entry of the tape was expected, counted from the first call or event.
        entry: u64,
    },
    /// The caller's buffer is too small for the message; the message is kept.
    #[error("the message needs a buffer of {needed} bytes")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
    /// Nothing is left on the tape.
    #[error("the tape is over")]
    Over,
}

impl TransportError for ReplayError {
    fn kind(&self) -> TransportErrorKind {
        match self {
            Self::Recorded(kind) => *kind,
            Self::Diverged { .. } => TransportErrorKind::Other,
            Self::Buffer { .. } => TransportErrorKind::Buffer,
            Self::Over => TransportErrorKind::Closed,
        }
    }
}

/// A transport that answers from a tape.
///
/// Calls must come as they were recorded; a call that differs is told, so that the first difference between two
/// runs is found where it happens. An event comes once the calls before it were made.
#[derive(Clone, Debug)]
pub struct Replay<'a> {
    tape: &'a [u8],
    at: usize,
    entry: u64,
    limits: Limits,
    waker: Option<Waker>,
}

impl<'a> Replay<'a> {
    /// Checks the whole tape and stands at its beginning.
    ///
    /// # Errors
    ///
    /// [`TapeError`] for the first entry that is none.
    pub fn new(tape: &'a [u8]) -> Result<Self, TapeError> {
        let (Entry::Opened(limits), begin) = Entry::read(tape, 0)? else {
            return Err(TapeError::Headless);
        };
        let mut at = begin;
        while at < tape.len() {
            let (entry, next) = Entry::read(tape, at)?;
            if matches!(entry, Entry::Opened(_)) {
                return Err(TapeError::Unknown { at });
            }
            at = next;
        }
        Ok(Self {
            tape,
            at: begin,
            entry: 0,
            limits,
            waker: None,
        })
    }

    /// Whether everything was played.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.at >= self.tape.len()
    }

    fn peek(&self) -> Option<(Entry<'a>, usize)> {
        Entry::read(self.tape, self.at).ok()
    }

    fn advance(&mut self, to: usize) {
        self.at = to;
        self.entry += 1;
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Answers a call with what was recorded, if it is the one that was.
    fn answer<A>(
        &mut self,
        matching: impl FnOnce(Entry<'a>) -> Option<Result<A, TransportErrorKind>>,
    ) -> Result<A, ReplayError> {
        let diverged = ReplayError::Diverged { entry: self.entry };
        let (entry, to) = self.peek().ok_or(ReplayError::Over)?;
        let answer = matching(entry).ok_or(diverged)?;
        self.advance(to);
        answer.map_err(ReplayError::Recorded)
    }
}

impl Transport for Replay<'_> {
    type Error = ReplayError;

    async fn submit(&mut self, message: &Message<'_>) -> Result<Ticket, ReplayError> {
        let message = rounded(message);
        self.answer(|entry| match entry {
            Entry::Submitted(recorded, ticket) if recorded == message => Some(Ok(ticket)),
            Entry::TurnedAway(recorded, kind) if recorded == message => Some(Err(kind)),
            _ => None,
        })
    }

    async fn next<'b>(&mut self, buffer: &'b mut [u8]) -> Result<Event<'b>, ReplayError> {
        let (entry, to) = poll_fn(|cx| match self.peek() {
            None => Poll::Ready(Err(ReplayError::Over)),
            Some((
                Entry::Submitted(..)
                | Entry::TurnedAway(..)
                | Entry::Subscribed(_)
                | Entry::NotSubscribed(..)
                | Entry::Opened(_),
                _,
            )) => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(found) => Poll::Ready(Ok(found)),
        })
        .await?;
        let event = match entry {
            Entry::Received(message) => {
                let needed = hand::needed(&message);
                let copy = hand::copy(&message, buffer).ok_or(ReplayError::Buffer { needed })?;
                Event::Message(copy)
            }
            Entry::Settled(ticket, fate) => Event::Settled { ticket, fate },
            Entry::Connected(resumed) => Event::Connected { resumed },
            Entry::Failed(kind) => {
                self.advance(to);
                return Err(ReplayError::Recorded(kind));
            }
            // Calls were sorted out above.
            _ => Event::Disconnected,
        };
        self.advance(to);
        Ok(event)
    }

    async fn subscribe(&mut self, channel: Channel) -> Result<(), ReplayError> {
        self.answer(|entry| match entry {
            Entry::Subscribed(recorded) if recorded == channel => Some(Ok(())),
            Entry::NotSubscribed(recorded, kind) if recorded == channel => Some(Err(kind)),
            _ => None,
        })
    }

    fn limits(&self) -> Limits {
        self.limits
    }
}
