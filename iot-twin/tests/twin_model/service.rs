//! The service's half in plain numbers.

use super::device::{Code, Device};
use super::rules::{LEAVES, Mutant, Rules};

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Wish {
    pub(crate) number: u8,
    pub(crate) value: Option<u8>,
    pub(crate) answer: Code,
    pub(crate) intent: u8,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Service {
    pub(crate) epoch: u8,
    pub(crate) number: u8,
    pub(crate) contiguous: u8,
    pub(crate) met: bool,
    pub(crate) wishes: [Option<Wish>; LEAVES],
    /// The number of the newest report of each field, and its value.
    pub(crate) reported: [(u8, Option<u8>); LEAVES],
}

/// What a device says of itself.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Report {
    pub(crate) epoch: u8,
    pub(crate) contiguous: u8,
    /// Of each field: the number of the report, the value, the version answered for, and how.
    pub(crate) leaves: [(u8, Option<u8>, u8, Code); LEAVES],
}

impl Report {
    pub(crate) fn of(device: &Device) -> Self {
        let half = &device.memory;
        let mut leaves = [(0, None, 0, Code::None); LEAVES];
        for (at, leaf) in half.leaves.iter().enumerate() {
            let answers = leaf.stamp.0 == half.epoch;
            let answered = if answers { leaf.stamp.1 } else { 0 };
            leaves[at] = (device.told[at], leaf.actual, answered, leaf.code);
        }
        Self {
            epoch: half.epoch,
            contiguous: half.contiguous,
            leaves,
        }
    }
}

impl Default for Service {
    fn default() -> Self {
        Self {
            epoch: 1,
            number: 0,
            contiguous: 0,
            met: true,
            wishes: [None; LEAVES],
            reported: [(0, None); LEAVES],
        }
    }
}

impl Service {
    /// Desires a value of a field, or withdraws the desire; false when that is no news.
    pub(crate) fn desire(&mut self, at: usize, value: Option<u8>, intent: u8) -> bool {
        let is_old = match self.wishes[at] {
            None => value.is_none(),
            Some(wish) => wish.value == value && wish.answer != Code::Overridden,
        };
        if is_old {
            return false;
        }
        self.number += 1;
        self.wishes[at] = Some(Wish {
            number: self.number,
            value,
            answer: Code::None,
            intent,
        });
        true
    }

    /// Takes a report in.
    pub(crate) fn take(&mut self, rules: &Rules, report: &Report) {
        for (at, &(told, value, answered, code)) in report.leaves.iter().enumerate() {
            if told <= self.reported[at].0 {
                continue;
            }
            self.reported[at] = (told, value);
            if let Some(wish) = &mut self.wishes[at]
                && report.epoch == self.epoch
                && (answered >= wish.number || rules.breaks(Mutant::AnyAnswer))
            {
                wish.answer = code;
                if rules.breaks(Mutant::ValueDelta) && value != wish.value && code > Code::Pending {
                    self.number += 1;
                    wish.number = self.number;
                    wish.answer = Code::None;
                }
            }
        }
        let first = !core::mem::replace(&mut self.met, true);
        let ahead = report.epoch > self.epoch
            || (report.epoch == self.epoch && (report.contiguous > self.number || first));
        if ahead && !rules.breaks(Mutant::EpochKept) {
            self.open(report.epoch + 1);
        } else if report.epoch == self.epoch {
            self.contiguous = self.contiguous.max(report.contiguous);
        }
        self.bury(rules);
    }

    /// Comes back from a backup.
    pub(crate) fn restore(rules: &Rules, backup: &Self) -> Self {
        let mut service = *backup;
        service.met = false;
        if !rules.breaks(Mutant::EpochKept) {
            service.open(backup.epoch + 1);
        }
        service
    }

    /// States everything anew in a new epoch.
    fn open(&mut self, epoch: u8) {
        (self.epoch, self.number, self.contiguous) = (epoch, 0, 0);
        let mut order: Vec<_> = (0..LEAVES)
            .filter(|&at| self.wishes[at].is_some())
            .collect();
        order.sort_by_key(|&at| self.wishes[at].map(|wish| wish.number));
        for at in order {
            self.number += 1;
            if let Some(wish) = &mut self.wishes[at] {
                (wish.number, wish.answer) = (self.number, Code::None);
            }
        }
    }

    /// Forgets withdrawn desires that the device has.
    pub(crate) fn bury(&mut self, rules: &Rules) {
        for wish in &mut self.wishes {
            let is_over = |wish: &Wish| {
                let taken = wish.number <= self.contiguous && wish.answer == Code::Applied;
                wish.value.is_none() && (taken || rules.breaks(Mutant::TombstoneEarly))
            };
            if wish.as_ref().is_some_and(is_over) {
                *wish = None;
            }
        }
    }
}
