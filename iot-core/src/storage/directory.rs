//! Records as files of one directory, changed in atomic batches.
//!
//! **Format, version 1.** A record with key `k` is the file `<k as 8 hex digits>.rec`; a batch that was
//! committed and not yet carried out is the file `batch`. Names ending in `.tmp` are work that was not
//! finished. Both kinds of file carry a magic, a version, their content and a CRC-32 over all of it.
//!
//! **Order.** A batch of one change writes a temporary file, syncs it, renames it over the record and syncs
//! the directory. A batch of several first becomes durable as `batch` in the same way, then each record is
//! written, and `batch` is removed when all of them are durable. Whoever opens a directory with a `batch`
//! in it carries it out first: doing it twice does no harm, because it names values and not differences.
//! A name may be visible and not durable yet, because whoever gave it was killed before the sync; so nothing
//! is believed, shown or carried out before the directory is synced once.
//!
//! Calls block for the length of a few syncs. On a host whose executor must not wait that long, give the
//! node a thread of its own.

mod format;
mod plan;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Bound;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use self::format::Damage;
use self::plan::{Change, Operation};
use super::memory::last_entries;
use crate::engine::{Batch, RecordKey};
use crate::port::{Records, RecordsError, RecordsErrorKind};

/// A store in a directory that belongs to it alone.
///
/// ```
/// use iot_core::engine::{BatchWriter, RecordKey};
/// use iot_core::port::Records;
/// use iot_core::storage::directory::Directory;
///
/// let folder = tempfile::tempdir()?;
/// let mut buffer = [0; 64];
/// let mut writer = BatchWriter::new(&mut buffer);
/// writer.put(RecordKey::new(7), b"open")?;
/// let mut store = Directory::open(folder.path())?;
/// futures::executor::block_on(store.commit(&writer.finish()))?;
/// drop(store);
///
/// let mut store = Directory::open(folder.path())?;
/// let value = futures::executor::block_on(store.read(RecordKey::new(7), &mut buffer))?;
/// assert_eq!(value, Some(&b"open"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    limit_bytes: u64,
    /// The length of every value.
    index: BTreeMap<RecordKey, u64>,
    /// A commit failed on its way: what is on disk must be looked at again.
    interrupted: bool,
    /// Holds the lock as long as it is open.
    _lock: File,
}

/// What went wrong in a directory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// Another process, or another part of this one, has it open.
    #[error("the directory is in use by another store: give each store its own")]
    InUse,
    /// The batch would exceed the limit of [`Directory::open_with_limit`]. Nothing was changed.
    #[error(
        "the values would have {bytes} bytes, {limit} are allowed: remove some or raise the limit"
    )]
    Full {
        /// How many bytes there would be.
        bytes: u64,
        /// How many are allowed.
        limit: u64,
    },
    /// The disk is full. Nothing was changed.
    #[error("the disk is full: make room on it")]
    DiskFull,
    /// The caller's buffer is shorter than the value.
    #[error("the value has {bytes} bytes: offer a buffer of that length")]
    Buffer {
        /// How long the value is.
        bytes: usize,
    },
    /// A file does not hold what was written there.
    #[error("{what} is damaged: restore it from elsewhere or remove it")]
    Corrupt {
        /// Which file.
        what: What,
    },
    /// A file was written by a later version of this code.
    #[error("{what} has format version {found}, this code knows {known}: update it", known = format::VERSION)]
    Version {
        /// Which file.
        what: What,
        /// Its version.
        found: u8,
    },
    /// The file system refused.
    #[error("the file system refused")]
    Io(#[from] io::Error),
}

/// Names a file of the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The file of one record.
    Record(RecordKey),
    /// The batch that waits to be carried out.
    Batch,
}

impl core::fmt::Display for What {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Record(key) => f.write_str(&plan::record_name(*key)),
            Self::Batch => f.write_str(plan::BATCH),
        }
    }
}

impl RecordsError for DirectoryError {
    fn kind(&self) -> RecordsErrorKind {
        match self {
            Self::Full { .. } | Self::DiskFull => RecordsErrorKind::Full,
            Self::Buffer { .. } => RecordsErrorKind::Buffer,
            Self::Corrupt { .. } => RecordsErrorKind::Corrupt,
            Self::Version { .. } => RecordsErrorKind::Version,
            Self::InUse | Self::Io(_) => RecordsErrorKind::Other,
        }
    }
}

impl Directory {
    /// Opens the directory, making it if it is not there, and finishes what a power cut interrupted.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; the directory is not open then, and nothing acknowledged is lost.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        Self::open_with_limit(path, u64::MAX)
    }

    /// Like [`open`](Self::open); values may have `limit_bytes` bytes together.
    ///
    /// # Errors
    ///
    /// [`DirectoryError`]; the directory is not open then, and nothing acknowledged is lost.
    pub fn open_with_limit(
        path: impl AsRef<Path>,
        limit_bytes: u64,
    ) -> Result<Self, DirectoryError> {
        let path = path.as_ref().to_path_buf();
        plan::create(&path)?;
        let lock = File::create(path.join("lock"))?;
        // The lock goes with the process, however that ends, so a killed owner leaves no stale one behind.
        match fs4::FileExt::try_lock(&lock) {
            Ok(()) => {}
            Err(fs4::TryLockError::WouldBlock) => return Err(DirectoryError::InUse),
            Err(fs4::TryLockError::Error(error)) => return Err(error.into()),
        }
        let mut directory = Self {
            path,
            limit_bytes,
            index: BTreeMap::new(),
            interrupted: true,
            _lock: lock,
        };
        directory.settle()?;
        Ok(directory)
    }

    /// Carries out a batch that is durable, clears away what is not, and learns what there is.
    fn settle(&mut self) -> Result<(), DirectoryError> {
        self.settle_by(Operation::perform)
    }

    /// Does so with `perform`, in whose place a test puts its own.
    fn settle_by(
        &mut self,
        mut perform: impl FnMut(&Operation, &Path) -> io::Result<()>,
    ) -> Result<(), DirectoryError> {
        if !self.interrupted {
            return Ok(());
        }
        // What a file contains was durable before it got its name; that it has its name may not be.
        perform(&Operation::Sync, &self.path)?;
        if let Some(bytes) = existing(fs::read(self.path.join(plan::BATCH)))? {
            let changes = format::read_batch(&bytes).map_err(|damage| damage.of(What::Batch))?;
            for operation in plan::carry_out(&changes) {
                perform(&operation, &self.path)?;
            }
        }
        self.index.clear();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if name.ends_with(plan::UNFINISHED) {
                fs::remove_file(entry.path())?;
            } else if let Some(key) = plan::key_of(name) {
                let bytes = entry.metadata()?.len();
                self.index
                    .insert(key, bytes.saturating_sub(format::OVERHEAD));
            }
        }
        self.interrupted = false;
        Ok(())
    }

    fn write(&mut self, changes: &[Change<'_>]) -> Result<(), DirectoryError> {
        let mut bytes: u64 = self.index.values().sum();
        for change in changes {
            bytes -= self.index.get(&change.key).copied().unwrap_or(0);
            bytes += change.bytes();
        }
        let limit = self.limit_bytes;
        if bytes > limit {
            return Err(DirectoryError::Full { bytes, limit });
        }
        let mut operations = plan::commit(changes).into_iter();
        // Only the first operation can find the disk full before anything was changed.
        if let Some(first) = operations.next()
            && let Err(error) = first.perform(&self.path)
        {
            self.interrupted = true;
            let full = matches!(first, Operation::Write { .. })
                && matches!(
                    error.kind(),
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
                );
            return Err(if full {
                DirectoryError::DiskFull
            } else {
                error.into()
            });
        }
        self.interrupted = true;
        for operation in operations {
            operation.perform(&self.path)?;
        }
        self.interrupted = false;
        for change in changes {
            match change.value {
                Some(_) => self.index.insert(change.key, change.bytes()),
                None => self.index.remove(&change.key),
            };
        }
        Ok(())
    }
}

impl Records for Directory {
    type Error = DirectoryError;

    async fn read<'b>(
        &mut self,
        key: RecordKey,
        buffer: &'b mut [u8],
    ) -> Result<Option<&'b [u8]>, DirectoryError> {
        self.settle()?;
        let Some(file) = existing(fs::read(self.path.join(plan::record_name(key))))? else {
            // The file of a record that is in the index was taken away by somebody else.
            let what = What::Record(key);
            let known = self.index.contains_key(&key);
            return if known {
                Err(DirectoryError::Corrupt { what })
            } else {
                Ok(None)
            };
        };
        let value =
            format::read_record(&file, key).map_err(|damage| damage.of(What::Record(key)))?;
        let bytes = value.len();
        let out = buffer
            .get_mut(..bytes)
            .ok_or(DirectoryError::Buffer { bytes })?;
        out.copy_from_slice(value);
        Ok(Some(out))
    }

    async fn commit(&mut self, batch: &Batch<'_>) -> Result<(), DirectoryError> {
        self.settle()?;
        let changes: Vec<_> = last_entries(batch)
            .filter(|(key, value)| value.is_some() || self.index.contains_key(key))
            .map(|(key, value)| Change { key, value })
            .collect();
        self.write(&changes)
    }

    async fn next_key(&mut self, from: RecordKey) -> Result<Option<RecordKey>, DirectoryError> {
        self.settle()?;
        let mut keys = self.index.range((Bound::Included(from), Bound::Unbounded));
        Ok(keys.next().map(|(&key, _)| key))
    }
}

impl Damage {
    fn of(self, what: What) -> DirectoryError {
        match self {
            Self::Corrupt => DirectoryError::Corrupt { what },
            Self::Version(found) => DirectoryError::Version { what, found },
        }
    }
}

fn existing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
