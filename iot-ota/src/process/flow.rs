//! From command to command: sequences that begin and end, failures that are taken softly, dependencies.

use iot_core::codec::FlatReader;

use super::check;
use super::error::ProcessError;
use super::execute::policy;
use super::frame::{Choice, Frame, Kind, Select, is_alone, offset_of};
use super::machine::{FRAMES, Failed, Level, Part, Process};
use super::step::Record;
use crate::manifest::{CommandCode, Commands, Manifest};

/// What the shared sequence is called in records and errors: the part that it lies in.
pub(super) const COMMON: i32 = 3;

impl<'a, const PARAMETERS: usize> Process<'a, '_, PARAMETERS> {
    /// Goes on by one command, or by one sequence that begins or ends.
    #[inline(never)]
    pub(super) fn turn(&mut self) -> Result<(), Failed> {
        let Some(frame) = self.frame() else {
            return self.next_part();
        };
        if frame.rest.is_empty() {
            let kind = frame.kind;
            self.open -= 1;
            if kind != Kind::Section {
                self.settle(true);
            }
            return Ok(());
        }
        let Some(left) = self.left.checked_sub(1) else {
            let limit = self.capabilities.steps;
            return self.fail(ProcessError::TooLong { limit });
        };
        self.left = left;
        self.execute()
    }

    /// The command under way ended. Its record comes first, if its author asked for one.
    pub(super) fn settle(&mut self, success: bool) {
        let wanted = if success { 1 } else { 2 };
        if self.records && self.policy().unwrap_or(0) & wanted != 0 {
            self.recorded = Some(success);
        } else {
            self.advance(success);
        }
    }

    /// On from the command under way: to the next component or command, or out of the sequence.
    #[inline(never)]
    pub(super) fn advance(&mut self, success: bool) {
        if success {
            let members = self.members();
            let frame = self.frame_mut();
            frame.branch = 0;
            frame.member += 1;
            if frame.member >= members {
                frame.member = 0;
                frame.rest = frame.next;
            }
            return;
        }
        let Some((code, ..)) = self.command() else {
            return;
        };
        let error = ProcessError::Failed {
            command: CommandCode::new(code),
            section: self.section(),
            offset: self.offset(),
        };
        // A directive's failure ends everything, whatever is soft (§6.4).
        if !(is_condition(code) && self.unwind()) {
            self.end = Some(Err(error));
        }
    }

    /// A condition failed: leaves sequences until one takes it softly; false when none does.
    #[inline(never)]
    fn unwind(&mut self) -> bool {
        while let Some(frame) = self.frame() {
            let (kind, soft) = (frame.kind, frame.soft);
            if kind == Kind::Section {
                break;
            }
            self.open -= 1;
            // What a sequence belongs to fails in its turn, unless the failure is soft.
            if soft {
                if kind == Kind::Branch {
                    self.frame_mut().branch += 1;
                } else {
                    self.settle(true);
                }
                return true;
            }
        }
        false
    }

    /// The next part of a section, the next section, or the way back to the manifest above.
    #[inline(never)]
    fn next_part(&mut self) -> Result<(), Failed> {
        let level = self.level_mut();
        let (part, sequence) = match level.part {
            Part::Start => {
                level.own = level.manifest.severable(level.key);
                // Where there is no section there is nothing to stand in front of.
                let shared = level.own.and_then(|_| level.manifest.shared_bytes());
                (Part::Shared, shared)
            }
            Part::Shared => (Part::Own, level.own),
            Part::Own => {
                self.end_section();
                return Ok(());
            }
        };
        level.part = part;
        match sequence {
            Some(sequence) => {
                level.bytes = sequence;
                self.enter(sequence, Kind::Section)
            }
            None => Ok(()),
        }
    }

    fn end_section(&mut self) {
        if let Some(above) = self.depth.checked_sub(1) {
            self.depth = above;
            self.table.owner = self.level().owner;
            self.settle(true);
            return;
        }
        let mut sections = self.position.procedure.sections().iter();
        let level = self.level_mut();
        sections.find(|key| **key == level.key);
        match sections.next() {
            Some(key) => {
                level.key = *key;
                level.part = Part::Start;
            }
            None => self.end = Some(Ok(())),
        }
    }

    /// Begins a sequence: a section, or one that a command holds.
    #[inline(never)]
    pub(super) fn enter(&mut self, sequence: &'a [u8], kind: Kind) -> Result<(), Failed> {
        let mut reader = FlatReader::new(sequence);
        reader.array_len();
        let mut frame = Frame::new(reader, kind);
        if kind == Kind::Section {
            // With several components nothing is selected at first (§6.2).
            if is_alone(&self.level().manifest) {
                frame.select = Select::One(0);
            }
        } else {
            let parent = self.top();
            frame.select = self.current().map_or(Select::Nothing, Select::One);
            if kind == Kind::Branch {
                frame.choice = parent.choice;
                frame.unordered = parent.unordered;
            } else if parent.unordered {
                frame.choice = match parent.select {
                    Select::One(_) => Choice::First,
                    _ => Choice::Never,
                };
            }
        }
        let Some(place) = self.frames.get_mut(usize::from(self.open)) else {
            return self.fail(ProcessError::Nesting);
        };
        *place = frame;
        self.open += 1;
        Ok(())
    }

    /// Goes down to a dependency: the same section of its manifest, with its own shared sequence (trust domains).
    #[inline(never)]
    pub(super) fn descend(&mut self, manifest: &Manifest<'a>) -> Result<(), Failed> {
        let (key, mut path) = (self.level().key, self.level().path);
        // Whether there is room for its sequences is known before its first effect.
        let room = FRAMES - self.open;
        if let Err(error) = check::manifest(manifest, &[key], self.capabilities, room) {
            return self.fail(error);
        }
        path.push(self.current().unwrap_or(u8::MAX));
        let above = self.open;
        let place = self.dependencies.get_mut(usize::from(self.depth));
        match place.filter(|_| self.depth < self.capabilities.dependencies) {
            Some(place) => {
                // Each command that is counted makes it another number, and the first manifest has 0.
                let owner = self.left.wrapping_add(1);
                *place = Some(Level {
                    manifest: *manifest,
                    path,
                    key,
                    part: Part::Start,
                    bytes: &[],
                    own: None,
                    above,
                    owner,
                });
                self.table.owner = owner;
                self.depth += 1;
                Ok(())
            }
            None => self.fail(ProcessError::Nesting),
        }
    }

    /// The reporting policy of the command under way, if it has one.
    #[inline(never)]
    fn policy(&self) -> Option<u8> {
        let (code, raw, _) = self.command()?;
        policy(code, raw)
    }

    /// The command under way, as a record of its success names it, or of its failure while that is handed out; `None` between two commands, and for those
    /// without a reporting policy.
    #[must_use]
    pub fn record(&self) -> Option<Record<'a>> {
        let (code, ..) = self.command()?;
        let policy = self.policy()?;
        let component = self.current()?.into();
        let (target, _) = self.target(component)?;
        Some(Record {
            path: self.level().path,
            section: self.section(),
            offset: self.offset(),
            component,
            target,
            command: CommandCode::new(code),
            success: self.recorded != Some(false),
            policy,
        })
    }

    /// The section's key, for people.
    #[inline(never)]
    pub(super) fn section(&self) -> i32 {
        match self.level().part {
            Part::Shared => COMMON,
            _ => self.level().key,
        }
    }

    #[inline(never)]
    pub(super) fn offset(&self) -> u32 {
        offset_of(
            self.level().bytes,
            self.top().rest.rest().unwrap_or_default(),
        )
    }

    /// The command under way: its code, its argument, and what follows it.
    #[inline(never)]
    pub(super) fn command(&self) -> Option<(i32, &'a [u8], FlatReader<'a>)> {
        let mut next = self.frame()?.rest;
        let (code, raw) = Commands::pair(&mut next)?;
        Some((code, raw, next))
    }

    /// The manifest that is being followed.
    #[inline(never)]
    pub(super) fn level(&self) -> &Level<'a> {
        let below = usize::from(self.depth).wrapping_sub(1);
        let found = self.dependencies.get(below).and_then(Option::as_ref);
        found.unwrap_or(&self.first)
    }

    fn level_mut(&mut self) -> &mut Level<'a> {
        let below = usize::from(self.depth).wrapping_sub(1);
        let found = self.dependencies.get_mut(below).and_then(Option::as_mut);
        found.unwrap_or(&mut self.first)
    }

    /// The sequence under way; `None` between two of them.
    #[inline(never)]
    pub(super) fn frame(&self) -> Option<&Frame<'a>> {
        (self.open > self.level().above).then(|| self.top())
    }

    /// The sequence under way, of which there is one; between two of them it is the last.
    #[inline(never)]
    pub(super) fn top(&self) -> &Frame<'a> {
        let below = usize::from(self.open).wrapping_sub(2);
        let [first, rest @ ..] = &self.frames;
        rest.get(below).unwrap_or(first)
    }

    /// The same to change it.
    #[inline(never)]
    pub(super) fn frame_mut(&mut self) -> &mut Frame<'a> {
        let below = usize::from(self.open).wrapping_sub(2);
        let [first, rest @ ..] = &mut self.frames;
        rest.get_mut(below).unwrap_or(first)
    }
}

/// Whether a failure of this command may be taken softly. A try-each fails with the condition that failed in it.
const fn is_condition(code: i32) -> bool {
    matches!(code, 1..=8 | 14 | 15 | 24..=28)
}
