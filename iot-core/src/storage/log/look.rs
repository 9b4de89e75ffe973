//! Reading the words of pages that count.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{HEADER_FIELDS, Kind};
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::machine::{Job, Link, Machine, Phase, Refusal, Stop, Want};
use super::scan::{Scanner, Seen};
use crate::engine::RecordKey;

/// An entry of a log: a value, or the removal of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Entry {
    pub(in crate::storage) key: RecordKey,
    pub(in crate::storage) place: Place,
    pub(in crate::storage) removal: bool,
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
        (!self.removal).then_some(usize::from(self.place.len))
    }
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// Lets a scanner take in the words of a page before `end`, until it has seen something.
    pub(super) async fn look(
        &mut self,
        at: usize,
        scanner: Scanner,
        end: u32,
        value: &mut [u8],
    ) -> Result<Seen, Stop<F::Error>> {
        (self.at, self.end, self.scanner) = (at, end, scanner);
        let first = self.read_word();
        self.run(&mut Job::Look { value }, first).await?;
        Ok(self.seen)
    }

    /// Reads the value at a place into `value`, which is as long.
    pub(in crate::storage) async fn read(
        &mut self,
        key: RecordKey,
        place: Place,
        value: &mut [u8],
    ) -> Result<(), Stop<F::Error>> {
        let at = self.link_of(place.page);
        let scanner = Scanner::new(place.page, place.word.into(), Geometry::<F>::WORDS);
        let end = u32::from(place.word) + Geometry::<F>::record(place.len);
        if let Some(at) = at
            && self.look(at, scanner, end, value).await? == Seen::Record
            && self.scanner.record.key == key.get()
        {
            return Ok(());
        }
        Err(Stop::Refused(Refusal::Corrupt))
    }

    /// Wants the word that the scanner takes in next.
    pub(super) fn read_word(&mut self) -> Want {
        self.phase = Phase::Pass;
        self.want_word(self.at, self.scanner.word)
    }

    /// Wants a word of a page in the chain.
    ///
    /// The last accepted word of a page that was given up is taken from the verdict in the next page.
    pub(super) fn want_word(&mut self, at: usize, word: u32) -> Want {
        let link = self.used().get(at).copied().unwrap_or(Link::NONE);
        let next = self.used().get(at + 1).map(|next| next.page);
        self.overruled = next.is_some() && word + 1 == u32::from(link.end);
        match next {
            Some(page) if self.overruled => Want::Read {
                page,
                word: 0,
                bytes: Geometry::<F>::HEADER_BYTES,
            },
            _ => Want::Read {
                page: link.page,
                word,
                bytes: Geometry::<F>::WORD,
            },
        }
    }

    /// Where in `input` the word stands that was wanted; `None` when the flash cannot read it.
    pub(super) fn word(&self, readable: bool) -> Option<usize> {
        readable.then_some(if self.overruled { HEADER_FIELDS } else { 0 })
    }

    pub(super) fn word_read(&mut self, job: &mut Job<'_, PAGES>, readable: bool) -> Want {
        let word = self.word(readable);
        let word = word.and_then(|from| self.input.get(from..from + Geometry::<F>::WORD));
        let value = match job {
            Job::Look { value } => &mut **value,
            _ => &mut [],
        };
        self.seen = self.scanner.feed::<F>(word, value);
        if self.seen == Seen::Part && self.scanner.word < self.end {
            return self.read_word();
        }
        self.boot_seen(job)
    }

    /// The record that was seen, unless it is a retirement.
    pub(super) fn entry(&self) -> Option<Entry> {
        let record = self.scanner.record;
        let page = self.used().get(self.at)?.page;
        (record.head.kind != Kind::Retire).then_some(Entry {
            key: RecordKey::new(record.key),
            place: Place {
                page,
                word: record.word as u16,
                len: record.head.len,
            },
            removal: record.head.kind == Kind::Remove,
        })
    }
}
