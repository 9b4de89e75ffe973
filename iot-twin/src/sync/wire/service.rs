//! The half of the messages that only a service needs.

use alloc::vec::Vec;

use super::{ARRAY, DELTA, Delta, Digests, FORMAT, Fields, REPORT, Report};
use crate::leaf::{LeafReader, LeafWriter};
use crate::schema::FieldId;
use crate::sync::slot::{Code, SubTwin};

/// A reported field as it arrived.
#[derive(Clone, Copy, Debug)]
pub(in crate::sync) struct ReportedLeaf<'a> {
    pub(in crate::sync) id: FieldId,
    pub(in crate::sync) version: u64,
    pub(in crate::sync) value: &'a [u8],
    /// The version answered for, and how.
    pub(in crate::sync) answer: Option<(u32, Code)>,
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
        super::open(&mut input, ARRAY | 11, super::kind(twin, REPORT));
        let head = Report {
            twin,
            epoch: input.u32(),
            contiguous: input.u32(),
            floor: super::version(&mut input),
            base: super::version(&mut input),
            want: input.bool(),
        };
        let count = input.fields();
        if input.failed() {
            return None;
        }
        let fields = (0..count)
            .map(|_| ReportedLeaf::read(&mut input))
            .collect::<Option<Vec<_>>>()?;
        let to = super::version(&mut input);
        let digests = if input.null() {
            input.null().then_some(None)?
        } else {
            Some(Digests {
                desired: input.u32(),
                reported: input.u32(),
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
    fn read(input: &mut LeafReader<'a>) -> Option<Self> {
        let len = input.fields();
        let id = FieldId::new(input.u16());
        let version = super::version(input);
        let value = input.value();
        let answer = match len {
            3 => None,
            5 => Some((input.u32(), Code::new(input.u16()))),
            _ => return None,
        };
        let leaf = Self {
            id,
            version,
            value,
            answer,
        };
        (!input.failed()).then_some(leaf)
    }
}

/// Writes a delta; fields follow through [`Fields`].
pub(in crate::sync) fn write_delta(out: &mut LeafWriter<'_>, delta: &Delta) -> Fields {
    out.raw(&[ARRAY | 8, FORMAT, super::kind(delta.twin, DELTA)]);
    out.unsigned(delta.epoch.into());
    out.unsigned(delta.base.into());
    out.unsigned(delta.to.into());
    out.unsigned(delta.acknowledged);
    out.bool(delta.want);
    Fields::open(out, 0)
}
