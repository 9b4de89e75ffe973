//! Two files or partitions and a boot environment, for Linux.
//!
//! The boot environment is a small text file on a file system that both systems and the boot stage mount. It is
//! replaced as a whole (written beside, synced, renamed, directory synced), so after a power cut it is the old or the
//! new one. `boot` is called by an early program, for example in an initramfs, which then starts the bank that it is
//! given; the lines before the record are for scripts that only look.
//!
//! | line | content |
//! |---|---|
//! | `iot_version=1` | the format's version |
//! | `iot_active=a` | the confirmed bank, `a` or `b` |
//! | `iot_boots=b` | the bank that was booted last |
//! | `iot_counter=7` | the security counter, decimal |
//! | `iot_record=…` | the boot record, 256 hexadecimal digits, or `-` for none |
//! | `iot_sum=…` | CRC-32 (IEEE 802.3) of all bytes before this line, 8 hexadecimal digits |

mod environment;
#[cfg(test)]
mod tests;

use alloc::borrow::ToOwned;
use alloc::vec::Vec;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use environment::{Environment, MAX_BYTES};

use super::banks::{Bank, Banks, RecordCopy};
use super::record::RECORD_BYTES;

/// Banks in two files or partitions, and their boot environment.
///
/// What was written to a bank is synced before a record can name it. The security counter is kept in the environment:
/// against somebody who can write the disk it is worth nothing.
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
    path: PathBuf,
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
    /// The boot environment does not hold what was written there.
    #[error(
        "the boot environment is damaged: restore it, or remove it and write the factory record again"
    )]
    Corrupt,
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
        let mut files = Self {
            banks: [open(a)?, open(b)?],
            path: environment.to_owned(),
            environment: Environment::EMPTY,
            capacity,
            running,
        };
        // A name may be visible and not durable yet, because whoever gave it lost its power before the sync.
        files.sync_folder()?;
        match File::open(environment) {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
                files.environment = Environment::decode(&bytes).ok_or(FileBanksError::Corrupt)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(files)
    }

    fn file(&self, bank: Bank) -> &File {
        let [a, b] = &self.banks;
        match bank {
            Bank::A => a,
            Bank::B => b,
        }
    }

    fn replace(&mut self, environment: Environment) -> Result<(), FileBanksError> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(".tmp");
        let mut file = File::create(&beside)?;
        file.write_all(environment.encode().as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        self.environment = environment;
        self.sync_folder()?;
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let parent = self
            .path
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
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
    fn clear(&mut self, _: Bank, from: u32) -> Result<u32, FileBanksError> {
        Ok(from.min(self.capacity))
    }

    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), FileBanksError> {
        let offset = self.checked(offset, bytes.len())?;
        Ok(self.file(bank).write_all_at(bytes, offset)?)
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
        // The record may name what was written to a bank just now.
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
