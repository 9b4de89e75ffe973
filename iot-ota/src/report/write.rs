//! The device's half of a report.

use iot_core::codec::{EncodeError, encode_into};
use minicbor::encode::Write;

use super::{CODE, NONCE, OUTCOME, REASON, RECORDS, REFERENCE, RESULT};
use crate::manifest::{Manifest, SHA256};
use crate::process::{ProcessError, Record};

/// Why a procedure failed, by the numbers of the report draft.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Reason {
    /// Not a manifest that can be read.
    Parse,
    /// A command is unknown or not supported.
    Command,
    /// A component is unknown.
    Component,
    /// The signers have no right to a component.
    Unauthorised,
    /// A parameter is unknown, or there are too many.
    Parameter,
    /// A part is missing that was severed.
    Severed,
    /// A condition did not hold.
    Condition,
    /// A directive failed.
    Operation,
}

impl Reason {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Parse => 1,
            Self::Command => 5,
            Self::Component => 6,
            Self::Unauthorised => 7,
            Self::Parameter => 8,
            Self::Severed => 9,
            Self::Condition => 10,
            Self::Operation => 11,
        }
    }

    /// What an error of a process is called in a report.
    #[must_use]
    pub const fn of(error: &ProcessError) -> Self {
        match error {
            ProcessError::Codec(_) | ProcessError::Structure => Self::Parse,
            ProcessError::Command { .. }
            | ProcessError::Argument { .. }
            | ProcessError::Nesting
            | ProcessError::TooLong { .. }
            | ProcessError::Index { .. }
            | ProcessError::Order { .. } => Self::Command,
            ProcessError::Component { .. } => Self::Component,
            ProcessError::Unauthorised { .. } => Self::Unauthorised,
            ProcessError::Parameter { .. } | ProcessError::Parameters { .. } => Self::Parameter,
            ProcessError::Severed { .. } => Self::Severed,
            ProcessError::Failed { command, .. } => match command.get() {
                1..=8 | 14 | 15 | 24..=28 => Self::Condition,
                _ => Self::Operation,
            },
        }
    }
}

/// Collects records, and writes the report when the procedure has ended.
///
/// ```
/// use iot_ota::report::Reporter;
/// let mut room = [0; 512];
/// let reporter = Reporter::new(&mut room);
/// assert_eq!((reporter.records(), reporter.lost()), (0, 0));
/// ```
#[derive(Debug)]
pub struct Reporter<'b> {
    room: &'b mut [u8],
    used: usize,
    count: u32,
    lost: u32,
}

impl<'b> Reporter<'b> {
    /// Keeps records in `room`: about 12 bytes for each.
    #[must_use]
    pub const fn new(room: &'b mut [u8]) -> Self {
        Self {
            room,
            used: 0,
            count: 0,
            lost: 0,
        }
    }

    /// How many records it holds.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.count
    }

    /// How many records there was no room for: the report does not replay with any missing.
    #[must_use]
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Takes a record in; one that does not fit is counted as lost.
    pub fn push(&mut self, record: &Record<'_>) {
        let free = self.room.get_mut(self.used..).unwrap_or(&mut []);
        let written = encode_into(free, |writer| {
            writer.array(5)?;
            let path = record.path.indices();
            writer.array(path.len() as u64)?;
            for index in path {
                writer.u8(*index)?;
            }
            writer.i32(record.section)?.u32(record.offset)?;
            writer.u32(record.component)?;
            writer.map(1)?.i32(OUTCOME)?.bool(record.success)?.ok()
        });
        match written.map(<[u8]>::len) {
            Ok(bytes) => {
                self.used += bytes;
                self.count += 1;
            }
            Err(_) => self.lost += 1,
        }
    }

    /// Writes the report on `manifest` to `out`: how its procedure ended, and the verifier's `nonce`, if any.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `out` is too small: it needs the records and about 80 bytes.
    pub fn finish<'o>(
        &self,
        manifest: &Manifest<'_>,
        nonce: Option<&[u8]>,
        result: Result<(), ProcessError>,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], EncodeError> {
        let records = self.room.get(..self.used).unwrap_or(&[]);
        encode_into(out, |writer| {
            writer.map(if nonce.is_some() { 4 } else { 3 })?;
            if let Some(nonce) = nonce {
                writer.i32(NONCE)?.bytes(nonce)?;
            }
            writer.i32(RECORDS)?.array(self.count.into())?;
            writer
                .writer_mut()
                .write_all(records)
                .map_err(minicbor::encode::Error::write)?;
            writer.i32(RESULT)?;
            match result {
                Ok(()) => writer.bool(true)?,
                Err(error) => {
                    let code = match error {
                        ProcessError::Failed { command, .. } => command.get(),
                        _ => 0,
                    };
                    writer.map(2)?.i32(CODE)?.i32(code)?;
                    writer.i32(REASON)?.u8(Reason::of(&error).number())?
                }
            };
            writer.i32(REFERENCE)?.array(2)?;
            writer.str(manifest.reference_uri().unwrap_or(""))?;
            writer.array(2)?.i32(SHA256)?.bytes(manifest.digest())?.ok()
        })
    }
}
