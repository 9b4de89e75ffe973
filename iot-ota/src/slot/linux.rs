//! Two files or partitions and a boot environment, for Linux.
//!
//! The boot environment is a small text file on a file system that both systems and the boot stage mount. It is
//! replaced as a whole (written beside, synced, renamed, directory synced), so after a power cut it is the old or the
//! new one. Then its spare, the file of that name and `.spare`, is replaced too: it counts when the first one is damaged
//! or gone, which it can be after a power cut where renaming over a file is no single step, as on vfat. A link is
//! followed, and the file behind it replaced.
//!
//! `boot` is called by an early program, for example in an initramfs, which then starts the bank that it is given; the
//! lines before the record are for scripts that only look.
//!
//! | line | content |
//! |---|---|
//! | `iot_version=1` | the format's version |
//! | `iot_active=a` | the confirmed bank, `a` or `b` |
//! | `iot_boots=b` | the bank that this record boots: the other one on trial, else the confirmed one, also while a rejected one still runs |
//! | `iot_counter=7` | the security counter, decimal |
//! | `iot_record=…` | the boot record, 256 hexadecimal digits, or `-` for none |
//! | `iot_sum=…` | CRC-32 (IEEE 802.3) of all bytes before this line, 8 hexadecimal digits |

mod environment;
mod place;
#[cfg(test)]
mod tests;

use core::ops::Range;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use environment::Environment;
use place::Place;

use super::banks::{Bank, Banks, RecordCopy};
use super::record::RECORD_BYTES;

/// Banks in two files or partitions, and their boot environment.
///
/// One process at a time has them: they are locked from [`open`](Self::open) on, until this is dropped or the process
/// ends. So nobody takes back what another one has staged or confirmed, and the counter does not fall. A daemon that
/// leaves them to others in between drops this, and opens them again.
///
/// What was written to a bank is durable at once. The security counter is kept in the environment: against somebody who
/// can write the disk it is worth nothing.
///
/// ```
/// use iot_ota::slot::linux::FileBanks;
/// use iot_ota::slot::{Bank, Banks, BootRecord, Release, load, store};
///
/// let folder = tempfile::tempdir()?;
/// let [a, b, environment] = ["a.img", "b.img", "boot.env"].map(|name| folder.path().join(name));
/// std::fs::write(&a, b"release 1")?;
/// std::fs::write(&b, b"")?;
/// let mut banks = FileBanks::open([&a, &b], &environment, 1 << 20, Bank::A)?;
/// // What the factory does.
/// store(&mut banks, &BootRecord::factory(Bank::A, Release::new(1, [7; 32], 9))).unwrap();
/// assert!(std::fs::read_to_string(&environment)?.contains("iot_active=a\n"));
/// assert_eq!(load(&mut banks)?.unwrap().installed.sequence, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileBanks {
    banks: [File; 2],
    place: Place,
    environment: Environment,
    capacity: u32,
    running: Bank,
}

/// What went wrong with files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileBanksError {
    /// The file system refused.
    #[error("the file system refused")]
    Io(#[from] io::Error),
    /// Neither the boot environment nor its spare holds what was written there.
    #[error(
        "the boot environment and its spare are damaged: restore one, or remove both and write the factory record again"
    )]
    Corrupt,
    /// Another process, or another part of this one, has the banks, or both are one file. Nothing was changed.
    #[error("the banks are in use: wait until their owner has ended, and name two files")]
    InUse,
    /// Somebody who does not heed the lock has changed the boot environment. Nothing was changed by this.
    #[error("the boot environment was changed by somebody else: open the banks again")]
    Changed,
    /// The access ends past the bank. Nothing was changed.
    #[error("the access ends past the bank")]
    OutOfRange,
}

impl FileBanks {
    /// Opens two files or partitions that exist, for images of up to `capacity` bytes, and the environment, which need
    /// not exist yet. `running` is the bank that this system was booted from; see [`running_bank`].
    ///
    /// # Errors
    ///
    /// [`FileBanksError`]; nothing was changed.
    pub fn open(
        banks: [&Path; 2],
        environment: &Path,
        capacity: u32,
        running: Bank,
    ) -> Result<Self, FileBanksError> {
        let open = |path: &Path| OpenOptions::new().read(true).write(true).open(path);
        let [a, b] = banks;
        let banks = [open(a)?, open(b)?];
        // The lock goes with the process, however that ends. It is on the banks, which nobody replaces by renaming.
        for bank in &banks {
            match fs4::FileExt::try_lock(bank) {
                Ok(()) => {}
                Err(fs4::TryLockError::WouldBlock) => return Err(FileBanksError::InUse),
                Err(fs4::TryLockError::Error(error)) => return Err(error.into()),
            }
        }
        let place = Place::of(environment)?;
        // A name may be visible and not durable yet, because whoever gave it lost its power before the sync.
        place.sync()?;
        let environment = place.read()?;
        place.settle(&environment);
        Ok(Self {
            banks,
            place,
            environment,
            capacity,
            running,
        })
    }

    fn file(&self, bank: Bank) -> &File {
        let [a, b] = &self.banks;
        match bank {
            Bank::A => a,
            Bank::B => b,
        }
    }

    fn replace(&mut self, environment: Environment) -> Result<(), FileBanksError> {
        // Not everybody heeds a lock, and what they wrote would be undone.
        if self.place.read()? != self.environment {
            return Err(FileBanksError::Changed);
        }
        let replaced = self.place.replace_first(&environment);
        // Whichever it is that stands now.
        self.environment = self.place.read()?;
        replaced?;
        Ok(self.place.replace_spare(&environment)?)
    }

    fn checked(&self, offset: u32, len: usize) -> Result<u64, FileBanksError> {
        let end = u64::try_from(len)
            .ok()
            .and_then(|len| len.checked_add(offset.into()));
        match end {
            Some(end) if end <= self.capacity.into() => Ok(offset.into()),
            _ => Err(FileBanksError::OutOfRange),
        }
    }
}

/// The bank that a kernel's command line names with `iot.bank=a` or `iot.bank=b`, as the last one that does.
///
/// ```
/// use iot_ota::slot::{Bank, linux::running_bank};
/// assert_eq!(running_bank("root=/dev/mmcblk0p3 iot.bank=b quiet"), Some(Bank::B));
/// assert_eq!(running_bank("iot.bank=c"), None);
/// ```
#[must_use]
pub fn running_bank(command_line: &str) -> Option<Bank> {
    let words = command_line.split_whitespace().rev();
    match words
        .filter_map(|word| word.strip_prefix("iot.bank="))
        .next()
    {
        Some("a") => Some(Bank::A),
        Some("b") => Some(Bank::B),
        _ => None,
    }
}

impl Banks for FileBanks {
    type Error = FileBanksError;

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn running(&self) -> Bank {
        self.running
    }

    /// Files are written over: nothing has to be erased.
    fn clear(&mut self, _: Bank, from: u32) -> Result<Range<u32>, FileBanksError> {
        Ok(from.min(self.capacity)..self.capacity)
    }

    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), FileBanksError> {
        let offset = self.checked(offset, bytes.len())?;
        let file = self.file(bank);
        file.write_all_at(bytes, offset)?;
        Ok(file.sync_data()?)
    }

    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), FileBanksError> {
        let offset = self.checked(offset, out.len())?;
        Ok(self.file(bank).read_exact_at(out, offset)?)
    }

    /// The environment is replaced as a whole, so it stands for both copies.
    fn read_record(
        &mut self,
        _: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), FileBanksError> {
        *out = self.environment.record.unwrap_or([0; RECORD_BYTES]);
        Ok(())
    }

    fn write_record(
        &mut self,
        _: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), FileBanksError> {
        // The record may name what another program has written to a bank just now.
        for bank in [Bank::A, Bank::B] {
            self.file(bank).sync_all()?;
        }
        let record = Some(*bytes);
        self.replace(Environment {
            record,
            ..self.environment
        })
    }

    fn counter(&mut self) -> Result<u64, FileBanksError> {
        Ok(self.environment.counter)
    }

    fn raise_counter(&mut self, to: u64) -> Result<(), FileBanksError> {
        if to <= self.environment.counter {
            return Ok(());
        }
        self.replace(Environment {
            counter: to,
            ..self.environment
        })
    }
}
