//! The numbers of messages.

use iot_core::Instant;

/// The standard's time for two ways through the network and one server (RFC 7252 §4.8.2: 2 * 100 s + 2 s).
const AROUND_MS: u64 = 202_000;

/// Message ids, one after the other from a random one on.
///
/// "The same Message ID MUST NOT be reused (in communicating with the same endpoint) within the EXCHANGE_LIFETIME" (RFC
/// 7252 §4.4): of the two halves of all ids, one is begun again only so long after its last use. That is reached by
/// more than 260 messages a second.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ids {
    next: Option<u16>,
    left: u16,
    /// When this half and the other one were last used.
    used: (Instant, Option<Instant>),
}

const HALF: u16 = 1 << 15;

impl Ids {
    pub(super) const fn new() -> Self {
        Self {
            next: None,
            left: HALF,
            used: (Instant::ZERO, None),
        }
    }

    /// When the next id may be used; at once, mostly.
    pub(super) fn free_at(&self, patience_ms: u32) -> Instant {
        let lifetime_ms = AROUND_MS + u64::from(patience_ms);
        match (self.left, self.used.1) {
            (0, Some(used)) => Instant::from_millis(used.as_millis().saturating_add(lifetime_ms)),
            _ => Instant::ZERO,
        }
    }

    /// The next id, once it is free; `random` is where they begin.
    pub(super) fn draw(&mut self, now: Instant, random: u16) -> u16 {
        if self.left == 0 {
            self.left = HALF;
            self.used = (now, Some(self.used.0));
        }
        let id = self.next.unwrap_or(random);
        self.next = Some(id.wrapping_add(1));
        self.left -= 1;
        self.used.0 = now;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    use alloc::collections::BTreeMap;

    #[test]
    fn no_id_is_used_again_before_its_exchange_is_over_everywhere() {
        let mut ids = Ids::new();
        let mut used = BTreeMap::new();
        let mut now = Instant::ZERO;
        let mut waited = 0;
        for _ in 0..300_000 {
            let free = ids.free_at(60_000);
            if free > now {
                (now, waited) = (free, waited + 1);
            }
            let id = ids.draw(now, 65_500);
            if let Some(before) = used.insert(id, now) {
                assert!(now.since(before) >= Duration::from_secs(262), "{id}");
            }
            now = now + Duration::from_millis(1);
        }
        assert_eq!(used.len(), 1 << 16);
        // All of them last for 65 s: it waits once for each time round.
        assert_eq!(waited, 4);
    }
}
