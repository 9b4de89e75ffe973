//! Reading a page word by word, each word once.

use embedded_storage_async::nor_flash::NorFlash;

use super::format::{self, CHECKSUM, Head, Kind, MAX_WORD, RECORD_FRONT, Word, crc32, seed};
use super::geometry::Geometry;

/// Takes in the words of a page from one on, and says what they mean.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scanner {
    page: u32,
    /// The next word to be taken in.
    pub(super) word: u32,
    limit: u32,
    /// The record that is being read, and how many of its words are missing.
    pub(super) record: Record,
    left: u32,
    sum: u32,
    /// Another record of the batch must follow.
    pub(super) inside: bool,
    /// What is read was accepted before: it holds nothing that two bad words in a row could be.
    pub(super) accepted: bool,
    /// Everything since here reads as erased.
    erased: Option<u32>,
    /// Marks and records that read as they were written.
    pub(super) evidence: u32,
    /// Where the last complete batch ends; 0 when there is none.
    pub(super) end: u32,
    /// The last word of that batch.
    pub(super) last: Word,
    /// How many pages its last retirement keeps; 0 when there is none.
    pub(super) keep: u32,
    bad: bool,
    guard: bool,
    doubtful: bool,
}

/// A record as its head and key say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) head: Head,
    pub(super) key: u32,
    /// Where it begins.
    pub(super) word: u32,
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
    /// Begins with `word`, and takes nothing for a record that does not end before `limit`.
    pub(super) const fn new(page: u16, word: u32, limit: u32) -> Self {
        Self {
            page: page as u32,
            word,
            limit,
            record: Record {
                head: Head::NONE,
                key: 0,
                word: 0,
            },
            left: 0,
            sum: 0,
            inside: false,
            accepted: false,
            erased: None,
            evidence: 0,
            end: 0,
            last: [0; MAX_WORD],
            keep: 0,
            bad: false,
            guard: false,
            doubtful: false,
        }
    }

    /// Whether writing may go on behind what was read: the mark of the last batch was the last thing written,
    /// and nothing after it was attempted or reads differently from time to time.
    pub(super) const fn is_clean(&self) -> bool {
        !self.bad && !self.inside && !self.guard && !self.doubtful
    }

    /// Where the next word would go, when the whole page was read.
    pub(super) fn tail(&self) -> u32 {
        self.erased.unwrap_or(self.word)
    }

    /// Takes in a word, `None` when the flash cannot read it. Of a record's value as much as fits is copied
    /// to `value`.
    pub(super) fn feed<F: NorFlash>(&mut self, word: Option<&[u8]>, value: &mut [u8]) -> Seen {
        let at = self.word;
        self.word += 1;
        if self.left > 0 {
            return match word {
                Some(bytes) => self.body::<F>(at, bytes, value),
                None => self.give_up(),
            };
        }
        let mut mark = [0; MAX_WORD];
        format::mark(self.page, at, &mut mark);
        match word {
            Some(bytes) if !self.inside && bytes.iter().all(|&byte| byte == 0xFF) => {
                self.erased = self.erased.or(Some(at));
                return Seen::Part;
            }
            // A guard is only written after a boot that trusted everything before it.
            Some(bytes) if !self.inside && bytes.iter().all(|&byte| byte == 0) => {
                (self.guard, self.doubtful) = (true, false);
            }
            Some(bytes) if !self.inside && mark.starts_with(bytes) => {
                (self.guard, self.doubtful, self.bad) = (false, false, false);
                self.evidence += 1;
            }
            Some(bytes) if self.begin::<F>(at, bytes) => {
                self.erased = None;
                return self.body::<F>(at, bytes, value);
            }
            // Between batches one bad word may be a guard that was cut short.
            _ if !self.inside && !(self.accepted && self.bad) => self.bad = true,
            _ => return self.give_up(),
        }
        self.erased = None;
        Seen::Part
    }

    fn give_up(&mut self) -> Seen {
        self.bad = true;
        Seen::Nothing
    }

    /// Whether a record begins with this word.
    fn begin<F: NorFlash>(&mut self, at: u32, bytes: &[u8]) -> bool {
        let start = seed(self.page, at);
        let head = bytes
            .first_chunk()
            .and_then(|head| Head::decode(*head, start));
        let Some(head) = head else {
            return false;
        };
        let words = Geometry::<F>::record(head.len);
        if words > self.limit.saturating_sub(at) {
            return false;
        }
        (self.left, self.sum) = (words, start);
        self.record = Record {
            head,
            key: 0,
            word: at,
        };
        true
    }

    fn body<F: NorFlash>(&mut self, at: u32, bytes: &[u8], value: &mut [u8]) -> Seen {
        self.left -= 1;
        let from = (at - self.record.word) as usize * Geometry::<F>::WORD;
        for (at, &byte) in (from..).zip(bytes) {
            match at.checked_sub(RECORD_FRONT) {
                Some(at) => {
                    if let Some(to) = value.get_mut(at) {
                        *to = byte;
                    }
                }
                // The four bytes before the value are the key; those before it are shifted out again.
                None => self.record.key = self.record.key >> 8 | u32::from(byte) << 24,
            }
        }
        if self.left > 0 {
            self.sum = crc32(self.sum, bytes);
            return Seen::Part;
        }
        let (summed, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .unwrap_or((bytes, &[0; CHECKSUM]));
        if crc32(self.sum, summed).to_le_bytes() != *sum {
            return self.give_up();
        }
        self.evidence += 1;
        (self.bad, self.guard) = (false, false);
        self.inside = self.record.head.more;
        if !self.inside {
            (self.end, self.doubtful) = (at + 1, true);
            for (to, from) in self.last.iter_mut().zip(bytes) {
                *to = *from;
            }
            if self.record.head.kind == Kind::Retire {
                self.keep = self.record.key;
            }
        }
        Seen::Record
    }
}
