//! What a hub counts.

use core::sync::atomic::{AtomicU64, Ordering};

/// What a hub holds now, and what it has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct HubStats {
    /// Sessions there are now, with and without a connection.
    pub sessions: usize,
    /// Connections whose CONNECT was accepted and that are open now.
    pub connected: usize,
    /// Messages that wait in the sessions' queues now.
    pub queued: usize,
    /// Subscriptions there are now.
    pub subscriptions: usize,
    /// Retained messages there are now.
    pub retained: usize,
    /// Connections accepted so far.
    pub accepted: u64,
    /// Connections refused or ended because of what the client sent.
    pub refused: u64,
    /// Connections ended because the client was silent, or did not read what was sent to it.
    pub timed_out: u64,
    /// Connections ended because too many messages waited for the client (`Overflow::Close`).
    pub slow_messages: u64,
    /// Connections ended because too many bytes waited for the client (`Overflow::Close`).
    pub slow_bytes: u64,
    /// Connections ended because a newer one took the session over.
    pub taken_over: u64,
    /// Messages received from clients.
    pub published: u64,
    /// Messages queued for subscribers: one for each of them.
    pub routed: u64,
    /// Messages acknowledged by subscribers, or sent to them at most once.
    pub delivered: u64,
    /// Messages dropped because a queue was full.
    pub overflowed: u64,
    /// Messages dropped because their time ran out.
    pub expired: u64,
    /// Messages at most once dropped because the subscriber was away.
    pub missed: u64,
    /// Messages that a subscriber refused in its acknowledgement (MQTT 5).
    pub rejected: u64,
    /// Wills that were not published, because the gate admits nobody any more who may speak so.
    pub withheld: u64,
    /// Messages of at least once lost with their session: it ended, or was replaced by a clean one.
    pub discarded: u64,
}

/// What is counted; [`HubStats`] tells it.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) numbers: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) timed_out: AtomicU64,
    pub(super) slow_messages: AtomicU64,
    pub(super) slow_bytes: AtomicU64,
    pub(super) taken_over: AtomicU64,
    pub(super) published: AtomicU64,
    pub(super) routed: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) overflowed: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) missed: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) withheld: AtomicU64,
    pub(super) discarded: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
