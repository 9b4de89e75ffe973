use super::cbor::{Reader, Writer};
use super::envelope::Answer;
use super::outcome::{Outcome, Output, Reason};

/// How a command stands, as `command.cddl` numbers it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Code {
    // From 1, so that nothing is 0 and an empty inbox is all zeros.
    Done = 1,
    Failed,
    Expired,
    InDoubt,
    Forgotten,
    Cancelled,
    Invalid,
    Unauthorised,
    Mismatch,
    TooOld,
    InProgress,
    Busy,
    ClockUnknown,
    UnknownIssuer,
    TooLate,
}

impl Code {
    pub(super) const fn of(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Done,
            2 => Self::Failed,
            3 => Self::Expired,
            4 => Self::InDoubt,
            5 => Self::Forgotten,
            6 => Self::Cancelled,
            7 => Self::Invalid,
            8 => Self::Unauthorised,
            9 => Self::Mismatch,
            10 => Self::TooOld,
            11 => Self::InProgress,
            12 => Self::Busy,
            13 => Self::ClockUnknown,
            14 => Self::UnknownIssuer,
            15 => Self::TooLate,
            _ => return None,
        })
    }

    /// Whether nothing else can follow.
    pub(super) const fn is_last(self) -> bool {
        (self as u8) < Self::InProgress as u8
    }

    /// The largest number that may stand beside it.
    const fn limit(self) -> u32 {
        match self {
            Self::Failed => u16::MAX as u32,
            Self::InProgress => u32::MAX,
            _ => 0,
        }
    }
}

/// An answer in the form in which it is kept, sent and recorded: flat, so that one short piece of code
/// serves every kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct State<'b> {
    pub(super) code: Code,
    /// The failure's code, or how far it came while it is in progress; otherwise 0.
    pub(super) number: u32,
    /// The result when it is done; otherwise empty.
    pub(super) output: &'b [u8],
}

impl<'b> State<'b> {
    pub(super) const fn of(code: Code) -> Self {
        Self {
            code,
            number: 0,
            output: &[],
        }
    }

    pub(super) fn write(&self, out: &mut Writer<'_>) {
        out.uint(self.code as u64);
        out.uint(self.number.into());
        out.bytes(self.output);
    }

    /// Reads a state; for what can be none the reader fails.
    pub(super) fn read(reader: &mut Reader<'b>) -> Self {
        let code = Code::of(reader.u32());
        reader.require(code.is_some());
        Self {
            code: code.unwrap_or(Code::Busy),
            number: reader.u32(),
            output: reader.bytes(),
        }
    }

    /// Whether nothing stands beside the code that does not belong there.
    pub(super) fn is_plain(&self) -> bool {
        let most = if self.code == Code::Done {
            Output::MAX_BYTES
        } else {
            0
        };
        self.number <= self.code.limit() && self.output.len() <= most
    }

    pub(super) fn from_outcome(outcome: &'b Outcome) -> Self {
        let mut state = Self::of(match outcome {
            Outcome::Done(_) => Code::Done,
            Outcome::Failed { .. } => Code::Failed,
            Outcome::Expired => Code::Expired,
            Outcome::InDoubt => Code::InDoubt,
            Outcome::Forgotten => Code::Forgotten,
            Outcome::Cancelled => Code::Cancelled,
            Outcome::Rejected { reason } => match reason {
                Reason::Invalid => Code::Invalid,
                Reason::Unauthorised => Code::Unauthorised,
                Reason::Mismatch => Code::Mismatch,
                Reason::TooOld => Code::TooOld,
            },
        });
        match outcome {
            Outcome::Done(output) => state.output = output.as_bytes(),
            Outcome::Failed { code } => state.number = (*code).into(),
            _ => {}
        }
        state
    }

    pub(super) fn from_answer(answer: &'b Answer) -> Self {
        let code = match answer {
            Answer::Ended(outcome) => return Self::from_outcome(outcome),
            Answer::InProgress => Code::InProgress,
            Answer::Progress { number } => {
                let state = Self::of(Code::InProgress);
                return Self {
                    number: *number,
                    ..state
                };
            }
            Answer::Busy => Code::Busy,
            Answer::ClockUnknown => Code::ClockUnknown,
            Answer::UnknownIssuer => Code::UnknownIssuer,
            Answer::TooLate => Code::TooLate,
        };
        Self::of(code)
    }

    pub(super) fn answer(&self) -> Answer {
        let rejected = |reason| Outcome::Rejected { reason };
        Answer::Ended(match self.code {
            // `read` lets no longer result through, and no larger number.
            Code::Done => Outcome::Done(Output::new(self.output).unwrap_or(Output::EMPTY)),
            Code::Failed => Outcome::Failed {
                code: u16::try_from(self.number).unwrap_or(u16::MAX),
            },
            Code::Expired => Outcome::Expired,
            Code::InDoubt => Outcome::InDoubt,
            Code::Forgotten => Outcome::Forgotten,
            Code::Cancelled => Outcome::Cancelled,
            Code::Invalid => rejected(Reason::Invalid),
            Code::Unauthorised => rejected(Reason::Unauthorised),
            Code::Mismatch => rejected(Reason::Mismatch),
            Code::TooOld => rejected(Reason::TooOld),
            Code::InProgress if self.number > 0 => {
                return Answer::Progress {
                    number: self.number,
                };
            }
            Code::InProgress => return Answer::InProgress,
            Code::Busy => return Answer::Busy,
            Code::ClockUnknown => return Answer::ClockUnknown,
            Code::UnknownIssuer => return Answer::UnknownIssuer,
            Code::TooLate => return Answer::TooLate,
        })
    }
}
