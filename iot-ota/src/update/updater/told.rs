//! What the service was told, and what it has yet to be told.

use iot_core::Ticket;
use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::time::Instant;

use crate::alarm::NEVER;
use crate::update::report::Outcome;

const VERSION: u8 = 3;
/// In place of an outcome where the service was told of none.
const NONE: u8 = u8::MAX;

/// What there is to say of an update.
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
    ending: Option<Word>,
    refusal: Option<Word>,
    // Of the report that is told first.
    state: State,
    // Only what a boot record can say is remembered: an end that a reboot would report again.
    known: Option<Word>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Due,
    DueAt(Instant),
    Sent(Ticket),
}

impl Told {
    pub(super) const fn new() -> Self {
        Self {
            ending: None,
            refusal: None,
            state: State::Due,
            known: None,
        }
    }

    /// Queues a report; a newer one takes the place of one of its kind that did not arrive yet.
    #[inline(never)]
    pub(super) fn queue(&mut self, word: Word) {
        let newer = self
            .ending
            .is_none_or(|queued| word.sequence >= queued.sequence);
        if newer && word.is_end() {
            self.ending = Some(word);
        } else {
            self.refusal = Some(word);
            if self.ending.is_some() {
                return;
            }
        }
        // What was sent before is another report now, or waits for its turn.
        self.state = State::Due;
    }

    fn first(&self) -> Option<Word> {
        self.ending.or(self.refusal)
    }

    /// Queues the end of an update, unless the service knows it or it is on its way. The boot record keeps the last end
    /// alone, so it is the newest, whatever its sequence number.
    pub(super) fn queue_end(&mut self, word: Word) {
        let end = Some(word);
        if end != self.known && end != self.ending {
            self.ending = end;
            self.state = State::Due;
        }
    }

    pub(super) fn due(&self, now: Instant) -> Option<Word> {
        let due = match self.state {
            State::Due => true,
            State::DueAt(at) => now >= at,
            State::Sent(_) => false,
        };
        self.first().filter(|_| due)
    }

    pub(super) const fn sent(&mut self, ticket: Ticket) {
        self.state = State::Sent(ticket);
    }

    pub(super) const fn send_at(&mut self, at: Instant) {
        self.state = State::DueAt(at);
    }

    /// The link is up: what could not be handed over is due; what was handed over has its ticket.
    pub(super) const fn send_again(&mut self) {
        if let State::DueAt(_) = self.state {
            self.state = State::Due;
        }
    }

    /// True when the service now knows an end that must be remembered.
    pub(super) fn settled(&mut self, ticket: Ticket, delivered: bool, retry_at: Instant) -> bool {
        if self.state != State::Sent(ticket) {
            return false;
        }
        if !delivered {
            self.state = State::DueAt(retry_at);
            return false;
        }
        self.state = State::Due;
        let told = match self.ending.take() {
            None => self.refusal.take(),
            end => end,
        };
        let is_end = told.is_some_and(Word::is_end);
        if is_end {
            self.known = told;
        }
        is_end
    }

    pub(super) fn deadline(&self) -> Instant {
        match self.state {
            State::DueAt(at) if self.first().is_some() => at,
            _ => NEVER,
        }
    }

    /// Writes the record, with the highest sequence number that this device has gone back from, and the starts that are
    /// counted.
    pub(super) fn encode(&self, passed: u64, starts: u8, out: &mut [u8]) -> Option<usize> {
        let known = self.known;
        let code = known.map_or(NONE, |known| known.code);
        let sequence = known.and_then(|known| known.sequence).unwrap_or(0);
        let mut writer = FlatWriter::new(out);
        writer.array(5, VERSION);
        for field in [passed, sequence, code.into(), starts.into()] {
            writer.uint(field);
        }
        writer.finish()
    }

    /// Takes the record in, and returns the highest sequence number that this device has gone back from, and the starts
    /// that were counted. One that cannot be read costs a report that is sent twice.
    pub(super) fn restore(&mut self, value: &[u8]) -> (u64, u8) {
        let mut reader = FlatReader::new(value);
        reader.array(5, VERSION);
        let (passed, sequence) = (reader.uint(), reader.uint());
        let (code, starts) = (u8::try_from(reader.uint()), u8::try_from(reader.uint()));
        let (Ok(code), Ok(starts), true) = (code, starts, reader.is_empty()) else {
            self.known = None;
            return (0, 0);
        };
        let sequence = Some(sequence);
        self.known = Some(Word { sequence, code }).filter(|word| word.is_end());
        (passed, starts)
    }
}

impl Word {
    /// Whether it is what a boot record says.
    const fn is_end(self) -> bool {
        Outcome::is_end(self.code)
    }
}
