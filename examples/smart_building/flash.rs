//! A device's flash: what it has on record, through every power cut.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};
use iot_core::storage::log::Config;
use iot_core::storage::records::{FlashError, FlashRecords};

use crate::power::Power;

const PAGES: usize = 6;
const PAGE_BYTES: usize = 4_096;
const WORD_BYTES: usize = 4;
const KEYS: usize = 64;

/// The records on it.
pub type Storage = FlashRecords<Flash, PAGES, KEYS>;

/// A flash whose words are programmed once between two erases; copies are the same chip.
#[derive(Clone, Debug)]
pub struct Flash {
    chip: Arc<Mutex<Vec<u8>>>,
    /// The device's: its other flash falls silent with this one.
    pub power: Power,
}

/// Why the flash did not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Broken {
    /// There is no power.
    Off,
    /// The place is not on the chip.
    Outside,
    /// A word was programmed that was not erased.
    ProgrammedTwice,
}

impl NorFlashError for Broken {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Outside => NorFlashErrorKind::OutOfBounds,
            Self::Off | Self::ProgrammedTwice => NorFlashErrorKind::Other,
        }
    }
}

impl Flash {
    /// An erased chip.
    pub fn new() -> Self {
        Self {
            chip: Arc::new(Mutex::new(vec![0xFF; PAGES * PAGE_BYTES])),
            power: Power::default(),
        }
    }

    /// Opens the records, or makes them.
    pub async fn open(&self) -> Result<Storage, FlashError<Broken>> {
        let end = u32::try_from(PAGES * PAGE_BYTES).unwrap_or(0);
        Storage::open(self.clone(), 0..end, Config::new()).await
    }

    fn chip(&self) -> MutexGuard<'_, Vec<u8>> {
        self.chip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one operation on `len` bytes, or half of it when the power fails.
    fn operate(
        &self,
        chip: &mut [u8],
        at: usize,
        len: usize,
        change: impl Fn(&mut [u8]) -> Result<(), Broken>,
    ) -> Result<(), Broken> {
        let fails = self.power.draw(1).ok_or(Broken::Off)? == 0;
        let done = if fails { len / 2 } else { len };
        change(chip.get_mut(at..at + done).ok_or(Broken::Outside)?)?;
        if fails { Err(Broken::Off) } else { Ok(()) }
    }
}

impl ErrorType for Flash {
    type Error = Broken;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        if self.power.is_off() {
            return Err(Broken::Off);
        }
        let chip = self.chip();
        let from = offset as usize;
        let place = chip.get(from..from + bytes.len());
        bytes.copy_from_slice(place.ok_or(Broken::Outside)?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        PAGES * PAGE_BYTES
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = WORD_BYTES;
    const ERASE_SIZE: usize = PAGE_BYTES;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        let mut chip = self.chip();
        for at in (from as usize..to as usize).step_by(PAGE_BYTES) {
            self.operate(&mut chip, at, PAGE_BYTES, |page| {
                page.fill(0xFF);
                Ok(())
            })?;
        }
        Ok(())
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        let mut chip = self.chip();
        let places = (offset as usize..).step_by(WORD_BYTES);
        for (at, word) in places.zip(bytes.chunks(WORD_BYTES)) {
            self.operate(&mut chip, at, word.len(), |place| {
                if place.iter().any(|byte| *byte != 0xFF) {
                    return Err(Broken::ProgrammedTwice);
                }
                let programmed = word.get(..place.len()).unwrap_or(word);
                place.copy_from_slice(programmed);
                Ok(())
            })?;
        }
        Ok(())
    }
}
