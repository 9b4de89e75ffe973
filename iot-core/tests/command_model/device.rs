//! The device's rules in plain sets: what one turn of a driver does to an inbox, and to its records.
//!
//! A turn is one input and everything the inbox then wants done, as a node drives it. Cuts fall between the
//! operations of a turn.

use iot_core::command::Class;

use super::flash::{Flash, Head, Record, head, newest_serial, put};
use super::rules::{Ask, End, Id, Mutant, PLACES, Rules, Say};

/// How far a command has come.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Phase {
    /// It waits for its lane.
    Waiting,
    /// To be put on record as accepted.
    Accepting,
    /// To be put on record as started.
    Starting,
    /// To be handed out.
    Started,
    Running,
    /// To be put on record as ended.
    Ending(End),
    Ended(End),
}

#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Slot {
    pub(crate) sequence: u8,
    pub(crate) phase: Phase,
    /// Earlier commands have smaller numbers.
    arrival: u8,
    on_record: bool,
    resumed: bool,
    /// An answer is due; never between two turns.
    owed: bool,
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
    /// Writes the record of one slot, and with it the effect of a transactional command that was carried out.
    Commit {
        flash: Flash,
        ends: Option<Id>,
    },
    Say(Id, Say),
}

impl Slot {
    const fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    const fn holds_lane(&self) -> bool {
        matches!(
            self.phase,
            Phase::Starting | Phase::Started | Phase::Running
        )
    }

    const fn queues(&self) -> bool {
        matches!(self.phase, Phase::Waiting | Phase::Accepting)
    }

    const fn wants_record(&self) -> bool {
        matches!(
            self.phase,
            Phase::Accepting | Phase::Starting | Phase::Ending(_)
        )
    }
}

impl Ledger {
    fn id(&self, sequence: u8) -> Id {
        Id {
            issuer: self.issuer,
            epoch: self.epoch,
            sequence,
        }
    }

    fn live(&self) -> impl Iterator<Item = u8> {
        let slots = self.slots.into_iter().flatten();
        slots.filter(Slot::is_live).map(|slot| slot.sequence)
    }

    fn raise(&mut self, floor: u8) {
        self.floor = self.floor.max(floor);
        self.ended &= u16::MAX << self.floor;
    }

    fn has_ended(&self, sequence: u8) -> bool {
        self.ended >> sequence & 1 == 1
    }

    /// Finds the place for a new command, or says why there is none.
    fn admit(&mut self, rules: &Rules, ask: Ask, written: Option<Head>) -> Result<usize, Say> {
        let Id {
            issuer,
            epoch,
            sequence,
        } = ask.id;
        let forgets = ask.settled == 0 || ask.settled == sequence;
        let forgets = forgets || rules.breaks(Mutant::EvictUnsettled);
        let limit = if forgets { u8::MAX } else { ask.settled };
        // A free place, else the oldest end that may go.
        let places = (0..usize::from(rules.results)).filter_map(|at| match self.slots[at] {
            None => Some((0, at)),
            Some(slot) if slot.is_live() || slot.sequence >= limit => None,
            Some(slot) if slot.owed && slot.sequence >= ask.settled => None,
            Some(slot) => Some((slot.sequence, at)),
        });
        let mut room = places.min();
        let lowest = self.live().min().unwrap_or(u8::MAX);
        let returns = rules.breaks(Mutant::EpochReturns) && epoch != self.epoch;
        if self.issuer != issuer || epoch > self.epoch || returns {
            if lowest < u8::MAX {
                return Err(Say::Busy);
            }
            *self = Self {
                issuer,
                epoch,
                floor: 1,
                ..Self::default()
            };
            room = Some((0, 0));
        }
        let older = epoch < self.epoch;
        if !older || rules.breaks(Mutant::OldEpochSettles) {
            let waits = rules.breaks(Mutant::SettledForgotten);
            self.raise(if waits {
                ask.settled.min(lowest)
            } else {
                ask.settled
            });
        }
        if older || sequence < self.floor {
            let (is_new, floor) = written
                .filter(|head| (head.issuer, head.epoch) == (self.issuer, self.epoch))
                .map_or((true, 0), |head| (false, head.floor));
            let durable = if older { !is_new } else { sequence < floor };
            let durable = durable || rules.breaks(Mutant::FloorNotDurable);
            return Err(if durable {
                Say::Ended(End::TooOld)
            } else {
                Say::Busy
            });
        }
        let kept = match ask.settled {
            0 => u8::MAX,
            _ if rules.breaks(Mutant::PassUnsettled) => u8::MAX,
            settled => settled.max(self.floor),
        };
        let needed = (sequence + 1).saturating_sub(rules.window);
        let open = (self.floor..needed).any(|passed| !self.has_ended(passed));
        if (open || needed > kept) && !rules.breaks(Mutant::WindowOverOpen) {
            return Err(Say::Busy);
        }
        self.raise(needed);
        if self.has_ended(sequence) {
            return Err(Say::Ended(End::Forgotten));
        }
        // When an older one that is live has ended, there is room without dropping what is not settled.
        let (dropped, at) = room.ok_or(Say::Busy)?;
        let waits = lowest < ask.settled && dropped >= ask.settled;
        if waits && !rules.breaks(Mutant::DropBehindLive) {
            return Err(Say::Busy);
        }
        Ok(at)
    }
}

impl Ram {
    /// Requests arrive in one message.
    pub(crate) fn deliver(&mut self, rules: &Rules, flash: &Flash, asks: &[Ask]) -> Vec<Op> {
        let mut replies = Vec::new();
        for &ask in asks {
            if let Err(say) = self.take_in(rules, flash, ask) {
                replies.push(Op::Say(ask.id, say));
            }
        }
        let mut ops = self.turn(rules, flash);
        ops.extend(replies);
        ops
    }

    fn take_in(&mut self, rules: &Rules, flash: &Flash, ask: Ask) -> Result<(), Say> {
        let places = self.ledgers.iter();
        let place = (places.clone().position(|l| l.issuer == ask.id.issuer))
            .or_else(|| places.clone().position(|l| l.issuer == 0))
            .ok_or(Say::Busy)?;
        let arrival = self.slots().map(|slot| slot.arrival).max().unwrap_or(0) + 1;
        let ledger = &mut self.ledgers[place];
        let id = |ledger: &Ledger, slot: &Slot| ledger.id(slot.sequence);
        let copy = *ledger;
        if let Some(slot) = (ledger.slots.iter_mut().flatten()).find(|s| id(&copy, s) == ask.id) {
            slot.owed = true;
            return Ok(());
        }
        let at = ledger.admit(rules, ask, head(&flash[place]))?;
        ledger.slots[at] = Some(Slot {
            sequence: ask.id.sequence,
            phase: Phase::Waiting,
            arrival,
            on_record: false,
            resumed: false,
            owed: false,
        });
        Ok(())
    }

    /// The handler asks for the oldest command.
    pub(crate) fn hand_out(&mut self) -> Option<(Id, bool)> {
        let (place, at) = self.oldest(|slot| slot.phase == Phase::Started)?;
        let ledger = &mut self.ledgers[place];
        let copy = *ledger;
        let slot = ledger.slots[at].as_mut()?;
        slot.phase = Phase::Running;
        Some((copy.id(slot.sequence), slot.resumed))
    }

    pub(crate) fn running(&self) -> impl Iterator<Item = Id> {
        self.ledgers.iter().flat_map(|ledger| {
            let slots = ledger.slots.iter().flatten();
            let running = slots.filter(|slot| slot.phase == Phase::Running);
            running.map(|slot| ledger.id(slot.sequence))
        })
    }

    /// Whether `id` is kept, live or ended.
    pub(crate) fn knows(&self, id: Id) -> bool {
        self.slot(id).is_some()
    }

    pub(crate) fn slot(&self, id: Id) -> Option<Slot> {
        let mut all = self.ledgers.iter().flat_map(|ledger| {
            let slots = ledger.slots.iter().flatten();
            slots.map(|slot| (ledger.id(slot.sequence), *slot))
        });
        all.find(|(found, _)| *found == id).map(|(_, slot)| slot)
    }

    /// The handler is through with a command.
    pub(crate) fn finish(&mut self, rules: &Rules, flash: &Flash, id: Id) -> Vec<Op> {
        for ledger in &mut self.ledgers {
            let copy = *ledger;
            let mut slots = ledger.slots.iter_mut().flatten();
            if let Some(slot) = slots.find(|slot| copy.id(slot.sequence) == id) {
                slot.phase = Phase::Ending(End::Done);
            }
        }
        let mut ops = self.turn(rules, flash);
        if rules.breaks(Mutant::ReplyFirst)
            && let Some(at) = ops.iter().position(|op| matches!(op, Op::Say(..)))
        {
            let said = ops.remove(at);
            ops.insert(0, said);
        }
        ops
    }

    /// What a boot finds, and does at once.
    pub(crate) fn boot(rules: &Rules, flash: &Flash) -> (Self, Vec<Op>) {
        let mut ram = Self::default();
        for (place, shelf) in flash.iter().enumerate() {
            let Some(newest) = head(shelf) else { continue };
            let ledger = &mut ram.ledgers[place];
            (ledger.issuer, ledger.epoch) = (newest.issuer, newest.epoch);
            (ledger.floor, ledger.ended) = (newest.floor, newest.ended);
            if rules.breaks(Mutant::FloorForgotten) {
                ledger.floor = 1;
            }
            for (at, record) in shelf.iter().enumerate() {
                let Some(record) = record else { continue };
                // An older life means nothing any more.
                if (record.id.issuer, record.id.epoch) == (ledger.issuer, ledger.epoch) {
                    ledger.slots[at] = restored(rules, record);
                }
            }
            if rules.breaks(Mutant::EndForgotten) {
                let ends = ledger.slots.iter_mut();
                for end in ends.filter(|slot| slot.is_some_and(|slot| !slot.is_live())) {
                    ledger.ended &= !(1 << end.unwrap().sequence);
                    *end = None;
                }
            }
        }
        let ops = ram.turn(rules, flash);
        (ram, ops)
    }

    /// Everything that is due: records first, then answers; at its end nothing is due.
    fn turn(&mut self, rules: &Rules, flash: &Flash) -> Vec<Op> {
        let (mut flash, mut ops) = (*flash, Vec::new());
        loop {
            self.advance(rules, &flash);
            let Some((place, at)) = self.oldest(Slot::wants_record) else {
                break;
            };
            let ends = self.write(&mut flash, place, at);
            ops.push(Op::Commit { flash, ends });
        }
        while let Some((place, at)) = self.oldest(|slot| slot.owed) {
            let ledger = &mut self.ledgers[place];
            let copy = *ledger;
            let slot = ledger.slots[at].as_mut().unwrap();
            slot.owed = false;
            let say = match slot.phase {
                Phase::Ended(end) => Say::Ended(end),
                _ => Say::InProgress,
            };
            ops.push(Op::Say(copy.id(slot.sequence), say));
        }
        self.close_ranks();
        ops
    }

    /// Lets commands start whose lane is free.
    fn advance(&mut self, rules: &Rules, flash: &Flash) {
        for (place, shelf) in flash.iter().enumerate() {
            let ledger = self.ledgers[place];
            let written = head(shelf);
            let known =
                written.is_some_and(|h| (h.issuer, h.epoch) == (ledger.issuer, ledger.epoch));
            let known = known || rules.breaks(Mutant::EpochNotDurable);
            for at in 0..PLACES {
                let Some(slot) = self.ledgers[place].slots[at] else {
                    continue;
                };
                if slot.phase != Phase::Waiting {
                    continue;
                }
                let id = ledger.id(slot.sequence);
                let starts = rules.starts_on_record(id) && !rules.breaks(Mutant::NoStarted);
                let lane = rules.lane(id);
                let others = self.ledgers.iter().flat_map(|ledger| {
                    let slots = ledger.slots.iter().flatten();
                    slots.map(|slot| (rules.lane(ledger.id(slot.sequence)), slot))
                });
                let mut same = others.filter(|(other, _)| *other == lane);
                let waits = same.any(|(_, other)| {
                    other.holds_lane() || other.queues() && other.arrival < slot.arrival
                });
                let over = slot.sequence < ledger.floor;
                let phase = match () {
                    () if over => Phase::Ending(End::TooOld),
                    () if !waits && (starts || !known) => Phase::Starting,
                    () if !waits => Phase::Started,
                    () if starts && !slot.on_record => Phase::Accepting,
                    () => Phase::Waiting,
                };
                self.ledgers[place].slots[at] = Some(Slot { phase, ..slot });
            }
        }
    }

    /// Puts a slot on record; says which command it ends.
    fn write(&mut self, flash: &mut Flash, place: usize, at: usize) -> Option<Id> {
        let ledger = &mut self.ledgers[place];
        let copy = *ledger;
        let slot = ledger.slots[at].as_mut().unwrap();
        let id = copy.id(slot.sequence);
        let (phase, started, end) = match slot.phase {
            Phase::Accepting => (Phase::Waiting, false, None),
            Phase::Starting => (Phase::Started, true, None),
            Phase::Ending(end) => (Phase::Ended(end), true, Some(end)),
            other => panic!("{other:?} is not written"),
        };
        (slot.phase, slot.on_record) = (phase, true);
        slot.owed |= end.is_some();
        if end.is_some() && slot.sequence >= ledger.floor {
            ledger.ended |= 1 << slot.sequence;
        }
        let record = Record {
            id,
            started,
            end,
            floor: copy.floor,
            ended: ledger.ended,
            serial: newest_serial(flash) + 1,
        };
        put(flash, place, at, record);
        matches!(end, Some(End::Done | End::InDoubt)).then_some(id)
    }

    fn slots(&self) -> impl Iterator<Item = Slot> {
        let slots = self.ledgers.iter().flat_map(|ledger| ledger.slots);
        slots.flatten()
    }

    fn oldest(&self, wanted: impl Fn(&Slot) -> bool) -> Option<(usize, usize)> {
        let all = self.ledgers.iter().enumerate().flat_map(|(place, ledger)| {
            let slots = ledger.slots.iter().enumerate();
            slots.filter_map(move |(at, slot)| Some((place, at, slot.as_ref()?)))
        });
        let wanted = all.filter(|(_, _, slot)| wanted(slot));
        let first = wanted.min_by_key(|(_, _, slot)| slot.arrival)?;
        Some((first.0, first.1))
    }

    /// Only the order of arrival counts, so equal orders become equal states.
    fn close_ranks(&mut self) {
        let mut order: Vec<u8> = self.slots().map(|slot| slot.arrival).collect();
        order.sort_unstable();
        for slot in self.ledgers.iter_mut().flat_map(|ledger| &mut ledger.slots) {
            if let Some(slot) = slot
                && let Some(rank) = order.iter().position(|other| *other == slot.arrival)
            {
                slot.arrival = u8::try_from(rank + 1).unwrap();
            }
        }
    }
}

/// The slot that a record brings back.
fn restored(rules: &Rules, record: &Record) -> Option<Slot> {
    let class = rules.class(record.id);
    let again = class == Class::Probed || rules.breaks(Mutant::RetryOpaque);
    let (phase, resumed) = match record.end {
        Some(end) => (Phase::Ended(end), false),
        None if record.started && class == Class::Opaque && !again => {
            (Phase::Ending(End::InDoubt), false)
        }
        None if record.started && rules.starts_on_record(record.id) => (Phase::Started, true),
        None => (Phase::Waiting, false),
    };
    Some(Slot {
        sequence: record.id.sequence,
        phase,
        arrival: record.serial,
        on_record: true,
        resumed: resumed && !rules.breaks(Mutant::ProbeSkipped),
        owed: false,
    })
}
