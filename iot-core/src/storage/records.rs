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
//!
//! However full the store is, a batch that removes one key is taken: a value leaves room for that behind it. What
//! is replaced counts until it is, so a full store may refuse a shorter value too: remove a key first.

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
use super::log::{Config, Job, LogError, Machine, Refusal, Stop};
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
    /// More keys than the index holds; a removal makes room for what follows it in the batch. Nothing was changed.
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
            Self::Log(LogError::Corrupt) => RecordsErrorKind::Corrupt,
            Self::Log(LogError::Version { .. } | LogError::Foreign) => RecordsErrorKind::Version,
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
    /// [When a log is made](super::log#when-a-log-is-made) says what is erased: a region that holds something else,
    /// such as a bootloader, may look like one whose first opening was cut short. So check the region twice. Lend the
    /// driver (`&mut flash`) to keep it when this fails.
    ///
    /// # Errors
    ///
    /// [`FlashError`]; with [`FlashError::Keys`], and after [`LogError::Version`], [`LogError::Foreign`] and
    /// [`LogError::Region`], nothing of what is stored was changed. A read that fails with an
    /// error of kind `Other` is tried once more; then its words count as damaged for good, so let the driver repeat
    /// what only the bus got wrong: [what an error means](super::log#what-an-error-of-the-flash-means).
    pub async fn open(
        flash: F,
        region: Range<u32>,
        config: Config,
    ) -> Result<Self, FlashError<F::Error>> {
        let machine = Machine::open(flash, Index::new(), &region, config)?;
        let mut records = Self { machine };
        let run = records.machine.run(&mut Job::Boot).await;
        run.map_err(Self::error)?;
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

    fn error(stop: Stop<F::Error>) -> FlashError<F::Error> {
        match stop {
            Stop::Refused(Refusal::Keys) => FlashError::Keys { limit: KEYS },
            stop => FlashError::Log(stop.into()),
        }
    }
}

impl<F: NorFlash, const PAGES: usize, const KEYS: usize> Records for FlashRecords<F, PAGES, KEYS> {
    type Error = FlashError<F::Error>;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Self::Error> {
        let value = &mut *buffer;
        let mut job = Job::Read {
            key,
            place: None,
            value,
        };
        match self.machine.run(&mut job).await {
            Ok(()) => Ok(buffer.get(..self.machine.value_len())),
            Err(Stop::Refused(Refusal::Absent)) => Ok(None),
            Err(stop) => Err(Self::error(stop)),
        }
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        let mut job = self.machine.append(batch)?;
        self.machine.run(&mut job).await.map_err(Self::error)
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Self::Error> {
        self.machine
            .run(&mut Job::Boot)
            .await
            .map_err(Self::error)?;
        Ok(self.machine.live.next(from))
    }
}

#[cfg(test)]
mod tests;
