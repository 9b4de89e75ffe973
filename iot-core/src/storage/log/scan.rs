//! Reading a page word by word, each word once.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{self, Head, MAX_WORD, RECORD_FRONT, Word, crc32, seed};
use super::geometry::Geometry;

/// Takes in the words of a page from one on, and says what they mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner {
    pub(super) page: u32,
    /// The next word to be taken in.
    pub(super) word: u32,
    /// Where reading ends: nothing is taken for a record that does not end before.
    pub(super) limit: u32,
    /// The record that is being read, and how many of its words are missing.
    pub(super) record: Record,
    left: u32,
    sum: u32,
    /// Where everything begins to read as erased; the end of the numbers when it does not.
    pub(super) erased: u32,
    /// Marks and records that read as they were written.
    pub(super) evidence: u32,
    /// Where the last complete batch ends; 0 when there is none.
    pub(super) end: u32,
    /// How many pages its last retirement keeps; 0 when there is none.
    pub(super) keep: u32,
    /// Another record of the batch must follow.
    pub(super) inside: bool,
    /// What is read was accepted before.
    pub(super) accepted: bool,
    /// Where the next record begins at the latest.
    head_by: u32,
    clean: bool,
}

/// A record as its head and key say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) key: u32,
    /// Where it begins.
    pub(super) word: u32,
    /// Its checksum.
    pub(super) sum: u32,
}

/// What a word completed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Seen {
    /// Nothing: more words are wanted.
    Part,
    /// A record.
    Record,
    /// What follows cannot be told.
    Nothing,
}

impl Scanner {
    pub(super) const NONE: Self = Self {
        page: 0,
        word: 0,
        limit: 0,
        record: Record {
            head: Head::NONE,
            key: 0,
            word: 0,
            sum: 0,
        },
        left: 0,
        sum: 0,
        erased: 0,
        evidence: 0,
        end: 0,
        keep: 0,
        inside: false,
        accepted: false,
        head_by: 0,
        clean: false,
    };

    /// Begins with `word`, and ends before `limit`.
    pub(super) const fn new<F: NorFlash>(page: u32, word: u32, limit: u32) -> Self {
        let first = word <= Geometry::<F>::BODY;
        Self {
            page,
            word,
            limit,
            erased: u32::MAX,
            head_by: if first {
                Geometry::<F>::BODY + 1
            } else {
                word + 2
            },
            clean: true,
            ..Self::NONE
        }
    }

    /// Whether writing may go on behind what was read: the mark of the last batch was the last thing written,
    /// and nothing after it was attempted or reads differently from time to time.
    pub(super) const fn is_clean(&self) -> bool {
        self.clean && !self.inside
    }

    /// Where the next word would go, when the whole page was read.
    pub(super) fn tail(&self) -> u32 {
        self.erased.min(self.word)
    }

    /// Takes in words until they have told something, or one word, `None`, that the flash cannot read.
    ///
    /// Of a record's value as much as fits is copied to `value`, and to `last` the last word of a batch that was
    /// not accepted before.
    pub(super) fn feed<F: NorFlash>(
        &mut self,
        words: Option<&[u8]>,
        value: &mut [u8],
        last: &mut Word,
    ) -> Seen {
        let Some(mut words) = words else {
            self.word += 1;
            return self.bad_word();
        };
        while let Some((word, rest)) = words.split_at_checked(Geometry::<F>::WORD) {
            let seen = if self.left == 0 && !self.begin::<F>(word) {
                words = rest;
                self.between(word)
            } else {
                let bytes = words.len().min(self.left as usize * Geometry::<F>::WORD);
                let (bytes, rest) = words.split_at_checked(bytes).unwrap_or_default();
                words = rest;
                self.body::<F>(bytes, value, last)
            };
            if seen != Seen::Part {
                return seen;
            }
        }
        Seen::Part
    }

    /// Whether a record begins with this word.
    fn begin<F: NorFlash>(&mut self, word: &[u8]) -> bool {
        let bits = word
            .first_chunk()
            .map_or(0, |head| u32::from_le_bytes(*head));
        let Some(head) = Head::decode(bits) else {
            return false;
        };
        let words = Geometry::<F>::record(head.len());
        let sum = seed(self.page, self.word);
        if head.encode(sum) != bits || words > self.limit.saturating_sub(self.word) {
            return false;
        }
        (self.left, self.sum) = (words, sum);
        (self.record.head, self.record.word) = (head, self.word);
        true
    }

    /// Takes in a word that is no part of a record.
    fn between(&mut self, word: &[u8]) -> Seen {
        let at = self.word;
        self.word += 1;
        if self.inside {
            return self.bad_word();
        }
        if word.iter().all(|&byte| byte == 0xFF) {
            self.erased = self.erased.min(at);
            return Seen::Part;
        }
        let mut mark = [0; MAX_WORD];
        format::mark(self.page, at, &mut mark);
        if self.word < self.head_by && mark.starts_with(word) {
            (self.clean, self.erased) = (true, u32::MAX);
            self.evidence += 1;
            return Seen::Part;
        }
        self.bad_word()
    }

    /// A word that is no record, no mark in its place, and not erased.
    ///
    /// Behind a batch there is its mark, and perhaps a guard: writing went on behind them only if a boot trusted
    /// everything before. Either may read as anything now, even both, so what counts is where they stand.
    fn bad_word(&mut self) -> Seen {
        (self.clean, self.erased) = (false, u32::MAX);
        if self.word > self.head_by || self.inside || self.left > 0 {
            return Seen::Nothing;
        }
        Seen::Part
    }

    /// Takes in a part of a record.
    fn body<F: NorFlash>(&mut self, bytes: &[u8], value: &mut [u8], last: &mut Word) -> Seen {
        let from = (self.word - self.record.word) as usize * Geometry::<F>::WORD;
        let words = (bytes.len() / Geometry::<F>::WORD) as u32;
        self.word += words;
        let front = RECORD_FRONT.saturating_sub(from).min(bytes.len());
        let (front, body) = bytes.split_at_checked(front).unwrap_or_default();
        for &byte in front {
            // The four bytes before the value are the key; those before it are shifted out again.
            self.record.key = self.record.key >> 8 | u32::from(byte) << 24;
        }
        let to = value.iter_mut().skip(from.saturating_sub(RECORD_FRONT));
        to.zip(body).for_each(|(to, from)| *to = *from);
        self.sum = crc32(self.sum, bytes);
        self.left -= words;
        if self.left > 0 {
            return Seen::Part;
        }
        (self.clean, self.erased) = (false, u32::MAX);
        // A checksum that takes in itself ends in 0.
        if self.sum != 0 {
            return Seen::Nothing;
        }
        self.head_by = self.word + 2;
        self.evidence += 1;
        let sum = bytes.last_chunk().copied().unwrap_or_default();
        self.record.sum = u32::from_le_bytes(sum);
        self.inside = self.record.head.more();
        if !self.inside && !self.accepted {
            self.end = self.word;
            let bytes = bytes.iter().rev().take(Geometry::<F>::WORD).rev();
            last.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            if self.record.head.is_retirement() {
                self.keep = self.record.key;
            }
        }
        Seen::Record
    }
}
