//! The device's half in plain numbers: what is in memory, and what of it is on record.

use super::rules::{LEAVES, Mutant, Policy, Rules};

/// An epoch and a number.
pub(crate) type Stamp = (u8, u8);

#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Code {
    #[default]
    None,
    Applied,
    Pending,
    Overridden,
}

/// Versions from one to another, and in their order the fields with the version, the value, and whose intent it was.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Delta {
    pub(crate) epoch: u8,
    pub(crate) base: u8,
    pub(crate) to: u8,
    pub(crate) leaves: Vec<(u8, usize, Option<u8>, u8)>,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Leaf {
    pub(crate) stamp: Stamp,
    pub(crate) code: Code,
    /// What is desired, when it is held, and whose intent that is.
    pub(crate) held: Option<u8>,
    pub(crate) intent: u8,
    /// What is the case, when it is known.
    pub(crate) actual: Option<u8>,
}

/// One of both, memory or records.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Half {
    pub(crate) epoch: u8,
    pub(crate) contiguous: u8,
    pub(crate) leaves: [Leaf; LEAVES],
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Device {
    pub(crate) memory: Half,
    pub(crate) records: Half,
    /// How many times each field was told; the numbers are given in this order.
    pub(crate) told: [u8; LEAVES],
    pub(crate) last: u8,
}

impl Device {
    pub(crate) fn deliver(&mut self, rules: &Rules, delta: &Delta) {
        let half = &mut self.memory;
        if delta.epoch < half.epoch {
            return;
        }
        if delta.epoch > half.epoch {
            (half.epoch, half.contiguous) = (delta.epoch, 0);
        }
        let (mut room, mut upto, mut full) = (rules.room, 0, false);
        for &(number, leaf, value, intent) in &delta.leaves {
            let stamp = (delta.epoch, number);
            let is_news = match rules.breaks(Mutant::Arrival) {
                true => self.memory.leaves[leaf].stamp != stamp,
                false => self.memory.leaves[leaf].stamp < stamp,
            };
            // What was refused is looked at again, for another firmware may take it; that needs room, too.
            let old = &self.memory.leaves[leaf];
            let again = old.stamp == stamp && old.held.is_none() && old.code == Code::Overridden;
            if (is_news || again) && room == 0 {
                if rules.breaks(Mutant::DropOnFull) {
                    continue;
                }
                full = true;
                break;
            }
            if is_news {
                room -= 1;
                self.adopt(rules, leaf, stamp, value, intent);
            }
            upto = number;
        }
        if !full {
            upto = delta.to;
        }
        let half = &mut self.memory;
        let follows = delta.base <= half.contiguous || rules.breaks(Mutant::OverGap);
        if follows {
            half.contiguous = half.contiguous.max(upto);
        }
        self.keep();
    }

    fn adopt(&mut self, rules: &Rules, at: usize, stamp: Stamp, value: Option<u8>, intent: u8) {
        let leaf = &mut self.memory.leaves[at];
        let repeated = leaf.held.is_some()
            && leaf.held == value
            && leaf.stamp.0 < stamp.0
            && !rules.breaks(Mutant::Repeated);
        let edited =
            leaf.actual.is_some() && (leaf.code == Code::Overridden || leaf.stamp == (0, 0));
        leaf.stamp = stamp;
        if !repeated {
            (leaf.held, leaf.intent) = (value, intent);
            let stands = edited && stands(rules, false, leaf.actual, value);
            leaf.code = match value {
                None => Code::Applied,
                Some(_) if stands => Code::Overridden,
                Some(_) => Code::Pending,
            };
        }
        self.tell(at);
    }

    /// The application applies what it has not answered for; only memory knows.
    pub(crate) fn answer(&mut self) {
        for at in 0..LEAVES {
            let leaf = &mut self.memory.leaves[at];
            if leaf.code == Code::Pending {
                leaf.code = Code::Applied;
                leaf.actual = leaf.held;
                self.tell(at);
            }
        }
    }

    /// Somebody changes a field by hand.
    pub(crate) fn edit(&mut self, rules: &Rules, at: usize, value: u8) {
        let leaf = &mut self.memory.leaves[at];
        if leaf.actual == Some(value) || (leaf.actual.is_none() && value == 0) {
            return;
        }
        leaf.actual = Some(value);
        if leaf.held.is_some() && !stands(rules, true, leaf.actual, leaf.held) {
            leaf.code = Code::Pending;
        } else if leaf.stamp > (0, 0) {
            leaf.code = Code::Overridden;
        }
        self.tell(at);
        if !rules.breaks(Mutant::EditInRam) {
            self.keep_leaf(at);
            self.records.epoch = self.memory.epoch;
            self.records.contiguous = self.memory.contiguous;
        }
    }

    /// The power is cut: memory is what is on record, and everything is told anew.
    pub(crate) fn cut(&mut self) {
        self.memory = self.records;
        for at in 0..LEAVES {
            let leaf = self.memory.leaves[at];
            if leaf.stamp > (0, 0) || leaf.actual.is_some() {
                self.tell(at);
            }
        }
    }

    fn tell(&mut self, at: usize) {
        self.last += 1;
        self.told[at] = self.last;
    }

    /// What a delta changed is on record before anything is told of it. An answer alone is not put on record.
    fn keep(&mut self) {
        (self.records.epoch, self.records.contiguous) = (self.memory.epoch, self.memory.contiguous);
        for at in 0..LEAVES {
            if self.memory.leaves[at].stamp != self.records.leaves[at].stamp {
                self.keep_leaf(at);
            }
        }
    }

    fn keep_leaf(&mut self, at: usize) {
        self.records.leaves[at] = self.memory.leaves[at];
    }
}

/// Whether the value at the device stands: against what was desired before it was edited, or after.
fn stands(rules: &Rules, newer: bool, actual: Option<u8>, desired: Option<u8>) -> bool {
    match rules.policy {
        _ if rules.breaks(Mutant::PolicyIgnored) => true,
        Policy::LastIntent => newer,
        Policy::FollowDesired => false,
        Policy::LocalSticky => true,
        Policy::Max => actual >= desired,
    }
}
