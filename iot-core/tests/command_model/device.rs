//! The device's rules in plain sets: what one turn of a driver does to an inbox, and to its records.
//!
//! A turn is one input and everything the inbox then wants done, as a node drives it. Cuts fall between the
//! operations of a turn.

use iot_core::command::Class;

use super::rules::{Ask, End, Id, Mutant, PLACES, Rules, Say};

/// The records of one place: what has ended, and how far each kept command came.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Shelf {
    pub(crate) header: Option<Header>,
    pub(crate) entries: [Option<Entry>; PLACES],
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Header {
    pub(crate) issuer: u8,
    pub(crate) epoch: u8,
    pub(crate) floor: u8,
    /// A bit for each sequence from the floor on that has ended.
    pub(crate) ended: u16,
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Entry {
    pub(crate) id: Id,
    /// `None`: it was started.
    pub(crate) end: Option<End>,
}

pub(crate) type Flash = [Shelf; 2];

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Phase {
    /// To be handed out, in the order of `turn`.
    Ready {
        resumed: bool,
        turn: u8,
    },
    Running,
    Ended(End),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Slot {
    pub(crate) sequence: u8,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Ledger {
    /// 0: free.
    pub(crate) issuer: u8,
    pub(crate) epoch: u8,
    pub(crate) floor: u8,
    pub(crate) ended: u16,
    pub(crate) slots: [Option<Slot>; PLACES],
}

/// The RAM of an inbox between two turns.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) struct Ram {
    pub(crate) ledgers: [Ledger; 2],
}

/// What a driver does for the inbox, in this order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Op {
    /// Writes the records of one place, and with them the effect of a transactional command that ends.
    Commit {
        flash: Flash,
        ends: Option<Id>,
    },
    Say(Id, Say),
}

impl Ledger {
    fn live(&self) -> impl Iterator<Item = u8> {
        let slots = self.slots.into_iter().flatten();
        slots
            .filter(|slot| !matches!(slot.phase, Phase::Ended(_)))
            .map(|slot| slot.sequence)
    }

    fn raise(&mut self, floor: u8) {
        self.floor = self.floor.max(floor);
        self.ended &= u16::MAX << self.floor;
    }

    fn has_ended(&self, sequence: u8) -> bool {
        self.ended >> sequence & 1 == 1
    }

    fn header(&self) -> Option<Header> {
        Some(Header {
            issuer: self.issuer,
            epoch: self.epoch,
            floor: self.floor,
            ended: self.ended,
        })
    }

    /// The place for a new command: a free one, else the oldest end that nobody will ask for.
    fn room(&self, rules: &Rules, ask: Ask) -> Option<usize> {
        let waits = self.live().any(|live| live < ask.id.sequence);
        let at_floor = ask.settled == ask.id.sequence && !waits;
        let may_forget = ask.settled == 0 || at_floor;
        let may_forget = may_forget || rules.breaks(Mutant::EvictUnsettled);
        let places = 0..usize::from(rules.results);
        let usable = places.filter(|&at| match self.slots[at] {
            None => true,
            Some(slot) => {
                let settled = may_forget || slot.sequence < self.floor;
                settled && matches!(slot.phase, Phase::Ended(_))
            }
        });
        usable.min_by_key(|&at| self.slots[at].map_or(0, |slot| slot.sequence))
    }
}

impl Ram {
    /// A request arrives.
    pub(crate) fn deliver(&mut self, rules: &Rules, flash: &Flash, ask: Ask) -> Vec<Op> {
        let ledgers = &self.ledgers;
        let place = (ledgers.iter().position(|l| l.issuer == ask.id.issuer))
            .or_else(|| ledgers.iter().position(|l| l.issuer == 0));
        let Some(place) = place else {
            return vec![Op::Say(ask.id, Say::Busy)];
        };
        let mut due = false;
        if self.ledgers[place].issuer == 0 {
            self.ledgers[place].issuer = ask.id.issuer;
            self.ledgers[place].floor = 1;
            due = true;
        }
        let turn = self.next_turn();
        let ledger = &mut self.ledgers[place];
        let (say, entry) = match ledger.admit(rules, ask, &mut due, flash[place].header) {
            Err(say) => (Some(say), None),
            Ok(at) => {
                let sequence = ask.id.sequence;
                let phase = Phase::Ready {
                    resumed: false,
                    turn,
                };
                ledger.slots[at] = Some(Slot { sequence, phase });
                let starts = rules.starts_on_record(ask.id);
                let starts = starts && !rules.breaks(Mutant::NoStarted);
                let entry = Entry {
                    id: ask.id,
                    end: None,
                };
                (None, starts.then_some((at, entry)))
            }
        };
        let mut ops = Vec::new();
        if due || entry.is_some() {
            let mut flash = *flash;
            flash[place].header = ledger.header();
            if let Some((at, entry)) = entry {
                flash[place].entries[at] = Some(entry);
            }
            ops.push(Op::Commit { flash, ends: None });
        }
        ops.extend(say.map(|say| Op::Say(ask.id, say)));
        ops
    }

    /// The handler asks for the oldest command.
    pub(crate) fn hand_out(&mut self) -> Option<(Id, bool)> {
        let all = self.ledgers.iter().enumerate().flat_map(|(place, ledger)| {
            let slots = ledger.slots.iter().enumerate();
            slots.filter_map(move |(at, slot)| match slot.as_ref()?.phase {
                Phase::Ready { turn, .. } => Some((turn, place, at)),
                _ => None,
            })
        });
        let (_, place, at) = all.min()?;
        let ledger = &mut self.ledgers[place];
        let (issuer, epoch) = (ledger.issuer, ledger.epoch);
        let slot = ledger.slots[at].as_mut()?;
        let Phase::Ready { resumed, .. } = slot.phase else {
            return None;
        };
        slot.phase = Phase::Running;
        let id = Id {
            issuer,
            epoch,
            sequence: slot.sequence,
        };
        self.close_ranks();
        Some((id, resumed))
    }

    /// Whether `id` is kept, live or ended.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.slot(id).is_some()
    }

    /// Whether it is kept how `id` ended.
    pub(crate) fn has_ended(&self, id: Id) -> bool {
        let slot = self.slot(id);
        slot.is_some_and(|slot| matches!(slot.phase, Phase::Ended(_)))
    }

    fn slot(&self, id: Id) -> Option<Slot> {
        let of = |ledger: &&Ledger| (ledger.issuer, ledger.epoch) == (id.issuer, id.epoch);
        let ledgers = self.ledgers.iter().filter(of);
        let mut slots = ledgers.flat_map(|ledger| ledger.slots).flatten();
        slots.find(|slot| slot.sequence == id.sequence)
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = Id> {
        self.ledgers.iter().flat_map(|ledger| {
            let slots = ledger.slots.iter().flatten();
            let running = slots.filter(|slot| slot.phase == Phase::Running);
            running.map(|slot| Id {
                issuer: ledger.issuer,
                epoch: ledger.epoch,
                sequence: slot.sequence,
            })
        })
    }

    /// The handler is through with a command.
    pub(crate) fn finish(&mut self, rules: &Rules, flash: &Flash, id: Id) -> Vec<Op> {
        let place = |ledger: &Ledger| (ledger.issuer, ledger.epoch) == (id.issuer, id.epoch);
        let place = self.ledgers.iter().position(place).unwrap();
        let mut ops = self.end(*flash, place, id, End::Done);
        if rules.breaks(Mutant::ReplyFirst) {
            ops.reverse();
        }
        ops
    }

    fn end(&mut self, mut flash: Flash, place: usize, id: Id, end: End) -> Vec<Op> {
        let ledger = &mut self.ledgers[place];
        let this = |slot: &Option<Slot>| slot.is_some_and(|slot| (slot.sequence) == (id.sequence));
        let at = ledger.slots.iter().position(this).unwrap();
        ledger.ended |= 1 << id.sequence;
        ledger.slots[at] = Some(Slot {
            sequence: id.sequence,
            phase: Phase::Ended(end),
        });
        flash[place].header = ledger.header();
        flash[place].entries[at] = Some(Entry { id, end: Some(end) });
        let ends = Some(id);
        vec![Op::Commit { flash, ends }, Op::Say(id, Say::Ended(end))]
    }

    /// What a boot finds, and does at once.
    pub(crate) fn boot(rules: &Rules, flash: &Flash) -> (Self, Vec<Op>) {
        let (mut ram, mut doubts) = (Self::default(), Vec::new());
        for (place, shelf) in flash.iter().enumerate() {
            let Some(header) = shelf.header else { continue };
            let ledger = &mut ram.ledgers[place];
            (ledger.issuer, ledger.epoch) = (header.issuer, header.epoch);
            (ledger.floor, ledger.ended) = (header.floor, header.ended);
            if rules.breaks(Mutant::FloorForgotten) {
                ledger.floor = 1;
            }
            for (at, entry) in shelf.entries.iter().enumerate() {
                let Some(entry) = entry else { continue };
                let of_this_life =
                    (entry.id.issuer, entry.id.epoch) == (ledger.issuer, ledger.epoch);
                let sequence = entry.id.sequence;
                let known = ledger
                    .slots
                    .iter()
                    .flatten()
                    .any(|s| s.sequence == sequence);
                let over = ledger.has_ended(sequence) || sequence < ledger.floor;
                let again =
                    rules.breaks(Mutant::RetryOpaque) || rules.class(entry.id) == Class::Probed;
                let phase = match entry.end {
                    _ if !of_this_life || known => continue,
                    Some(_) if rules.breaks(Mutant::EndForgotten) => {
                        ledger.ended &= !(1 << sequence);
                        continue;
                    }
                    Some(end) => Phase::Ended(end),
                    None if over => continue,
                    None if again => Phase::Ready {
                        resumed: !rules.breaks(Mutant::ProbeSkipped),
                        turn: 0,
                    },
                    None => {
                        doubts.push((place, entry.id));
                        Phase::Running
                    }
                };
                ledger.slots[at] = Some(Slot { sequence, phase });
            }
        }
        // Everything is written before anything is said.
        let (mut flash, mut commits, mut says) = (*flash, Vec::new(), Vec::new());
        for (place, id) in doubts {
            for op in ram.end(flash, place, id, End::InDoubt) {
                match op {
                    Op::Commit { flash: after, .. } => {
                        flash = after;
                        commits.push(op);
                    }
                    Op::Say(..) => says.push(op),
                }
            }
        }
        commits.extend(says);
        (ram, commits)
    }

    fn next_turn(&self) -> u8 {
        self.turns().max().unwrap_or(0) + 1
    }

    fn turns(&self) -> impl Iterator<Item = u8> {
        let slots = self
            .ledgers
            .iter()
            .flat_map(|ledger| ledger.slots)
            .flatten();
        slots.filter_map(|slot| match slot.phase {
            Phase::Ready { turn, .. } => Some(turn),
            _ => None,
        })
    }

    /// Only the order of the turns counts, so equal orders become equal states.
    fn close_ranks(&mut self) {
        let mut order: Vec<u8> = self.turns().filter(|&turn| turn > 0).collect();
        order.sort_unstable();
        for slot in self.ledgers.iter_mut().flat_map(|ledger| &mut ledger.slots) {
            if let Some(slot) = slot
                && let Phase::Ready { turn, .. } = &mut slot.phase
                && let Some(rank) = order.iter().position(|other| other == turn)
            {
                *turn = u8::try_from(rank + 1).unwrap();
            }
        }
    }
}

impl Ledger {
    /// Finds the slot for a new command; `due` says that the header must be on record before the answer.
    fn admit(
        &mut self,
        rules: &Rules,
        ask: Ask,
        due: &mut bool,
        written: Option<Header>,
    ) -> Result<usize, Say> {
        let Id {
            epoch, sequence, ..
        } = ask.id;
        let too_old = Say::Ended(End::TooOld);
        if epoch < self.epoch && !rules.breaks(Mutant::EpochReturns) {
            return Err(too_old);
        }
        if epoch != self.epoch {
            if self.live().next().is_some() {
                return Err(Say::Busy);
            }
            let issuer = self.issuer;
            *self = Self {
                issuer,
                epoch,
                floor: 1,
                ..Self::default()
            };
            *due |= !rules.breaks(Mutant::EpochNotDurable);
        }
        self.settle(rules, ask, due);
        if sequence < self.floor {
            let on_record = written
                .is_some_and(|header| (header.epoch, header.floor) == (self.epoch, self.floor));
            *due |= !on_record && !rules.breaks(Mutant::FloorNotDurable);
            return Err(too_old);
        }
        let same = |slot: &&Slot| slot.sequence == sequence;
        if let Some(slot) = self.slots.iter().flatten().find(same) {
            return Err(match slot.phase {
                Phase::Ended(end) => Say::Ended(end),
                _ => Say::InProgress,
            });
        }
        if self.has_ended(sequence) {
            return Err(Say::Ended(End::Forgotten));
        }
        let at = self.room(rules, ask).ok_or(Say::Busy)?;
        let needed = (sequence + 1).saturating_sub(rules.window);
        let live = self.live().min().unwrap_or(u8::MAX);
        // Nor over an end that its issuer may still ask for.
        let kept = match ask.settled {
            0 => u8::MAX,
            settled => settled.max(self.floor),
        };
        let open = |sequence| sequence >= live.min(kept) || !self.has_ended(sequence);
        let open = (self.floor..needed).any(open);
        if open && !rules.breaks(Mutant::WindowOverOpen) {
            return Err(Say::Busy);
        }
        self.raise(needed);
        Ok(at)
    }

    /// What the issuer is done with is over, except what a boot must still find started.
    fn settle(&mut self, rules: &Rules, ask: Ask, due: &mut bool) {
        let id = |sequence| Id { sequence, ..ask.id };
        let on_record = |sequence: &u8| rules.starts_on_record(id(*sequence));
        let started: Vec<u8> = self.live().filter(on_record).collect();
        let lowest = self.live().min().unwrap_or(u8::MAX);
        let past = rules.breaks(Mutant::SettlePastLive);
        self.raise(if past {
            ask.settled
        } else {
            ask.settled.min(lowest)
        });
        for over in self.floor..ask.settled.min(self.floor + rules.window) {
            if !self.has_ended(over) && !started.contains(&over) {
                self.ended |= 1 << over;
                *due = true;
            }
        }
    }
}
