//! A sequence that is being followed.

use iot_core::codec::FlatReader;

use crate::manifest::{Commands, Manifest};

/// Where in a sequence a process is. Offsets are from the beginning of the section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    // The command that is next, or under way.
    pub(super) at: u32,
    pub(super) end: u32,
    pub(super) select: Select,
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
pub(super) enum Select {
    // With several components nothing is chosen at first (§6.2).
    Nothing,
    One(u8),
    Every,
    // The array of indices that begins there.
    List(u32),
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

impl Frame {
    pub(super) const fn new(at: u32, end: u32, kind: Kind) -> Self {
        Self {
            at,
            end,
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

/// The command at an offset of a section: its code, its argument, and where the next one begins.
#[inline(never)]
pub(super) fn command_at(section: &[u8], at: u32) -> Option<(i32, &[u8], u32)> {
    let mut reader = FlatReader::new(section.get(at as usize..)?);
    let (code, raw) = Commands::pair(&mut reader)?;
    let left = reader.rest()?.len();
    Some((code, raw, offset(section.len() - left)))
}

/// The offset of the first command of a sequence that lies within a section.
#[inline(never)]
pub(super) fn first_command(section: &[u8], sequence: &[u8]) -> (u32, u32) {
    let start = offset_of(section, sequence);
    let mut reader = FlatReader::new(sequence);
    reader.array_len();
    let head = sequence.len() - reader.rest().map_or(0, <[u8]>::len);
    let end = start.saturating_add(offset(sequence.len()));
    (start.saturating_add(offset(head)), end)
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
