//! The device's half of a report.

use iot_core::codec::{EncodeError, encode_into};
use minicbor::encode::Write;

use super::{
    CODE, FAILED, LOST, NONCE, OUTCOME, PROCEDURE, REASON, RECORDS, REFERENCE, RESULT, number,
};
use crate::manifest::{Manifest, SHA256};
use crate::process::{Procedure, ProcessError, Record};

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
    /// Where the newest record begins, and the section and the offset of its command if that failed.
    newest: usize,
    failed: Option<(i32, u32)>,
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
            newest: 0,
            failed: None,
        }
    }

    /// How many records it holds.
    #[must_use]
    pub const fn records(&self) -> u32 {
        self.count
    }

    /// How many records there was no room for. The report says so, and does not replay: it proves how the procedure
    /// began, and nothing of its end.
    #[must_use]
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// Takes a record in; one that does not fit is counted as lost, and so is every one after it.
    pub fn push(&mut self, record: &Record<'_>) {
        self.failed = None;
        let from = match self.lost {
            0 => self.used,
            // A smaller one may fit, and would seem to follow what came before the lost one.
            _ => self.room.len(),
        };
        let free = self.room.get_mut(from..).unwrap_or(&mut []);
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
                self.newest = self.used;
                self.used += bytes;
                self.count += 1;
                self.failed = (!record.success).then_some((record.section, record.offset));
            }
            Err(_) => self.lost = self.lost.saturating_add(1),
        }
    }

    /// Writes the report on `manifest` to `out`: how that procedure of it ended, and the verifier's `nonce`, if any.
    ///
    /// Hand in what the process was made with: a report of another procedure than the one that a verifier has asked
    /// for is refused.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `out` is too small: it needs the records, the manifest's reference URI, the nonce and 80
    /// bytes; the records are kept, so that it can be tried again with more room.
    pub fn finish<'o>(
        &self,
        manifest: &Manifest<'_>,
        procedure: Procedure,
        nonce: Option<&[u8]>,
        result: Result<(), ProcessError>,
        out: &'o mut [u8],
    ) -> Result<&'o [u8], EncodeError> {
        let records = self.room.get(..self.used).unwrap_or(&[]);
        encode_into(out, |writer| {
            writer.map(4 + u64::from(nonce.is_some()) + u64::from(self.lost > 0))?;
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
                    let (code, place) = match error {
                        ProcessError::Failed {
                            command,
                            section,
                            offset,
                        } => (command.get(), Some((section, offset))),
                        _ => (0, None),
                    };
                    let record = self.room.get(self.newest..self.used);
                    let record = record.filter(|_| place.is_some() && place == self.failed);
                    writer.map(2 + u64::from(record.is_some()))?;
                    writer.i32(CODE)?.i32(code)?;
                    if let Some(record) = record {
                        writer.i32(FAILED)?;
                        let out = writer.writer_mut();
                        out.write_all(record)
                            .map_err(minicbor::encode::Error::write)?;
                    }
                    writer.i32(REASON)?.u8(Reason::of(&error).number())?
                }
            };
            writer.i32(REFERENCE)?.array(2)?;
            writer.str(manifest.reference_uri().unwrap_or(""))?;
            writer.array(2)?.i32(SHA256)?.bytes(manifest.digest())?;
            writer.i32(PROCEDURE)?.u8(number(procedure))?;
            if self.lost > 0 {
                writer.i32(LOST)?.u32(self.lost)?;
            }
            Ok(())
        })
    }
}
