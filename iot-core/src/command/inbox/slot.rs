use crate::command::class::{Class, Command};
use crate::command::envelope::{Fingerprint, Head};
use crate::command::outcome::{Outcome, Output};
use crate::command::state::{Code, State};
use crate::time::{Now, Timestamp};

/// How far a command has come on this device. The order is that in which they are passed through.
#[derive(Clone, Copy, Debug, Eq, PartialEq, PartialOrd)]
pub(super) enum Phase {
    /// There is no command here.
    Free,
    /// Taken in; it waits for its lane or its time.
    Waiting,
    /// It has to wait, and is to be put on record as accepted.
    Accepting,
    /// To be put on record as started.
    Starting,
    /// To be handed out; where it must be, its start is on record.
    Started,
    /// Handed out.
    Running,
    /// To be put on record as ended.
    Ending,
    /// On record as ended.
    Ended,
}

/// One command that is kept, from its arrival until it is forgotten.
// In this order, because the first bytes of a structure have the shortest addresses.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) class: Class,
    pub(super) lane: u8,
    /// It is on record, as accepted or further.
    pub(super) on_record: bool,
    /// It was started before the last restart.
    pub(super) resumed: bool,
    /// Its issuer wants it back.
    pub(super) cancelled: bool,
    /// Its issuer waits for an answer.
    pub(super) owed: bool,
    /// How it ends or ended.
    pub(super) code: Option<Code>,
    /// Earlier commands have smaller numbers.
    pub(super) arrival: u32,
    /// The failure's code, or how far it has come while it runs.
    pub(super) number: u32,
    /// Its sequence is 0 while the slot is free: below every floor, so no command has it.
    pub(super) head: Head,
    pub(super) fingerprint: Fingerprint,
    pub(super) output: Output,
}

/// Whether a command may start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Time {
    Come,
    NotYet,
    Over,
    /// The clock is not good enough to tell.
    Unknown,
}

/// Forgets them.
// Three callers, one copy.
#[inline(never)]
pub(super) fn clear(slots: &mut [Slot]) {
    slots.fill(Slot::FREE);
}

/// Of the slots with what is `wanted`, the one whose command arrived first.
pub(super) fn oldest(slots: &[Slot], wanted: fn(&Slot) -> bool) -> Option<usize> {
    let (mut earliest, mut found) = (u32::MAX, None);
    for (at, slot) in slots.iter().enumerate() {
        if slot.arrival <= earliest && wanted(slot) {
            (earliest, found) = (slot.arrival, Some(at));
        }
    }
    found
}

impl Slot {
    // All zeros, so that an empty inbox costs next to no code.
    pub(super) const FREE: Self = Self {
        head: Head::EMPTY,
        fingerprint: Fingerprint::new(0),
        arrival: 0,
        phase: Phase::Free,
        class: Class::Transactional,
        lane: 0,
        on_record: false,
        resumed: false,
        cancelled: false,
        owed: false,
        code: None,
        number: 0,
        output: Output::EMPTY,
    };

    /// Takes over what the type of the command declares.
    pub(super) fn declare(&mut self, command: &impl Command) {
        (self.class, self.lane) = (command.class(), command.lane());
    }

    // Many callers, one copy.
    #[inline(never)]
    pub(super) const fn end(&mut self, code: Code) {
        (self.code, self.number, self.phase) = (Some(code), 0, Phase::Ending);
    }

    /// Ends as its handler says.
    pub(super) fn finish(&mut self, outcome: &Outcome) {
        let state = State::from_outcome(outcome);
        self.end(state.code);
        self.number = state.number;
        if let Outcome::Done(output) = outcome {
            self.output = *output;
        }
    }

    /// Whether it is not on record as ended.
    pub(super) fn is_live(&self) -> bool {
        self.phase > Phase::Free && self.phase < Phase::Ended
    }

    /// Whether nobody else of its lane may be handed out.
    pub(super) fn holds_lane(&self) -> bool {
        self.phase >= Phase::Starting && self.phase <= Phase::Running
    }

    /// Whether what it is about to be must be put on record.
    pub(super) const fn wants_record(&self) -> bool {
        matches!(
            self.phase,
            Phase::Accepting | Phase::Starting | Phase::Ending
        )
    }

    /// Whether `other` is of the same lane and comes first.
    pub(super) fn waits_for(&self, other: &Self) -> bool {
        let queues = matches!(other.phase, Phase::Waiting | Phase::Accepting);
        let is_first = other.holds_lane() || queues && other.arrival < self.arrival;
        is_first && other.lane == self.lane
    }

    /// Judges both of its moments by what is proved about the time; with `danger` whatever is not proved is
    /// taken for leave to start.
    // Two callers, one copy.
    #[inline(never)]
    pub(super) fn time(&self, now: Now, danger: bool) -> Time {
        let Head {
            not_before,
            expires,
            ..
        } = self.head;
        let earliest = now.wall.not_before();
        let latest = now
            .wall
            .not_after()
            .unwrap_or(Timestamp::from_millis(u64::MAX));
        // The last moment at which it may start: 0, which is no moment, becomes the end of time.
        let last = Timestamp::from_millis(expires.as_millis().wrapping_sub(1));
        let may_be_over = latest > last;
        if self.resumed {
            // What was started before the restart is not judged again.
            Time::Come
        } else if earliest > last {
            Time::Over
        } else if !danger && (may_be_over || latest >= not_before && earliest < not_before) {
            Time::Unknown
        } else if latest < not_before {
            Time::NotYet
        } else {
            Time::Come
        }
    }

    /// What its issuer may be told now: how it ends only when that is on record.
    pub(super) fn answer(&self) -> State<'_> {
        match self.phase {
            Phase::Ending => State::of(Code::InProgress),
            _ if self.cancelled && self.holds_lane() => State::of(Code::TooLate),
            _ => self.state(),
        }
    }

    /// How far it has come, or how it ends or ended.
    pub(super) fn state(&self) -> State<'_> {
        State {
            code: self.code.unwrap_or(Code::InProgress),
            number: self.number,
            output: self.output.as_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `command.cddl` calls the record that is written in this phase.
    fn stage(phase: Phase) -> Option<&'static str> {
        match phase {
            Phase::Accepting => Some("stage: accepted,"),
            Phase::Starting => Some("stage: started,"),
            Phase::Ending => Some("// last ),"),
            Phase::Free | Phase::Waiting | Phase::Started | Phase::Running | Phase::Ended => None,
        }
    }

    #[test]
    fn every_phase_that_is_put_on_record_is_described() {
        let (_, record) = include_str!("../command.cddl")
            .split_once("inbox-record = [")
            .unwrap();
        let (record, _) = record.split_once("\n]").unwrap();
        for phase in [
            Phase::Free,
            Phase::Waiting,
            Phase::Accepting,
            Phase::Starting,
            Phase::Started,
            Phase::Running,
            Phase::Ending,
            Phase::Ended,
        ] {
            let slot = Slot {
                phase,
                ..Slot::FREE
            };
            assert_eq!(slot.wants_record(), stage(phase).is_some(), "{phase:?}");
            assert!(
                stage(phase).is_none_or(|stage| record.contains(stage)),
                "{phase:?}"
            );
        }
    }
}
