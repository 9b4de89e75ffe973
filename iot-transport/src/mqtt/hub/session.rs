//! A client's session: it outlives the connection and holds what the client has not acknowledged.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::letter::Letter;
use super::will::Waiting;

/// What to do when a session's queue is full. Either way the loss is counted in `HubStats`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest waiting message is dropped.
    #[default]
    Oldest,
    /// The new message is dropped.
    Newest,
    /// The new message is dropped, and the connection of a client that is there is ended, which MQTT 5 is told
    /// as reason 0x97; its session stays. Which bound it met is in `HubStats`.
    Close,
}

/// The bound of a queue that a message met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Full {
    Messages,
    Bytes,
}

/// The bounds of one session's queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
    pub(super) overflow: Overflow,
}

/// The connection that serves a session now.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) connection: u64,
    pub(super) wake: Arc<Notify>,
    /// The bound that its client was too slow for, when it is to be ended for that.
    pub(super) slow: Option<Full>,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client_id: Box<str>,
    /// Unique among all sessions of the hub, also of the same client id.
    pub(super) number: u64,
    state: Mutex<State>,
}

/// What changes while a session lives.
#[derive(Debug, Default)]
pub(super) struct State {
    queue: VecDeque<Letter>,
    queue_bytes: usize,
    /// Sent on this connection and not acknowledged, in the order of sending.
    on_wire: VecDeque<Sent>,
    /// Sent on an earlier connection: it goes again before anything new does, as the window has room.
    again: VecDeque<Sent>,
    last_id: u16,
    /// What the client published exactly once and has not released.
    pub(super) unreleased: BTreeSet<u16>,
    pub(super) live: Option<Live>,
    pub(super) filters: BTreeSet<String>,
    /// How long the session outlives its connection.
    pub(super) expiry: Duration,
    pub(super) away_since: Option<Instant>,
    /// What is published when its client does not come back soon.
    pub(super) will: Option<Waiting>,
}

/// A letter under the identifier it was sent with.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: u16,
    /// None once the client has it: then its release is sent instead (quality of service 2).
    pub(super) letter: Option<Letter>,
}

impl Sent {
    fn is_exact(&self) -> bool {
        self.letter.as_ref().is_none_or(|letter| letter.qos == 2)
    }
}

/// What goes to the client next.
#[derive(Debug)]
pub(super) enum Next {
    New(Letter),
    Again(Sent),
}

impl Session {
    pub(super) fn new(client_id: Box<str>, number: u64) -> Self {
        Self {
            client_id,
            number,
            state: Mutex::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the queue whole: every change is a single push or pop.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Queues a letter and wakes the connection; returns how many letters were dropped for it.
    pub(super) fn push(&mut self, letter: Letter, bounds: Bounds) -> u64 {
        let mut dropped = 0;
        let bytes = letter.bytes();
        while let Some(full) = self.full(&letter, bounds) {
            let victim = match bounds.overflow {
                Overflow::Oldest => self.queue.pop_front(),
                Overflow::Newest => None,
                Overflow::Close => {
                    if let Some(live) = &mut self.live {
                        live.slow = live.slow.or(Some(full));
                        live.wake.notify_one();
                    }
                    None
                }
            };
            dropped += 1;
            match victim {
                Some(victim) => self.queue_bytes = self.queue_bytes.saturating_sub(victim.bytes()),
                None => return dropped,
            }
        }
        self.queue_bytes += bytes;
        self.queue.push_back(letter);
        if let Some(live) = &self.live {
            live.wake.notify_one();
        }
        dropped
    }

    pub(super) fn has_room(&self, letter: &Letter, bounds: Bounds) -> bool {
        self.full(letter, bounds).is_none()
    }

    /// The bound that keeps a letter out.
    fn full(&self, letter: &Letter, bounds: Bounds) -> Option<Full> {
        if self.queue.len() >= bounds.messages {
            Some(Full::Messages)
        } else if self.queue_bytes.saturating_add(letter.bytes()) > bounds.bytes {
            Some(Full::Bytes)
        } else {
            None
        }
    }

    pub(super) fn pop(&mut self) -> Option<Letter> {
        let letter = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(letter.bytes());
        Some(letter)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// A new connection has the session: nothing is on its wire yet.
    pub(super) fn resumed(&mut self) {
        let mut sent = core::mem::take(&mut self.on_wire);
        // What is on the wire went before what still waits to go again.
        sent.append(&mut self.again);
        self.again = sent;
    }

    /// Takes out what goes next to a client that lets `window` letters be unacknowledged.
    pub(super) fn next(&mut self, window: usize) -> Option<Next> {
        let released = self.again.front().is_some_and(|sent| sent.letter.is_none());
        // A release is not a PUBLISH: no window keeps it back.
        if self.on_wire.len() >= window && !released {
            return None;
        }
        match self.again.pop_front() {
            Some(sent) => Some(Next::Again(sent)),
            None => self.pop().map(Next::New),
        }
    }

    /// Notes a letter as sent and returns the identifier to send it under.
    pub(super) fn sent(&mut self, letter: Letter) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            // Few enough are on the wire for a free identifier to be found at once.
            let mut taken = self.on_wire.iter().chain(&self.again);
            if !taken.any(|sent| sent.id == self.last_id) {
                break;
            }
        }
        let id = self.last_id;
        let letter = Some(letter);
        self.on_wire.push_back(Sent { id, letter });
        id
    }

    /// Notes that a letter was sent once more.
    pub(super) fn sent_again(&mut self, sent: Sent) {
        self.on_wire.push_back(sent);
    }

    /// Takes `id` out if it was sent and is as far as `stage` says.
    fn end(&mut self, id: u16, stage: impl Fn(&Sent) -> bool) -> Option<Sent> {
        for list in [&mut self.on_wire, &mut self.again] {
            let at = list.iter().position(|sent| sent.id == id && stage(sent));
            if let Some(at) = at {
                return list.remove(at);
            }
        }
        None
    }

    /// A PUBACK came; whether `id` was sent at least once.
    pub(super) fn acknowledged(&mut self, id: u16) -> bool {
        let stage = |sent: &Sent| sent.letter.as_ref().is_some_and(|letter| letter.qos == 1);
        self.end(id, stage).is_some()
    }

    /// A PUBREC came: the letter is the client's, and only its release is left to be sent.
    ///
    /// False when `id` was not sent exactly once.
    pub(super) fn received(&mut self, id: u16) -> bool {
        let mut all = self.on_wire.iter_mut().chain(&mut self.again);
        let Some(sent) = all.find(|sent| sent.id == id && sent.is_exact()) else {
            return false;
        };
        sent.letter = None;
        true
    }

    /// A PUBREC came that refuses; whether `id` was sent exactly once and not received.
    pub(super) fn refused(&mut self, id: u16) -> bool {
        let stage = |sent: &Sent| sent.letter.is_some() && sent.is_exact();
        self.end(id, stage).is_some()
    }

    /// A PUBCOMP came; whether `id` was received.
    pub(super) fn completed(&mut self, id: u16) -> bool {
        self.end(id, |sent| sent.letter.is_none()).is_some()
    }

    /// Takes out everything that was not acknowledged, in its order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Letter> {
        self.resumed();
        let sent = core::mem::take(&mut self.again);
        self.queue_bytes = 0;
        let queue = core::mem::take(&mut self.queue);
        let began = |sent: Sent| {
            let mut letter = sent.letter?;
            // "If a Client's Session terminates before the Client reconnects, the Server MUST NOT send the
            // Application Message to any other subscribed Client" [MQTT-4.8.2-5], for quality of service 2.
            letter.share.take_if(|_| letter.qos == 2);
            Some(letter)
        };
        sent.into_iter().filter_map(began).chain(queue)
    }

    pub(super) fn is_live(&self, connection: u64) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.connection == connection)
    }

    /// Whether the client may not find this session any more.
    pub(super) fn has_ended(&self, now: Instant) -> bool {
        match self.away_since {
            Some(since) => now.saturating_duration_since(since) >= self.expiry,
            // Taking it over closes the connection that it ends with.
            None => self.expiry.is_zero(),
        }
    }
}
