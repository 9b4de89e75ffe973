//! Banks and boot record on NOR flash.

mod counter;
mod layout;
#[cfg(feature = "sim")]
mod meaning;
mod placement;
mod register;
#[cfg(test)]
mod tests;

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;

pub use counter::{FlashCounter, FlashCounterError};
pub use layout::Layout;
use layout::Mode;
use placement::{PLACEMENT_BYTES, Placement};
use register::{BUFFER, Register, WriteError, size};

use super::banks::{Bank, Banks, RecordCopy};
use super::record::RECORD_BYTES;

const PAYLOAD_BYTES: usize = RECORD_BYTES + PLACEMENT_BYTES;
const KIND_BOOT: u8 = 1;

/// The boot record, with where the images are.
type Boot = Register<PAYLOAD_BYTES>;

/// Banks and boot record on NOR flash, and a counter beside it. The boot loader and the firmware open the same.
///
/// Works on flash whose words may be programmed only once between erasures, and on flash with check bits: no data ever
/// lands on a word that was programmed, or that an interrupted write may have touched. A word has at most 128 bytes, and a
/// page room for a boot record: 144 bytes, rounded up to whole words, and a word more.
///
/// The boot record lies on three pages in turn. The boot loader writes them only while an update is tried, or
/// when the power was cut while they were written; an update writes it about five times.
///
/// **What is assumed of the flash**: a completed erasure leaves words that can be programmed, a partly erased word never
/// reads nearer to programmed than before, and (for [`Layout::swap`]) a completed write of zeros never reads as erased
/// again. At most one word, or one page whose erasure was cut, reads differently from time to time.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::sim::flash::Mode;
/// use iot_core::sim::{SimCounter, SimFlash};
/// use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, load, store};
///
/// const PAGE: u32 = 1024;
/// // Three pages for the record, four for each bank.
/// let layout = Layout::direct(0, 3 * PAGE, 7 * PAGE, 4 * PAGE, Bank::A);
/// let flash = SimFlash::<4, 1024>::new(11, Mode::WriteOnce);
/// let mut banks = FlashBanks::open(flash, layout, SimCounter::new(0))?;
/// // What the factory does: an image, and the record that names it.
/// banks.write(Bank::A, 0, b"firmware")?;
/// store(&mut banks, &BootRecord::factory(Bank::A, Release::new(1, [7; 32], 8))).unwrap();
/// assert_eq!(load(&mut banks)?.unwrap().installed.size, 8);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FlashBanks<F, C> {
    flash: F,
    counter: C,
    layout: Layout,
    register: Boot,
    placement: Placement,
}

/// Why banks on flash did not do what they were asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashBanksError<F, C> {
    /// The flash failed.
    #[error("the flash failed")]
    Flash(F),
    /// The counter failed.
    #[error("the counter failed")]
    Counter(C),
    /// The layout does not fit the flash. Nothing was changed.
    #[error(
        "the layout does not fit the flash: places and capacity are whole pages, and a page holds a boot record"
    )]
    Layout,
    /// The access ends past the bank. Nothing was changed.
    #[error("the access ends past the bank")]
    OutOfRange,
    /// The boot record was written four thousand million times.
    #[error("the boot record's generations are used up")]
    Worn,
    /// The flash took the boot record, and does not give it back; the record is the old or the new one.
    #[error("the boot record does not read back as it was written: the flash is worn")]
    NotStored,
}

impl<F: NorFlash, C: MonotonicCounter> FlashBanks<F, C> {
    /// Reads the boot record; changes nothing.
    ///
    /// # Errors
    ///
    /// [`FlashBanksError::Layout`].
    pub fn open(
        mut flash: F,
        layout: Layout,
        counter: C,
    ) -> Result<Self, FlashBanksError<F::Error, C::Error>> {
        if !layout.fits::<F>() {
            return Err(FlashBanksError::Layout);
        }
        let register = Boot::open(&mut flash, layout.record, KIND_BOOT);
        Ok(Self {
            flash,
            counter,
            layout,
            placement: Placement::of(register.value()),
            register,
        })
    }

    /// The flash, to look at.
    pub const fn flash(&self) -> &F {
        &self.flash
    }

    /// Gives the flash and the counter back.
    pub fn into_parts(self) -> (F, C) {
        (self.flash, self.counter)
    }

    /// Makes this boot's reading of the record the only one. Nobody is told of a record before.
    fn settle_record(&mut self) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        self.register.settle(&mut self.flash).map_err(stored)
    }

    fn store(
        &mut self,
        record: Option<&[u8; RECORD_BYTES]>,
        placement: Placement,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let mut payload = match self.register.value() {
            Some(payload) => *payload,
            None => [0; PAYLOAD_BYTES],
        };
        for (to, from) in payload.iter_mut().zip(record.into_iter().flatten()) {
            *to = *from;
        }
        placement.encode(&mut payload);
        let written = self.register.write(&mut self.flash, &payload);
        // Of a write that failed the next boot finds out what is there.
        if written.is_ok() {
            self.placement = placement;
        }
        written.map_err(stored)
    }

    /// Brings the other image to where images run; goes on where it was interrupted.
    fn finish_move(&mut self) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Placement {
            placed,
            moving: Some(known),
        } = self.placement
        else {
            return Ok(());
        };
        let target = placed.other();
        let mut done = self.copied(known);
        // The last mark may read differently the next time, and then its copy must not be made again: what it
        // came from is being written over by then.
        if done > known {
            self.store(None, Placement::moving(placed, done))?;
        }
        while u32::from(done) < self.layout.copies::<F>() {
            self.copy_page(target, done)?;
            self.mark(done)?;
            done = done.saturating_add(1);
        }
        self.store(None, Placement::resting(target))
    }

    /// How many copies the journal says are complete, `known` at least.
    fn copied(&mut self, known: u16) -> u16 {
        let Some(journal) = self.layout.journal() else {
            return 0;
        };
        let copies = u16::try_from(self.layout.copies::<F>()).unwrap_or(u16::MAX);
        let mut done = known;
        for number in known..copies {
            let mut buffer = [0; BUFFER];
            let word = buffer.get_mut(..F::WRITE_SIZE).unwrap_or(&mut []);
            let read = self
                .flash
                .read(journal.saturating_add(mark_at::<F>(number)), word);
            // A word that reads as an error is one that a mark was written to.
            if read.is_err() || word.iter().any(|byte| *byte != 0xff) {
                done = number.saturating_add(1);
            }
        }
        done
    }

    /// Notes that a copy is complete. The word may have been attempted, so nothing but zeros may go there.
    fn mark(&mut self, number: u16) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let Some(journal) = self.layout.journal() else {
            return Ok(());
        };
        let buffer = [0; BUFFER];
        let word = buffer.get(..F::WRITE_SIZE).unwrap_or(&[]);
        let at = journal.saturating_add(mark_at::<F>(number));
        self.flash.write(at, word).map_err(FlashBanksError::Flash)
    }

    fn copy_page(
        &mut self,
        target: Bank,
        number: u16,
    ) -> Result<(), FlashBanksError<F::Error, C::Error>> {
        let layout::Copy { from, to } = self.layout.copy::<F>(target, number.into());
        let page = size(F::ERASE_SIZE);
        let mut copy = || {
            self.flash.erase(to, to.saturating_add(page))?;
            let mut offset = 0;
            while offset < page {
                let mut buffer = [0; BUFFER];
                let bytes = page.saturating_sub(offset).min(size(BUFFER));
                let piece = buffer.get_mut(..bytes as usize).unwrap_or(&mut []);
                // What cannot be read goes as it is, or nothing would ever boot again: the digest will tell.
                let _ = self.flash.read(from.saturating_add(offset), piece);
                self.flash.write(to.saturating_add(offset), piece)?;
                offset = offset.saturating_add(bytes);
            }
            Ok(())
        };
        copy().map_err(FlashBanksError::Flash)
    }

    /// Where `len` bytes at `offset` of a bank lie.
    fn at(
        &self,
        bank: Bank,
        offset: u32,
        len: usize,
    ) -> Result<u32, FlashBanksError<F::Error, C::Error>> {
        let end = u32::try_from(len)
            .ok()
            .and_then(|len| offset.checked_add(len));
        if end.is_none_or(|end| end > self.layout.capacity) {
            return Err(FlashBanksError::OutOfRange);
        }
        let start = self.layout.place_of::<F>(bank, self.placement.placed);
        Ok(start.saturating_add(offset))
    }
}

impl<F: NorFlash, C: MonotonicCounter> Banks for FlashBanks<F, C>
where
    F::Error: core::fmt::Debug,
{
    type Error = FlashBanksError<F::Error, C::Error>;

    fn capacity(&self) -> u32 {
        self.layout.capacity
    }

    fn running(&self) -> Bank {
        match self.layout.mode {
            Mode::Direct { running, .. } => running,
            Mode::Swap { .. } | Mode::Overwrite { .. } => self.placement.placed,
        }
    }

    fn settle(&mut self) -> Result<(), Self::Error> {
        self.settle_record()?;
        self.finish_move()
    }

    fn place(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        self.finish_move()?;
        if self.placement.placed == bank || self.layout.copies::<F>() == 0 {
            return Ok(false);
        }
        if let Some(journal) = self.layout.journal() {
            let end = journal.saturating_add(self.layout.journal_bytes::<F>());
            let erased = self.flash.erase(journal, end);
            erased.map_err(FlashBanksError::Flash)?;
        }
        self.store(None, Placement::moving(bank.other(), 0))?;
        self.finish_move()?;
        Ok(true)
    }

    fn clear(&mut self, bank: Bank, from: u32) -> Result<u32, Self::Error> {
        let page = size(F::ERASE_SIZE);
        let from = from.min(self.layout.capacity) / page * page;
        let start = self.at(bank, from, 0)?;
        let end = start.saturating_add(self.layout.capacity - from);
        self.flash
            .erase(start, end)
            .map_err(FlashBanksError::Flash)?;
        Ok(from)
    }

    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let at = self.at(bank, offset, bytes.len())?;
        let whole = bytes.len() / F::WRITE_SIZE * F::WRITE_SIZE;
        let (whole, rest) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
        self.flash
            .write(at, whole)
            .map_err(FlashBanksError::Flash)?;
        if rest.is_empty() {
            return Ok(());
        }
        // Only the last word of an image may be short of bytes.
        let mut buffer = [0xff; BUFFER];
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        let word = buffer.get(..F::WRITE_SIZE).unwrap_or(&[]);
        let at = at.saturating_add(size(whole.len()));
        self.flash.write(at, word).map_err(FlashBanksError::Flash)
    }

    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), Self::Error> {
        let at = self.at(bank, offset, out.len())?;
        let whole = out.len() / F::READ_SIZE * F::READ_SIZE;
        let Some((whole, rest)) = out.split_at_mut_checked(whole) else {
            return Ok(());
        };
        self.flash.read(at, whole).map_err(FlashBanksError::Flash)?;
        if rest.is_empty() {
            return Ok(());
        }
        let mut buffer = [0; BUFFER];
        let unit = buffer.get_mut(..F::READ_SIZE).unwrap_or(&mut []);
        let at = at.saturating_add(size(whole.len()));
        self.flash.read(at, unit).map_err(FlashBanksError::Flash)?;
        for (to, from) in rest.iter_mut().zip(unit) {
            *to = *from;
        }
        Ok(())
    }

    /// The register replaces its value as a whole, so it stands for both copies.
    fn read_record(
        &mut self,
        _: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), Self::Error> {
        self.settle_record()?;
        let record = self.register.value().and_then(|value| value.first_chunk());
        *out = *record.unwrap_or(&[0; RECORD_BYTES]);
        Ok(())
    }

    fn write_record(
        &mut self,
        _: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), Self::Error> {
        self.store(Some(bytes), self.placement)
    }

    fn counter(&mut self) -> Result<u64, Self::Error> {
        self.counter.value().map_err(FlashBanksError::Counter)
    }

    fn raise_counter(&mut self, to: u64) -> Result<(), Self::Error> {
        self.counter.raise(to).map_err(FlashBanksError::Counter)
    }
}

fn stored<F, C>(error: WriteError<F>) -> FlashBanksError<F, C> {
    match error {
        WriteError::Flash(error) => FlashBanksError::Flash(error),
        WriteError::Worn => FlashBanksError::Worn,
        WriteError::NotStored => FlashBanksError::NotStored,
    }
}

const fn mark_at<F: NorFlash>(number: u16) -> u32 {
    size(F::WRITE_SIZE).saturating_mul(number as u32)
}
