//! A link in one direction: it loses, doubles, reorders, and brings back what is long over.

use iot_core::sim::SimEntropy;

use super::tally::Tally;

/// How many messages of all times it may bring back.
const ARCHIVE: usize = 64;

#[derive(Debug, Default)]
pub(crate) struct Wire {
    under_way: Vec<(u64, Vec<u8>)>,
    archive: Vec<Vec<u8>>,
    sent: u64,
    last_arrived: u64,
}

impl Wire {
    pub(crate) fn send(
        &mut self,
        rng: &mut SimEntropy,
        calm: bool,
        tally: &mut Tally,
        payload: &[u8],
    ) {
        self.sent += 1;
        // Each message of the past has the same chance to be kept.
        let place = rng.below(self.sent);
        match usize::try_from(place).unwrap() {
            _ if self.archive.len() < ARCHIVE => self.archive.push(payload.to_vec()),
            at if at < ARCHIVE => self.archive[at] = payload.to_vec(),
            _ => {}
        }
        let copies = match rng.below(10) {
            _ if calm => 1,
            0 | 1 => 0,
            2 | 3 => 2,
            _ => 1,
        };
        tally.lost += u64::from(copies == 0);
        tally.doubled += u64::from(copies == 2);
        for _ in 0..copies {
            self.under_way.push((self.sent, payload.to_vec()));
        }
    }

    /// What arrives next, if something does; anything under way may be the next.
    pub(crate) fn arrival(
        &mut self,
        rng: &mut SimEntropy,
        calm: bool,
        tally: &mut Tally,
    ) -> Option<Vec<u8>> {
        if calm {
            return (!self.under_way.is_empty()).then(|| self.under_way.remove(0).1);
        }
        if rng.chance(20) && !self.archive.is_empty() {
            tally.ancient += 1;
            let at = rng.below(self.archive.len() as u64);
            return self.archive.get(usize::try_from(at).unwrap()).cloned();
        }
        if self.under_way.is_empty() || rng.chance(250) {
            return None;
        }
        let at = rng.below(self.under_way.len() as u64);
        let (number, payload) = self.under_way.swap_remove(usize::try_from(at).unwrap());
        tally.reordered += u64::from(number < self.last_arrived);
        self.last_arrived = number;
        Some(payload)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.is_empty()
    }
}
