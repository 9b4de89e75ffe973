//! A sequence that is being followed.

use iot_core::codec::FlatReader;

use crate::manifest::Manifest;

/// Where in a sequence a process is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame<'a> {
    // From the command that is next, or under way, to the end of the sequence.
    pub(super) rest: FlatReader<'a>,
    // What follows that command.
    pub(super) next: FlatReader<'a>,
    pub(super) select: Select<'a>,
    // Which of the selected components the command is executed for.
    pub(super) member: u8,
    // Which of a try-each's sequences is next.
    pub(super) branch: u8,
    pub(super) kind: Kind,
    pub(super) soft: bool,
    pub(super) unordered: bool,
    pub(super) choice: Choice,
}

/// The component index (§6.5).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Select<'a> {
    // With several components nothing is chosen at first (§6.2).
    Nothing,
    One(u8),
    Every,
    // This array of indices.
    List(&'a [u8]),
}

/// What a sequence belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Section,
    Branch,
    Run,
}

/// Whether the sequence may choose components (§6.7).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Choice {
    Free,
    // Executed without order: with its first command, and never again.
    First,
    Never,
}

impl<'a> Frame<'a> {
    pub(super) const fn new(rest: FlatReader<'a>, kind: Kind) -> Self {
        Self {
            rest,
            next: rest,
            select: Select::Nothing,
            member: 0,
            branch: 0,
            kind,
            soft: matches!(kind, Kind::Branch),
            unordered: false,
            choice: Choice::Free,
        }
    }
}

/// Whether a manifest has one component and nothing else, which is chosen without a word (§6.2).
#[inline(never)]
pub(super) fn is_alone(manifest: &Manifest<'_>) -> bool {
    manifest.component_count() == 1 && !manifest.has_dependencies()
}

/// Where a part of a section begins.
pub(super) fn offset_of(section: &[u8], part: &[u8]) -> u32 {
    offset((part.as_ptr() as usize).saturating_sub(section.as_ptr() as usize))
}

/// Sections are no longer than an envelope, which is limited.
pub(super) fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}
