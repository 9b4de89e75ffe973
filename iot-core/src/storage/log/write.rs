//! Writing batches.

use embedded_storage_async::nor_flash::NorFlash;

use super::LogError;
use super::format::{self, CHECKSUM, Head, Kind, MAX_VALUE, RECORD_FRONT, crc32, seed};
use super::geometry::Geometry;
use super::live::{Live, Place};
use super::machine::{Job, Machine, Phase, Refusal, STAGE, Stop, Want};
use crate::engine::Batch;

/// The record that is being written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer {
    head: Head,
    key: u32,
    /// Bytes that are not programmed yet.
    left: usize,
    /// Bytes that are programmed, or in the stage.
    done: usize,
    staged: usize,
    sum: u32,
    /// The record that it copies: its place in the chain, its next word and its number.
    copied: Option<(usize, u32, usize)>,
    /// Where it stands.
    word: u16,
    /// The batch copies what counts in the oldest page, and retires it.
    compacting: bool,
    /// The number of the next value to be looked at; its end when the retirement was written.
    next: usize,
}

impl Writer {
    pub(super) const IDLE: Self = Self {
        head: Head::NONE,
        key: 0,
        left: 0,
        done: 0,
        staged: 0,
        sum: 0,
        copied: None,
        word: 0,
        compacting: false,
        next: 0,
    };
}

impl<F: NorFlash, L: Live, const PAGES: usize> Machine<F, L, PAGES> {
    /// How many words a batch takes, with its mark; an error when no page has room for it.
    pub(in crate::storage) fn words_of(
        &self,
        batch: &Batch<'_>,
    ) -> Result<u32, LogError<F::Error>> {
        let mut words = 1;
        for (_, value) in batch.iter() {
            let bytes = value.map_or(0, <[u8]>::len);
            // A longer value than a record may have does not fit any page either.
            let bytes = if bytes > MAX_VALUE {
                usize::from(u16::MAX)
            } else {
                bytes
            };
            words += Geometry::<F>::record(bytes as u16);
            if words > Geometry::<F>::ROOM || bytes > MAX_VALUE {
                let limit = (Geometry::<F>::ROOM - 1) * Geometry::<F>::WORD as u32;
                return Err(LogError::TooLong { limit });
            }
        }
        Ok(words)
    }

    /// Writes a batch of so many words, for which there is room or will be.
    pub(in crate::storage) async fn append(
        &mut self,
        batch: &Batch<'_>,
        words: u32,
    ) -> Result<(), Stop<F::Error>> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut job = Job::Append {
            rest: *batch,
            words,
        };
        let first = self.find_room(&job);
        self.run(&mut job, first).await
    }

    /// Compacts and opens pages until there is room for the job's batch, then begins to write it.
    pub(super) fn find_room(&mut self, job: &Job<'_, PAGES>) -> Want {
        self.torn = true;
        let compacting = match job {
            Job::Retire => self.has_room(Geometry::<F>::RETIREMENT + 1),
            _ => L::COMPACTS && self.is_over_limit(),
        };
        let fits = match job {
            Job::Append { words, .. } => self.fits(*words),
            _ => false,
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
            self.stage = [0; STAGE];
            return self.program(Geometry::<F>::WORD);
        }
        self.next_record(job)
    }

    /// Begins the next record of the batch, or ends the batch.
    fn next_record(&mut self, job: &Job<'_, PAGES>) -> Want {
        let sum = seed(self.newest().into(), self.tail.into());
        let writer = &mut self.writer;
        let (mut head, mut copied) = (Head::NONE, None);
        let mut key;
        if writer.compacting {
            let oldest = self.chain.first().map_or(0, |link| link.page);
            if writer.next == usize::MAX {
                return self.mark();
            }
            head.kind = Kind::Retire;
            key = self.links as u32 - 1;
            match self.live.find_in(oldest, writer.next) {
                None => writer.next = usize::MAX,
                Some((number, of, place)) => {
                    writer.next = number + 1;
                    (head.kind, head.more, head.len) = (Kind::Put, true, place.len);
                    (key, copied) = (of.get(), Some((0, place.word.into(), number)));
                }
            }
        } else if let Job::Append { rest, .. } = job
            && let Some(((of, value), rest)) = rest.split_first()
        {
            if value.is_some() {
                head.kind = Kind::Put;
            }
            head.len = value.map_or(0, <[u8]>::len) as u16;
            (key, head.more) = (of.get(), !rest.is_empty());
        } else {
            return self.mark();
        }
        (writer.head, writer.key, writer.copied) = (head, key, copied);
        (writer.done, writer.staged, writer.word) = (0, 0, self.tail);
        writer.left = Geometry::<F>::record(head.len) as usize * Geometry::<F>::WORD;
        writer.sum = sum;
        self.stage_part(job)
    }

    /// Fills the stage with the next bytes of the record.
    fn stage_part(&mut self, job: &Job<'_, PAGES>) -> Want {
        if let Some((at, word, _)) = self.writer.copied {
            self.phase = Phase::Copy;
            return self.want_word(at, word);
        }
        let value = match job {
            Job::Append { rest, .. } if !self.writer.compacting => rest.split_first(),
            _ => None,
        };
        let value = value.and_then(|((_, value), _)| value).unwrap_or_default();
        let writer = &mut self.writer;
        writer.staged = writer.left.min(STAGE);
        // What stands before the value is filled in later.
        let skip = RECORD_FRONT.saturating_sub(writer.done);
        let mut rest = value.iter().skip(writer.done.saturating_sub(RECORD_FRONT));
        for to in self.stage.iter_mut().take(writer.staged).skip(skip) {
            *to = rest.next().copied().unwrap_or(0);
        }
        self.program_part()
    }

    /// Programs the stage, with the record's own head, key and checksum in it.
    fn program_part(&mut self) -> Want {
        let writer = &mut self.writer;
        let bytes = writer.staged;
        if writer.done == 0 {
            let head = writer.head.encode(writer.sum).into_iter();
            let front = head.chain(writer.key.to_le_bytes());
            self.stage
                .iter_mut()
                .zip(front)
                .for_each(|(to, from)| *to = from);
        }
        writer.left -= bytes;
        writer.done += bytes;
        writer.staged = 0;
        let summed = if writer.left == 0 {
            bytes - CHECKSUM
        } else {
            bytes
        };
        writer.sum = crc32(writer.sum, self.stage.get(..summed).unwrap_or_default());
        let sum = writer.sum.to_le_bytes();
        if writer.left == 0 {
            let to = self.stage.iter_mut().skip(summed);
            to.zip(sum).for_each(|(to, from)| *to = from);
            // The page after this one says what its last word was.
            let last = self.stage.iter().skip(bytes - Geometry::<F>::WORD);
            self.last
                .iter_mut()
                .zip(last)
                .for_each(|(to, from)| *to = *from);
        }
        self.program(bytes)
    }

    /// A part of a record was programmed, or the guard.
    pub(super) fn written(&mut self, job: &mut Job<'_, PAGES>) -> Want {
        if self.writer.left > 0 {
            return self.stage_part(job);
        }
        if let Some((_, _, number)) = self.writer.copied {
            let place = Place {
                page: self.newest(),
                word: self.writer.word,
                len: self.writer.head.len,
            };
            // This runs ahead of the flash: after an error, or a dropped future, all is shown again.
            self.live.moved(number, place);
        } else if let Job::Append { rest, .. } = job
            && !self.writer.compacting
            && self.writer.done > 0
            && let Some((_, others)) = rest.split_first()
        {
            *rest = others;
        }
        self.next_record(job)
    }

    /// A word of the record that is copied was read.
    pub(super) fn copied(&mut self, job: &mut Job<'_, PAGES>, readable: bool) -> Want {
        let Some(from) = self.word(readable) else {
            return Want::Stop(Refusal::Corrupt);
        };
        let word = self.input.iter().skip(from).take(Geometry::<F>::WORD);
        let to = self.stage.iter_mut().skip(self.writer.staged);
        to.zip(word).for_each(|(to, from)| *to = *from);
        self.writer.staged += Geometry::<F>::WORD;
        if let Some((_, word, _)) = &mut self.writer.copied {
            *word += 1;
        }
        if self.writer.staged == self.writer.left.min(STAGE) {
            return self.program_part();
        }
        self.stage_part(job)
    }

    /// Ends the batch: with the mark nobody has to doubt its last word.
    fn mark(&mut self) -> Want {
        let (page, end) = (self.newest(), self.tail);
        if let Some(newest) = self
            .links
            .checked_sub(1)
            .and_then(|at| self.chain.get_mut(at))
        {
            newest.end = end;
        }
        format::mark(page.into(), end.into(), &mut self.stage);
        let want = self.program(Geometry::<F>::WORD);
        self.phase = Phase::Mark;
        want
    }

    pub(super) fn marked(&mut self, job: &mut Job<'_, PAGES>) -> Want {
        self.torn = false;
        if !self.writer.compacting {
            return Want::Done;
        }
        self.unlink_oldest(1);
        self.retired = self.retired.wrapping_add(1);
        match job {
            Job::Append { .. } => self.find_room(job),
            _ => Want::Done,
        }
    }

    /// Programs the next bytes of the newest page.
    fn program(&mut self, bytes: usize) -> Want {
        let (page, word) = (self.newest(), self.tail.into());
        self.tail += (bytes / Geometry::<F>::WORD) as u16;
        self.phase = Phase::Write;
        Want::Program { page, word, bytes }
    }
}
