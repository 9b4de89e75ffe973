//! Images on their way to where they run and back, and what is left to do after a power cut.

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;

use super::layout::Copy;
use super::placement::{Moving, Placement};
use super::register::{BUFFER, read, size};
use super::{FlashBanks, FlashBanksError};
use crate::slot::banks::Bank;

/// How often a page is copied before it is taken for worn.
const COPIES: u32 = 3;

impl<F: NorFlash, C: MonotonicCounter> FlashBanks<F, C> {
    /// Goes on with what a power cut has interrupted; or back, where it cannot go on.
    pub(super) fn finish_move(&mut self) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Placement { placed, moving } = self.placement;
        let known = match moving {
            Moving::Nothing => return Ok(()),
            Moving::Back(pages) => return self.go_back(placed, pages),
            Moving::Other(known) => known,
        };
        let done = self.copied(known)?;
        // The last mark may read differently the next time. Once it was read its copy must not be made again: what
        // that came from is being written over by then.
        if done > known {
            self.store(None, Placement::moving(placed, done))?;
        }
        // Nor must a mark that was not read come back while its copy is made again.
        let mut gone_on = self.clear_journal();
        if gone_on.is_ok() {
            gone_on = self.copy_from(placed.other(), done);
        }
        gone_on.or_else(|_| self.turn_back())
    }

    /// Makes all copies from this one on, and notes that the image is where images run.
    pub(super) fn copy_from(
        &mut self,
        target: Bank,
        first: u16,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let mut done = first;
        while u32::from(done) < self.layout.copies::<F>() {
            self.copy_page(target, done)?;
            self.mark(done)?;
            done = done.saturating_add(1);
            self.placement = Placement::moving(target.other(), done);
        }
        self.store(None, Placement::resting(target))
    }

    /// Gives up a move in which a page turned out to be worn: nothing of the image that was placed is lost by then.
    // Inlined it would be there twice.
    #[inline(never)]
    pub(super) fn turn_back(&mut self) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Placement {
            placed,
            moving: Moving::Other(done),
        } = self.placement
        else {
            return Ok(());
        };
        self.bring_back(placed, self.layout.brought_away::<F>(done.into()))
    }

    /// Brings the first pages, in the order of a move, of an image back to where images run.
    // Inlined it would be there three times.
    #[inline(never)]
    pub(super) fn bring_back(
        &mut self,
        bank: Bank,
        pages: u32,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let pages = u16::try_from(pages).unwrap_or(u16::MAX);
        self.store(None, Placement::returning(bank, pages))?;
        self.go_back(bank, pages)
    }

    fn go_back(
        &mut self,
        bank: Bank,
        pages: u16,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        for number in 0..pages {
            self.copy(self.layout.copy_back::<F>(bank, number.into()))?;
        }
        self.store(None, Placement::resting(bank))
    }

    pub(super) fn clear_journal(&mut self) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Some(journal) = self.layout.journal() else {
            return Ok(());
        };
        let end = journal.saturating_add(self.layout.journal_bytes::<F>());
        let erased = self.flash.erase(journal, end);
        erased.map_err(FlashBanksError::Flash)?;
        for number in 0..self.copies() {
            // A mark that is left would stand for a copy that was never made.
            if self.is_marked(journal, number)? {
                return Err(FlashBanksError::NotStored);
            }
        }
        Ok(())
    }

    /// How many copies the journal says are complete, `known` at least.
    fn copied(&mut self, known: u16) -> Result<u16, FlashBanksError<F::Error, C::Error>> {
        let Some(journal) = self.layout.journal() else {
            return Ok(0);
        };
        let (mut done, mut unreadable) = (known, false);
        // Marks are written in order, so nothing counts behind a word without one.
        while done < self.copies() {
            match self.is_marked(journal, done) {
                Ok(false) => break,
                Ok(true) => {}
                // A word that reads as an error is one that a mark was written to. Two of them are a flash that
                // cannot be read: whatever was concluded from that would cost both images.
                Err(error) if unreadable => return Err(error),
                Err(_) => unreadable = true,
            }
            done = done.saturating_add(1);
        }
        Ok(done)
    }

    fn copies(&self) -> u16 {
        u16::try_from(self.layout.copies::<F>()).unwrap_or(u16::MAX)
    }

    /// Notes that a copy is complete.
    fn mark(&mut self, number: u16) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Some(journal) = self.layout.journal() else {
            return Ok(());
        };
        let mut buffer = [0; BUFFER];
        let word = buffer.get_mut(..F::WRITE_SIZE).unwrap_or(&mut []);
        let at = journal.saturating_add(mark_at::<F>(number));
        self.flash.write(at, word).map_err(FlashBanksError::Flash)?;
        // Without its mark this copy would be made again after a cut, from what is being written over by then.
        match self.is_marked(journal, number)? {
            true => Ok(()),
            false => Err(FlashBanksError::NotStored),
        }
    }

    // Inlined it would be there three times.
    #[inline(never)]
    fn is_marked(
        &mut self,
        journal: u32,
        number: u16,
    ) -> Result<bool, FlashBanksError<F::Error, C::Error>> {
        let mut buffer = [0; BUFFER];
        let word = buffer.get_mut(..F::WRITE_SIZE).unwrap_or(&mut []);
        let at = journal.saturating_add(mark_at::<F>(number));
        read(&mut self.flash, at, word).map_err(FlashBanksError::Flash)?;
        Ok(word.iter().any(|byte| *byte != 0xff))
    }

    fn copy_page(
        &mut self,
        target: Bank,
        number: u16,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        self.copy(self.layout.copy::<F>(target, number.into()))
    }

    fn copy(&mut self, copy: Copy) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        for _ in 0..COPIES {
            if let Ok(true) = self.compare(copy, true) {
                return Ok(());
            }
        }
        // A page that cannot be erased keeps what it held, and that may be what it should.
        let compared = self.compare(copy, false);
        match compared.map_err(FlashBanksError::Flash)? {
            true => Ok(()),
            false => Err(FlashBanksError::NotStored),
        }
    }

    /// Whether two pages hold the same, perhaps after the one was copied to the other: a worn page may take what it never
    /// gives back.
    fn compare(&mut self, Copy { from, to }: Copy, first_copy: bool) -> Result<bool, F::Error> {
        let page = size(F::ERASE_SIZE);
        if first_copy {
            self.flash.erase(to, to.saturating_add(page))?;
        }
        let mut offset = 0;
        while offset < page {
            let (mut here, mut there) = ([0; BUFFER], [0; BUFFER]);
            let bytes = page.saturating_sub(offset).min(size(BUFFER)) as usize;
            let (from, to) = (from.saturating_add(offset), to.saturating_add(offset));
            let piece = here.get_mut(..bytes).unwrap_or(&mut []);
            read(&mut self.flash, from, piece)?;
            if first_copy {
                self.flash.write(to, piece)?;
            }
            let back = there.get_mut(..bytes).unwrap_or(&mut []);
            read(&mut self.flash, to, back)?;
            if here != there {
                return Ok(false);
            }
            offset = offset.saturating_add(size(BUFFER));
        }
        Ok(true)
    }
}

const fn mark_at<F: NorFlash>(number: u16) -> u32 {
    size(F::WRITE_SIZE).saturating_mul(number as u32)
}
