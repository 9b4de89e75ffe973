//! NOR flash that tears, decays and counts, and that notices what a real chip would not forgive.
//!
//! [`SimFlash`] stands behind the ecosystem's `NorFlash` port. Three things are done with it:
//!
//! - **A plain power cut**: [`SimFlash::cut_after`] tears one chosen operation; [`SimFlash::reboot`] turns the power
//!   on again.
//! - **Every power cut at once**: with a [`CrashSink`], one uncut run is told each state that any cut could leave.
//!   [`power`](crate::sim::power) builds on it.
//! - **The law of the chip**: the first access that a data sheet forbids is kept as [`SimFlash::violation`].
//!
//! NOR flash has no cache: what `write` returned from is there. "Unsynced writes are lost or overtake each other" can
//! therefore only mean the words of one call, in a controller's buffer: [`TornModels::reordered`].
//!
//! A word that may have been attempted is one that a program was started on. It may read as erased, for now. Data on
//! it would be a second program, so the law allows it all-zero *guards* alone, whose content nobody relies on.

mod access;
mod blocking;
mod bytes;
mod cell;
mod crash;
mod image;
mod law;
mod reorder;
mod torn;

#[cfg(test)]
mod tests;

use alloc::rc::Rc;
use core::cell::RefCell;

use embedded_storage_async::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};

pub use bytes::FlashImageError;
pub use cell::FlashCell;
pub(in crate::sim) use cell::{mix, mix_b};
pub use crash::{Crash, CrashSink};
pub use image::{FlashImage, Mode};
pub use law::{FlashBreach, SimFlashError};
pub use torn::{Torn, TornModels};

use crash::SharedSink;

/// What an [`Unstable`](FlashCell::Unstable) word reads as.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reading {
    /// As erased.
    Erased,
    /// As the value whose program was torn.
    Value,
    /// Each word as erased, as its value, as a mix or as an error, chosen by this seed for as long as it is set.
    Random(u64),
    /// The same, chosen anew for every read.
    Flicker(u64),
}

/// What a flash was asked to do so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct FlashCounters {
    /// Calls of `read`.
    pub reads: u64,
    /// Calls of `write`.
    pub writes: u64,
    /// Words programmed.
    pub words: u64,
    /// Pages erased.
    pub erases: u64,
}

/// A simulated NOR flash: words of `WRITE` bytes (1 to 32), pages of `ERASE` bytes (at most 65,536).
///
/// A clone is cheap, because pages are shared until one of the copies writes them; it shares the sink as well.
///
/// ```
/// use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};
/// use iot_core::node::block_on;
/// use iot_core::sim::SimFlash;
/// use iot_core::sim::flash::{Mode, SimFlashError, Torn};
///
/// let mut flash = SimFlash::<4, 256>::new(2, Mode::WriteOnce);
/// flash.cut_after(1, Torn::Ecc); // the second word to be programmed is torn
/// let written = block_on(flash.write(0, b"unlocked"));
/// assert_eq!(written, Err(SimFlashError::Cut));
///
/// flash.reboot();
/// let mut word = [0; 4];
/// block_on(flash.read(0, &mut word))?;
/// assert_eq!(&word, b"unlo");
/// assert_eq!(block_on(flash.read(4, &mut word)), Err(SimFlashError::Ecc { offset: 4 }));
/// # Ok::<(), SimFlashError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimFlash<const WRITE: usize, const ERASE: usize> {
    image: FlashImage<WRITE, ERASE>,
    torn: TornModels,
    reading: Reading,
    guard_fails: bool,
    sink: Option<SharedSink<WRITE, ERASE>>,
    cut: Option<(u32, Torn)>,
    power: Power,
    violation: Option<FlashBreach>,
    counters: FlashCounters,
    operations: u32,
    most_operations: u32,
    flickers: u64,
    touched: Touched,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Power {
    On,
    Off(Torn),
    ReadOnly,
}

/// What happened since the boot whose outcome the surroundings decide.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::sim) struct Touched {
    /// An unstable word was read.
    pub(in crate::sim) unstable: bool,
    /// A guard was programmed.
    pub(in crate::sim) guard: bool,
    /// It was to be changed, although it was lent for reading alone.
    pub(in crate::sim) refused: bool,
}

impl<const WRITE: usize, const ERASE: usize> SimFlash<WRITE, ERASE> {
    /// An erased flash of `pages` pages.
    #[must_use]
    pub fn new(pages: u16, mode: Mode) -> Self {
        Self::from_image(FlashImage::new(pages, mode))
    }

    /// A flash with this content, powered, without sink or planned cut, that shows [`TornModels::ALL`].
    #[must_use]
    pub const fn from_image(image: FlashImage<WRITE, ERASE>) -> Self {
        Self {
            image,
            torn: TornModels::ALL,
            reading: Reading::Erased,
            guard_fails: false,
            sink: None,
            cut: None,
            power: Power::On,
            violation: None,
            counters: FlashCounters {
                reads: 0,
                writes: 0,
                words: 0,
                erases: 0,
            },
            operations: 0,
            most_operations: u32::MAX,
            flickers: 0,
            touched: Touched {
                unstable: false,
                guard: false,
                refused: false,
            },
        }
    }

    /// States which torn outcomes the sink is told.
    pub const fn set_torn(&mut self, models: TornModels) {
        self.torn = models;
    }

    /// Tells every state that a power cut could leave to `sink` from now on.
    pub fn set_sink(&mut self, sink: Rc<RefCell<dyn CrashSink<WRITE, ERASE>>>) {
        self.sink = Some(SharedSink(sink));
    }

    /// Tells nobody any more.
    pub fn clear_sink(&mut self) {
        self.sink = None;
    }

    /// States what unstable words read as from now on; [`Reading::Erased`] at first.
    pub const fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// States whether a guard on a doubtful write-once word ends as an error instead of as zeroes; it does not at first.
    ///
    /// The check bits of such a word are those of its first program, so either may happen on a real chip.
    pub const fn set_guard_fails(&mut self, fails: bool) {
        self.guard_fails = fails;
    }

    /// States how many words may be programmed and pages erased between two boots; any number at first.
    ///
    /// The next one is a [breach](FlashBreach::Endless) and does not happen: so a loop of erasures comes to an end.
    pub const fn set_most_operations(&mut self, most: u32) {
        self.most_operations = most;
    }

    /// Plans a power cut: `operations` more operations complete, the next one ends as `torn`.
    ///
    /// An operation is the program of one word or the erase of one page. If `torn` cannot be the outcome of the
    /// operation it hits, nothing of that operation happens; [`cut`](Self::cut) tells. [`Torn::Reordered`] hits the
    /// call whose first word is that operation.
    pub const fn cut_after(&mut self, operations: u32, torn: Torn) {
        self.cut = Some((self.operations.saturating_add(operations), torn));
    }

    /// Turns the power on again: the content stays, operations count from 0, no cut is planned.
    pub const fn reboot(&mut self) {
        self.power = Power::On;
        self.cut = None;
        self.operations = 0;
        self.touched = Touched {
            unstable: false,
            guard: false,
            refused: false,
        };
    }

    /// The outcome of the planned cut, once it has happened.
    #[must_use]
    pub const fn cut(&self) -> Option<Torn> {
        match self.power {
            Power::Off(torn) => Some(torn),
            Power::On | Power::ReadOnly => None,
        }
    }

    /// The first breach of the chip's law by its caller, since it was made.
    #[must_use]
    pub const fn violation(&self) -> Option<FlashBreach> {
        self.violation
    }

    /// What it was asked to do since it was made.
    #[must_use]
    pub const fn counters(&self) -> FlashCounters {
        self.counters
    }

    /// Words programmed and pages erased since the boot.
    #[must_use]
    pub const fn operations(&self) -> u32 {
        self.operations
    }

    /// The content.
    #[must_use]
    pub const fn image(&self) -> &FlashImage<WRITE, ERASE> {
        &self.image
    }

    /// The content, without the flash around it.
    #[must_use]
    pub fn into_image(self) -> FlashImage<WRITE, ERASE> {
        self.image
    }

    /// A flash that lends one image after the other for reading alone: writing and erasing are refused.
    pub(in crate::sim) const fn read_only(image: FlashImage<WRITE, ERASE>) -> Self {
        let mut flash = Self::from_image(image);
        flash.power = Power::ReadOnly;
        flash
    }

    pub(in crate::sim) const fn swap_image(&mut self, image: &mut FlashImage<WRITE, ERASE>) {
        core::mem::swap(&mut self.image, image);
    }

    pub(in crate::sim) const fn touched(&self) -> Touched {
        self.touched
    }
}

impl<const WRITE: usize, const ERASE: usize> ErrorType for SimFlash<WRITE, ERASE> {
    type Error = SimFlashError;
}

impl<const WRITE: usize, const ERASE: usize> ReadNorFlash for SimFlash<WRITE, ERASE> {
    const READ_SIZE: usize = WRITE;

    async fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), SimFlashError> {
        self.read_words(offset, bytes)
    }

    fn capacity(&self) -> usize {
        self.image.pages() * ERASE
    }
}

impl<const WRITE: usize, const ERASE: usize> NorFlash for SimFlash<WRITE, ERASE> {
    const WRITE_SIZE: usize = WRITE;
    const ERASE_SIZE: usize = ERASE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), SimFlashError> {
        self.erase_pages(from, to)
    }

    async fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), SimFlashError> {
        self.program_words(offset, bytes)
    }
}

/// In another mode than [`Mode::Multiwrite`] a second write is a breach, whatever the caller was told by this trait.
impl<const WRITE: usize, const ERASE: usize> MultiwriteNorFlash for SimFlash<WRITE, ERASE> {}
