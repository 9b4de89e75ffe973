//! What the service was told, and what it has yet to be told.

use iot_core::Ticket;
use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::time::Instant;

use crate::alarm::NEVER;
use crate::update::report::Outcome;

const VERSION: u8 = 3;
/// In place of an outcome where the service was told of none.
const NONE: u8 = u8::MAX;

/// What there is to say of an update, which may be nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Word {
    /// Which one; `None` when the offer was not authentic.
    pub(super) sequence: Option<u64>,
    /// The code of its outcome.
    pub(super) code: u8,
}

/// The reports that are on their way, and the last end that arrived. What runs is looked at when they leave.
///
/// How an update ended and why an offer was refused are kept apart, so that neither takes the other's place;
/// the end is told first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told {
    ending: Word,
    refusal: Word,
    // Of the report that is told first.
    state: State,
    // Only what a boot record can say is remembered: an end that a reboot would report again.
    known: Word,
}

#[derive(Clone, Copy, Debug)]
enum State {
    // Zero for at once.
    Due(Instant),
    Sent(Ticket),
}

const AT_ONCE: State = State::Due(Instant::ZERO);

impl Told {
    pub(super) const fn new() -> Self {
        Self {
            ending: Word::NOTHING,
            refusal: Word::NOTHING,
            state: AT_ONCE,
            known: Word::NOTHING,
        }
    }

    /// Queues a report; a newer one takes the place of one of its kind that did not arrive yet.
    #[inline(never)]
    pub(super) fn queue(&mut self, word: Word) {
        // That of nothing is older than any.
        let newer = word.sequence >= self.ending.sequence;
        if newer && word.is_end() {
            self.ending = word;
        } else {
            self.refusal = word;
            if self.ending.is_end() {
                return;
            }
        }
        // What was sent before is another report now, or waits for its turn.
        self.state = AT_ONCE;
    }

    /// The refusal that has yet to be told.
    pub(super) const fn refusal(&self) -> &Word {
        &self.refusal
    }

    fn first(&self) -> &Word {
        if self.ending.is_end() {
            &self.ending
        } else {
            &self.refusal
        }
    }

    /// Queues the end of an update, unless the service knows it or it is on its way. The boot record keeps the last end
    /// alone, so it is the newest, whatever its sequence number.
    pub(super) fn queue_end(&mut self, end: Word) {
        if end != self.known && end != self.ending {
            self.ending = end;
            self.state = AT_ONCE;
        }
    }

    pub(super) fn due(&self, now: Instant) -> Option<&Word> {
        let due = match self.state {
            State::Due(at) => now >= at,
            State::Sent(_) => false,
        };
        let first = self.first();
        (due && first.code != NONE).then_some(first)
    }

    pub(super) const fn sent(&mut self, ticket: Ticket) {
        self.state = State::Sent(ticket);
    }

    pub(super) const fn send_at(&mut self, at: Instant) {
        self.state = State::Due(at);
    }

    /// The link is up: what could not be handed over is due; what was handed over has its ticket.
    pub(super) const fn send_again(&mut self) {
        if let State::Due(_) = self.state {
            self.state = AT_ONCE;
        }
    }

    /// True when the service now knows an end that must be remembered.
    pub(super) fn settled(&mut self, ticket: Ticket, delivered: bool, retry_at: Instant) -> bool {
        match self.state {
            State::Sent(sent) if sent == ticket => {}
            _ => return false,
        }
        if !delivered {
            self.state = State::Due(retry_at);
            return false;
        }
        self.state = AT_ONCE;
        let told = if self.ending.is_end() {
            &mut self.ending
        } else {
            &mut self.refusal
        };
        let word = core::mem::replace(told, Word::NOTHING);
        if word.is_end() {
            self.known = word;
        }
        word.is_end()
    }

    pub(super) fn deadline(&self) -> Instant {
        match self.state {
            // What is due at once needs nobody to be woken.
            State::Due(at) if at > Instant::ZERO && self.first().code != NONE => at,
            _ => NEVER,
        }
    }

    /// Writes the record, with the highest sequence number that this device has gone back from, and the starts that are
    /// counted.
    pub(super) fn encode(&self, passed: u64, starts: u8, out: &mut [u8]) -> Option<usize> {
        let Word { sequence, code } = self.known;
        let sequence = sequence.unwrap_or(0);
        let mut writer = FlatWriter::new(out);
        writer.array(5, VERSION);
        writer.uint(passed);
        writer.uint(sequence);
        writer.uint(code.into());
        writer.uint(starts.into());
        writer.finish()
    }

    /// Takes the record in, and returns the highest sequence number that this device has gone back from, and the starts
    /// that were counted. One that cannot be read costs a report that is sent twice.
    pub(super) fn restore(&mut self, value: &[u8]) -> (u64, u8) {
        let mut reader = FlatReader::new(value);
        reader.array(5, VERSION);
        let (passed, sequence) = (reader.uint(), reader.uint());
        let (code, starts) = (u8::try_from(reader.uint()), u8::try_from(reader.uint()));
        self.known = Word::NOTHING;
        let (Ok(code), Ok(starts), true) = (code, starts, reader.is_empty()) else {
            return (0, 0);
        };
        let word = Word {
            sequence: Some(sequence),
            code,
        };
        if word.is_end() {
            self.known = word;
        }
        (passed, starts)
    }
}

impl Word {
    const NOTHING: Self = Self {
        sequence: None,
        code: NONE,
    };

    /// Whether it is what a boot record says.
    const fn is_end(self) -> bool {
        Outcome::is_end(self.code)
    }
}
