//! Records on NOR flash: the newest value of each key, on a crash-safe [`log`](super::log).
//!
//! [`FlashRecords`] implements the [`Records`] port without a heap. An index in RAM knows where each value
//! stands: 12 bytes a key. When the flash is full of old values, the oldest page is compacted: the values that
//! still count are copied to the newest page in one batch that also retires the oldest, so that a power cut
//! leaves the one or the other. A commit compacts at most as many pages as are in use, one in the usual case.
//!
//! The flash must have 4 pages or more; two of them stay free of data. A batch fits when one of the others has
//! room for it beside what still counts there, and never when it is longer than a page; what does not fit is
//! refused before anything is written.

#![allow(
    clippy::cast_possible_truncation,
    reason = "pages, words and lengths have 16 bits on flash, and are checked where they come from"
)]

mod index;
#[cfg(feature = "sim")]
mod meaning;

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

use self::index::Index;
use super::log::{Config, Geometry, Job, LogError, Machine, Refusal, Stop};
use crate::engine::{Batch, RecordKey};
use crate::port::{Records, RecordsError, RecordsErrorKind};

/// Why records on flash could not be read or written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FlashError<E> {
    /// The log below refused or failed.
    #[error(transparent)]
    Log(LogError<E>),
    /// More keys than the index holds. Nothing was changed.
    #[error("the store holds {limit} keys: remove some or raise its KEYS")]
    Keys {
        /// How many it holds.
        limit: usize,
    },
}

impl<E> From<LogError<E>> for FlashError<E> {
    fn from(error: LogError<E>) -> Self {
        Self::Log(error)
    }
}

impl<E> From<Stop<E>> for FlashError<E> {
    fn from(stop: Stop<E>) -> Self {
        Self::Log(stop.into())
    }
}

impl<E: core::fmt::Debug> RecordsError for FlashError<E> {
    fn kind(&self) -> RecordsErrorKind {
        match self {
            Self::Keys { .. } | Self::Log(LogError::Full | LogError::TooLong { .. }) => {
                RecordsErrorKind::Full
            }
            Self::Log(LogError::Buffer { .. }) => RecordsErrorKind::Buffer,
            Self::Log(LogError::Corrupt | LogError::Version { .. }) => RecordsErrorKind::Corrupt,
            Self::Log(_) => RecordsErrorKind::Other,
        }
    }
}

/// Records on a flash of at most `PAGES` pages, under at most `KEYS` keys at a time.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::node::block_on;
/// use iot_core::port::Records;
/// use iot_core::sim::SimFlash;
/// use iot_core::storage::log::Config;
/// use iot_core::storage::records::FlashRecords;
///
/// block_on(async {
///     let flash = SimFlash::<4, 256>::new(4, iot_core::sim::flash::Mode::WriteOnce);
///     let mut records = FlashRecords::<_, 4, 16>::open(flash, 0..1024, Config::new()).await?;
///     let mut buffer = [0; 64];
///     let mut batch = BatchWriter::new(&mut buffer);
///     batch.put(RecordKey::new(7), b"open").unwrap();
///     records.commit(&batch.finish()).await?;
///     // … the power is cut …
///     let flash = records.into_flash();
///     let mut records = FlashRecords::<_, 4, 16>::open(flash, 0..1024, Config::new()).await?;
///     let mut value = [0; 16];
///     assert_eq!(records.read(RecordKey::new(7), &mut value).await?, Some(&b"open"[..]));
///     Ok::<(), iot_core::storage::records::FlashError<_>>(())
/// }).unwrap();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FlashRecords<F, const PAGES: usize, const KEYS: usize> {
    machine: Machine<F, Index<KEYS>, PAGES>,
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> FlashRecords<F, PAGES, KEYS> {
    /// Opens the store in `region` (bytes of the flash), and makes one where there is none.
    ///
    /// # Errors
    ///
    /// [`FlashError`]; with [`FlashError::Keys`] nothing of what is stored was changed.
    pub async fn open(
        flash: F,
        region: Range<u32>,
        config: Config,
    ) -> Result<Self, FlashError<F::Error>> {
        let machine = Machine::open(flash, Index::new(), &region, config)?;
        let mut records = Self { machine };
        records.ready().await?;
        Ok(records)
    }

    /// How many keys have a value.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.machine.live.len()
    }

    /// Whether no key has a value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
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

    /// After a write that was not seen to its end the index is filled again from what is there.
    async fn ready(&mut self) -> Result<(), FlashError<F::Error>> {
        match self.machine.run(&mut Job::Boot).await {
            Err(Stop::Refused(Refusal::Keys)) => Err(FlashError::Keys { limit: KEYS }),
            other => Ok(other?),
        }
    }

    /// Whether a batch of so many words fits, perhaps after pages were compacted.
    fn can_fit(&self, words: u32) -> bool {
        let machine = &self.machine;
        if !machine.is_over_limit() && (machine.fits(words) || !machine.is_at_limit()) {
            return true;
        }
        // When each page in turn was compacted into a fresh one, each was the newest once.
        let mut pages = machine.pages_in_use();
        pages.any(|page| {
            let live = machine.live.lengths_in(page).map(Geometry::<F>::record);
            live.sum::<u32>() + words <= Geometry::<F>::COMPACTED_ROOM
        })
    }
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> Records for FlashRecords<F, PAGES, KEYS> {
    type Error = FlashError<F::Error>;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Self::Error> {
        self.ready().await?;
        let Some(place) = self.machine.live.get(key) else {
            return Ok(None);
        };
        let bytes = place.len;
        let value = buffer.get_mut(..bytes.into());
        let value = value.ok_or(LogError::Buffer { bytes })?;
        self.machine.read(key, place, value).await?;
        Ok(Some(value))
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        let words = self.machine.words_of(batch)?;
        self.ready().await?;
        if !self.machine.live.has_room(batch) {
            return Err(FlashError::Keys { limit: KEYS });
        }
        if !self.can_fit(words) {
            return Err(LogError::Full.into());
        }
        if batch.is_empty() {
            return Ok(());
        }
        let mut job = self.machine.append(batch, words);
        self.machine.run(&mut job).await?;
        let mut place = self.machine.place_of_last(words);
        for (key, value) in batch.iter() {
            let bytes = value.map_or(0, <[u8]>::len);
            place.len = bytes as u16;
            self.machine.live.set(key, value.map(|_| place));
            place.word += Geometry::<F>::record(bytes) as u16;
        }
        Ok(())
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Self::Error> {
        self.ready().await?;
        Ok(self.machine.live.next(from))
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
