//! Where a message goes, and who leaves for it when there is no room.

use iot_core::{Fate, Instant, Message, Now, Priority};

use super::slot::{Lengths, Slot};
use super::{Outbox, Overflow, PushError};
use crate::envelope::priority_code;

/// How many leave for a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// The oldest message, when the distance to it is what there is no room for.
    oldest: Option<usize>,
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
        if let Some(oldest) = self.oldest {
            outbox.settle(now, oldest, Fate::Evicted);
            // Until that is on record the distance stays as it is.
            outbox.settle_at = Some(Instant::ZERO);
        }
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
        if payload > self.limit_bytes {
            let (bytes, limit) = (payload, self.limit_bytes);
            return Err(PushError::TooLarge { bytes, limit });
        }
        // The last number is never given out.
        if self.next_sequence == u64::MAX {
            return Err(full);
        }
        // A place for its own fate, and for that of each message that is not settled.
        if live + unread >= 2 * ITEMS {
            return Err(PushError::Unread { fates: unread });
        }
        let floor = self.floor();
        let oldest = match self.next_sequence - floor >= Self::SPAN {
            true => Some(self.oldest_leaves(message, floor)?.ok_or(full)?),
            false => None,
        };
        let left = oldest.and_then(|at| self.slots.get(at));
        let has_place = live < ITEMS || left.is_some();
        let room = self.limit_bytes.saturating_sub(bytes);
        let room = room.saturating_add(left.map_or(0, |slot| slot.lengths.payload.into()));
        if has_place && payload <= room {
            return Ok(Room { oldest, leaving: 0 });
        }
        if left.is_some() {
            return Err(full);
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
        Ok(Room { oldest, leaving })
    }

    /// The oldest message, if it leaves for another: the receiver remembers only so much before the newest.
    fn oldest_leaves(&self, message: &Message<'_>, floor: u64) -> Result<Option<usize>, PushError> {
        let oldest = self.order.place(0);
        let oldest = oldest.and_then(|at| Some((at, self.slots.get(at)?)));
        let oldest = oldest.filter(|(_, slot)| slot.sequence == floor);
        // It has a fate, which is not on record yet.
        let (at, slot) = oldest.ok_or(PushError::Busy)?;
        let leaves = self.leaves(slot, message) && !self.doing.concerns(at);
        Ok(leaves.then_some(at))
    }

    /// Whether the one may leave for the other.
    fn leaves(&self, slot: &Slot, message: &Message<'_>) -> bool {
        slot.may_leave()
            && match self.policies.of(message.channel) {
                Overflow::Oldest => slot.channel == message.channel,
                Overflow::LowestPriority => {
                    slot.priority < message.priority
                        && self.policies.of(slot.channel) != Overflow::Never
                }
                Overflow::Newest | Overflow::Never => false,
            }
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
            let here = order(slot.priority, slot.sequence);
            if self.leaves(slot, message)
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
