//! Where a device's images lie, and which of them its processor runs.

use embedded_storage::nor_flash::NorFlash;
use iot_core::port::MonotonicCounter;
use iot_identity::ring::Sha256;
use iot_ota::slot::{
    Bank, Banks, BootRecord, FlashBanks, FlashCounter, Layout, Release, boot, store,
};

use crate::chip::{Chip, PAGE, Stock};
use crate::pki::Fallible;
use crate::power::Power;

/// What the boot loader and the firmware open.
pub type Memory = FlashBanks<Chip, FlashCounter<Chip>>;

const RECORD: u32 = 0;
const COUNTER: u32 = 3 * PAGE;
const IMAGES: u32 = 6 * PAGE;
/// Two words for each page of a bank of at most 2 MiB.
const JOURNAL: u32 = PAGE;

/// How an image gets to where it runs; all three ways are in the building.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    Direct,
    Swap,
    Overwrite,
}

impl Mode {
    pub const fn of(index: usize) -> Self {
        match index % 3 {
            0 => Self::Direct,
            1 => Self::Swap,
            _ => Self::Overwrite,
        }
    }
}

/// The flash of one device, and how it is divided.
#[derive(Clone, Debug)]
pub struct Board {
    chip: Chip,
    mode: Mode,
    capacity: u32,
    /// The bank that runs: this is a wire, no memory.
    runs: Bank,
}

impl Board {
    /// A device that was given `image` in the factory, whole words; a bank has room for `capacity` bytes.
    pub fn factory(
        mode: Mode,
        capacity: u32,
        (image, release): (&[u8], Release),
        stock: Stock,
        power: Power,
    ) -> Fallible<Self> {
        let capacity = capacity.next_multiple_of(PAGE);
        let pages = (IMAGES + 3 * capacity + PAGE + JOURNAL) / PAGE;
        let mut board = Self {
            chip: Chip::new(usize::try_from(pages)?, stock, power),
            mode,
            capacity,
            runs: Bank::A,
        };
        let mut memory = board.open()?;
        memory.write(Bank::A, 0, image)?;
        if mode == Mode::Overwrite {
            board.chip.write(board.place(Bank::A), image)?;
        }
        store(&mut memory, &BootRecord::factory(Bank::A, release))?;
        memory.raise_counter(release.counter)?;
        Ok(board)
    }

    /// Runs the boot loader, and gives the firmware that it starts its memory.
    pub fn boot(&mut self) -> Fallible<Memory> {
        self.runs = boot(&mut self.open()?, &mut Sha256::new())?;
        self.open()
    }

    /// Whether the processor runs these bytes.
    pub fn runs(&self, image: &[u8]) -> bool {
        let at = match self.mode {
            Mode::Direct => self.place(self.runs),
            Mode::Swap | Mode::Overwrite => IMAGES,
        };
        self.chip.holds(at, image)
    }

    /// Whether the bank that does not run begins with these bytes.
    pub fn keeps(&self, bytes: &[u8]) -> bool {
        self.chip.holds(self.place(self.runs.other()), bytes)
    }

    /// What the counter would say to a boot loader.
    pub fn counter(&self) -> Fallible<u64> {
        Ok(FlashCounter::new(self.chip.clone(), COUNTER).value()?)
    }

    /// What was done to the flash that no flash forgives.
    pub fn abuse(&self) -> Option<String> {
        self.chip.broken().map(|broken| broken.to_string())
    }

    fn open(&self) -> Fallible<Memory> {
        let (run, capacity) = (IMAGES, self.capacity);
        let [a, b] = [Bank::A, Bank::B].map(|bank| self.place(bank));
        let layout = match self.mode {
            Mode::Direct => Layout::direct(RECORD, a, b, capacity, self.runs),
            Mode::Swap => Layout::swap(RECORD, run + 2 * capacity + PAGE, run, a, capacity),
            Mode::Overwrite => Layout::overwrite(RECORD, run, a, b, capacity),
        };
        let counter = FlashCounter::new(self.chip.clone(), COUNTER);
        Ok(FlashBanks::open(self.chip.clone(), layout, counter)?)
    }

    /// Where the image of a bank lies that does not run.
    const fn place(&self, bank: Bank) -> u32 {
        let banks = match self.mode {
            Mode::Direct => IMAGES,
            Mode::Swap | Mode::Overwrite => IMAGES + self.capacity,
        };
        // Swapped images pass each other by one page.
        let apart = match self.mode {
            Mode::Swap => PAGE,
            Mode::Direct | Mode::Overwrite => self.capacity,
        };
        match bank {
            Bank::A => banks,
            Bank::B => banks + apart,
        }
    }
}
