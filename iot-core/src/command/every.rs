//! One of each, for tests that must leave none out.

use core::iter;

use super::class::Class;
use super::envelope::Answer;
use super::outcome::{Outcome, Output};
use super::state::{Code, State};

/// Every [`Answer`] that differs in more than its numbers, the least and the most of each.
///
/// For tests that must have a case for every one: a new one is in here, or this crate does not compile.
///
/// ```
/// use iot_core::command::{Answer, every_answer};
/// let last = every_answer().filter(|answer| matches!(answer, Answer::Ended(_)));
/// assert!(last.count() > 10);
/// ```
pub fn every_answer() -> impl Iterator<Item = Answer> {
    let codes = iter::successors(Some(Code::Done), |&code| after(code));
    let answers = codes.map(|code| match code {
        Code::Done => [&[][..], &[0xff; Output::MAX_BYTES]].map(|output| Some(done(output))),
        Code::Failed => [0, u16::MAX].map(|code| Some(Answer::Ended(Outcome::Failed { code }))),
        Code::InProgress => [
            Some(Answer::InProgress),
            Some(Answer::Progress { number: u32::MAX }),
        ],
        code => [Some(State::of(code).answer()), None],
    });
    answers.flatten().flatten()
}

/// Every [`Class`].
pub fn every_class() -> impl Iterator<Item = Class> {
    iter::successors(Some(Class::Transactional), |class| match class {
        Class::Transactional => Some(Class::Idempotent),
        Class::Idempotent => Some(Class::Probed),
        Class::Probed => Some(Class::Opaque),
        Class::Opaque => None,
    })
}

fn done(output: &[u8]) -> Answer {
    let code = Code::Done;
    let number = 0;
    State {
        code,
        number,
        output,
    }
    .answer()
}

/// The code that follows; there is no wildcard, so that a new code has to be given its place.
const fn after(code: Code) -> Option<Code> {
    Some(match code {
        Code::Done => Code::Failed,
        Code::Failed => Code::Expired,
        Code::Expired => Code::InDoubt,
        Code::InDoubt => Code::Forgotten,
        Code::Forgotten => Code::Cancelled,
        Code::Cancelled => Code::Invalid,
        Code::Invalid => Code::Unauthorised,
        Code::Unauthorised => Code::Mismatch,
        Code::Mismatch => Code::TooOld,
        Code::TooOld => Code::InProgress,
        Code::InProgress => Code::Busy,
        Code::Busy => Code::ClockUnknown,
        Code::ClockUnknown => Code::UnknownIssuer,
        Code::UnknownIssuer => Code::TooLate,
        Code::TooLate => return None,
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn every_code_that_is_read_is_among_the_answers() {
        let walked: Vec<_> = every_answer()
            .map(|answer| State::from_answer(&answer).code as u32)
            .collect();
        for number in 0..100 {
            let known = Code::of(number).is_some();
            assert_eq!(walked.contains(&number), known, "code {number}");
        }
    }
}
