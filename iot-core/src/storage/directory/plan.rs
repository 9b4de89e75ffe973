//! A commit as a list of operations on files, so that a test can stop after any of them.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::format;
use crate::engine::RecordKey;

pub(super) const BATCH: &str = "batch";
/// How the name of an unfinished file ends.
pub(super) const UNFINISHED: &str = ".tmp";

/// A value for a key, or its removal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Change<'b> {
    pub(super) key: RecordKey,
    pub(super) value: Option<&'b [u8]>,
}

impl Change<'_> {
    pub(super) fn bytes(&self) -> u64 {
        self.value.map_or(0, |value| value.len() as u64)
    }
}

/// One thing done to the directory.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// Writes the unfinished file of this name and waits until its content is durable.
    Write { name: String, bytes: Vec<u8> },
    /// Gives the unfinished file its name.
    Finish { name: String },
    /// Removes a file that may already be gone.
    Remove { name: String },
    /// Waits until the names are durable.
    Sync,
}

impl Operation {
    pub(super) fn perform(&self, directory: &Path) -> io::Result<()> {
        match self {
            Self::Write { name, bytes } => {
                let mut file = File::create(directory.join(unfinished(name)))?;
                file.write_all(bytes)?;
                file.sync_all()
            }
            Self::Finish { name } => {
                fs::rename(directory.join(unfinished(name)), directory.join(name))
            }
            Self::Remove { name } => {
                super::existing(fs::remove_file(directory.join(name))).map(|_| ())
            }
            // Elsewhere a directory cannot be opened as a file; there the names are as durable as they get.
            Self::Sync if cfg!(unix) => File::open(directory)?.sync_all(),
            Self::Sync => Ok(()),
        }
    }
}

/// Makes a directory and those above it where they are missing, and their names durable.
pub(super) fn create(path: &Path) -> io::Result<()> {
    for (directory, above) in missing(path) {
        // Somebody else may make it at the same time.
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => Operation::Sync.perform(above)?,
        }
    }
    Ok(())
}

/// The directories that are not there, outermost first, each with the one that holds its name.
pub(super) fn missing(path: &Path) -> Vec<(&Path, &Path)> {
    let missing = path.ancestors().take_while(|path| !path.is_dir());
    let mut missing: Vec<_> = missing
        .filter_map(|path| match path.parent()? {
            above if above.as_os_str().is_empty() => Some((path, Path::new("."))),
            above => Some((path, above)),
        })
        .collect();
    missing.reverse();
    missing
}

/// What makes `changes` durable, all or none.
pub(super) fn commit(changes: &[Change<'_>]) -> Vec<Operation> {
    match changes {
        [] => Vec::new(),
        [one] => {
            let mut operations = apply(one);
            operations.push(Operation::Sync);
            operations
        }
        _ => {
            let bytes = format::write_batch(changes);
            let mut operations = replace(BATCH.into(), bytes);
            operations.push(Operation::Sync);
            operations.extend(carry_out(changes));
            operations
        }
    }
}

/// What carries out a batch that is durable. The removal of the batch needs no sync of its own: until the
/// next one comes it may return, and then it does again what was done already.
pub(super) fn carry_out(changes: &[Change<'_>]) -> Vec<Operation> {
    let mut operations: Vec<_> = changes.iter().flat_map(apply).collect();
    operations.push(Operation::Sync);
    operations.push(Operation::Remove { name: BATCH.into() });
    operations
}

fn apply(change: &Change<'_>) -> Vec<Operation> {
    let name = record_name(change.key);
    match change.value {
        Some(value) => replace(name, format::write_record(change.key, value)),
        None => [Operation::Remove { name }].into(),
    }
}

fn replace(name: String, bytes: Vec<u8>) -> Vec<Operation> {
    let write = Operation::Write {
        name: name.clone(),
        bytes,
    };
    [write, Operation::Finish { name }].into()
}

pub(super) fn record_name(key: RecordKey) -> String {
    format!("{:08x}.rec", key.get())
}

pub(super) fn key_of(name: &str) -> Option<RecordKey> {
    let digits = name.strip_suffix(".rec")?;
    let key = RecordKey::new(u32::from_str_radix(digits, 16).ok()?);
    (record_name(key) == name).then_some(key)
}

fn unfinished(name: &str) -> String {
    format!("{name}{UNFINISHED}")
}
