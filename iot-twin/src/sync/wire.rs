//! The messages of `wire.cddl`.

#[cfg(feature = "alloc")]
pub(super) mod service;

use super::slot::{Code, SubTwin, Version};
use crate::leaf::{LeafReader, LeafWriter};
use crate::schema::FieldId;

/// The format this crate speaks.
const FORMAT: u8 = 1;
/// Reported versions stay below, so that a hostile number cannot exhaust them.
pub(super) const VERSION_LIMIT: u64 = 1 << 62;
/// The most fields of one message: its count is one byte, which can be filled in at the end.
pub(super) const MAX_FIELDS: u8 = 23;

const ARRAY: u8 = 0x80;
/// The encoding of null.
pub(super) const NULL: u8 = 0xf6;
const DELTA: u8 = 0;
const REPORT: u8 = 1;

/// What a service says beside the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Delta {
    pub(super) twin: SubTwin,
    pub(super) epoch: u32,
    pub(super) base: u32,
    pub(super) to: u32,
    pub(super) acknowledged: u64,
    pub(super) want: bool,
}

/// What a device says before the fields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Report {
    pub(super) twin: SubTwin,
    pub(super) epoch: u32,
    pub(super) contiguous: u32,
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

/// A desired field as it arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredLeaf<'a> {
    pub(super) id: u16,
    pub(super) version: u32,
    /// The encoded value; null withdraws the desire.
    pub(super) value: &'a [u8],
}

impl Delta {
    /// The head of a delta for a twin, and how many fields follow; whether it was one, the reader knows.
    pub(super) fn read(input: &mut LeafReader<'_>, twin: SubTwin) -> (Self, u8) {
        open(input, ARRAY | 8, kind(twin, DELTA));
        let delta = Self {
            twin,
            epoch: input.u32(),
            base: input.u32(),
            to: input.u32(),
            acknowledged: version(input),
            want: input.bool(),
        };
        let count = input.fields();
        input.require(delta.base <= delta.to);
        (delta, count)
    }
}

impl<'a> DesiredLeaf<'a> {
    pub(super) fn read(input: &mut LeafReader<'a>) -> Self {
        let len = input.fields();
        input.require(len == 3);
        Self {
            id: input.u16(),
            version: input.u32(),
            value: input.value(),
        }
    }
}

/// A desired value's share of the digest; none when it was withdrawn, so that a service may forget that it was.
#[inline(never)]
pub(super) fn check(id: FieldId, version: Version, value: &[u8]) -> u32 {
    if value == [NULL] {
        return 0;
    }
    let hash = mix(u32::from(id.get()), version.epoch());
    let hash = mix(hash, version.number());
    let (words, rest) = value.as_chunks();
    let hash = words
        .iter()
        .fold(hash, |hash, word| mix(hash, u32::from_be_bytes(*word)));
    rest.iter()
        .fold(hash, |hash, byte| mix(hash, u32::from(*byte)))
}

/// A reported version's share of the digest.
#[inline(never)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "both halves are taken in, one after the other"
)]
pub(super) fn share(id: FieldId, version: u64) -> u32 {
    let hash = mix(u32::from(id.get()), (version >> 32) as u32);
    mix(hash, version as u32)
}

/// Takes one word in. A product carries differences up only, so that its upper half has to come down.
const fn mix(hash: u32, word: u32) -> u32 {
    let hash = (hash ^ word).wrapping_add(1).wrapping_mul(0x9e37_79b1);
    hash ^ hash >> 15
}

#[inline(never)]
pub(super) fn version(input: &mut LeafReader<'_>) -> u64 {
    let version = input.unsigned();
    input.require(version < VERSION_LIMIT);
    version
}

/// A message says with one number what it is and for which twin.
const fn kind(twin: SubTwin, kind: u8) -> u8 {
    twin.get() << 1 | kind
}

/// How a message of each kind begins: an array of so many, the format, the kind.
fn open(input: &mut LeafReader<'_>, array: u8, kind: u8) {
    for byte in [array, FORMAT, kind] {
        let head = input.head();
        input.require(head == byte);
    }
}

// The most that follows the fields of a report: numbers of 9, 5 and 5 bytes.
const REPORT_TAIL: usize = 19;

/// Starts a report; fields follow through [`Fields`], then [`close_report`].
pub(super) fn open_report(out: &mut LeafWriter<'_>, report: &Report) -> Fields {
    out.raw(&[ARRAY | 11, FORMAT, kind(report.twin, REPORT)]);
    out.unsigned(report.epoch.into());
    out.unsigned(report.contiguous.into());
    out.unsigned(report.floor);
    out.unsigned(report.base);
    out.bool(report.want);
    Fields::open(out, REPORT_TAIL)
}

/// Ends a report.
pub(super) fn close_report(out: &mut LeafWriter<'_>, to: u64, digests: Option<Digests>) {
    out.unsigned(to);
    match digests {
        Some(digests) => {
            out.unsigned(digests.desired.into());
            out.unsigned(digests.reported.into());
        }
        None => out.raw(&[NULL, NULL]),
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
    pub(super) fn open(out: &mut LeafWriter<'_>, tail: usize) -> Self {
        let head = out.len();
        out.array(0);
        Self {
            head,
            count: 0,
            tail,
        }
    }

    /// Adds the field that was written from `start` on; takes it back, and is `false`, when there is no room for it.
    pub(super) fn add(&mut self, out: &mut LeafWriter<'_>, start: usize) -> bool {
        let fits = out.room().is_some_and(|room| room >= self.tail);
        if self.count >= MAX_FIELDS || !fits {
            out.truncate(start);
            return false;
        }
        self.count += 1;
        out.patch(self.head, ARRAY | self.count);
        true
    }
}

/// Starts a field: `[id, version, …`.
pub(super) fn open_leaf(out: &mut LeafWriter<'_>, len: u8, id: FieldId, version: u64) {
    out.raw(&[ARRAY | len]);
    out.unsigned(id.get().into());
    out.unsigned(version);
}

/// Ends a desired field: `… answered, code]`.
pub(super) fn close_leaf(out: &mut LeafWriter<'_>, answered: u32, code: Code) {
    out.unsigned(answered.into());
    out.unsigned(code.get().into());
}
