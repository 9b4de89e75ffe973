//! What was submitted and has not met its fate.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::{Priority, Qos, Ticket};
use tokio::time::Instant;

/// So many tickets of messages that are gone may stay queued before they are searched for.
const SPARE_TICKETS: usize = 64;

/// One submitted message.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) topic: String,
    pub(super) payload: Box<[u8]>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// Encoded user properties.
    pub(super) properties: Box<[u8]>,
    pub(super) expires: Option<Instant>,
    /// The packet identifier, once it was on a wire; it stays the message's own until its fate is known.
    pub(super) id: Option<u16>,
    on_wire: bool,
}

/// Keeps every message until its fate is known, whatever the broker forgets.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    entries: BTreeMap<u64, Entry>,
    bytes: usize,
    /// Waiting for the first transmission, by priority.
    waiting: [VecDeque<u64>; 4],
    /// Was on a wire that broke: goes first, in its old order.
    again: VecDeque<u64>,
    by_id: BTreeMap<u16, u64>,
    expiry: BTreeSet<(Instant, u64)>,
    last_ticket: u64,
    last_id: u16,
}

/// A new message, before it has a ticket.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    pub(super) qos: Qos,
    pub(super) priority: Priority,
    pub(super) retain: bool,
    pub(super) properties: &'a [u8],
    pub(super) expires: Option<Instant>,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.payload.len() + self.properties.len()
    }
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, draft: &Draft<'_>) -> Ticket {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.bytes += draft.payload.len() + draft.properties.len();
        if let Some(at) = draft.expires {
            self.expiry.insert((at, ticket));
        }
        self.entries.insert(
            ticket,
            Entry {
                topic: draft.topic.into(),
                payload: draft.payload.into(),
                qos: draft.qos,
                retain: draft.retain,
                properties: draft.properties.into(),
                expires: draft.expires,
                id: None,
                on_wire: false,
            },
        );
        if let Some(queue) = self.waiting.get_mut(rank(draft.priority)) {
            queue.push_back(ticket);
        }
        Ticket::new(ticket)
    }

    /// The next message for the wire, with its ticket and whether it was on a wire before.
    ///
    /// A message of quality of service 1 has its identifier now and counts as on the wire.
    pub(super) fn next(&mut self) -> Option<(u64, bool)> {
        let (ticket, again) = loop {
            let found = match self.again.pop_front() {
                Some(ticket) => (ticket, true),
                None => (
                    self.waiting
                        .iter_mut()
                        .rev()
                        .find_map(VecDeque::pop_front)?,
                    false,
                ),
            };
            // Tickets that met their fate meanwhile are skipped here instead of searched for then.
            if self.entries.contains_key(&found.0) {
                break found;
            }
        };
        let id = self.entries.get(&ticket).and_then(|entry| match entry.qos {
            Qos::AtMostOnce => None,
            _ => entry.id.or_else(|| self.free_id()),
        });
        if let Some(id) = id {
            self.last_id = id;
            self.by_id.insert(id, ticket);
        }
        if let Some(entry) = self.entries.get_mut(&ticket) {
            entry.id = id;
            entry.on_wire = id.is_some();
        }
        Some((ticket, again))
    }

    /// An identifier that no message uses; also for other packets than PUBLISH.
    pub(super) fn free_id(&self) -> Option<u16> {
        let mut id = self.last_id;
        for _ in 0..=u16::MAX {
            id = id.checked_add(1).unwrap_or(1);
            if !self.by_id.contains_key(&id) {
                return Some(id);
            }
        }
        None
    }

    /// Keeps an identifier from being used for messages until [`release`](Self::release).
    pub(super) fn reserve(&mut self, id: u16) {
        self.last_id = id;
        self.by_id.insert(id, 0);
    }

    /// Gives a reserved identifier back.
    pub(super) fn release(&mut self, id: u16) {
        if self.by_id.get(&id) == Some(&0) {
            self.by_id.remove(&id);
        }
    }

    pub(super) fn get(&self, ticket: u64) -> Option<&Entry> {
        self.entries.get(&ticket)
    }

    /// The message acknowledged under `id`, if that was on this wire; it leaves the outbox.
    pub(super) fn acknowledge(&mut self, id: u16) -> Option<Ticket> {
        let ticket = *self.by_id.get(&id)?;
        self.entries.get(&ticket).filter(|entry| entry.on_wire)?;
        self.remove(ticket)
    }

    /// Takes a message out; its fate is the caller's to tell.
    pub(super) fn remove(&mut self, ticket: u64) -> Option<Ticket> {
        let entry = self.entries.remove(&ticket)?;
        self.bytes = self.bytes.saturating_sub(entry.bytes());
        if let Some(id) = entry.id {
            self.by_id.remove(&id);
        }
        if let Some(at) = entry.expires {
            self.expiry.remove(&(at, ticket));
        }
        self.forget_settled();
        Some(Ticket::new(ticket))
    }

    /// Drops the tickets of messages that are gone once they are the most of what the queues hold.
    ///
    /// Without a link nothing else takes them out, and messages that expire would grow the queues for ever.
    fn forget_settled(&mut self) {
        let queued = self.again.len() + self.waiting.iter().map(VecDeque::len).sum::<usize>();
        if queued <= 2 * self.entries.len() + SPARE_TICKETS {
            return;
        }
        let entries = &self.entries;
        for queue in self.waiting.iter_mut().chain([&mut self.again]) {
            queue.retain(|ticket| entries.contains_key(ticket));
        }
    }

    /// The wire broke: whatever was on it has to go again.
    pub(super) fn wire_broke(&mut self) {
        let mut again: Vec<u64> = self.again.drain(..).collect();
        for (ticket, entry) in &mut self.entries {
            if core::mem::take(&mut entry.on_wire) {
                again.push(*ticket);
            }
        }
        again.sort_unstable();
        self.again = again.into();
        self.by_id.retain(|_, ticket| *ticket != 0);
    }

    /// Takes out one message whose time has run out and that is not on a wire.
    ///
    /// One on the wire may be with the broker already: it waits for the acknowledgement or for the wire to break.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Ticket> {
        let due = self
            .expiry
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, ticket)| *ticket)
            .find(|ticket| self.entries.get(ticket).is_some_and(|entry| !entry.on_wire))?;
        self.remove(due)
    }

    /// When the next message that is not on a wire runs out of time.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiry
            .iter()
            .find(|(_, ticket)| self.entries.get(ticket).is_some_and(|entry| !entry.on_wire))
            .map(|(at, _)| *at)
    }
}

const fn rank(priority: Priority) -> usize {
    match priority {
        Priority::Low => 0,
        Priority::High => 2,
        Priority::Critical => 3,
        // `Priority` may grow; what is unknown is normal.
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn messages_that_expire_without_a_link_leave_no_tickets_behind() {
        let (mut outbox, start) = (Outbox::default(), Instant::now());
        let push = |outbox: &mut Outbox, at| {
            outbox.push(&Draft {
                topic: "t",
                payload: b"x",
                qos: Qos::AtLeastOnce,
                priority: Priority::Normal,
                retain: false,
                properties: &[],
                expires: Some(at),
            })
        };
        let queued = |outbox: &Outbox| {
            outbox.again.len() + outbox.waiting.iter().map(VecDeque::len).sum::<usize>()
        };
        let kept = push(&mut outbox, start + Duration::from_secs(86_400));
        for was_on_a_wire in [true, false] {
            for _ in 0..1_000 {
                push(&mut outbox, start);
            }
            if was_on_a_wire {
                while outbox.next().is_some() {}
                outbox.wire_broke();
            }
            while outbox.expire(start).is_some() {}
            assert!(queued(&outbox) <= 2 + SPARE_TICKETS);
        }
        for _ in 0..1_000 {
            let ticket = push(&mut outbox, start);
            assert_eq!(outbox.expire(start), Some(ticket));
            assert!(queued(&outbox) <= 3 + SPARE_TICKETS);
        }
        let next = outbox.next().map(|(ticket, _)| Ticket::new(ticket));
        assert_eq!((next, outbox.len()), (Some(kept), 1));
    }
}
