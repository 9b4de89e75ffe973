use crate::command::class::{Class, Command};
use crate::command::envelope::{Answer, Fingerprint, Request};
use crate::command::journal::{Entry, Header, Mark};
use crate::command::outcome::{Outcome, Reason};
use crate::command::window::{Standing, Window};
use crate::id::{CommandId, IssuerId};
use crate::time::{Now, Proof, Timestamp};

/// Sequences count from here in every epoch.
const FIRST: u64 = 1;

/// What is known of one issuer.
#[derive(Debug)]
pub(super) struct Ledger<C, const WINDOW: usize, const RESULTS: usize> {
    pub(super) issuer: Option<IssuerId>,
    pub(super) epoch: u32,
    pub(super) window: Window<WINDOW>,
    pub(super) slots: [Option<Slot<C>>; RESULTS],
    /// The floor that a power cut would leave.
    pub(super) durable_floor: u64,
    /// The header must be on record before anything is handed out or answered.
    pub(super) stale: bool,
}

/// One command that is kept, running or ended.
#[derive(Debug)]
pub(super) struct Slot<C> {
    pub(super) sequence: u64,
    pub(super) fingerprint: Fingerprint,
    pub(super) expires: Option<Timestamp>,
    pub(super) arrival: u32,
    /// The issuer waits for the answer.
    pub(super) owed: bool,
    /// A boot will find that it was started.
    pub(super) on_record: bool,
    pub(super) phase: Phase<C>,
}

#[derive(Debug)]
pub(super) enum Phase<C> {
    /// To be put on record as started.
    Starting(C),
    /// To be handed out.
    Ready { command: C, resumed: bool },
    /// Handed out.
    Running,
    /// To be put on record as ended.
    Ending(Outcome),
    /// On record as ended.
    Ended(Outcome),
}

impl<C: Command, const WINDOW: usize, const RESULTS: usize> Ledger<C, WINDOW, RESULTS> {
    pub(super) const fn new() -> Self {
        Self {
            issuer: None,
            epoch: 0,
            window: Window::new(FIRST),
            slots: [const { None }; RESULTS],
            durable_floor: FIRST,
            stale: true,
        }
    }

    /// Whether something is not yet on record as ended.
    pub(super) fn is_live(&self) -> bool {
        self.lowest_live().is_some()
    }

    /// Finds the slot for a new command; `None` when the request was a repetition and its answer is owed.
    pub(super) fn place(&mut self, request: &Request<'_>) -> Result<Option<usize>, Answer> {
        let id = request.id;
        if id.epoch < self.epoch {
            return Err(too_old());
        }
        if id.epoch > self.epoch {
            if self.is_live() {
                return Err(Answer::Busy);
            }
            self.epoch = id.epoch;
            self.window = Window::new(FIRST);
            self.durable_floor = FIRST;
            self.slots = [const { None }; RESULTS];
            self.stale = true;
        }
        let live = self.lowest_live().unwrap_or(u64::MAX);
        self.window.settle_below(request.settled_below.min(live));
        self.end_settled(request.settled_below);

        let standing = self.window.standing(id.sequence);
        if standing == Standing::Settled {
            // What is answered must stay true: a lower floor must not come back with the next boot.
            self.stale |= self.window.floor() > self.durable_floor;
            return Err(too_old());
        }
        let fingerprint = Fingerprint::of(request.command);
        let mut slots = self.slots.iter_mut().flatten();
        if let Some(slot) = slots.find(|slot| slot.sequence == id.sequence) {
            return match slot.phase {
                _ if slot.fingerprint != fingerprint => Err(rejected(Reason::Mismatch)),
                Phase::Ended(_) => {
                    slot.owed = true;
                    Ok(None)
                }
                _ => Err(Answer::InProgress),
            };
        }
        if standing == Standing::Ended {
            return Err(Answer::Ended(Outcome::Forgotten));
        }
        let at = self.room(request).ok_or(Answer::Busy)?;
        // The floor must not pass what is live, nor an end that the issuer may still ask for.
        let kept = match request.settled_below {
            0 => live,
            settled => live.min(settled.max(self.window.floor())),
        };
        let is_near = id.sequence.saturating_sub(kept) < WINDOW as u64;
        if !is_near || !self.window.reach(id.sequence) {
            return Err(Answer::Busy);
        }
        // A record may know of ends that lie behind what the window showed before it advanced.
        if self.window.standing(id.sequence) != Standing::Open {
            return Err(Answer::Ended(Outcome::Forgotten));
        }
        Ok(Some(at))
    }

    /// Takes a new command, or the reason not to run it, into the slot that was found for it.
    pub(super) fn accept(
        &mut self,
        at: usize,
        request: &Request<'_>,
        verdict: Result<C, Outcome>,
        arrival: u32,
    ) {
        let on_record = (verdict.as_ref()).is_ok_and(|command| command.class().starts_on_record());
        let phase = match verdict {
            Err(outcome) => Phase::Ending(outcome),
            Ok(command) if command.class().starts_on_record() => Phase::Starting(command),
            Ok(command) => Phase::Ready {
                command,
                resumed: false,
            },
        };
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(Slot {
                sequence: request.id.sequence,
                fingerprint: Fingerprint::of(request.command),
                expires: request.expires,
                arrival,
                owed: false,
                on_record,
                phase,
            });
        }
    }

    /// Ends what waited too long to be handed out.
    pub(super) fn expire(&mut self, now: Now) {
        for slot in self.slots.iter_mut().flatten() {
            let waits = matches!(
                slot.phase,
                Phase::Starting(_) | Phase::Ready { resumed: false, .. }
            );
            if waits
                && slot
                    .expires
                    .is_some_and(|at| now.wall.reached(at) == Proof::Yes)
            {
                slot.phase = Phase::Ending(Outcome::Expired);
            }
        }
    }

    /// Takes in a header from the records.
    pub(super) fn restore(&mut self, header: Header<WINDOW>) {
        self.issuer = Some(header.issuer);
        self.epoch = header.epoch;
        self.window = header.window;
        self.durable_floor = header.window.floor();
        self.stale = false;
    }

    /// Takes in an entry from the records; `None` when there was no header before it.
    pub(super) fn restore_entry(&mut self, at: usize, entry: Entry<C>) -> Option<()> {
        let (issuer, id) = (self.issuer?, entry.id);
        let standing = self.window.standing(id.sequence);
        let of_another_life = (issuer, self.epoch) != (id.issuer, id.epoch);
        let mut slots = self.slots.iter().flatten();
        let is_known = slots.any(|slot| slot.sequence == id.sequence);
        // A start that was written but not acknowledged can leave an entry behind when the command is sent
        // again and takes another slot: what has ended, or is known already, needs no second restart.
        let phase = match (entry.mark, standing) {
            _ if of_another_life || is_known => return Some(()),
            (Mark::Started(_), Standing::Ended | Standing::Settled) => return Some(()),
            (Mark::Ended(outcome), _) => Phase::Ended(outcome),
            (Mark::Started(Some(command)), _) if command.class() == Class::Probed => Phase::Ready {
                command,
                resumed: true,
            },
            (Mark::Started(_), _) => Phase::Ending(Outcome::InDoubt),
        };
        *self.slots.get_mut(at)? = Some(Slot {
            sequence: id.sequence,
            fingerprint: entry.fingerprint,
            expires: None,
            arrival: 0,
            owed: false,
            on_record: true,
            phase,
        });
        Some(())
    }

    /// What is to be written: the header as it will be, and for one slot its entry.
    pub(super) fn records(&self, at: Option<usize>) -> Option<(Header<WINDOW>, Option<Entry<C>>)> {
        let mut header = Header {
            issuer: self.issuer?,
            epoch: self.epoch,
            window: self.window,
        };
        let Some(at) = at else {
            return Some((header, None));
        };
        let slot = self.slots.get(at)?.as_ref()?;
        let mark = match &slot.phase {
            Phase::Starting(command) => {
                Mark::Started((command.class() == Class::Probed).then(|| command.clone()))
            }
            Phase::Ending(outcome) => {
                header.window.end(slot.sequence);
                Mark::Ended(*outcome)
            }
            _ => return None,
        };
        let entry = Entry {
            id: CommandId::new(header.issuer, header.epoch, slot.sequence),
            fingerprint: slot.fingerprint,
            mark,
        };
        Some((header, Some(entry)))
    }

    /// The records of [`records`](Self::records) are durable, with the epoch and window they had then.
    pub(super) fn recorded(&mut self, at: Option<usize>, epoch: u32, written: &Window<WINDOW>) {
        self.advance(at);
        if epoch == self.epoch {
            self.durable_floor = written.floor();
            self.stale &= self.window != *written;
        }
    }

    fn advance(&mut self, at: Option<usize>) {
        let Some(slot) = at.and_then(|at| self.slots.get_mut(at)?.as_mut()) else {
            return;
        };
        slot.phase = match core::mem::replace(&mut slot.phase, Phase::Running) {
            Phase::Starting(command) => Phase::Ready {
                command,
                resumed: false,
            },
            Phase::Ending(outcome) => {
                slot.owed = true;
                self.window.end(slot.sequence);
                Phase::Ended(outcome)
            }
            other => other,
        };
    }

    /// Notes the end of what is settled but lies behind a live command, where the floor cannot rise yet: it
    /// could arrive after all, and run although a later command was carried out. What a boot must still find
    /// started has not ended.
    fn end_settled(&mut self, settled_below: u64) {
        for sequence in self.window.floor()..settled_below {
            let started = |slot: &Slot<C>| slot.sequence == sequence && slot.on_record;
            match self.window.standing(sequence) {
                Standing::Beyond => break,
                Standing::Open if !self.slots.iter().flatten().any(started) => {
                    self.window.end(sequence);
                    self.stale = true;
                }
                _ => {}
            }
        }
    }

    fn lowest_live(&self) -> Option<u64> {
        let live = |slot: &&Slot<C>| !matches!(slot.phase, Phase::Ended(_));
        let slots = self.slots.iter().flatten().filter(live);
        slots.map(|slot| slot.sequence).min()
    }

    /// A free slot, or else the oldest that has ended, was answered and will not be asked for again.
    fn room(&self, request: &Request<'_>) -> Option<usize> {
        // Two issuers lose their oldest results instead: one that settles nothing would wait for ever, and
        // so would one whose command at the floor finds no room behind those it waits for.
        // It does not wait for ever where an older one is live: when that has ended, its room is free.
        let sequence = request.id.sequence;
        let is_oldest = self.lowest_live().is_none_or(|live| live > sequence);
        let may_forget = match request.settled_below {
            0 => true,
            settled => settled == sequence && is_oldest,
        };
        let spent = |slot: &Slot<C>| {
            let settled = may_forget || slot.sequence < self.window.floor();
            matches!(slot.phase, Phase::Ended(_)) && !slot.owed && settled
        };
        let slots = self.slots.iter().enumerate();
        let usable = slots.filter(|(_, slot)| slot.as_ref().is_none_or(spent));
        let oldest = usable.min_by_key(|(_, slot)| slot.as_ref().map(|slot| slot.sequence));
        oldest.map(|(at, _)| at)
    }
}

pub(super) const fn rejected(reason: Reason) -> Answer {
    Answer::Ended(Outcome::Rejected { reason })
}

const fn too_old() -> Answer {
    rejected(Reason::TooOld)
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::commands! { enum Job { #[opaque] Pulse } }

    #[test]
    fn an_end_on_record_beyond_the_window_is_not_run_when_the_window_gets_there() {
        let mut ledger = Ledger::<Job, 8, 3>::new();
        ledger.epoch = 1;
        ledger.window = Window::from_parts(1, [0x7ff, 0, 0, 0]);
        let issuer = IssuerId::new(1);
        let id = CommandId::new(issuer, 1, 10);
        let answer = ledger.place(&Request::new(id, b"\x81\x65Pulse"));
        assert_eq!(answer, Err(Answer::Ended(Outcome::Forgotten)));
        let id = CommandId::new(issuer, 1, 12);
        assert_eq!(
            ledger.place(&Request::new(id, b"\x81\x65Pulse")),
            Ok(Some(0))
        );
    }
}
