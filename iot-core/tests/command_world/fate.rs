//! What really happened to each command, and the claims it is held to.

use iot_core::command::{Answer, Class, Command, Outcome, Pending, Reason, Response};
use iot_core::{CommandId, Timestamp};

use super::tally::Tally;

iot_core::commands! {
    /// Each command carries its own number, so that nothing can be taken for something else.
    pub(crate) enum Job {
        #[transactional] Count { tag: u32 },
        #[transactional, lane = 1] Score { tag: u32 },
        #[idempotent] Set { tag: u32 },
        #[probed] Swap { tag: u32 },
        #[opaque, lane = 1] Pulse { tag: u32 },
    }
}

impl Job {
    pub(crate) const fn new(kind: u64, tag: u32) -> Self {
        match kind {
            0 if tag.is_multiple_of(2) => Self::Count { tag },
            0 => Self::Score { tag },
            1 => Self::Set { tag },
            2 => Self::Swap { tag },
            _ => Self::Pulse { tag },
        }
    }

    pub(crate) const fn tag(&self) -> u32 {
        match self {
            Self::Count { tag }
            | Self::Score { tag }
            | Self::Set { tag }
            | Self::Swap { tag }
            | Self::Pulse { tag } => *tag,
        }
    }
}

/// How its handler ends a command; one in eight fails and has no effect.
pub(crate) fn outcome(tag: u32) -> Outcome {
    if fails(tag) {
        let code = u16::try_from(tag & 0x7fff).unwrap();
        return Outcome::Failed { code };
    }
    Outcome::done_with(&tag.to_be_bytes()).unwrap()
}

pub(crate) const fn fails(tag: u32) -> bool {
    tag % 8 == 7
}

/// One command, as nobody but the world can know it.
#[derive(Clone, Debug)]
pub(crate) struct Fate {
    tag: u32,
    pub(crate) class: Class,
    pub(crate) id: CommandId,
    pub(crate) expires: Option<Timestamp>,
    /// Its issuer may not issue it.
    pub(crate) forbidden: bool,
    /// It is of the issuer that a device may allow late.
    pub(crate) is_last: bool,
    pub(crate) sent: bool,
    /// Its issuer wants it back.
    pub(crate) cancelled: bool,
    /// The service was cut before it was on record: its number may be used again.
    pub(crate) void: bool,
    pub(crate) runs: u32,
    pub(crate) effects: u32,
    /// The first end the device said that tells how.
    pub(crate) said: Option<Outcome>,
    /// The device said that it is too old.
    pub(crate) too_old: bool,
    /// Some end was said: it must not run any more.
    pub(crate) over: bool,
    /// What its issuer told the application.
    pub(crate) told: Option<Outcome>,
    pub(crate) unanswered: bool,
    /// Its issuer was restored from a backup and knows it no longer.
    pub(crate) orphan: bool,
}

impl Fate {
    pub(crate) fn new(
        job: &Job,
        id: CommandId,
        expires: Option<Timestamp>,
        forbidden: bool,
        is_last: bool,
    ) -> Self {
        Self {
            tag: job.tag(),
            class: job.class(),
            id,
            expires,
            forbidden,
            is_last,
            sent: false,
            cancelled: false,
            void: false,
            runs: 0,
            effects: 0,
            said: None,
            too_old: false,
            over: false,
            told: None,
            unanswered: false,
            orphan: false,
        }
    }

    /// The handler gets it.
    pub(crate) fn runs(&mut self, pending: &Pending<Job>, tally: &mut Tally) {
        assert_eq!(pending.id, self.id, "another command's number");
        assert!(self.sent && !self.void, "a command ran that was never sent");
        assert!(!self.over, "{:?} ran after its end was said", self);
        assert!(!self.forbidden, "{:?} ran although it is forbidden", self);
        match self.class {
            Class::Opaque => assert_eq!(self.runs, 0, "{self:?} ran twice"),
            Class::Probed => {
                // What was started before comes back as such, or a run would not be probed.
                assert!(
                    pending.resumed || self.effects == 0,
                    "{self:?} was not resumed"
                );
                tally.probes_done += u64::from(pending.resumed && self.effects > 0);
                tally.probes_open += u64::from(pending.resumed && self.effects == 0);
            }
            _ => tally.runs_again += u64::from(self.runs > 0),
        }
        assert!(!pending.resumed || self.class == Class::Probed);
        self.runs += 1;
    }

    pub(crate) fn takes_effect(&mut self) {
        self.effects += 1;
        let many = self.class == Class::Idempotent;
        assert!(many || self.effects == 1, "{self:?} took effect twice");
    }

    /// The device puts an answer on the wire.
    pub(crate) fn answered(&mut self, response: &Response, tally: &mut Tally) {
        let outcome = match response.answer {
            Answer::Ended(outcome) => outcome,
            Answer::InProgress => return tally.in_progress += 1,
            Answer::Progress { .. } => return tally.progress += 1,
            Answer::TooLate => return tally.too_late += 1,
            Answer::Busy => return tally.busy += 1,
            Answer::ClockUnknown => return tally.clock_unknown += 1,
            Answer::UnknownIssuer => return tally.unknown_issuer += 1,
            other => panic!("an unknown answer: {other:?}"),
        };
        self.over = true;
        match outcome {
            // A cut can bring back what was dropped in RAM only, so the true end may still follow.
            Outcome::Forgotten => tally.forgotten += 1,
            Outcome::Rejected {
                reason: Reason::TooOld,
            } => {
                self.too_old = true;
                tally.too_old += 1;
            }
            how => {
                let first = *self.said.get_or_insert(how);
                assert_eq!(first, how, "{self:?} ended twice");
            }
        }
    }

    /// The issuer's application hears the end. `keeps_all`: the device has room for all that is under way.
    pub(crate) fn told(&mut self, outcome: Outcome, keeps_all: bool, tally: &mut Tally) {
        let once = self.class != Class::Idempotent;
        match outcome {
            Outcome::Done(_) => {
                assert_eq!(outcome, self.expected(), "{self:?}");
                assert!(self.effects >= 1, "{self:?} was done without an effect");
                tally.done += 1;
            }
            Outcome::NO_ROOM => {
                assert_eq!(self.class, Class::Transactional, "{self:?}");
                assert_eq!(self.effects, 0, "{self:?} had room");
                tally.no_room += 1;
            }
            Outcome::Failed { .. } => {
                assert_eq!(outcome, self.expected(), "{self:?}");
                assert_eq!(self.effects, 0);
                tally.failed += 1;
            }
            Outcome::InDoubt => {
                assert_eq!(self.class, Class::Opaque, "{self:?}");
                tally.doubt_with_effect += u64::from(self.effects == 1);
                tally.doubt_without_effect += u64::from(self.effects == 0);
            }
            Outcome::Expired => {
                assert!(self.expires.is_some());
                assert!(
                    self.effects == 0 || !once,
                    "{self:?} expired after its effect"
                );
                tally.expired += 1;
                tally.expired_after_a_run += u64::from(self.runs > 0);
            }
            Outcome::Cancelled => {
                assert!(self.cancelled, "{self:?}");
                assert!(
                    self.effects == 0 || !once,
                    "{self:?} was cancelled after its effect"
                );
                tally.cancelled += 1;
                tally.cancelled_after_a_run += u64::from(self.runs > 0);
            }
            Outcome::Forgotten => {
                assert!(
                    !keeps_all,
                    "{self:?}: its end was dropped before it was heard"
                );
                tally.told_forgotten += 1;
            }
            Outcome::Rejected {
                reason: Reason::Unauthorised,
            } => {
                // The last issuer may be allowed late, after what it had accepted came to its turn.
                let once = self.class != Class::Idempotent;
                let refused = self.forbidden && self.runs == 0;
                assert!(
                    refused || self.is_last && (self.effects == 0 || !once),
                    "{self:?} was refused"
                );
                tally.unauthorised += 1;
                tally.refused_at_its_turn += u64::from(!self.forbidden);
            }
            other => panic!("{self:?} ended as {other:?}"),
        }
        let before = self.told.filter(|before| *before != Outcome::Forgotten);
        let vague = outcome == Outcome::Forgotten;
        assert!(
            vague || before.is_none_or(|before| before == outcome),
            "{self:?} then {outcome:?}"
        );
        self.told = Some(outcome);
    }

    /// Nothing will happen any more: what the class promises must hold.
    pub(crate) fn judge(&self, tally: &mut Tally) {
        if self.class != Class::Idempotent {
            assert!(self.effects <= 1, "{self:?}");
        }
        if self.told == Some(Outcome::NO_ROOM) {
            assert_eq!(self.effects, 0, "{self:?} took effect after all");
        }
        if !self.sent {
            assert_eq!(self.runs, 0, "{self:?} ran without being sent");
            return;
        }
        assert!(
            self.told.is_some() || self.unanswered || self.orphan,
            "{self:?} never ended"
        );
        tally.unanswered += u64::from(self.told.is_none() && self.unanswered);
        tally.orphans += u64::from(self.told.is_none() && !self.unanswered);
    }

    /// How its handler ends it.
    pub(crate) fn expected(&self) -> Outcome {
        outcome(self.tag)
    }
}
