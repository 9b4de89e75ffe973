//! An append-only log on NOR flash that survives a power cut at every operation.
//!
//! A [`Log`] holds batches of entries, each a value or a removal under a key. A batch is there whole or not
//! at all. No word of the flash that was programmed, or that an interrupted write may have touched, is ever
//! given data again, so the log also works on flash that can be written only once between erasures and on
//! flash with error correction. Pages are used in turn, which levels their wear by itself.
//!
//! [`records`](super::records) keeps the newest value of each key on such a log; most users want that.
//!
//! # Layout, version 1
//!
//! A *word* is what the flash writes at once, and at least 4 bytes. Numbers are little endian. A checksum is
//! CRC-32 (IEEE 802.3) without the final inversion, and starts from a value made of the number of the page
//! and of the word it stands in, so that nothing counts at another place than it was written for.
//!
//! | part | bytes | what |
//! |---|---:|---|
//! | page header | 2 | `iL` |
//! | | 1 | version: 1 |
//! | | 1 | binary logarithm of the word's length |
//! | | 4 | generation, higher than that of every page seen when this one was opened |
//! | | 2 | the page before it, or its own number when it is the first |
//! | | 2 | how many pages count, with this one |
//! | | 2 | in which word the accepted part of the page before it ends |
//! | | 2 | zero |
//! | | word | the last word of that part, as it was read then |
//! | | 4 | checksum, in the last bytes of a word |
//! | two marks | word each | `5A` and three bytes of the place's checksum, then their complement, and so on |
//! | record | 2 | kind (3 bits: 1 put, 2 remove, 3 retire), whether another of the batch follows (1), length of the value (12) |
//! | | 2 | the low half of the checksum of these two bytes |
//! | | 4 | key; in a retirement how many of the newest pages count from here on |
//! | | length | value, and zeros up to the checksum |
//! | | 4 | checksum, in the last bytes of a word |
//! | after a batch | word | a mark |
//! | after a boot | word | a guard: zeros, and not looked at |
//!
//! The header keeps this form in every version; a log refuses pages of a later version and changes nothing.
//!
//! # When a log is made
//!
//! Only where no page has a header and a mark. Even then nothing is made, and nothing changed, while a page speaks
//! against it: one in which two marks or records stand, one that begins like a header and has more behind it than a
//! first opening that was cut leaves, and more headers that fail to be read than there are pages, in two rounds.
//!
//! # What an error of the flash means
//!
//! An error whose kind is [`Other`](embedded_storage_async::nor_flash::NorFlashErrorKind::Other) means of a read
//! that the words cannot be read, now or ever, as a word with more wrong bits than can be mended. The log asks once
//! more, and then takes them for damaged, which an interrupted write leaves behind too. So a driver whose bus can
//! fail repeats a transfer until it knows better: of a failure that lasts, a boot may take the newest page, or the
//! end of it, for one that was never completed.
//!
//! # What damage tells
//!
//! Damage of what is read after opening is an error, and at a boot damage of every page but the newest. In the
//! newest page it cannot be told from an interrupted write: the entries from there on are then missing without an
//! error, and after a damaged header all of the page.
//!
//! # How a power cut is survived
//!
//! - A record counts when every record of its batch reads as it was written.
//! - The last programmed word may lie, and read differently the next time. So a batch whose mark is missing is
//!   judged once: the next page is opened, and its header says where the accepted part of this one ends and what
//!   its last word was.
//! - A word that reads as erased may have been attempted. So writing goes on behind a guard, and only where the
//!   mark of the last batch stands; everything else at the tail gives the rest of the page up.
//! - Words of one write may land in any order. So the first word of a record is a write of its own, before any
//!   other of it is attempted, and so is the last of a batch, when all others stand.
//! - Behind a batch stand its mark and perhaps a guard, whatever they read as: a record follows there or nothing.
//! - A page counts with its header and a mark. One whose generation is not outranked by the newest page may come
//!   back, so it is outranked before anything is written.
//! - A page that counts under either reading of a doubtful batch is not erased.
//!
//! What is assumed of the flash: a completed write of zeros never reads as erased again (where that does not
//! hold, switch the guard off: [`Config::without_guard`]), a completed erasure leaves words that can be
//! programmed, and a partly erased word never reads nearer to programmed than before.

#![allow(
    clippy::cast_possible_truncation,
    reason = "pages, words and lengths have 16 bits on flash, and are checked where they come from"
)]

mod boot;
mod crc;
mod cursor;
mod format;
mod geometry;
mod live;
mod look;
mod machine;
#[cfg(feature = "sim")]
mod meaning;
mod scan;
mod write;

pub use cursor::Cursor;
pub(in crate::storage) use geometry::Geometry;
pub(in crate::storage) use live::{Live, Place};
pub use look::Entry;
pub(in crate::storage) use machine::{Job, Machine, Refusal, Stop};
#[cfg(feature = "sim")]
pub(in crate::storage) use meaning::add as add_meaning;

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

use crate::engine::Batch;

/// How a log uses its flash.
///
/// ```
/// use iot_core::storage::log::Config;
/// const CONFIG: Config = Config::new().spare_pages(3).without_guard();
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Config {
    spare: u16,
    guard: bool,
}

impl Config {
    /// Two spare pages, and a guard after a boot.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            spare: 2,
            guard: true,
        }
    }

    /// How many pages stay free of data: at least 2. One is opened when a page is full, the other when a boot
    /// gives a page up. A third makes it rarer, not impossible, that two words lose data which read differently
    /// from time to time at once: that is the limit of what is promised.
    #[must_use]
    pub const fn spare_pages(mut self, pages: u16) -> Self {
        self.spare = if pages < 2 { 2 } else { pages };
        self
    }

    /// For flash on which a completed write of zeros may read as erased again, or may not be written onto a
    /// word that an interrupted write has touched: every boot that writes then opens a page instead.
    #[must_use]
    pub const fn without_guard(mut self) -> Self {
        self.guard = false;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a log could not do what it was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LogError<E> {
    /// The flash failed. What was being written is there whole or not at all, and the next call finds out.
    #[error("the flash failed")]
    Flash(E),
    /// The region is no whole number of pages, lies outside of the flash, or has too few or too many pages.
    /// Nothing was changed.
    #[error(
        "the region must be 4 to {limit} whole pages of the flash (raise PAGES for more), and have 2 more than are spare"
    )]
    Region {
        /// How many pages the log can manage.
        limit: u16,
    },
    /// The flash holds a log of a later version. Nothing was changed.
    #[error("the flash holds a log of version {found}: update this software")]
    Version {
        /// Which.
        found: u8,
    },
    /// The region holds no log that can be read here, but pages of one that stood at another place of the flash, on
    /// words of another length, or whose first words are damaged. Nothing was changed. Not told is a log of shorter
    /// words whose only page ends within the first 64 bytes.
    #[error(
        "the flash holds a log of another place or word length: open it so, or erase the region"
    )]
    Foreign,
    /// No page is free for the batch. Nothing was changed.
    ///
    /// Records always take a batch that removes one key; a log has room again when its oldest page is retired.
    #[error(
        "no page has room: remove some records, retire the log's oldest page, or give it a larger region"
    )]
    Full,
    /// The batch does not fit into one page, or a value has more than 4,095 bytes. Nothing was changed.
    #[error(
        "a batch has at most {limit} bytes, 12 more than its value for each record, and a value 4,095"
    )]
    TooLong {
        /// What a page has for a batch, in bytes.
        limit: u32,
    },
    /// What was accepted does not read as it was written. At a boot damage in the newest page is not told so: it
    /// looks like a write that was interrupted, and what stands behind it is missing.
    #[error("a stored value does not read as it was written: the flash is worn or was changed")]
    Corrupt,
    /// The caller's buffer is shorter than the value. Nothing was changed.
    #[error("the value has {bytes} bytes: offer a buffer of that length")]
    Buffer {
        /// How long the value is.
        bytes: u16,
    },
}

impl<E> From<Stop<E>> for LogError<E> {
    fn from(stop: Stop<E>) -> Self {
        match stop {
            Stop::Flash(error) => Self::Flash(error),
            Stop::Refused(Refusal::Full | Refusal::Keys) => Self::Full,
            Stop::Refused(Refusal::Corrupt | Refusal::Absent) => Self::Corrupt,
            Stop::Refused(Refusal::Buffer(bytes)) => Self::Buffer { bytes },
            Stop::Refused(Refusal::Version(found)) => Self::Version { found },
            Stop::Refused(Refusal::Foreign) => Self::Foreign,
        }
    }
}

/// An append-only log on some pages of a flash. See the [module](self) for its layout and its promises.
///
/// `PAGES` is how many pages it can manage; each takes four bytes of RAM.
///
/// Every method may be dropped at every await: what it was writing is then there whole or not at all, and the
/// next call finds out which.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::node::block_on;
/// use iot_core::sim::SimFlash;
/// use iot_core::storage::log::{Config, Log};
///
/// block_on(async {
///     let flash = SimFlash::<4, 256>::new(4, iot_core::sim::flash::Mode::WriteOnce);
///     let mut log = Log::<_, 4>::open(flash, 0..1024, Config::new()).await?;
///     let mut buffer = [0; 64];
///     let mut batch = BatchWriter::new(&mut buffer);
///     batch.put(RecordKey::new(7), b"door opened").unwrap();
///     log.append(&batch.finish()).await?;
///
///     let mut cursor = log.oldest();
///     let entry = log.next(&mut cursor).await?.unwrap();
///     let mut value = [0; 16];
///     assert_eq!(log.read(&entry, &mut value).await?, b"door opened");
///     Ok::<(), iot_core::storage::log::LogError<_>>(())
/// }).unwrap();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Log<F, const PAGES: usize> {
    machine: Machine<F, (), PAGES>,
}

impl<F: NorFlash, const PAGES: usize> Log<F, PAGES> {
    /// Opens the log in `region` (bytes of the flash), and makes one where there is none.
    ///
    /// It writes only when there is no log yet, or when the power was cut at the wrong moment: then it erases
    /// one page and opens it, which takes at most 16 operations of the flash: words programmed, of 4 bytes or
    /// more, and pages erased; reads are not counted.
    ///
    /// A read that fails with an error of kind `Other` is tried once more; then its words count as damaged for
    /// good. Let the driver repeat what only the bus got wrong: [what an error means](self#what-an-error-of-the-flash-means).
    ///
    /// # Errors
    ///
    /// [`LogError::Region`], [`LogError::Version`], [`LogError::Foreign`], after which nothing was changed,
    /// [`LogError::Corrupt`] or [`LogError::Flash`].
    pub async fn open(
        flash: F,
        region: Range<u32>,
        config: Config,
    ) -> Result<Self, LogError<F::Error>> {
        let mut machine = Machine::open(flash, (), &region, config)?;
        machine.run(&mut Job::Boot).await?;
        Ok(Self { machine })
    }

    /// Makes `batch` durable, all of it or nothing; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`LogError::Full`] and [`LogError::TooLong`], after which nothing of what is stored was changed;
    /// [`LogError::Flash`], after which the batch is there whole or not at all. After an interrupted write it looks
    /// at the flash as [`open`](Self::open) does, and may return what that returns: the batch was not begun then.
    pub async fn append(&mut self, batch: &Batch<'_>) -> Result<(), LogError<F::Error>> {
        let mut job = self.machine.append(batch)?;
        Ok(self.machine.run(&mut job).await?)
    }

    /// Gives up the oldest page with all its entries; nothing happens when it is the only one.
    ///
    /// # Errors
    ///
    /// [`LogError::Flash`]; the page is then given up or not. [`LogError::Full`] when no page is free to write it
    /// down. After an interrupted write also what [`open`](Self::open) returns; nothing was given up then.
    pub async fn retire_oldest(&mut self) -> Result<(), LogError<F::Error>> {
        self.machine.need = Geometry::<F>::RETIREMENT + 1;
        Ok(self.machine.run(&mut Job::Retire).await?)
    }

    /// Whether the log has as many pages in use as it may: when the newest is full, [`append`](Self::append)
    /// is refused until a page is retired.
    #[must_use]
    pub fn is_at_limit(&self) -> bool {
        self.machine.is_at_limit()
    }

    /// How many pages are in use.
    #[must_use]
    pub const fn pages_in_use(&self) -> usize {
        self.machine.links
    }

    /// The flash, for looking at it.
    #[must_use]
    pub const fn flash(&self) -> &F {
        &self.machine.flash
    }

    /// Gives the flash back.
    #[must_use]
    pub fn into_flash(self) -> F {
        self.machine.flash
    }
}

#[cfg(test)]
mod tests;
