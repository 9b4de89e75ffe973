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

mod index;

use core::ops::Range;

use embedded_storage_async::nor_flash::NorFlash;

use self::index::{Index, Place};
use super::log::{Config, Kind, Log, LogError, Source};
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
    log: Log<F, PAGES>,
    index: Index<KEYS>,
    /// The log was looked at again, and the index not yet filled from it.
    stale: bool,
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
        let mut records = Self {
            log: Log::open(flash, region, config).await?,
            index: Index::new(),
            stale: true,
        };
        records.ready().await?;
        Ok(records)
    }

    /// How many keys have a value.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no key has a value.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The log below, for looking at it.
    #[must_use]
    pub const fn log(&self) -> &Log<F, PAGES> {
        &self.log
    }

    /// Gives the flash back.
    #[must_use]
    pub fn into_flash(self) -> F {
        self.log.into_flash()
    }

    /// After a write that was not seen to its end the index is filled again from what is there.
    async fn ready(&mut self) -> Result<(), FlashError<F::Error>> {
        self.stale |= self.log.ready().await?;
        if !self.stale {
            return Ok(());
        }
        self.index.clear();
        let mut cursor = self.log.oldest();
        while let Some(entry) = self.log.next(&mut cursor).await? {
            self.index
                .set(entry.key(), entry.value_bytes().map(|_| Place::of(&entry)))
                .map_err(|_| FlashError::Keys { limit: KEYS })?;
        }
        self.stale = false;
        Ok(())
    }

    /// Finds out before anything is written whether the batch can be made to fit, and makes it fit.
    async fn make_room(&mut self, words: u32) -> Result<(), FlashError<F::Error>> {
        let links = self.log.pages_in_use();
        if !self.log.is_over_limit() {
            if self.log.fits(words) {
                return Ok(());
            }
            if !self.log.is_at_limit() {
                return Ok(self.log.open_next().await?);
            }
        }
        // When every page in turn was compacted into a fresh one, each was the newest once.
        let fits_beside = |live: u32| live.saturating_add(words) <= Log::<F, PAGES>::COMPACTED_ROOM;
        if !(self.log.pages()).any(|page| fits_beside(self.live_words(page))) {
            return Err(LogError::Full.into());
        }
        for _ in 0..=2 * links {
            while self.log.is_over_limit() {
                self.compact().await?;
            }
            if self.log.fits(words) {
                return Ok(());
            }
            self.log.open_next().await?;
        }
        Err(LogError::Full.into())
    }

    /// How many words the values take that count in a page.
    fn live_words(&self, page: u16) -> u32 {
        let places = self.index.places_in(page);
        places
            .map(|(_, place)| Log::<F, PAGES>::words_of_value(place.len))
            .sum()
    }

    /// Copies what counts in the oldest page to the newest, and retires the oldest, in one batch.
    async fn compact(&mut self) -> Result<(), FlashError<F::Error>> {
        let Some(oldest) = self.log.pages().next() else {
            return Ok(());
        };
        if self.log.is_shut() {
            self.log.open_next().await?;
        }
        self.log.begin().await?;
        // The index runs ahead of the flash here: after an error, or a dropped future, it is filled anew.
        for at in 0..self.index.len() {
            let Some((key, place)) = self.index.at(at).filter(|slot| slot.1.page == oldest) else {
                continue;
            };
            let (page, word) = self.log.place();
            let copy = Source::Log(place.entry(key));
            self.log.put(Kind::Put, true, key.get(), copy).await?;
            let _ = self.index.set(
                key,
                Some(Place {
                    page,
                    word,
                    ..place
                }),
            );
        }
        Ok(self.log.retire().await?)
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
        match self.index.get(key) {
            Some(place) => Ok(Some(self.log.read(&place.entry(key), buffer).await?)),
            None => Ok(None),
        }
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let words = self.log.words_of(batch)?;
        self.ready().await?;
        if !self.index.has_room(batch) {
            return Err(FlashError::Keys { limit: KEYS });
        }
        self.make_room(words).await?;
        let (page, mut word) = self.log.write_batch(batch).await?;
        for (key, value) in batch.iter() {
            let len = value.map_or(0, <[u8]>::len) as u16;
            let place = Place { page, word, len };
            let _ = self.index.set(key, value.map(|_| place));
            word += Log::<F, PAGES>::words_of_value(len) as u16;
        }
        Ok(())
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Self::Error> {
        self.ready().await?;
        Ok(self.index.next(from))
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests;
