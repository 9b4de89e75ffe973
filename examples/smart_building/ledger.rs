//! What the service received from one device's telemetry: every number once, and how many came again.

use std::collections::BTreeMap;

/// Names every number that is missing, and counts every number that came twice.
#[derive(Debug, Default)]
pub struct Ledger {
    contiguous: u64,
    ahead: BTreeMap<u64, ()>,
    /// How many different numbers arrived.
    pub unique: u64,
    /// How many arrived again.
    pub repeated: u64,
    /// The largest gap that was open at any time.
    pub widest_gap: u64,
}

impl Ledger {
    /// Takes a number in; true when it is new.
    pub fn take(&mut self, number: u64) -> bool {
        if number <= self.contiguous || self.ahead.contains_key(&number) {
            self.repeated += 1;
            return false;
        }
        self.unique += 1;
        self.ahead.insert(number, ());
        while self.ahead.remove(&(self.contiguous + 1)).is_some() {
            self.contiguous += 1;
        }
        let highest = self
            .ahead
            .keys()
            .next_back()
            .copied()
            .unwrap_or(self.contiguous);
        let missing = highest - self.contiguous - self.ahead.len() as u64;
        self.widest_gap = self.widest_gap.max(missing);
        true
    }

    /// Everything up to this number has arrived.
    pub const fn contiguous(&self) -> u64 {
        self.contiguous
    }

    /// How many numbers below the highest are missing.
    pub fn missing(&self) -> u64 {
        let highest = self
            .ahead
            .keys()
            .next_back()
            .copied()
            .unwrap_or(self.contiguous);
        highest - self.contiguous - self.ahead.len() as u64
    }
}
