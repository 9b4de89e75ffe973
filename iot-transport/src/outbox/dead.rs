//! Records of settled messages that still lie there, and how long their fates must be remembered for it.

use super::Outbox;
use super::fates::Fates;
use super::slot::Slot;

impl<const ITEMS: usize, const BYTES: usize> Outbox<ITEMS, BYTES> {
    /// From how many fates on records of settled messages are removed, instead of waiting for messages to take their
    /// places.
    ///
    /// That happens when many messages are refused and none is stored: those end, and leave every record where it is.
    const WAITS: u64 = 3 * ITEMS as u64;

    /// How many fates must be remembered when all messages have theirs: from the oldest whose record is still there.
    ///
    /// Were they more than there is room for, a boot would find a message without its fate, and send it again.
    pub(super) fn remembers(&mut self) -> u64 {
        let ends = self.fates.next + self.len() as u64;
        if ends - self.oldest_dead.min(ends) > Self::WAITS {
            let dead = self.slots.iter().filter_map(Slot::dead);
            self.oldest_dead = dead.min().unwrap_or(self.fates.next);
        }
        ends - self.oldest_dead.min(ends)
    }

    /// Whether records of settled messages have to go now.
    pub(super) fn must_clean(&mut self) -> bool {
        const { assert!(Self::WAITS < Fates::<ITEMS>::CAPACITY) };
        self.remembers() > Self::WAITS
    }
}
