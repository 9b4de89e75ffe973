//! How a flash reads, programs and erases, and what it tells on the way.

use embedded_storage_async::nor_flash::ReadNorFlash;

use super::cell::{self, FlashCell, mix};
use super::crash::{Crash, CrashSink};
use super::image::{FlashImage, Mode};
use super::law::{self, FlashBreach, SimFlashError};
use super::torn::{self, Program, Torn};
use super::{Power, Reading, SimFlash};

impl<const WRITE: usize, const ERASE: usize> SimFlash<WRITE, ERASE> {
    fn breach<T>(&mut self, breach: FlashBreach) -> Result<T, SimFlashError> {
        self.violation.get_or_insert(breach);
        Err(SimFlashError::Breach(breach))
    }

    /// The number of the unit that `offset` begins.
    fn check(&mut self, offset: u32, bytes: usize, unit: usize) -> Result<usize, SimFlashError> {
        let capacity = ReadNorFlash::capacity(self);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if bytes > capacity || start > capacity - bytes {
            let breach = FlashBreach::OutOfBounds {
                offset,
                bytes,
                capacity,
            };
            return self.breach(breach);
        }
        if !start.is_multiple_of(unit) || !bytes.is_multiple_of(unit) {
            return self.breach(FlashBreach::NotAligned { offset, bytes });
        }
        Ok(start / unit)
    }

    const fn powered(&mut self) -> Result<(), SimFlashError> {
        match self.power {
            Power::On => Ok(()),
            Power::Off(_) => Err(SimFlashError::Cut),
            Power::ReadOnly => {
                self.touched.refused = true;
                Err(SimFlashError::ReadOnly)
            }
        }
    }

    pub(super) fn read_words(
        &mut self,
        offset: u32,
        bytes: &mut [u8],
    ) -> Result<(), SimFlashError> {
        if let Power::Off(_) = self.power {
            return Err(SimFlashError::Cut);
        }
        self.counters.reads += 1;
        // Explorations spend most of their time reading single words that hold no surprise.
        if let Ok(to) = <&mut [u8; WRITE]>::try_from(&mut *bytes)
            && let Some(word) = self.image.certain(offset)
        {
            *to = word;
            return Ok(());
        }
        self.read_any(offset, bytes)
    }

    fn read_any(&mut self, offset: u32, mut bytes: &mut [u8]) -> Result<(), SimFlashError> {
        let first = self.check(offset, bytes.len(), WRITE)?;
        let mut index = first;
        while !bytes.is_empty() {
            let page = index / FlashImage::<WRITE, ERASE>::PAGE_WORDS;
            let left = (page + 1) * ERASE - index * WRITE;
            let (now, later) = bytes.split_at_mut(left.min(bytes.len()));
            match self.image.plain(page, ERASE - left, now.len()) {
                Some(stored) => now.copy_from_slice(stored),
                None => self.read_doubtful(index, now)?,
            }
            index = (page + 1) * FlashImage::<WRITE, ERASE>::PAGE_WORDS;
            bytes = later;
        }
        Ok(())
    }

    fn read_doubtful(&mut self, first: usize, bytes: &mut [u8]) -> Result<(), SimFlashError> {
        for (index, to) in (first..).zip(bytes.as_chunks_mut::<WRITE>().0) {
            *to = match self.image.at(index) {
                FlashCell::Erased | FlashCell::Attempted => FlashCell::<WRITE>::ONES,
                FlashCell::Programmed(value) => value,
                FlashCell::Ecc => return Err(self.unreadable(index)),
                FlashCell::Unstable(value) => {
                    self.touched.unstable = true;
                    match self.unstable(index, value) {
                        Some(value) => value,
                        None => return Err(self.unreadable(index)),
                    }
                }
            };
        }
        Ok(())
    }

    fn unreadable(&self, index: usize) -> SimFlashError {
        let offset = offset_of(index, WRITE);
        SimFlashError::Ecc { offset }
    }

    /// What an unstable word reads as now.
    fn unstable(&mut self, index: usize, value: [u8; WRITE]) -> Option<[u8; WRITE]> {
        let place = index as u64 + 1;
        let random = match self.reading {
            Reading::Erased => return Some(FlashCell::<WRITE>::ONES),
            Reading::Value => return Some(value),
            Reading::Random(seed) => mix(seed ^ (place << 40)),
            Reading::Flicker(seed) => {
                self.flickers += 1;
                mix(seed ^ (place << 40) ^ self.flickers)
            }
        };
        match random % 4 {
            0 => Some(FlashCell::<WRITE>::ONES),
            1 => Some(value),
            2 if self.image.mode() == Mode::WriteOnce => None,
            _ => Some(cell::towards_ones(value, random)),
        }
    }

    pub(super) fn program_words(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimFlashError> {
        self.powered()?;
        self.counters.writes += 1;
        let first = self.check(offset, bytes.len(), WRITE)?;
        let words = bytes.as_chunks::<WRITE>().0;
        if words.len() > 1 {
            self.reorder(first, words)?;
        }
        for (index, value) in (first..).zip(words) {
            self.program_word(index, *value)?;
        }
        Ok(())
    }

    pub(super) fn plan(
        &mut self,
        index: usize,
        value: [u8; WRITE],
    ) -> Result<Program<WRITE>, FlashBreach> {
        let old = self.image.at(index);
        // Whoever reads a flickering word cannot know what it reads as next.
        let reads_erased = match (old, self.reading) {
            (FlashCell::Unstable(_), Reading::Flicker(_)) => true,
            (FlashCell::Unstable(stored), _) => {
                self.unstable(index, stored) == Some(FlashCell::<WRITE>::ONES)
            }
            _ => true,
        };
        self.touched.unstable |= matches!(old, FlashCell::Unstable(_));
        let offset = offset_of(index, WRITE);
        let mode = self.image.mode();
        let new = law::program(mode, old, value, offset, reads_erased, self.guard_fails)?;
        Ok(Program {
            index,
            old,
            value,
            new,
        })
    }

    /// Whether there may be one more operation.
    fn allowance(&mut self) -> Result<(), SimFlashError> {
        let most = self.most_operations;
        match self.operations < most {
            true => Ok(()),
            false => self.breach(FlashBreach::Endless { most }),
        }
    }

    fn program_word(&mut self, index: usize, value: [u8; WRITE]) -> Result<(), SimFlashError> {
        self.allowance()?;
        let program = match self.plan(index, value) {
            Ok(program) => program,
            Err(breach) => return self.breach(breach),
        };
        self.touched.guard |= matches!(program.old, FlashCell::Attempted | FlashCell::Unstable(_));
        if let Some(sink) = &self.sink {
            self.tell_word(&mut *sink.0.borrow_mut(), &program);
        }
        if let Some(torn) = self.due() {
            let left = program.torn(self.image.mode(), torn);
            self.image.set(index, left.unwrap_or(program.old));
            self.power = Power::Off(left.map_or(Torn::NotStarted, |_| torn));
            return Err(SimFlashError::Cut);
        }
        self.image.set(index, program.new);
        self.counters.words += 1;
        self.operations += 1;
        Ok(())
    }

    fn tell_word(&self, sink: &mut dyn CrashSink<WRITE, ERASE>, program: &Program<WRITE>) {
        let mode = self.image.mode();
        let share = program.old.share(program.index);
        let outcomes = self.torn.of_word::<WRITE>(mode);
        for torn in [Torn::NotStarted]
            .into_iter()
            .chain(outcomes)
            .chain([Torn::Complete])
        {
            let Some(cell) = program.torn(mode, torn) else {
                continue;
            };
            let (hash, units) = self.image.foresee(program.index, program.old, share, cell);
            sink.crash(&Crash {
                base: &self.image,
                word: Some((program.index, cell)),
                torn,
                operation: self.operations,
                hash,
                units,
            });
        }
    }

    /// The outcome of the operation that comes now, if it is the one whose cut is planned.
    pub(super) fn due(&self) -> Option<Torn> {
        self.cut
            .and_then(|(at, torn)| (at == self.operations).then_some(torn))
    }

    pub(super) fn erase_pages(&mut self, from: u32, to: u32) -> Result<(), SimFlashError> {
        self.powered()?;
        let bytes = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        if to < from {
            let capacity = ReadNorFlash::capacity(self);
            return self.breach(FlashBreach::OutOfBounds {
                offset: from,
                bytes,
                capacity,
            });
        }
        let first = self.check(from, bytes, ERASE)?;
        for page in first..first + bytes / ERASE {
            self.erase_page(page)?;
        }
        Ok(())
    }

    fn erase_page(&mut self, page: usize) -> Result<(), SimFlashError> {
        self.allowance()?;
        if let Some(sink) = &self.sink {
            let outcomes = self.torn.of_erase(self.image.mode());
            for torn in [Torn::NotStarted]
                .into_iter()
                .chain(outcomes)
                .chain([Torn::Complete])
            {
                if let Some(image) = torn::torn_erase(&self.image, page, torn) {
                    let crash = Crash::of_image(&image, torn, self.operations);
                    sink.0.borrow_mut().crash(&crash);
                }
            }
        }
        if let Some(torn) = self.due() {
            let left = torn::torn_erase(&self.image, page, torn);
            self.power = Power::Off(left.as_ref().map_or(Torn::NotStarted, |_| torn));
            if let Some(left) = left {
                self.image = left;
            }
            return Err(SimFlashError::Cut);
        }
        self.image.erase(page);
        self.counters.erases += 1;
        self.operations += 1;
        Ok(())
    }
}

fn offset_of(index: usize, unit: usize) -> u32 {
    u32::try_from(index * unit).unwrap_or(u32::MAX)
}
