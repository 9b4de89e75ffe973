//! The messages of `wire.cddl`.

#[cfg(feature = "alloc")]
pub(super) mod service;

use super::slot::{Code, SubTwin, Version};
use crate::leaf::{HOST, LeafReader, LeafWriter};
use crate::schema::FieldId;

/// The format this crate speaks.
const FORMAT: u8 = 1;
/// Reported versions stay below.
pub(super) const VERSION_LIMIT: u64 = 1 << 62;
/// So far above what is known a version may be: more than a device ever reports. Then one hostile number, or one
/// that a fault made, cannot exhaust them.
pub(super) const VERSION_LEAP: u64 = 1 << 40;
/// Epochs up to here may follow on any other, such as the seconds since 1970; above, a few at a time, for the same
/// reason.
const EPOCH_LEAPS: u32 = 0xf000_0000;
const EPOCH_LEAP: u32 = 1 << 16;
/// The most fields of one message: its count is one byte, which can be filled in at the end.
pub(super) const MAX_FIELDS: u8 = 23;

const ARRAY: u8 = 0x80;
/// How a desired field begins.
const LEAF: u8 = ARRAY | 3;
/// Withdraws a desire: null.
pub(super) const NULL: u8 = 0xf6;
/// Is desired of a field that shall have no value: an empty list.
#[cfg(feature = "alloc")]
pub(super) const NONE: u8 = ARRAY;
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

/// The head of a desired field as it arrived; its value follows, or null, which withdraws the desire; that
/// the field shall have no value is an empty list.
#[derive(Clone, Copy, Debug)]
pub(super) struct DesiredLeaf {
    pub(super) id: u16,
    pub(super) number: u32,
}

impl Delta {
    /// The head of a delta for a twin, and how many fields follow; whether it was one, the reader knows.
    #[inline]
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

impl DesiredLeaf {
    #[inline]
    pub(super) fn read(input: &mut LeafReader<'_>) -> Self {
        if HOST && let Some((leaf, rest)) = Self::short(input.rest()) {
            input.go_on(rest);
            return leaf;
        }
        Self::read_any(input)
    }

    #[cfg_attr(target_pointer_width = "32", inline)]
    #[cfg_attr(not(target_pointer_width = "32"), inline(never))]
    fn read_any(input: &mut LeafReader<'_>) -> Self {
        let len = input.fields();
        input.require(len == LEAF & 0x1f);
        Self {
            id: input.u16(),
            number: input.u32(),
        }
    }

    /// In the commonest forms, with what follows it.
    #[inline]
    fn short(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (id, rest) = match bytes {
            [LEAF, id @ 0..=0x17, rest @ ..] | [LEAF, 0x18, id, rest @ ..] => ((*id).into(), rest),
            [LEAF, 0x19, a, b, rest @ ..] => (u16::from_be_bytes([*a, *b]), rest),
            _ => return None,
        };
        let (number, len) = match rest.first_chunk()? {
            [0x1a, a, b, c, d] => (u32::from_be_bytes([*a, *b, *c, *d]), 5),
            [0x19, a, b, ..] => (u16::from_be_bytes([*a, *b]).into(), 3),
            [0x18, number, ..] => ((*number).into(), 2),
            [number @ 0..=0x17, ..] => ((*number).into(), 1),
            _ => return None,
        };
        Some((Self { id, number }, rest.get(len..)?))
    }
}

/// Whether an epoch may follow on another one.
pub(super) const fn may_follow(epoch: u32, on: u32) -> bool {
    epoch < EPOCH_LEAPS || epoch.saturating_sub(on) <= EPOCH_LEAP
}

/// A desired value's share of the digest; none when it was withdrawn, so that a service may forget that it was.
#[cfg_attr(target_pointer_width = "32", inline(never))]
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(super) fn check(factor: u32, version: Version, value: &[u8]) -> u32 {
    if value == [NULL] {
        return 0;
    }
    let start = factor
        .wrapping_add(version.epoch().wrapping_mul(0x85eb_ca6b))
        .wrapping_add(version.number().wrapping_mul(0xc2b2_ae35));
    let (words, rest) = value.as_chunks();
    let hash = words
        .iter()
        .fold(start, |hash, word| mix(hash, u32::from_be_bytes(*word)));
    rest.iter()
        .fold(hash, |hash, byte| mix(hash, u32::from(*byte)))
}

/// The share of the digest of so many reported versions: it grows with them, so that a newer one only adds.
#[expect(
    clippy::cast_possible_truncation,
    reason = "what is above the digest's 32 bits falls off in the product too"
)]
pub(super) const fn share(factor: u32, versions: u64) -> u32 {
    factor.wrapping_mul(versions as u32)
}

/// An odd number for each field, as little alike as they can be.
pub(super) const fn factor(id: FieldId) -> u32 {
    let number = (id.get() as u32 + 1).wrapping_mul(0x9e37_79b1);
    (number ^ number >> 15).wrapping_mul(0x85eb_ca6b) | 1
}

/// Takes one word in. A product carries differences up only, so that its upper half has to come down.
const fn mix(hash: u32, word: u32) -> u32 {
    let hash = (hash ^ word).wrapping_mul(0x9e37_79b1);
    hash ^ hash >> 15
}

#[cfg_attr(target_pointer_width = "32", inline(never))]
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(super) fn version(input: &mut LeafReader<'_>) -> u64 {
    let version = input.u64();
    input.require(version < VERSION_LIMIT);
    version
}

/// A message says with one number what it is and for which twin.
const fn kind(twin: SubTwin, kind: u8) -> u8 {
    twin.get() << 1 | kind
}

/// How a message of each kind begins: an array of so many, the format, the kind.
#[cfg_attr(target_pointer_width = "32", inline(never))]
#[cfg_attr(not(target_pointer_width = "32"), inline)]
fn open(input: &mut LeafReader<'_>, array: u8, kind: u8) {
    if HOST && let Some(rest) = input.rest().strip_prefix(&[array, FORMAT, kind]) {
        return input.go_on(rest);
    }
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
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(super) fn open_leaf(out: &mut LeafWriter<'_>, len: u8, id: FieldId, version: u64) {
    out.raw(&[ARRAY | len]);
    out.unsigned(id.get().into());
    out.unsigned(version);
}

/// Ends a desired field: `… answered, code]`.
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(super) fn close_leaf(out: &mut LeafWriter<'_>, answered: u32, code: Code) {
    out.unsigned(answered.into());
    out.unsigned(code.get().into());
}
