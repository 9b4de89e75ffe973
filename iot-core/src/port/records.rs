//! The port to durable records.

use crate::engine::{Batch, RecordKey};

/// What went wrong in a record store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RecordsErrorKind {
    /// No room for the batch; nothing was changed.
    Full,
    /// The caller's buffer is too small for the value.
    Buffer,
    /// What is stored cannot be trusted.
    Corrupt,
    /// What is stored was written by a later version of the software, or for another layout of the storage. It may
    /// be whole: keep it.
    Version,
    /// Anything else; the original error says more.
    Other,
}

/// A record store's own error, as long as it can be classified.
pub trait RecordsError: core::error::Error {
    /// Classifies the error.
    fn kind(&self) -> RecordsErrorKind;
}

/// Durable values under numeric keys, changed in atomic batches.
pub trait Records {
    /// The store's own error.
    type Error: RecordsError;

    /// Reads the value under `key` into `buffer`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The store's error; `buffer` is then unspecified.
    fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<Option<&'b [u8]>, Self::Error>>;

    /// Makes `batch` durable, all of it or nothing, whatever moment the power is cut.
    ///
    /// It is durable when this returns. Dropping the future leaves either outcome, and committing the same
    /// batch again is safe.
    ///
    /// # Errors
    ///
    /// The store's error. With [`RecordsErrorKind::Full`] nothing was changed; with any other kind the
    /// batch may have become durable, whole, or not at all. A store that looks again at what an interrupted
    /// commit left may find it [`Corrupt`](RecordsErrorKind::Corrupt) or of another
    /// [`Version`](RecordsErrorKind::Version).
    fn commit(&mut self, batch: &Batch<'_>) -> impl Future<Output = Result<(), Self::Error>>;

    /// The smallest key that exists and is not below `from`; `None` when there is none.
    ///
    /// # Errors
    ///
    /// The store's error.
    fn next_key(
        &mut self,
        from: RecordKey,
    ) -> impl Future<Output = Result<Option<RecordKey>, Self::Error>>;
}

impl<R: Records + ?Sized> Records for &mut R {
    type Error = R::Error;
    fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> impl Future<Output = Result<Option<&'b [u8]>, Self::Error>> {
        (**self).read(key, buffer)
    }
    fn commit(&mut self, batch: &Batch<'_>) -> impl Future<Output = Result<(), Self::Error>> {
        (**self).commit(batch)
    }
    fn next_key(
        &mut self,
        from: RecordKey,
    ) -> impl Future<Output = Result<Option<RecordKey>, Self::Error>> {
        (**self).next_key(from)
    }
}
