//! A report that was received.

use iot_core::codec::{self, CodecError, FlatReader, Limits};
use iot_core::crypto::Sha256Digest;

use super::{
    CAPABILITIES, CODE, FAILED, LOST, NONCE, OUTCOME, PROCEDURE, REASON, RECORDS, REFERENCE,
    RESULT, procedure,
};
use crate::manifest::digest;
use crate::process::Procedure;

const LIMITS: Limits = Limits::new(65_536, 8, 16_384);

/// Why bytes are no report.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ReportError {
    /// Not deterministic CBOR, or more than 64 KiB.
    #[error("the report is not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Not a report of this form.
    #[error("not a SUIT report: reference, records and result are expected")]
    Structure,
}

/// A report, decoded in place. Whose word it is, is the signature's to say: decode the payload of a `COSE_Sign1`
/// that was verified.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    uri: &'a str,
    manifest: &'a Sha256Digest,
    nonce: Option<&'a [u8]>,
    // A checked array.
    records: &'a [u8],
    /// Nothing when it succeeded; otherwise code and reason.
    failure: Option<(i32, u8)>,
    // The record of the command that failed, where the result has it.
    failed: Option<Told<'a>>,
    procedure: Option<Procedure>,
    lost: u32,
}

/// What a report says about one command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Told<'a> {
    /// The indices of dependencies on the way, as CBOR integers without a head.
    pub(super) path: &'a [u8],
    pub(super) section: i32,
    pub(super) offset: u32,
    pub(super) component: u32,
    pub(super) success: bool,
}

impl<'a> Report<'a> {
    /// Reads a report.
    ///
    /// # Errors
    ///
    /// [`ReportError`] with the first thing that is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, ReportError> {
        codec::check(bytes, LIMITS)?;
        Self::read(bytes).ok_or(ReportError::Structure)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (mut reference, mut nonce, mut records, mut result) = (None, None, None, None);
        let (mut named, mut lost) = (None, 0);
        let mut reader = FlatReader::new(bytes);
        for _ in 0..reader.map_len() {
            let (key, value) = (reader.i32(), reader.item());
            let mut value_reader = FlatReader::new(value);
            match key {
                NONCE => nonce = Some(value_reader.bytes()),
                RECORDS => records = Some(value),
                RESULT => result = Some(value),
                REFERENCE => reference = Some(value),
                CAPABILITIES => {}
                PROCEDURE => named = Some(procedure(value_reader.uint())?),
                LOST => lost = Some(value_reader.u32()).filter(|lost| *lost > 0)?,
                _ => return None,
            }
            value_reader.rest()?;
        }
        reader.is_empty().then_some(())?;
        let mut reference = FlatReader::found(reference);
        let pair = reference.array_len() == 2;
        let (uri, manifest) = (reference.text(), reference.item());
        let (failure, failed) = outcome(result?)?;
        let report = Self {
            uri,
            manifest: digest(manifest).filter(|_| pair && reference.is_empty())?,
            nonce,
            records: records?,
            failure,
            failed,
            procedure: named,
            lost,
        };
        let mut told = report.told();
        let whole = told.by_ref().all(|record| record.is_some());
        (whole && FlatReader::new(report.records).peek() == Some(4)).then_some(report)
    }

    /// Where people find more about the manifest; empty when it does not say.
    #[must_use]
    pub const fn uri(&self) -> &'a str {
        self.uri
    }

    /// The digest of the manifest it is about; see [`Manifest::digest`](crate::manifest::Manifest::digest).
    #[must_use]
    pub const fn manifest(&self) -> &'a Sha256Digest {
        self.manifest
    }

    /// The verifier's nonce, which shows that the report is fresh.
    #[must_use]
    pub const fn nonce(&self) -> Option<&'a [u8]> {
        self.nonce
    }

    /// Which procedure of the manifest it is about; `None` where it does not say, and proves none.
    #[must_use]
    pub const fn procedure(&self) -> Option<Procedure> {
        self.procedure
    }

    /// Whether the device says that the procedure succeeded. [`replay`](Self::replay) says what that is worth: a
    /// staging that succeeded has installed nothing, and a manifest that matches no image may succeed with any.
    #[must_use]
    pub const fn succeeded(&self) -> bool {
        self.failure.is_none()
    }

    /// The command that failed, or 0, and the reason by the report draft's number; `None` when it succeeded.
    #[must_use]
    pub const fn failure(&self) -> Option<(i32, u8)> {
        self.failure
    }

    /// How many records there are.
    #[must_use]
    pub fn records(&self) -> u32 {
        FlatReader::new(self.records).array_len()
    }

    /// How many further records the device had no room for: what came last is not told, and the report does not replay.
    #[must_use]
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// The record of the command that failed, where the result has it.
    pub(super) const fn failed(&self) -> Option<Told<'a>> {
        self.failed
    }

    pub(super) fn told(&self) -> impl Iterator<Item = Option<Told<'a>>> + use<'a> {
        let mut reader = FlatReader::new(self.records);
        (0..reader.array_len()).map(move |_| told(reader.item(), true))
    }
}

/// Code and reason of a failure, and the record of what failed.
type Outcome<'a> = (Option<(i32, u8)>, Option<Told<'a>>);

/// `true`, or the code, the record and the reason.
fn outcome(result: &[u8]) -> Option<Outcome<'_>> {
    let mut reader = FlatReader::new(result);
    if reader.peek() == Some(7) {
        return (reader.boolean() && reader.is_empty()).then_some((None, None));
    }
    let pairs = reader.map_len();
    let (code_key, code) = (reader.i32(), reader.i32());
    let mut key = reader.i32();
    let mut failed = None;
    if key == FAILED {
        let record = told(reader.item(), false);
        failed = Some(record.filter(|record| !record.success)?);
        key = reader.i32();
    }
    let reason = u8::try_from(reader.u32()).ok()?;
    let whole = pairs == 2 + u32::from(failed.is_some()) && reader.is_empty();
    let known = code_key == CODE && key == REASON && (1..=12).contains(&reason);
    (whole && known).then_some((Some((code, reason)), failed))
}

/// Reads a record. The one in a result may say what its command compared instead of how it ended, which is known.
fn told(record: &[u8], says_outcome: bool) -> Option<Told<'_>> {
    let mut reader = FlatReader::new(record);
    let items = reader.array_len();
    let mut path = FlatReader::new(reader.item());
    let depth = path.array_len();
    let indices = path.rest()?;
    for _ in 0..depth {
        path.uint();
    }
    let (section, offset, component) = (reader.i32(), reader.u32(), reader.u32());
    let (mut outcome, mut others) = (None, 0);
    for _ in 0..reader.map_len() {
        match reader.i32() {
            OUTCOME => outcome = Some(reader.boolean()),
            // Parameters, which have small numbers.
            1..=30 => {
                reader.item();
                others += 1;
            }
            _ => return None,
        }
        reader.rest()?;
    }
    let fits = !says_outcome || (outcome.is_some() && others == 0);
    let success = outcome.unwrap_or(false);
    (items == 5 && fits && path.is_empty() && reader.is_empty()).then_some(Told {
        path: indices,
        section,
        offset,
        component,
        success,
    })
}
