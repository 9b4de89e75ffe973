//! Which command is taken in, and what happens next.

use super::desk::{Doing, PAUSE_MS};
use super::ledger::Ledger;
use super::slot::{Phase, Slot, Time, clear, oldest};
use super::{Grant, Inbox};
use crate::command::cbor::{self, Reader};
use crate::command::class::Command;
use crate::command::envelope::{Body, Fingerprint, MAX_MESSAGE_BYTES};
use crate::command::state::Code;
use crate::id::IssuerId;
use crate::time::Now;

impl<
    C: Command,
    const ISSUERS: usize,
    const WINDOW: usize,
    const RESULTS: usize,
    const EFFECT_BYTES: usize,
> Inbox<C, ISSUERS, WINDOW, RESULTS, EFFECT_BYTES>
{
    /// Takes in every request of a message, and owes each an answer.
    pub(super) fn receive(&mut self, now: Now, mut payload: &[u8]) {
        // Without its records the inbox cannot tell a repetition: the issuer will ask again.
        while self.desk.restored && payload.len() <= MAX_MESSAGE_BYTES {
            let mut slot = Slot::FREE;
            let mut reader = Reader::new(payload);
            let body = slot.head.read(&mut reader);
            let Some(rest) = reader.rest() else {
                break;
            };
            payload = rest;
            if let Err(code) = self.admit(now, &mut slot, &body) {
                self.desk.reply(slot.head.id, code);
            }
        }
    }

    fn admit(&mut self, now: Now, new: &mut Slot, body: &Body<'_>) -> Result<(), Code> {
        // Not the last word: nothing is kept of an unknown issuer, so a repetition may run once it is known.
        let allows = self.grant(new.head.id.issuer).ok_or(Code::UnknownIssuer)?;
        if self.desk.damaged {
            return Err(Code::Busy);
        }
        new.fingerprint = Fingerprint::of(body.command);
        let place = self.ledger(new.head.id.issuer).ok_or(Code::Busy)?;
        let Some(at) = self.place(place, new, body)? else {
            return Ok(());
        };
        new.phase = Phase::Waiting;
        let command = Self::decode(body.command);
        match &command {
            _ if body.cancels => new.end(Code::Cancelled),
            None => new.end(Code::Invalid),
            Some(command) if !allows(command) => new.end(Code::Unauthorised),
            Some(command) => {
                new.declare(command);
                match new.time(now, self.desk.danger_unproved_time) {
                    Time::Over => new.end(Code::Expired),
                    Time::Unknown => return Err(Code::ClockUnknown),
                    Time::Come | Time::NotYet => {}
                }
            }
        }
        self.desk.arrivals = self.desk.arrivals.saturating_add(1);
        new.arrival = self.desk.arrivals;
        if let Some(slot) = self.slots.as_flattened_mut().get_mut(at) {
            *slot = *new;
        }
        if let Some(place) = self.commands.as_flattened_mut().get_mut(at) {
            *place = command;
        }
        Ok(())
    }

    /// Finds the slot for a new command; `None` when the request was a repetition and its answer is owed.
    fn place(&mut self, place: usize, new: &Slot, body: &Body<'_>) -> Result<Option<usize>, Code> {
        let id = new.head.id;
        let ledger = self.ledgers.get_mut(place).ok_or(Code::Busy)?;
        let slots = self.slots.get_mut(place).ok_or(Code::Busy)?;
        let (mut lowest_live, mut oldest, mut room) = (u32::MAX, u32::MAX, place * RESULTS);
        for (at, slot) in slots.iter_mut().enumerate() {
            if slot.head.id == id {
                if slot.fingerprint != new.fingerprint {
                    return Err(Code::Mismatch);
                }
                slot.cancelled |= body.cancels;
                slot.owed = true;
                return Ok(None);
            }
            let sequence = slot.head.id.sequence;
            // Whoever asked for what is settled did so long ago: it must not cost a younger result its place.
            let gives_way = !slot.is_live() && (!slot.owed || sequence < body.settled_below);
            if slot.is_live() {
                lowest_live = lowest_live.min(sequence);
            }
            if gives_way && sequence < oldest {
                (oldest, room) = (sequence, place * RESULTS + at);
            }
        }
        // Two issuers lose their oldest results instead of waiting for room: one that settles nothing would
        // wait for ever, and so would one whose command at the floor finds no room behind those it waits for.
        // It does not wait for ever where an older one is live: when that has ended, its room is free.
        let lowest_kept = match body.settled_below {
            0 => u32::MAX,
            settled if settled == id.sequence && lowest_live > settled => u32::MAX,
            settled => settled,
        };
        if ledger.issuer != Some(id.issuer) || id.epoch > ledger.epoch {
            if lowest_live < u32::MAX {
                return Err(Code::Busy);
            }
            ledger.open(id.issuer, id.epoch);
            clear(slots);
            (oldest, room) = (0, place * RESULTS);
        }
        let is_older = id.epoch < ledger.epoch;
        // What an older life settled says nothing about the numbers of this one.
        if !is_older {
            ledger.window.settle_below(body.settled_below);
        }
        if is_older || id.sequence < ledger.window.floor() {
            // What is answered must stay true: what is not on record could be gone with the next boot.
            let over = if is_older { 0 } else { id.sequence };
            return Err(if over < ledger.durable {
                Code::TooOld
            } else {
                Code::Busy
            });
        }
        // The floor must not pass an end that the issuer may still ask for.
        let kept = match body.settled_below {
            0 => u32::MAX,
            _ => ledger.window.floor(),
        };
        let is_near = (id.sequence.saturating_sub(kept) as usize) < WINDOW;
        if !is_near || !ledger.window.reach(id.sequence) {
            return Err(Code::Busy);
        }
        if ledger.window.has_bit(id.sequence) {
            return Err(Code::Forgotten);
        }
        if oldest >= lowest_kept {
            return Err(Code::Busy);
        }
        Ok(Some(room))
    }

    /// The ledger of an issuer: its own, a free one, or one whose issuer is not known any longer.
    fn ledger(&self, issuer: IssuerId) -> Option<usize> {
        // The first free one: so the first record is always there for a firmware of other sizes to find.
        let of = |wanted| (self.ledgers.iter()).position(|ledger| ledger.issuer == wanted);
        let is_spare = |ledger: &Ledger<WINDOW>| {
            (ledger.issuer).is_some_and(|issuer| self.grant(issuer).is_none())
        };
        of(Some(issuer))
            .or_else(|| of(None))
            .or_else(|| self.ledgers.iter().position(is_spare))
    }

    /// What an issuer may do; `None` when nothing was said about it.
    fn grant(&self, issuer: IssuerId) -> Option<fn(&C) -> bool> {
        find(&self.grants, issuer)
    }

    /// Lets commands start whose time has come, and ends those whose time is over.
    pub(super) fn advance(&mut self, now: Now) {
        if self.desk.wake.is_some_and(|wake| wake <= now.instant) {
            self.desk.wake = None;
            (self.desk.no_storage, self.desk.no_link) = (false, false);
        }
        let slots = self.slots.as_flattened_mut();
        for at in 0..slots.len() {
            let Some(slot) = slots.get(at) else {
                continue;
            };
            let waits = slot.phase == Phase::Waiting;
            if !waits && slot.phase != Phase::Started {
                continue;
            }
            let time = slot.time(now, self.desk.danger_unproved_time);
            if matches!(time, Time::NotYet | Time::Unknown) {
                let until = slot
                    .head
                    .not_before
                    .as_millis()
                    .wrapping_sub(now.wall.not_before().as_millis());
                // Nobody tells when the clock is set.
                self.desk.wake_in(
                    now.instant,
                    if time == Time::Unknown {
                        PAUSE_MS
                    } else {
                        until
                    },
                );
            }
            let Some(ledger) = self.ledgers.get(at / RESULTS) else {
                continue;
            };
            // A new epoch must be on record first: after a cut the old one could come back to life.
            let is_new = ledger.durable == 0;
            // Its issuer has given it up, and issued others since.
            let is_settled = slot.head.id.sequence < ledger.window.floor();
            let starts_on_record = slot.class.starts_on_record();
            let may_start = time == Time::Come && !slots.iter().any(|other| slot.waits_for(other));
            let Some(slot) = slots.get_mut(at) else {
                continue;
            };
            let over = match time {
                _ if waits && slot.cancelled => Some(Code::Cancelled),
                _ if waits && is_settled => Some(Code::TooOld),
                Time::Over => Some(Code::Expired),
                _ => None,
            };
            if let Some(code) = over {
                slot.end(code);
            } else if waits && may_start {
                let command = self
                    .commands
                    .as_flattened()
                    .get(at)
                    .and_then(Option::as_ref);
                let grant = find(&self.grants, slot.head.id.issuer).zip(command);
                if !grant.is_some_and(|(allows, command)| allows(command)) {
                    slot.end(Code::Unauthorised);
                } else if starts_on_record || is_new {
                    slot.phase = Phase::Starting;
                } else {
                    slot.phase = Phase::Started;
                }
            } else if waits && !slot.on_record && (starts_on_record || time == Time::NotYet) {
                // Whoever asks again brings back what is not on record, but not at the right time.
                slot.phase = Phase::Accepting;
            }
        }
    }

    /// The command in its encoded form; `None` when this firmware knows none such.
    // Two callers, one copy.
    #[inline(never)]
    pub(super) fn decode(command: &[u8]) -> Option<C> {
        cbor::whole(command)
    }

    /// What to do next.
    pub(super) fn choose(&mut self) -> Doing {
        let slots = self.slots.as_flattened();
        if !self.desk.no_storage
            && let Some(at) = oldest(slots, Slot::wants_record)
        {
            self.desk.serial = self.desk.serial.saturating_add(1);
            return Doing::Record(at);
        }
        if !self.desk.no_link {
            if let Some(at) = oldest(slots, |slot| slot.owed) {
                return Doing::Answer(at);
            }
            if let Some(at) = self
                .desk
                .replies
                .iter()
                .position(|(_, code)| code.is_some())
            {
                return Doing::Reply(at);
            }
        }
        Doing::Nothing
    }
}

fn find<C>(grants: &[Option<Grant<C>>], issuer: IssuerId) -> Option<fn(&C) -> bool> {
    let mut grants = grants.iter().flatten();
    Some(grants.find(|grant| grant.issuer == issuer)?.allows)
}
