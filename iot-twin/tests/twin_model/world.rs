//! Both halves and every message that may still arrive.

use std::collections::BTreeSet;

use super::device::{Code, Delta, Device};
use super::rules::{LEAVES, Policy, Rules};
use super::service::{Report, Service, Wish};

/// One thing that was desired: when, of which field, what, and whose intent it was.
pub(crate) type Entry = (u8, u8, usize, Option<u8>, u8);

#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) device: Device,
    /// Everything that was ever desired: any delta over it may have been sent, and may arrive at any time.
    pub(crate) history: BTreeSet<Entry>,
    /// A report that is late: others overtake it, and it may come again.
    pub(crate) late: Option<Report>,
    pub(crate) backup: Service,
    pub(crate) intents: u8,
    pub(crate) edits: u8,
    pub(crate) cuts: u8,
    pub(crate) restores: u8,
    /// What was last done by hand, and is on record.
    pub(crate) by_hand: [Option<u8>; LEAVES],
    pub(crate) broken: Option<&'static str>,
}

#[derive(Clone, Debug)]
pub(crate) enum Move {
    Desire(usize, Option<u8>),
    Deliver(Delta),
    Delay,
    Take(Report),
    Answer,
    Edit(usize, u8),
    Cut,
    BackUp,
    Restore,
}

impl World {
    /// The delta over some versions of an epoch.
    pub(crate) fn delta(history: &BTreeSet<Entry>, epoch: u8, base: u8, to: u8) -> Delta {
        let mut leaves = Vec::new();
        for at in 0..LEAVES {
            let of = |entry: &&Entry| entry.0 == epoch && entry.2 == at && entry.1 <= to;
            let newest = history.iter().rfind(of).filter(|entry| entry.1 > base);
            leaves
                .extend(newest.map(|&(_, number, at, value, intent)| (number, at, value, intent)));
        }
        leaves.sort_unstable();
        Delta {
            epoch,
            base,
            to,
            leaves,
        }
    }

    pub(crate) fn moves(&self, rules: &Rules) -> Vec<Move> {
        let mut moves = vec![Move::Answer];
        if self.intents < rules.desires {
            for at in 0..LEAVES {
                moves.push(Move::Desire(at, Some(2 + self.intents)));
                moves.push(Move::Desire(at, None));
            }
            // The same value again, and a small one.
            moves.push(Move::Desire(0, Some(2)));
        }
        let epochs: BTreeSet<u8> = self.history.iter().map(|entry| entry.0).collect();
        for epoch in epochs {
            let numbers = self.history.iter().filter(|entry| entry.0 == epoch);
            let newest = numbers.map(|entry| entry.1).max().unwrap_or(0);
            for to in 1..=newest {
                for base in 0..to {
                    moves.push(Move::Deliver(Self::delta(&self.history, epoch, base, to)));
                }
            }
        }
        let report = Report::of(&self.device);
        moves.push(Move::Take(report));
        match self.late {
            Some(late) => moves.push(Move::Take(late)),
            None if rules.late => moves.push(Move::Delay),
            None => {}
        }
        if self.edits < rules.edits {
            moves.extend([Move::Edit(0, 1), Move::Edit(0, 9)]);
        }
        if self.cuts < rules.cuts {
            moves.push(Move::Cut);
        }
        if self.restores < rules.restores {
            moves.extend([Move::BackUp, Move::Restore]);
        }
        moves
    }

    pub(crate) fn make(&mut self, rules: &Rules, choice: &Move) {
        let before = self.device;
        match choice {
            Move::Desire(at, value) => {
                if self.service.desire(*at, *value, self.intents + 1) {
                    self.intents += 1;
                    self.note();
                    self.service.bury(rules);
                }
            }
            Move::Deliver(delta) => self.device.deliver(rules, delta),
            Move::Delay => self.late = Some(Report::of(&self.device)),
            Move::Take(report) => {
                self.service.take(rules, report);
                self.note();
            }
            Move::Answer => self.device.answer(),
            Move::Edit(at, value) => {
                self.edits += 1;
                self.device.edit(rules, *at, *value);
                self.by_hand[*at] = Some(*value);
            }
            Move::Cut => {
                self.cuts += 1;
                self.device.cut();
            }
            Move::BackUp => self.backup = self.service,
            Move::Restore => {
                self.restores += 1;
                self.service = Service::restore(rules, &self.backup);
                self.note();
            }
        }
        self.hold(rules, &before, choice);
        self.rank();
    }

    /// Only the order of the numbers of reports means anything: keeps the smallest ones.
    fn rank(&mut self) {
        let late = self
            .late
            .map_or([0; LEAVES], |late| late.leaves.map(|leaf| leaf.0));
        let known = self.service.reported.map(|told| told.0);
        let saved = self.backup.reported.map(|told| told.0);
        let all = [self.device.told, late, known, saved].concat();
        let all: BTreeSet<u8> = all.into_iter().filter(|&number| number > 0).collect();
        let rank = |number: u8| match number {
            0 => 0,
            number => 1 + u8::try_from(all.range(..number).count()).unwrap(),
        };
        for at in 0..LEAVES {
            self.device.told[at] = rank(self.device.told[at]);
            self.service.reported[at].0 = rank(self.service.reported[at].0);
            self.backup.reported[at].0 = rank(self.backup.reported[at].0);
            if let Some(late) = &mut self.late {
                late.leaves[at].0 = rank(late.leaves[at].0);
            }
        }
        self.device.last = u8::try_from(all.len()).unwrap();
    }

    /// What is desired now goes into the history; no version may stand for two things.
    fn note(&mut self) {
        let epoch = self.service.epoch;
        for at in 0..LEAVES {
            let Some(wish) = self.service.wishes[at] else {
                continue;
            };
            let entry = (epoch, wish.number, at, wish.value, wish.intent);
            let same = |known: &&Entry| known.0 == epoch && known.1 == wish.number;
            if self
                .history
                .iter()
                .find(same)
                .is_some_and(|known| *known != entry)
            {
                self.broken = Some("a desired version stands for two values");
            }
            self.history.insert(entry);
        }
    }

    /// What must be true after each move.
    fn hold(&mut self, rules: &Rules, before: &Device, choice: &Move) {
        let half = &self.device.memory;
        for (at, leaf) in half.leaves.iter().enumerate() {
            let old = &before.memory.leaves[at];
            if leaf.stamp < old.stamp {
                self.broken = Some("a desired field went back");
            }
            // A desire that is withdrawn gives the field back.
            if leaf.stamp != old.stamp && leaf.held.is_none() {
                self.by_hand[at] = None;
            }
            let answered = |wish: &Wish| wish.answer != Code::None;
            if let Some(wish) = self.service.wishes[at].filter(answered)
                && half.epoch == self.service.epoch
                && leaf.stamp.1 < wish.number
            {
                self.broken = Some("a desire counts as answered that the device does not have");
            }
            let of = |entry: &&Entry| {
                entry.0 == half.epoch && entry.2 == at && entry.1 <= half.contiguous
            };
            let newest = self.history.iter().rfind(of);
            if newest.is_some_and(|entry| leaf.stamp < (entry.0, entry.1)) {
                self.broken = Some("everything was claimed, and something is missing");
            }
            // An intent that somebody at the device has overridden is never carried out again.
            let asks = old.code == Code::Overridden && leaf.code == Code::Pending;
            let lasting = matches!(rules.policy, Policy::LastIntent | Policy::LocalSticky);
            if asks && lasting && leaf.intent == old.intent {
                self.broken = Some("what was overridden by hand is desired again");
            }
            if matches!(choice, Move::Cut) && self.by_hand[at].is_some() && rules.edits > 0 {
                let told = before.memory.leaves[at].code == Code::Overridden;
                if told && leaf.code != Code::Overridden {
                    self.broken = Some("an edit that may have been told is gone with the power");
                }
            }
        }
    }

    /// Nothing goes wrong any more: both sides must come to rest, equal, as the policy says.
    pub(crate) fn settles(&self, rules: &Rules) -> Result<(), &'static str> {
        let mut world = self.clone();
        for round in 0.. {
            let service = world.service;
            let base = if world.device.memory.epoch == service.epoch {
                world.device.memory.contiguous
            } else {
                0
            };
            let mut delta = Self::delta(&world.history, service.epoch, base, service.number);
            // A service does not send what it has forgotten.
            delta.leaves.retain(|leaf| service.wishes[leaf.1].is_some());
            world.make(rules, &Move::Deliver(delta));
            world.make(rules, &Move::Answer);
            let report = Report::of(&world.device);
            world.make(rules, &Move::Take(report));
            if let Some(broken) = world.broken {
                return Err(broken);
            }
            let answered = |wish: &Wish| wish.answer != Code::None;
            let is_quiet = world.service == service
                && world.service.epoch == world.device.memory.epoch.max(1)
                && world.service.wishes.iter().flatten().all(answered);
            if is_quiet && world.service.contiguous >= world.service.number {
                break;
            }
            if round > 12 {
                return Err("both sides do not come to rest");
            }
        }
        world.is_equal(rules)
    }

    fn is_equal(&self, rules: &Rules) -> Result<(), &'static str> {
        for at in 0..LEAVES {
            let leaf = self.device.memory.leaves[at];
            let (_, told) = self.service.reported[at];
            if told != leaf.actual && self.device.told[at] > 0 {
                return Err("the service holds another value than the device");
            }
            let Some(wish) = self.service.wishes[at] else {
                // What a backup never knew stays where it is.
                if leaf.held.is_some() && rules.restores == 0 {
                    return Err("the device holds a desire that the service has forgotten");
                }
                continue;
            };
            if leaf.stamp != (self.service.epoch, wish.number) || wish.answer != leaf.code {
                return Err("a desire is not answered for");
            }
            let applied = leaf.actual == wish.value;
            let hand = self.by_hand[at];
            let kept = match rules.policy {
                _ if wish.value.is_none() => true,
                Policy::FollowDesired => applied,
                Policy::Max => leaf.actual >= wish.value,
                Policy::LocalSticky => hand.is_none_or(|hand| leaf.actual == Some(hand)),
                Policy::LastIntent => applied || leaf.code == Code::Overridden,
            };
            if !kept || (leaf.code == Code::Applied && wish.value.is_some() && !applied) {
                return Err("the value is not what the policy says");
            }
        }
        Ok(())
    }
}
