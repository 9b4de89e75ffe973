//! A client's session: it outlives the connection and holds what the client has not acknowledged.

use alloc::boxed::Box;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mqtt_protocol_core::mqtt::ArcPayload;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What a letter costs beside its content: many empty messages must not slip below a limit in bytes.
const OVERHEAD_BYTES: usize = 128;

/// A message inside the hub; cheap to clone, its content is shared by every session it goes to.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) topic: Arc<str>,
    pub(super) payload: ArcPayload,
    pub(super) qos: u8,
    pub(super) retain: bool,
    /// Encoded MQTT 5 properties that travel on to subscribers, without the expiry.
    pub(super) properties: Arc<[u8]>,
    pub(super) expires: Option<Instant>,
}

impl Letter {
    /// What it counts for against the limits in bytes.
    pub(super) fn bytes(&self) -> usize {
        OVERHEAD_BYTES + self.topic.len() + self.payload.len() + self.properties.len()
    }

    pub(super) fn is_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// What to do when a session's queue is full. Either way the loss is counted in `HubStats`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest waiting message is dropped.
    #[default]
    Oldest,
    /// The new message is dropped.
    Newest,
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
    /// Sent and not acknowledged, in the order of sending.
    pub(super) on_wire: VecDeque<(u16, Letter)>,
    last_id: u16,
    pub(super) live: Option<Live>,
    pub(super) filters: BTreeSet<String>,
    /// How long the session outlives its connection; `None` for ever.
    pub(super) expiry: Option<Duration>,
    pub(super) away_since: Option<Instant>,
    /// What is published when its client does not come back soon, and the connection that left it.
    pub(super) will: Option<(u64, Letter)>,
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
        while self.queue.len() >= bounds.messages
            || self.queue_bytes.saturating_add(bytes) > bounds.bytes
        {
            let victim = match bounds.overflow {
                Overflow::Oldest => self.queue.pop_front(),
                Overflow::Newest => None,
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

    pub(super) fn pop(&mut self) -> Option<Letter> {
        let letter = self.queue.pop_front()?;
        self.queue_bytes = self.queue_bytes.saturating_sub(letter.bytes());
        Some(letter)
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Notes a letter as sent and returns the identifier to send it under.
    pub(super) fn sent(&mut self, letter: Letter) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            // Few enough are on the wire for a free identifier to be found at once.
            if !self.on_wire.iter().any(|(id, _)| *id == self.last_id) {
                break;
            }
        }
        self.on_wire.push_back((self.last_id, letter));
        self.last_id
    }

    /// Whether `id` was on the wire; it is not any more.
    pub(super) fn acknowledged(&mut self, id: u16) -> bool {
        match self.on_wire.iter().position(|(sent, _)| *sent == id) {
            Some(at) => self.on_wire.remove(at).is_some(),
            None => false,
        }
    }

    pub(super) fn is_live(&self, connection: u64) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.connection == connection)
    }

    pub(super) fn has_expired(&self, now: Instant) -> bool {
        match (self.away_since, self.expiry) {
            (Some(since), Some(expiry)) => now.saturating_duration_since(since) >= expiry,
            _ => false,
        }
    }
}
