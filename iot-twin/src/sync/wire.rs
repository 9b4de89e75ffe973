//! The messages of `wire.cddl`.

use super::slot::{Code, SubTwin, Version};
use crate::leaf::{LeafReader, LeafWriter};
use crate::schema::{FNV_START, FieldId, fnv};

/// The format this crate speaks.
pub(super) const FORMAT: u64 = 1;
/// Versions stay below, so that a hostile number cannot exhaust them.
pub(super) const VERSION_LIMIT: u64 = 1 << 62;
/// The most fields of one message: its count is one byte, which can be filled in at the end.
pub(super) const MAX_FIELDS: u8 = 23;

const DELTA: u64 = 0;
const REPORT: u64 = 1;
const ARRAY: u8 = 0x80;
/// The encoding of null.
pub(super) const NULL: &[u8] = &[0xf6];

/// What a service says beside the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Delta {
    pub(super) twin: SubTwin,
    pub(super) epoch: u32,
    pub(super) base: u64,
    pub(super) to: u64,
    pub(super) acknowledged: u64,
    pub(super) want: bool,
}

/// What a device says before the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) twin: SubTwin,
    pub(super) epoch: u32,
    pub(super) contiguous: u64,
    pub(super) floor: u64,
    pub(super) base: u64,
    pub(super) want: bool,
}

/// One number for each half, equal on both sides when the half is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Digests {
    pub(super) desired: u32,
    pub(super) reported: u32,
}

impl Digests {
    pub(super) fn add_reported(&mut self, id: FieldId, version: u64) {
        let hash = fnv(FNV_START, &id.get().to_be_bytes());
        let hash = mixed(fnv(hash, &version.to_be_bytes()));
        self.reported = self.reported.wrapping_add(hash);
    }
}

/// A desired field as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredLeaf<'a> {
    pub(super) id: FieldId,
    pub(super) version: u64,
    /// The encoded value; null withdraws the desire.
    pub(super) value: &'a [u8],
}

impl Delta {
    /// The head of a delta for this twin, what follows, and how many fields that is.
    pub(super) fn read(payload: &[u8], twin: SubTwin) -> Option<(Self, LeafReader<'_>, u64)> {
        let mut input = LeafReader::new(payload);
        open(&mut input, 8, kind(twin, DELTA))?;
        let delta = Self {
            twin,
            epoch: input.u32()?,
            base: version(&mut input)?,
            to: version(&mut input)?,
            acknowledged: version(&mut input)?,
            want: input.bool()?,
        };
        let count = input.array()?;
        (delta.base <= delta.to && count <= MAX_FIELDS.into()).then_some((delta, input, count))
    }
}

impl<'a> DesiredLeaf<'a> {
    pub(super) fn read(input: &mut LeafReader<'a>) -> Option<Self> {
        if input.array()? != 3 {
            return None;
        }
        let id = FieldId::new(input.u16()?);
        let version = version(input)?;
        let value = input.scalar()?;
        Some(Self { id, version, value })
    }

    /// Its share of the digest.
    pub(super) fn check(&self, epoch: u32) -> u32 {
        check(self.id, Version::new(epoch, self.version), self.value)
    }
}

/// A field's share of the digest; none when the desire was withdrawn, so that a service may forget that it was.
pub(super) fn check(id: FieldId, version: Version, value: &[u8]) -> u32 {
    if value == NULL {
        return 0;
    }
    let hash = fnv(FNV_START, &id.get().to_be_bytes());
    let hash = fnv(hash, &version.epoch().to_be_bytes());
    let hash = fnv(hash, &version.number().to_be_bytes());
    mixed(fnv(hash, value))
}

/// Spreads a hash over all its bits (the end of `MurmurHash3`): in a sum of plain FNV the last bytes of two versions
/// cancel each other out.
const fn mixed(mut hash: u32) -> u32 {
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

pub(super) fn version(input: &mut LeafReader<'_>) -> Option<u64> {
    input.unsigned().filter(|&version| version < VERSION_LIMIT)
}

/// A message says with one number what it is and for which twin.
fn kind(twin: SubTwin, kind: u64) -> u64 {
    u64::from(twin.get()) << 1 | kind
}

fn open(input: &mut LeafReader<'_>, len: u64, kind: u64) -> Option<()> {
    (input.array()? == len && input.unsigned()? == FORMAT && input.unsigned()? == kind)
        .then_some(())
}

// The most that follows the fields of a report: numbers of 9, 5 and 5 bytes.
const REPORT_TAIL: usize = 19;

/// Starts a report; fields follow through [`Fields`], then [`close_report`].
pub(super) fn open_report(out: &mut LeafWriter<'_>, report: &Report) -> Option<Fields> {
    out.array(11)?;
    out.unsigned(FORMAT)?;
    out.unsigned(kind(report.twin, REPORT))?;
    out.unsigned(report.epoch.into())?;
    out.unsigned(report.contiguous)?;
    out.unsigned(report.floor)?;
    out.unsigned(report.base)?;
    out.bool(report.want)?;
    Fields::open(out, REPORT_TAIL)
}

/// Ends a report.
pub(super) fn close_report(
    out: &mut LeafWriter<'_>,
    to: u64,
    digests: Option<Digests>,
) -> Option<()> {
    out.unsigned(to)?;
    match digests {
        Some(digests) => {
            out.unsigned(digests.desired.into())?;
            out.unsigned(digests.reported.into())
        }
        None => {
            out.null()?;
            out.null()
        }
    }
}

/// The array of fields at the end of a message, whose length is known only at its end.
#[derive(Debug)]
pub(super) struct Fields {
    head: usize,
    count: u8,
    tail: usize,
}

impl Fields {
    /// Opens the array, and keeps `tail` bytes of room behind it.
    pub(super) fn open(out: &mut LeafWriter<'_>, tail: usize) -> Option<Self> {
        let head = out.len();
        out.array(0)?;
        Some(Self {
            head,
            count: 0,
            tail,
        })
    }

    /// Adds a field that `write` writes; `false` when there is no room for it, and then nothing is added.
    pub(super) fn add(
        &mut self,
        out: &mut LeafWriter<'_>,
        write: impl FnOnce(&mut LeafWriter<'_>) -> Option<()>,
    ) -> bool {
        let start = out.len();
        if self.count >= MAX_FIELDS || write(out).is_none() || out.room() < self.tail {
            out.truncate(start);
            return false;
        }
        self.count += 1;
        out.patch(self.head, ARRAY | self.count);
        true
    }
}

/// Starts a field: `[id, version, …`.
pub(super) fn open_leaf(
    out: &mut LeafWriter<'_>,
    len: u64,
    id: FieldId,
    version: u64,
) -> Option<()> {
    out.array(len)?;
    out.unsigned(id.get().into())?;
    out.unsigned(version)
}

/// Ends a desired field: `… answered, code]`.
pub(super) fn close_leaf(out: &mut LeafWriter<'_>, answered: u64, code: Code) -> Option<()> {
    out.unsigned(answered)?;
    out.unsigned(code.get().into())
}

#[cfg(feature = "alloc")]
pub(super) mod service {
    //! The half of the messages that only a service needs.

    use alloc::vec::Vec;

    use super::{
        Code, DELTA, Delta, Digests, FORMAT, FieldId, Fields, LeafReader, LeafWriter, MAX_FIELDS,
        REPORT, Report, SubTwin,
    };

    /// A reported field as it arrived.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::sync) struct ReportedLeaf<'a> {
        pub(in crate::sync) id: FieldId,
        pub(in crate::sync) version: u64,
        pub(in crate::sync) value: &'a [u8],
        /// The version answered for, and how.
        pub(in crate::sync) answer: Option<(u64, Code)>,
    }

    /// A whole report.
    #[derive(Clone, Debug)]
    pub(in crate::sync) struct FullReport<'a> {
        pub(in crate::sync) head: Report,
        pub(in crate::sync) fields: Vec<ReportedLeaf<'a>>,
        pub(in crate::sync) to: u64,
        pub(in crate::sync) digests: Option<Digests>,
    }

    impl<'a> FullReport<'a> {
        pub(in crate::sync) fn read(payload: &'a [u8], twin: SubTwin) -> Option<Self> {
            let mut input = LeafReader::new(payload);
            super::open(&mut input, 11, super::kind(twin, REPORT))?;
            let head = Report {
                twin,
                epoch: input.u32()?,
                contiguous: super::version(&mut input)?,
                floor: super::version(&mut input)?,
                base: super::version(&mut input)?,
                want: input.bool()?,
            };
            let count = input.array()?;
            if count > MAX_FIELDS.into() {
                return None;
            }
            let fields = (0..count)
                .map(|_| ReportedLeaf::read(&mut input))
                .collect::<Option<Vec<_>>>()?;
            let to = super::version(&mut input)?;
            let digests = if input.null() {
                input.null().then_some(None)?
            } else {
                Some(Digests {
                    desired: input.u32()?,
                    reported: input.u32()?,
                })
            };
            let whole = input.is_at_end() && head.base <= to;
            whole.then_some(Self {
                head,
                fields,
                to,
                digests,
            })
        }
    }

    impl<'a> ReportedLeaf<'a> {
        pub(in crate::sync) fn read(input: &mut LeafReader<'a>) -> Option<Self> {
            let len = input.array()?;
            let id = FieldId::new(input.u16()?);
            let version = super::version(input)?;
            let value = input.scalar()?;
            let answer = match len {
                3 => None,
                5 => Some((super::version(input)?, Code::new(input.u16()?))),
                _ => return None,
            };
            Some(Self {
                id,
                version,
                value,
                answer,
            })
        }
    }

    /// Writes a delta; fields follow through [`Fields`].
    pub(in crate::sync) fn write_delta(out: &mut LeafWriter<'_>, delta: &Delta) -> Option<Fields> {
        out.array(8)?;
        out.unsigned(FORMAT)?;
        out.unsigned(super::kind(delta.twin, DELTA))?;
        out.unsigned(delta.epoch.into())?;
        out.unsigned(delta.base)?;
        out.unsigned(delta.to)?;
        out.unsigned(delta.acknowledged)?;
        out.bool(delta.want)?;
        Fields::open(out, 0)
    }
}
