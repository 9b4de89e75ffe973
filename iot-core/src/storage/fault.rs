//! A store that fails, or loses power, at a chosen commit.

use crate::engine::{Batch, RecordKey};
use crate::port::{Records, RecordsError, RecordsErrorKind};

/// What happens at the chosen commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// That commit is refused as [`RecordsErrorKind::Full`]; the store goes on working.
    Full,
    /// The power is cut before that commit takes effect.
    CutBefore,
    /// The power is cut after that commit took effect, before it is acknowledged.
    CutAfter,
}

/// The error of a [`FaultyRecords`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError<E> {
    /// The store below refused.
    #[error(transparent)]
    Store(E),
    /// The planned refusal.
    #[error("the planned refusal at this commit: the store is full")]
    Full,
    /// The planned power cut: nothing works until the store is taken out and booted from.
    #[error("the planned power cut has happened: boot again from the store inside")]
    Cut,
}

impl<E: RecordsError> RecordsError for FaultError<E> {
    fn kind(&self) -> RecordsErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Full => RecordsErrorKind::Full,
            Self::Cut => RecordsErrorKind::Other,
        }
    }
}

/// Any store, with one fault planned.
///
/// ```
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::port::Records;
/// use iot_core::storage::{fault::{Fault, FaultyRecords}, memory::MemoryRecords};
///
/// let mut records = FaultyRecords::new(MemoryRecords::new(), Fault::CutAfter, 0);
/// let mut buffer = [0; 64];
/// let mut writer = BatchWriter::new(&mut buffer);
/// writer.put(RecordKey::new(7), b"open")?;
/// let committed = futures::executor::block_on(records.commit(&writer.finish()));
/// assert!(committed.is_err() && records.fired());
/// assert_eq!(records.into_inner().len(), 1); // durable, although nobody was told
/// # Ok::<(), iot_core::engine::BatchError>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultyRecords<R> {
    inner: R,
    fault: Fault,
    at: u32,
    commits: u32,
    cut: bool,
}

impl<R: Records> FaultyRecords<R> {
    /// Plans `fault` for the commit with number `at`, counted from 0.
    pub const fn new(inner: R, fault: Fault, at: u32) -> Self {
        Self {
            inner,
            fault,
            at,
            commits: 0,
            cut: false,
        }
    }

    /// How many commits were tried.
    pub const fn commits(&self) -> u32 {
        self.commits
    }

    /// Whether the fault has happened.
    pub const fn fired(&self) -> bool {
        self.commits > self.at
    }

    /// What survives: the store itself.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn powered(&mut self) -> Result<&mut R, FaultError<R::Error>> {
        if self.cut {
            return Err(FaultError::Cut);
        }
        Ok(&mut self.inner)
    }
}

impl<R: Records> Records for FaultyRecords<R> {
    type Error = FaultError<R::Error>;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, Self::Error> {
        let inner = self.powered()?;
        inner.read(key, buffer).await.map_err(FaultError::Store)
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), Self::Error> {
        self.powered()?;
        let due = self.commits == self.at;
        self.commits = self.commits.saturating_add(1);
        match self.fault {
            Fault::Full if due => return Err(FaultError::Full),
            Fault::CutBefore if due => {
                self.cut = true;
                return Err(FaultError::Cut);
            }
            _ => {}
        }
        self.inner.commit(batch).await.map_err(FaultError::Store)?;
        if due && self.fault == Fault::CutAfter {
            self.cut = true;
            return Err(FaultError::Cut);
        }
        Ok(())
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, Self::Error> {
        let inner = self.powered()?;
        inner.next_key(from).await.map_err(FaultError::Store)
    }
}
