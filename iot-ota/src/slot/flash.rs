//! Banks and boot record on NOR flash.

mod counter;
mod layout;
#[cfg(feature = "sim")]
mod meaning;
mod moves;
mod placement;
mod register;
#[cfg(test)]
mod tests;

use core::ops::Range;

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;

pub use counter::{FlashCounter, FlashCounterError};
pub use layout::Layout;
use layout::Mode;
#[cfg(feature = "sim")]
pub use meaning::FlashMeaning;
use placement::{PLACEMENT_BYTES, Placement};
use register::{BUFFER, Register, WriteError, read, size};

use super::banks::{Bank, Banks, RecordCopy};
use super::record::{RECORD_BYTES, active_bank};

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
/// The boot record lies on three pages in turn, and its newest value on two of them: no single page is missed. The boot
/// loader writes them only while an update is tried, or when the power was cut while they were written; an update
/// writes about ten pages.
///
/// **A page that is worn, or a read that fails**, costs the candidate at most: every page that is moved is read back, and
/// where that fails what was moved comes back. Two cases remain, in which nothing boots: the page holds a part of the only whole image,
/// or it is one where images run, it was erased, and it takes nothing any more.
///
/// **What is assumed of the flash**: a completed erasure leaves words that can be programmed, a partly erased word never
/// reads nearer to programmed than before, and a word that was written completely keeps what it holds. At most one word, or one page whose erasure was cut, reads differently from time to time.
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
        "the layout does not fit the flash: places are whole pages apart from each other, and a page holds a boot record"
    )]
    Layout,
    /// The access ends past the bank. Nothing was changed.
    #[error("the access ends past the bank")]
    OutOfRange,
    /// The boot record was written four thousand million times.
    #[error("the boot record's generations are used up")]
    Worn,
    /// The flash took what was written, and does not give it back; the boot record is the old or the new one.
    #[error("what was written does not read back: the flash is worn")]
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
        if !layout.fits::<F>(flash.capacity()) {
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
        let mut payload = *self.register.value_or_zeros();
        if let (Some(place), Some(record)) = (payload.first_chunk_mut(), record) {
            *place = *record;
        }
        placement.encode(&mut payload);
        let written = self.register.write(&mut self.flash, &payload);
        // Of a write that failed the next boot finds out what is there.
        if written.is_ok() {
            self.placement = placement;
        }
        written.map_err(stored)
    }

    /// The bank that the record calls confirmed.
    fn confirmed(&self) -> Option<Bank> {
        active_bank(self.register.value()?.first_chunk()?)
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
        if self.confirmed() == Some(bank) {
            self.bring_back(bank, self.layout.pages::<F>())?;
            return Ok(true);
        }
        self.clear_journal()?;
        self.store(None, Placement::moving(bank.other(), 0))?;
        let moved = self.copy_from(bank, 0);
        if moved.is_err() {
            self.turn_back()?;
        }
        moved.map(|()| true)
    }

    fn renew(&mut self, bank: Bank) -> Result<bool, Self::Error> {
        let Mode::Overwrite { .. } = self.layout.mode else {
            return Ok(false);
        };
        self.bring_back(bank, self.layout.pages::<F>())?;
        Ok(true)
    }

    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, Self::Error> {
        let page = size(F::ERASE_SIZE);
        let from = from.min(self.layout.capacity) / page * page;
        let to = from.saturating_add(page).min(self.layout.capacity);
        let start = self.at(bank, from, 0)?;
        self.flash
            .erase(start, start.saturating_add(to - from))
            .map_err(FlashBanksError::Flash)?;
        Ok(from..to)
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
        let mut at = self.at(bank, offset, out.len())?;
        let unit = size(F::READ_SIZE);
        if unit == 1 {
            return read(&mut self.flash, at, out).map_err(FlashBanksError::Flash);
        }
        let mut rest = out;
        while !rest.is_empty() {
            // What does not begin and end with a unit is taken out of one.
            let apart = at % unit;
            let whole = rest.len() / F::READ_SIZE * F::READ_SIZE;
            let bytes = match (apart, whole) {
                (0, 1..) => whole,
                _ => rest.len().min((unit - apart) as usize),
            };
            let (now, later) = rest.split_at_mut_checked(bytes).unwrap_or_default();
            let done = if apart == 0 && bytes == whole {
                read(&mut self.flash, at, now)
            } else {
                let mut buffer = [0; BUFFER];
                let piece = buffer.get_mut(..F::READ_SIZE).unwrap_or(&mut []);
                let done = read(&mut self.flash, at - apart, piece);
                for (to, from) in now.iter_mut().zip(piece.iter().skip(apart as usize)) {
                    *to = *from;
                }
                done
            };
            done.map_err(FlashBanksError::Flash)?;
            at = at.saturating_add(size(bytes));
            rest = later;
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
        if let Some(record) = self.register.value_or_zeros().first_chunk() {
            *out = *record;
        }
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
