//! From command to command: sequences that begin and end, failures that are taken softly, dependencies.

use super::check;
use super::error::ProcessError;
use super::execute::{Outcome, policy};
use super::frame::{Choice, Frame, Kind, Select, command_at, first_command};
use super::machine::{Asked, LEVELS, Level, Part, Process};
use super::step::Record;
use crate::manifest::{CommandCode, Manifest};

/// What the shared sequence is called in records and errors: the part that it lies in.
const COMMON: i32 = 3;

impl<'a, const PARAMETERS: usize> Process<'a, '_, PARAMETERS> {
    /// Goes on by one command, or by one sequence that begins or ends.
    #[inline(never)]
    pub(super) fn turn(&mut self) -> Result<(), ProcessError> {
        let Some(frame) = self.frame() else {
            return self.next_part();
        };
        if frame.at >= frame.end {
            let kind = frame.kind;
            self.open -= 1;
            if kind != Kind::Section {
                self.settle(true);
            }
            return Ok(());
        }
        let limit = self.capabilities.steps;
        let left = self.left.checked_sub(1);
        self.left = left.ok_or(ProcessError::TooLong { limit })?;
        match self.execute()? {
            Outcome::Next => {}
            Outcome::Ended(success) => self.settle(success),
            Outcome::Enter(sequence, kind) => self.enter(sequence, kind)?,
            Outcome::Ask(asked) => match self.position.answer(self.replayed) {
                Some(answer) if asked == Asked::Answer => {
                    self.replayed = self.replayed.saturating_add(1);
                    self.settle(answer);
                }
                _ => self.asked = asked,
            },
        }
        Ok(())
    }

    /// The command under way ended: on to the next component or command, or out of the sequence.
    #[inline(never)]
    pub(super) fn settle(&mut self, success: bool) {
        self.note(success);
        let Some((code, _, next)) = self.command() else {
            return;
        };
        if success {
            let members = self.members();
            let frame = self.frame_mut();
            frame.branch = 0;
            frame.member += 1;
            if frame.member >= members {
                frame.member = 0;
                frame.at = next;
            }
            return;
        }
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
    fn next_part(&mut self) -> Result<(), ProcessError> {
        let level = self.level();
        let own = level.manifest.commands(level.key);
        let (part, sequence) = match level.part {
            Part::Start if own.is_some() => (Part::Shared, level.manifest.shared()),
            Part::Shared => (Part::Own, own),
            _ => {
                self.end_section();
                return Ok(());
            }
        };
        let level = self.level_mut();
        level.part = part;
        match sequence {
            Some(sequence) => {
                level.bytes = sequence.as_bytes();
                self.enter(sequence.as_bytes(), Kind::Section)
            }
            None => Ok(()),
        }
    }

    fn end_section(&mut self) {
        if self.depth > 1 {
            self.depth -= 1;
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
    fn enter(&mut self, sequence: &'a [u8], kind: Kind) -> Result<(), ProcessError> {
        let (at, end) = first_command(self.level().bytes, sequence);
        let mut frame = Frame::new(at, end, kind);
        if kind == Kind::Section {
            // With several components nothing is selected at first (§6.2).
            let manifest = &self.level().manifest;
            if manifest.component_count() == 1 && !manifest.has_dependencies() {
                frame.select = Select::One(0);
            }
        } else if let Some(parent) = self.frame() {
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
        let place = self.frames.get_mut(usize::from(self.open));
        *place.ok_or(ProcessError::Nesting)? = frame;
        self.open += 1;
        Ok(())
    }

    /// Goes down to a dependency: the same section of its manifest, with its own shared sequence (trust domains).
    #[inline(never)]
    pub(super) fn descend(&mut self, manifest: Manifest<'a>) -> Result<(), ProcessError> {
        let (key, mut path) = (self.level().key, self.level().path);
        check::components(&manifest, self.capabilities)?;
        check::section(&manifest, key, self.capabilities)?;
        path.push(self.current().unwrap_or(u8::MAX));
        if self.depth > self.capabilities.dependencies {
            return Err(ProcessError::Nesting);
        }
        let above = self.open;
        let place = self.levels.get_mut(usize::from(self.depth));
        *place.ok_or(ProcessError::Nesting)? = Level {
            manifest,
            path,
            key,
            part: Part::Start,
            bytes: &[],
            above,
        };
        self.depth += 1;
        Ok(())
    }

    /// Makes a record of the command under way, if its author asked for one.
    #[inline(never)]
    fn note(&mut self, success: bool) {
        if !self.records {
            return;
        }
        let wanted = if success { 1 } else { 2 };
        let record = self.record().filter(|record| record.policy & wanted != 0);
        // What failed within a sequence is told although the sequence ends well.
        if let Some(record) = record {
            self.record = Some(Record { success, ..record });
        }
    }

    /// The command under way, as a record of its success would name it; `None` between two commands, and for those
    /// without a reporting policy.
    #[must_use]
    pub fn record(&self) -> Option<Record<'a>> {
        let (code, raw, _) = self.command()?;
        let policy = policy(code, raw)?;
        let component = self.current()?.into();
        let (target, _) = self.target(component)?;
        Some(Record {
            path: self.level().path,
            section: self.section(),
            offset: self.offset(),
            component,
            target,
            command: CommandCode::new(code),
            success: true,
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
        self.frame().map_or(0, |frame| frame.at)
    }

    /// The command under way: its code, its argument, and where the next one begins.
    #[inline(never)]
    pub(super) fn command(&self) -> Option<(i32, &'a [u8], u32)> {
        command_at(self.level().bytes, self.frame()?.at)
    }

    /// The manifest that is being followed. There always is one: the first.
    pub(super) fn level(&self) -> &Level<'a> {
        let (top, [first, ..]) = (usize::from(self.depth).wrapping_sub(1), &self.levels);
        self.levels.get(top).unwrap_or(first)
    }

    fn level_mut(&mut self) -> &mut Level<'a> {
        let below = usize::from(self.depth).wrapping_sub(2).min(LEVELS);
        let [first, rest @ ..] = &mut self.levels;
        rest.get_mut(below).unwrap_or(first)
    }

    /// The sequence under way; `None` between two of them.
    #[inline(never)]
    pub(super) fn frame(&self) -> Option<&Frame> {
        let top = self
            .open
            .checked_sub(1)
            .filter(|top| *top >= self.level().above)?;
        self.frames.get(usize::from(top))
    }

    /// The sequence under way, of which there is one.
    #[inline(never)]
    pub(super) fn frame_mut(&mut self) -> &mut Frame {
        let below = usize::from(self.open).wrapping_sub(2);
        let [first, rest @ ..] = &mut self.frames;
        rest.get_mut(below).unwrap_or(first)
    }
}

/// Whether a failure of this command may be taken softly. A try-each fails with the condition that failed in it.
const fn is_condition(code: i32) -> bool {
    matches!(code, 1..=8 | 14 | 15 | 24..=28)
}
