//! Where a message goes, and who leaves for it when there is no room.

use iot_core::{Fate, Message, Now, Priority};

use super::slot::Lengths;
use super::{Outbox, Overflow, PushError};
use crate::envelope::priority_code;

/// How many leave for a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    leaving: usize,
}

impl Room {
    /// Lets them leave, and gives the place: the one that was free for the longest time.
    pub(super) fn evict<const ITEMS: usize, const BYTES: usize>(
        self,
        outbox: &mut Outbox<ITEMS, BYTES>,
        now: Now,
        message: &Message<'_>,
    ) -> Option<usize> {
        for _ in 0..self.leaving {
            if let Some(victim) = outbox.victim(message, None) {
                outbox.settle(now, victim, Fate::Evicted);
            }
        }
        outbox.order.free()
    }
}

impl<const ITEMS: usize, const BYTES: usize> Outbox<ITEMS, BYTES> {
    /// Finds a place for a message, or what must leave for it.
    pub(super) fn find_room(
        &self,
        message: &Message<'_>,
        lengths: Lengths,
    ) -> Result<Room, PushError> {
        let (live, bytes) = (self.len(), self.bytes());
        let unread = usize::try_from(self.fates.unread()).unwrap_or(usize::MAX);
        let payload = usize::from(lengths.payload);
        let full = PushError::Full { items: live, bytes };
        let span = self.next_sequence - self.floor();
        // The last number is never given out.
        if payload > self.limit_bytes || span >= Self::SPAN || self.next_sequence == u64::MAX {
            return Err(full);
        }
        // A place for its own fate, and for that of each message that is not settled.
        if live + unread >= 2 * ITEMS {
            return Err(PushError::Unread { fates: unread });
        }
        let has_place = live < ITEMS;
        let room = self.limit_bytes.saturating_sub(bytes);
        if has_place && payload <= room {
            return Ok(Room { leaving: 0 });
        }
        let pushes = matches!(
            self.policies.of(message.channel),
            Overflow::Oldest | Overflow::LowestPriority
        );
        // What is not stored cannot leave yet.
        let none = if pushes && self.census.staged > 0 {
            PushError::Busy
        } else {
            full
        };
        // How many must leave, in the order in which they would.
        let (mut leaving, mut room, mut last) = (0, room, None);
        while !has_place && leaving == 0 || payload > room {
            let victim = self.victim(message, last).ok_or(none)?;
            let slot = self.slots.get(victim).ok_or(full)?;
            room += usize::from(slot.lengths.payload);
            last = Some((slot.priority, slot.sequence));
            leaving += 1;
        }
        Ok(Room { leaving })
    }

    /// The message that would leave for another, after the last one that would.
    fn victim(&self, message: &Message<'_>, after: Option<(Priority, u64)>) -> Option<usize> {
        let overflow = self.policies.of(message.channel);
        let by_priority = overflow == Overflow::LowestPriority;
        let order = |priority, sequence| {
            let rank = if by_priority {
                priority_code(priority)
            } else {
                0
            };
            (rank, sequence)
        };
        let after = after.map(|(priority, sequence)| order(priority, sequence));
        let mut first: Option<(usize, (u8, u64))> = None;
        for at in self.order.live() {
            let slot = self.slots.get(at)?;
            let may_leave = match overflow {
                Overflow::Oldest => slot.channel == message.channel,
                Overflow::LowestPriority => {
                    slot.priority < message.priority
                        && self.policies.of(slot.channel) != Overflow::Never
                }
                Overflow::Newest | Overflow::Never => false,
            };
            let here = order(slot.priority, slot.sequence);
            if slot.may_leave()
                && may_leave
                && !self.doing.concerns(at)
                && after.is_none_or(|after| here > after)
                && first.is_none_or(|(_, first)| here < first)
            {
                first = Some((at, here));
                // What came later leaves later.
                if here.0 == 0 {
                    break;
                }
            }
        }
        first.map(|(at, _)| at)
    }
}
