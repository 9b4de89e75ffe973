//! Writing batches.

use embedded_storage_async::nor_flash::NorFlash;

use super::LogError;
use super::format::{self, CHUNK, Head, MAX_VALUE, RECORD_FRONT, crc32, seed};
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::machine::{Job, Link, Machine, Phase, Refusal, Want};
use crate::engine::{Batch, RecordKey};

/// The record that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    head: Head,
    key: u32,
    /// Where it stands.
    word: u32,
    /// Bytes that are not programmed yet.
    left: usize,
    sum: u32,
    /// Of the record that it copies, the next word and the checksum so far.
    source: u32,
    source_sum: u32,
    /// The number of the next value to be looked at; its end when the retirement was written.
    next: usize,
    /// The batch copies what counts in the oldest page, and retires it.
    compacting: bool,
}

impl Writer {
    pub(super) const IDLE: Self = Self {
        head: Head::NONE,
        key: 0,
        word: 0,
        left: 0,
        sum: 0,
        source: 0,
        source_sum: 0,
        next: 0,
        compacting: false,
    };
    /// What `next` is behind the last value.
    const END: usize = usize::MAX;
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// The job that writes a batch; an error when no page has room for it.
    pub(in crate::storage) fn append<'b>(
        &mut self,
        batch: &Batch<'b>,
    ) -> Result<Job<'b>, LogError<F::Error>> {
        let (room, mut reserve) = if L::COMPACTS {
            (Geometry::<F>::COMPACTED_ROOM, 0)
        } else {
            (Geometry::<F>::ROOM, Geometry::<F>::RESERVE)
        };
        let (mut words, mut longest) = (1, 0);
        for (_, value) in batch.iter() {
            // A removal may have what values leave free, so that no store is too full for it.
            if L::COMPACTS && value.is_some() {
                reserve = Geometry::<F>::REMOVAL;
            }
            let bytes = value.map_or(0, <[u8]>::len);
            words += Geometry::<F>::record(bytes);
            longest = longest.max(bytes);
        }
        if words > room || longest > MAX_VALUE {
            let limit = (room - 1) * Geometry::<F>::WORD as u32;
            return Err(LogError::TooLong { limit });
        }
        self.need = words + reserve;
        Ok(Job::Append {
            rest: *batch,
            value: &[],
        })
    }

    /// Whether the batch that is to be written fits, perhaps after pages were compacted.
    pub(super) fn can_fit(&self) -> bool {
        if !self.is_over_limit() && (self.has_room(self.need) || !self.is_at_limit()) {
            return true;
        }
        // When each page in turn was compacted into a fresh one, each was the newest once: so where this says yes,
        // compacting comes to an end. A page in which nothing stands yet is not compacted.
        L::COMPACTS
            && self.used().iter().any(|link| {
                if link.end() == 0 {
                    return false;
                }
                let mut words = self.need + Geometry::<F>::COMPACTION;
                let mut from = 0;
                while let Some((number, _, place)) = self.live.find_in(link.page(), from) {
                    words += Geometry::<F>::record(place.len());
                    from = number + 1;
                }
                words <= Geometry::<F>::WORDS
            })
    }

    /// Compacts and opens pages until there is room for the job's batch, then begins to write it.
    pub(super) fn find_room(&mut self, job: &mut Job<'_>) -> Want {
        self.settled = false;
        let fits = self.has_room(self.need);
        let compacting = match job {
            Job::Retire => fits,
            _ => L::COMPACTS && self.is_over_limit(),
        };
        if self.is_shut() || !(compacting || fits) {
            return match self.free_page() {
                Some(page) => self.open_page(page),
                None => Want::Stop(Refusal::Full),
            };
        }
        self.writer = Writer {
            compacting,
            ..Writer::IDLE
        };
        if self.quiet {
            // After a boot a guard takes the word that an interrupted write may have touched.
            self.quiet = false;
            self.buffer = [0; CHUNK];
            return self.program(0, Geometry::<F>::WORD);
        }
        self.next_record(job)
    }

    /// Begins the next record of the batch, or ends the batch.
    fn next_record(&mut self, job: &mut Job<'_>) -> Want {
        let writer = &mut self.writer;
        if writer.compacting {
            let Some(oldest) = self.links.checked_sub(1) else {
                return Want::Done;
            };
            if writer.next == Writer::END {
                return self.mark();
            }
            self.aim(oldest, 0);
            let page = self.scanner.page;
            let found = self.live.find_in(page, self.writer.next);
            let writer = &mut self.writer;
            match found {
                Some((number, of, place)) => {
                    writer.next = number + 1;
                    writer.head = Head::new(Some(place.len()), true);
                    writer.key = of.get();
                    writer.source = place.word();
                    writer.source_sum = seed(page, writer.source);
                }
                None => {
                    writer.next = Writer::END;
                    writer.head = Head::RETIREMENT;
                    writer.key = oldest as u32;
                }
            }
        } else if let Job::Append { rest, value } = job
            && let Some(((key, new), others)) = rest.split_first()
        {
            (*rest, *value) = (others, new.unwrap_or_default());
            writer.head = Head::new(new.map(<[u8]>::len), !others.is_empty());
            writer.key = key.get();
        } else {
            return self.mark();
        }
        let (page, word) = (self.newest(), self.tail);
        let writer = &mut self.writer;
        writer.word = word;
        writer.sum = seed(page, word);
        writer.left = Geometry::<F>::record(writer.head.len()) as usize * Geometry::<F>::WORD;
        self.next_part(job)
    }

    /// Gathers the next bytes of the record.
    fn next_part(&mut self, job: &mut Job<'_>) -> Want {
        let bytes = self.writer.left.min(CHUNK);
        if self.writer.compacting && self.writer.next != Writer::END {
            self.phase = Phase::Copy;
            let (from, words) = (self.writer.source, (bytes / Geometry::<F>::WORD) as u32);
            return self.want_words(from, from + words);
        }
        // What stands before the value is filled in later.
        let front = if self.tail == self.writer.word {
            RECORD_FRONT
        } else {
            0
        };
        self.buffer = [0; CHUNK];
        if let Job::Append { value, .. } = job {
            let (now, later) = value.split_at(value.len().min(bytes - front));
            let room = self.buffer.iter_mut().skip(front);
            room.zip(now).for_each(|(to, from)| *to = *from);
            *value = later;
        }
        self.program_part(0, bytes)
    }

    /// Words of the record that is copied were read.
    pub(super) fn copied(&mut self, readable: bool) -> Want {
        let (from, to) = (self.from, self.to);
        let bytes = self.buffer.get(from..to).unwrap_or_default();
        let writer = &mut self.writer;
        writer.source_sum = crc32(writer.source_sum, bytes);
        writer.source += (bytes.len() / Geometry::<F>::WORD) as u32;
        // A damaged value must not become a good one, and a checksum that takes in itself ends in 0.
        if !readable || writer.left == bytes.len() && writer.source_sum != 0 {
            return Want::Stop(Refusal::Corrupt);
        }
        self.program_part(from, to)
    }

    /// Programs a part of the record, with its own head, key and checksum in it.
    fn program_part(&mut self, from: usize, to: usize) -> Want {
        let writer = &mut self.writer;
        let part = self.buffer.get_mut(from..to).unwrap_or_default();
        if self.tail == writer.word
            && let Some(front) = part.first_chunk_mut()
        {
            let head = writer.head.encode(writer.sum);
            *front = (u64::from(head) | u64::from(writer.key) << 32).to_le_bytes();
        }
        writer.left -= part.len();
        if writer.left > 0 {
            writer.sum = crc32(writer.sum, part);
        } else {
            format::put_sum(writer.sum, part);
            // The page after this one says what its last word was.
            let last = part.iter().rev().take(Geometry::<F>::WORD).rev();
            self.last
                .iter_mut()
                .zip(last)
                .for_each(|(to, from)| *to = *from);
        }
        self.program(from, to)
    }

    /// A part of a record was programmed, or the guard.
    pub(super) fn written(&mut self, job: &mut Job<'_>) -> Want {
        if self.to < self.upto {
            self.word += ((self.to - self.from) / Geometry::<F>::WORD) as u32;
            self.from = self.to;
            return self.program_piece();
        }
        let writer = &self.writer;
        if writer.left > 0 {
            return self.next_part(job);
        }
        let len = writer.head.len();
        let place = Place::new(self.newest(), writer.word, len);
        // This runs ahead of the flash: after an error, or a dropped future, all is shown again.
        if writer.compacting {
            if let Some(number) = writer.next.checked_sub(1) {
                self.live.moved(number, place);
            }
        } else if writer.head != Head::NONE {
            let place = (!writer.head.is_removal()).then_some(place);
            self.live.show(RecordKey::new(writer.key), place);
        }
        self.next_record(job)
    }

    /// Ends the batch: with the mark nobody has to doubt its last word.
    fn mark(&mut self) -> Want {
        let (page, end) = (self.newest(), self.tail);
        if let Some(newest) = self.chain.first_mut() {
            *newest = Link::new(page, end);
        }
        format::mark(page, end, &mut self.buffer);
        let want = self.program(0, Geometry::<F>::WORD);
        self.phase = Phase::Mark;
        want
    }

    pub(super) fn marked(&mut self, job: &mut Job<'_>) -> Want {
        self.settled = true;
        if !self.writer.compacting {
            return Want::Done;
        }
        // The oldest page does not count any more.
        self.links -= 1;
        self.retired = self.retired.wrapping_add(1);
        match job {
            Job::Append { .. } => self.find_room(job),
            _ => Want::Done,
        }
    }

    /// Programs bytes of the buffer behind what stands in the newest page.
    fn program(&mut self, from: usize, to: usize) -> Want {
        (self.page, self.word) = (self.newest(), self.tail);
        (self.from, self.upto) = (from, to);
        self.tail += ((to - from) / Geometry::<F>::WORD) as u32;
        self.phase = Phase::Write;
        self.program_piece()
    }

    /// Programs the next of what is to be programmed, as much as may land in any order.
    ///
    /// The first word of a record stands before another is touched: where only a later one was attempted, a boot
    /// would trust the page. The last of a batch comes when all others stand: it alone may lie afterwards.
    fn program_piece(&mut self) -> Want {
        let (first, last) = (
            self.from + Geometry::<F>::WORD,
            self.upto - Geometry::<F>::WORD,
        );
        let ends = self.writer.left == 0 && !self.writer.head.more();
        self.to = if self.word == self.writer.word {
            first
        } else if ends && self.from < last {
            last
        } else {
            self.upto
        };
        Want::Program
    }
}
