//! A flash and a world outside in files of the host, and a power supply that fails.
//!
//! The run ends in the middle of a chosen operation; the next one finds the files as they were left.

use core::cell::Cell;

use embedded_storage::nor_flash as blocking;
use embedded_storage_async::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

use iot_core::port::MonotonicCounter;

use crate::board::{File, exit, print};

/// Bytes of a page.
pub const PAGE: usize = 512;
const WORD: usize = 4;

/// How many operations there is power for.
#[derive(Debug)]
pub struct Supply {
    left: Cell<u32>,
    used: Cell<u32>,
}

impl Supply {
    /// Power for so many operations; 0 for power without end.
    #[must_use]
    pub const fn new(operations: u32) -> Self {
        Self {
            left: Cell::new(operations),
            used: Cell::new(0),
        }
    }

    /// Counts an operation, and says whether it is the last, which is cut short.
    pub fn is_last(&self) -> bool {
        self.used.set(self.used.get().saturating_add(1));
        match self.left.get() {
            // Without end.
            0 => false,
            left => {
                self.left.set(left - 1);
                left == 1
            }
        }
    }

    /// How many operations there were.
    pub const fn used(&self) -> u32 {
        self.used.get()
    }
}

/// The power is gone.
pub fn cut() -> ! {
    print(&["CUT\n"]);
    exit(true)
}

/// The flash in `flash.bin`; it holds the caller to the law of flash that is written once.
#[derive(Debug)]
pub struct FileFlash<'s> {
    file: File,
    bytes: usize,
    supply: &'s Supply,
}

/// The file ended, or a word was programmed that was not erased.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Broken;

impl core::fmt::Display for Broken {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the file ended, or a word was programmed twice")
    }
}

impl core::error::Error for Broken {}

impl NorFlashError for Broken {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::OutOfBounds
    }
}

impl<'s> FileFlash<'s> {
    /// Opens the file, which has so many bytes.
    #[must_use]
    pub fn open(supply: &'s Supply, bytes: usize) -> Option<Self> {
        let file = File::open(c"flash.bin")?;
        Some(Self {
            file,
            bytes,
            supply,
        })
    }
}

impl ErrorType for FileFlash<'_> {
    type Error = Broken;
}

impl FileFlash<'_> {
    fn load(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        let read = self.file.read(offset as usize, bytes);
        read.then_some(()).ok_or(Broken)
    }

    fn clear(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        for at in (from as usize..to as usize).step_by(PAGE) {
            let last = self.supply.is_last();
            let erased = if last { PAGE / 2 } else { PAGE };
            if !self.file.write(at, &[0xFF; PAGE][..erased]) {
                return Err(Broken);
            }
            if last {
                cut();
            }
        }
        Ok(())
    }

    fn program(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        for (at, word) in (offset as usize..).step_by(WORD).zip(bytes.chunks(WORD)) {
            let mut before = [0; WORD];
            let read = self.file.read(at, &mut before);
            if !read || before != [0xFF; WORD] {
                print(&["RESULT failed stage=programmed-twice\n"]);
                exit(false);
            }
            let last = self.supply.is_last();
            let written = if last { WORD / 2 } else { WORD };
            if !self.file.write(at, word.get(..written).unwrap_or(word)) {
                return Err(Broken);
            }
            if last {
                cut();
            }
        }
        Ok(())
    }
}

impl ReadNorFlash for FileFlash<'_> {
    const READ_SIZE: usize = 1;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        self.load(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for FileFlash<'_> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        self.clear(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        self.program(offset, bytes)
    }
}

/// The same for boot loaders.
impl blocking::ReadNorFlash for FileFlash<'_> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Broken> {
        self.load(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl blocking::NorFlash for FileFlash<'_> {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Broken> {
        self.clear(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Broken> {
        self.program(offset, bytes)
    }
}

/// Fuses in `world.bin`: a counter that survives the end of the run.
#[derive(Debug)]
pub struct FileCounter(File);

impl FileCounter {
    /// Opens the file.
    #[must_use]
    pub fn open() -> Option<Self> {
        File::open(c"world.bin").map(Self)
    }
}

impl MonotonicCounter for FileCounter {
    type Error = Broken;

    fn value(&mut self) -> Result<u64, Broken> {
        let mut bytes = [0; 8];
        let read = self.0.read(0, &mut bytes);
        read.then_some(u64::from_le_bytes(bytes)).ok_or(Broken)
    }

    fn raise(&mut self, to: u64) -> Result<(), Broken> {
        let higher = to.max(self.value()?);
        let written = self.0.write(0, &higher.to_le_bytes());
        written.then_some(()).ok_or(Broken)
    }
}

/// What the world outside remembers of each command, in `world.bin`: how often its effect was seen, and how it
/// was said to have ended.
#[derive(Debug)]
pub struct World<'s> {
    file: File,
    supply: &'s Supply,
}

impl<'s> World<'s> {
    /// Opens the file.
    #[must_use]
    pub fn open(supply: &'s Supply) -> Option<Self> {
        let file = File::open(c"world.bin")?;
        Some(Self { file, supply })
    }

    /// How often the effect of a command was seen.
    pub fn effects(&mut self, command: usize) -> u8 {
        self.get(2 * command)
    }

    /// The effect of a command is seen. The power may go right before and right after it.
    pub fn affect(&mut self, command: usize) {
        if self.supply.is_last() {
            cut();
        }
        let effects = self.effects(command) + 1;
        self.file.write(2 * command, &[effects]);
        if self.supply.is_last() {
            cut();
        }
    }

    /// How a command was said to have ended; 0 for not yet.
    pub fn end(&mut self, command: usize) -> u8 {
        self.get(2 * command + 1)
    }

    /// Hears how a command ended, and says whether it was said to have ended otherwise before.
    pub fn hear(&mut self, command: usize, end: u8) -> bool {
        let before = self.end(command);
        before == 0 && self.file.write(2 * command + 1, &[end]) || before == end
    }

    fn get(&mut self, at: usize) -> u8 {
        let mut byte = [0];
        self.file.read(at, &mut byte);
        byte[0]
    }
}
