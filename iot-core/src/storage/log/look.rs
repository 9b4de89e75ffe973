//! Reading the words of pages that count.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::HEADER_FIELDS;
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::machine::{Job, Machine, Phase, Refusal, Want};
use super::scan::{Scanner, Seen};
use crate::engine::RecordKey;

/// An entry of a log: a value, or the removal of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    pub(super) key: RecordKey,
    pub(super) place: Place,
    pub(super) removal: bool,
    /// Another entry at the same place has another one.
    pub(super) sum: u32,
}

impl Entry {
    /// Its key.
    #[must_use]
    pub const fn key(&self) -> RecordKey {
        self.key
    }

    /// How long its value is, in bytes; `None` when it is a removal.
    #[must_use]
    pub fn value_bytes(&self) -> Option<usize> {
        (!self.removal).then_some(self.place.len())
    }
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// Sets out to read a value.
    pub(super) fn read(&mut self, key: RecordKey, place: Option<Place>, room: usize) -> Want {
        let Some(place) = place.or_else(|| self.live.get(key)) else {
            return Want::Stop(Refusal::Absent);
        };
        if place.len() > room {
            return Want::Stop(Refusal::Buffer(place.len() as u16));
        }
        let Some(at) = self.link_of(place.page()) else {
            return Want::Stop(Refusal::Corrupt);
        };
        self.aim(at, place.word());
        self.scanner.limit = place.word() + Geometry::<F>::record(place.len());
        self.phase = Phase::Look;
        self.read_on()
    }

    /// Lets the scanner begin with a word of the page at a place of the chain.
    ///
    /// The last accepted word of a page that was given up is taken from the verdict in the next page.
    pub(super) fn aim(&mut self, at: usize, word: u32) {
        let link = self.used().get(at).copied().unwrap_or_default();
        let newer = at.checked_sub(1).and_then(|at| self.chain.get(at));
        (self.verdict, self.overruled) = match newer {
            Some(newer) => (newer.page(), link.end().wrapping_sub(1)),
            None => (0, u32::MAX),
        };
        self.scanner = Scanner::new::<F>(link.page(), word, link.end());
        self.scanner.accepted = true;
        self.chunk = Geometry::<F>::CHUNK;
    }

    /// Wants what the scanner takes in next.
    pub(super) fn read_on(&mut self) -> Want {
        self.want_words(self.scanner.word, self.scanner.limit)
    }

    /// Wants words of the page that is read, as many as can be read at once.
    #[inline(never)]
    pub(super) fn want_words(&mut self, word: u32, limit: u32) -> Want {
        if word == self.overruled {
            (self.page, self.word) = (self.verdict, 0);
            self.bytes = Geometry::<F>::HEADER_BYTES;
            (self.from, self.to) = (HEADER_FIELDS, HEADER_FIELDS + Geometry::<F>::WORD);
            return Want::Read;
        }
        let limit = if word < self.overruled {
            limit.min(self.overruled)
        } else {
            limit
        };
        let words = limit.saturating_sub(word).min(self.chunk);
        (self.page, self.word) = (self.scanner.page, word);
        self.bytes = words as usize * Geometry::<F>::WORD;
        (self.from, self.to) = (0, self.bytes);
        Want::Read
    }

    /// Words for the scanner were read.
    pub(super) fn words_read(&mut self, job: &mut Job<'_>, readable: bool) -> Want {
        if !readable && self.to > Geometry::<F>::WORD && self.from == 0 {
            // One bad word spoils them all, so from here on each is read alone.
            self.chunk = 1;
            return self.read_on();
        }
        let value = match job {
            Job::Read { value, .. } => &mut **value,
            _ => &mut [],
        };
        loop {
            let word = self.scanner.word;
            let words = self.buffer.get(self.from..self.to).filter(|_| readable);
            self.seen = self.scanner.feed::<F>(words, value, &mut self.last);
            self.from += (self.scanner.word - word) as usize * Geometry::<F>::WORD;
            if self.seen == Seen::Record && self.phase == Phase::Show && !self.show_record() {
                return Want::Stop(Refusal::Keys);
            }
            let told = self.seen == Seen::Nothing
                || self.seen == Seen::Record && self.phase == Phase::Look;
            if told || self.scanner.word >= self.scanner.limit {
                break;
            }
            if self.from >= self.to {
                return self.read_on();
            }
        }
        match self.phase {
            Phase::Look => self.looked(job),
            Phase::Try => self.read_header(self.scanner.page, Phase::Newest),
            _ if self.seen == Seen::Nothing => Want::Stop(Refusal::Corrupt),
            _ => self.show_next(job),
        }
    }

    /// A record that was read must be the one that was wanted.
    fn looked(&self, job: &Job<'_>) -> Want {
        match job {
            Job::Read { key, .. }
                if self.seen != Seen::Record || self.scanner.record.key != key.get() =>
            {
                Want::Stop(Refusal::Corrupt)
            }
            _ => Want::Done,
        }
    }

    /// Shows the record that was seen; `false` when there is no room for it.
    fn show_record(&mut self) -> bool {
        let record = &self.scanner.record;
        if record.head.is_retirement() {
            return true;
        }
        let place = (!record.head.is_removal()).then_some(self.place());
        self.live.show(RecordKey::new(record.key), place)
    }

    /// Where the record stands that was seen.
    pub(super) fn place(&self) -> Place {
        let record = &self.scanner.record;
        Place::new(self.scanner.page, record.word, record.head.len())
    }

    /// How long the value is that was read.
    pub(in crate::storage) const fn value_len(&self) -> usize {
        self.scanner.record.head.len()
    }
}
