//! The processor's loop: levels of manifests, frames of sequences.

use super::capabilities::Capabilities;
use super::check;
use super::error::ProcessError;
use super::frame::{Choice, Frame, Kind, Select, command_at, first_command};
use super::parameters::Table;
use super::position::Position;
use super::step::{DependencyPath, Record, Step};
use crate::image::digests_equal;
use crate::manifest::{CommandCode, INVOKE, LOAD, Manifest, UNINSTALL, VALIDATE};

const LEVELS: usize = 4;
const FRAMES: usize = 16;
/// What the shared sequence is called in records and errors: the part that it lies in.
const COMMON: i64 = 3;

/// What a manifest is followed for (§6.4, and trust domains).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Procedure {
    /// Staging and installing: dependency resolution, payload fetch, candidate verification, install, validate.
    Update,
    /// The first half of an update: dependency resolution and payload fetch.
    Stage,
    /// The second half of an update: candidate verification, install, validate.
    Install,
    /// Validate, load, invoke.
    Invoke,
    /// Uninstall.
    Uninstall,
}

impl Procedure {
    /// The keys of the sections, in the order in which they are followed.
    const fn sections(self) -> &'static [i64] {
        match self {
            Self::Update => &[15, 16, 18, 20, VALIDATE],
            Self::Stage => &[15, 16],
            Self::Install => &[18, 20, VALIDATE],
            Self::Invoke => &[VALIDATE, LOAD, INVOKE],
            Self::Uninstall => &[UNINSTALL],
        }
    }

    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Update,
            1 => Self::Stage,
            2 => Self::Install,
            3 => Self::Invoke,
            4 => Self::Uninstall,
            _ => return None,
        })
    }
}

/// Follows one procedure of a trusted manifest, and of those it depends on.
///
/// `PARAMETERS` is the number of parameters that may be set at a time, of all components together.
///
/// Ask [`step`](Self::step) what is next, do it, and tell [`done`](Self::done); until then `step` says the same again.
/// Effects are in strict order: a manifest's leave to do otherwise (§6.7) is checked, and not made use of.
/// A sequence's choice of components, soft failure and strict order end with it.
///
/// ```
/// # #[cfg(all(feature = "author", feature = "sim"))] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_mul(31) ^ *b } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # use iot_core::{cose::Tagged, sim::ToyKey};
/// # use iot_ota::manifest::{Device, Limits, SignedManifest, SigningKey, Template};
/// # let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
/// # let template = Template::new(7, device, [3; 32], 4_096, "iot:firmware");
/// # let envelope = template.sign(&ToyKey::new(1), None, &mut Sum::default())?;
/// # let keys = SigningKey::new(ToyKey::new(1));
/// # let signed = SignedManifest::decode(&envelope, Tagged::Required, Limits::default())?;
/// # let manifest = signed.verify(&keys, &mut Sum::default(), 0)?;
/// use iot_ota::process::{Capabilities, Component, Effect, Identity, Procedure, Process, Step};
///
/// let own = [Component::new(&[b"firmware"])];
/// let capabilities = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
/// let mut process = Process::<32>::new(manifest, Procedure::Update, &capabilities)?;
/// let mut fetched = 0;
/// loop {
///     match process.step()? {
///         Step::Perform { effect: Effect::Fetch(_), .. } => { fetched += 1; process.done(true) }
///         Step::Check { .. } => process.done(true),                  // the digest is right
///         Step::Finished => break,
///         _ => process.done(false),
///     }
/// }
/// assert_eq!(fetched, 1);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Process<'a, 'd, const PARAMETERS: usize = 48> {
    pub(super) capabilities: &'d Capabilities<'d>,
    pub(super) table: Table<'a, PARAMETERS>,
    levels: [Option<Level<'a>>; LEVELS],
    frames: [Frame; FRAMES],
    depth: u8,
    open: u8,
    left: u16,
    // Components that commands without order have read, and written.
    pub(super) sources: u32,
    pub(super) targets: u32,
    asked: Asked,
    // Steps of an earlier run that are gone through without a word.
    replayed: u16,
    position: Position,
    record: Option<Record<'a>>,
    records: bool,
    end: Option<Result<(), ProcessError>>,
}

/// A manifest that is being followed: the first one, or a dependency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    pub(super) manifest: Manifest<'a>,
    path: DependencyPath,
    // Which section, and which part of it.
    key: i64,
    part: Part,
    // The sequence under way.
    pub(super) bytes: &'a [u8],
    // How many frames belong to the levels above.
    above: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Part {
    Start,
    Shared,
    Own,
}

/// What the step that was handed out needs for an answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    Nothing,
    Answer,
    Record,
    Dependency(Purpose),
}

/// What a dependency's manifest is wanted for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Purpose {
    Match { expected: bool },
    Process,
}

/// What became of the command under way.
pub(super) enum Outcome<'a> {
    // It ended, well or not.
    Ended(bool),
    // It is something between two commands, and goes on with the next one.
    Next,
    // A sequence within it is to be followed.
    Enter(&'a [u8], Kind),
    Ask(Step<'a>),
    AskDependency(Step<'a>, Purpose),
}

impl<'a, 'd, const PARAMETERS: usize> Process<'a, 'd, PARAMETERS> {
    /// Checks everything that can be checked, and stands before the first step. Parameters are unset.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] when the device does not have or take what the manifest needs.
    pub fn new(
        manifest: Manifest<'a>,
        procedure: Procedure,
        capabilities: &'d Capabilities<'d>,
    ) -> Result<Self, ProcessError> {
        let (first, rest) = match procedure.sections() {
            [first, rest @ ..] => (*first, rest),
            [] => (0, &[][..]),
        };
        check::components(&manifest, capabilities)?;
        check::section(&manifest, first, capabilities)?;
        for key in rest {
            check::section(&manifest, *key, capabilities)?;
        }
        Ok(Self {
            capabilities,
            table: Table::EMPTY,
            levels: [
                Some(Level {
                    manifest,
                    path: DependencyPath::default(),
                    key: first,
                    part: Part::Start,
                    bytes: &[],
                    above: 0,
                }),
                None,
                None,
                None,
            ],
            frames: [Frame::new(0, 0, Select::Nothing, Kind::Section); FRAMES],
            depth: 1,
            open: 0,
            left: capabilities.steps,
            sources: 0,
            targets: 0,
            asked: Asked::Nothing,
            replayed: u16::MAX,
            position: Position::start(procedure, manifest.digest()),
            record: None,
            records: false,
            end: None,
        })
    }

    /// Stands where another process over the same manifest stood when it was asked for its position.
    ///
    /// The steps before are not asked for again; only dependencies are, because their manifests are needed.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); and [`ProcessError::Structure`] when the position is one of another manifest.
    pub fn resume(
        manifest: Manifest<'a>,
        position: &Position,
        capabilities: &'d Capabilities<'d>,
    ) -> Result<Self, ProcessError> {
        let mut process = Self::new(manifest, position.procedure, capabilities)?;
        if process.position.digest != position.digest || !position.is_whole() {
            return Err(ProcessError::Structure);
        }
        process.position = *position;
        process.replayed = 0;
        Ok(process)
    }

    /// Hands out a [`Step::Record`] for each command whose author asked for one.
    #[must_use]
    pub const fn recording(mut self) -> Self {
        self.records = true;
        self
    }

    /// Where it is; `None` after more than 256 steps, when it can only be begun again.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position.is_whole().then_some(self.position)
    }

    /// What is next. The same again until it is told that it is done.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] when the procedure has failed; it says so again whenever it is asked.
    pub fn step(&mut self) -> Result<Step<'a>, ProcessError> {
        loop {
            if let Some(record) = self.record {
                self.asked = Asked::Record;
                return Ok(Step::Record(record));
            }
            if let Some(end) = self.end {
                return end.map(|()| Step::Finished);
            }
            match self.turn() {
                Ok(Some(step)) => return Ok(step),
                Ok(None) => {}
                Err(error) => self.end = Some(Err(error)),
            }
        }
    }

    /// Says how the step that was handed out went: whether the condition holds, or the effect has happened.
    ///
    /// Without such a step nothing happens.
    pub fn done(&mut self, success: bool) {
        match self.asked {
            Asked::Nothing => {}
            Asked::Record => self.record = None,
            Asked::Answer => {
                self.left = self.left.saturating_sub(1);
                self.position.push(success);
                self.settle(success);
            }
            Asked::Dependency(_) => self.dependency(None),
        }
        self.asked = Asked::Nothing;
    }

    /// Hands in the verified manifest of a [`Step::Dependency`]; `None` when there is none that verifies.
    ///
    /// Without such a step nothing happens.
    pub fn dependency(&mut self, manifest: Option<Manifest<'a>>) {
        let Asked::Dependency(purpose) = self.asked else {
            return;
        };
        self.asked = Asked::Nothing;
        self.left = self.left.saturating_sub(1);
        let expected = self.expected_dependency();
        let matches = manifest.is_some_and(|manifest| {
            expected.is_none_or(|expected| digests_equal(manifest.digest(), &expected))
        });
        match (purpose, manifest) {
            // Without a digest there is nothing that it could match.
            (Purpose::Match { expected: wanted }, Some(_)) => {
                self.settle(expected.is_some() && matches == wanted);
            }
            (Purpose::Process, Some(manifest)) if matches => {
                if let Err(error) = self.descend(manifest) {
                    self.end = Some(Err(error));
                }
            }
            _ => self.settle(false),
        }
    }

    /// Goes on by one command, or by one sequence that begins or ends.
    fn turn(&mut self) -> Result<Option<Step<'a>>, ProcessError> {
        let Some(frame) = self.frame() else {
            self.next_part()?;
            return Ok(None);
        };
        if frame.at >= frame.end {
            self.open -= 1;
            if frame.kind != Kind::Section {
                self.settle(true);
            }
            return Ok(None);
        }
        let limit = self.capabilities.steps;
        self.left = self
            .left
            .checked_sub(1)
            .ok_or(ProcessError::TooLong { limit })?;
        match self.execute()? {
            Outcome::Next => {}
            Outcome::Ended(success) => self.settle(success),
            Outcome::Enter(sequence, kind) => self.enter(sequence, kind)?,
            Outcome::AskDependency(step, purpose) => {
                self.asked = Asked::Dependency(purpose);
                self.left = self.left.saturating_add(1);
                return Ok(Some(step));
            }
            Outcome::Ask(step) => {
                if let Some(answer) = self.position.answer(self.replayed) {
                    self.replayed += 1;
                    self.settle(answer);
                    return Ok(None);
                }
                self.asked = Asked::Answer;
                self.left = self.left.saturating_add(1);
                return Ok(Some(step));
            }
        }
        Ok(None)
    }

    /// The command under way ended: on to the next component or command, or out of the sequence.
    #[inline(never)]
    fn settle(&mut self, success: bool) {
        self.note(success);
        if success {
            let members = self.members();
            let Some(next) = self.command().map(|(_, _, next)| next) else {
                return;
            };
            if let Some(frame) = self.frame_mut() {
                frame.branch = 0;
                frame.member += 1;
                if frame.member >= members {
                    frame.member = 0;
                    frame.at = next;
                }
            }
            return;
        }
        let error = self.failure();
        // A directive's failure ends everything, whatever is soft (§6.4).
        let condition =
            matches!(error, ProcessError::Failed { command, .. } if is_condition(command.get()));
        if !(condition && self.unwind()) {
            self.end = Some(Err(error));
        }
    }

    /// A condition failed: leaves sequences until one takes it softly; false when none does.
    fn unwind(&mut self) -> bool {
        while let Some(frame) = self.frame() {
            if frame.kind == Kind::Section {
                break;
            }
            self.open -= 1;
            match (frame.kind, frame.soft) {
                (Kind::Branch, true) => {
                    if let Some(parent) = self.frame_mut() {
                        parent.branch += 1;
                    }
                    return true;
                }
                (_, true) => {
                    self.settle(true);
                    return true;
                }
                // What the sequence belongs to fails in its turn.
                (_, false) => {}
            }
        }
        false
    }

    /// The next part of a section, the next section, or the way back to the manifest above.
    fn next_part(&mut self) -> Result<(), ProcessError> {
        let Some(level) = self.level() else {
            return Ok(());
        };
        let part = level.part;
        let sequence = match part {
            Part::Start if level.manifest.commands(level.key).is_some() => {
                self.set_part(Part::Shared);
                level.manifest.shared()
            }
            Part::Shared => {
                self.set_part(Part::Own);
                level.manifest.commands(level.key)
            }
            _ => {
                self.end_section(&level);
                None
            }
        };
        match sequence {
            Some(sequence) => {
                let bytes = sequence.as_bytes();
                if let Some(level) = self.level_mut() {
                    level.bytes = bytes;
                }
                self.enter(bytes, Kind::Section)
            }
            None => Ok(()),
        }
    }

    fn end_section(&mut self, level: &Level<'a>) {
        if self.depth > 1 {
            self.depth -= 1;
            self.settle(true);
            return;
        }
        let mut sections = self.position.procedure.sections().iter();
        sections.find(|key| **key == level.key);
        match (sections.next(), self.level_mut()) {
            (Some(key), Some(level)) => {
                level.key = *key;
                level.part = Part::Start;
            }
            _ => self.end = Some(Ok(())),
        }
    }

    /// Begins a sequence: a section, or one that a command holds.
    fn enter(&mut self, sequence: &'a [u8], kind: Kind) -> Result<(), ProcessError> {
        let Some(level) = self.level() else {
            return Ok(());
        };
        let (at, end) = first_command(level.bytes, sequence);
        let mut frame = Frame::new(at, end, self.selected(&level, kind), kind);
        if let Some(parent) = self.frame().filter(|_| kind != Kind::Section) {
            match (kind, parent.strict, parent.select) {
                (Kind::Run, false, Select::One(_)) => frame.choice = Choice::First,
                (Kind::Run, false, _) => frame.choice = Choice::Never,
                (Kind::Run, true, _) => {}
                _ => {
                    frame.choice = parent.choice;
                    frame.strict = parent.strict;
                }
            }
        }
        let place = self.frames.get_mut(usize::from(self.open));
        *place.ok_or(ProcessError::Nesting)? = frame;
        self.open += 1;
        Ok(())
    }

    /// What is selected when a sequence begins: with several components nothing, unless the one around it did.
    fn selected(&self, level: &Level<'a>, kind: Kind) -> Select {
        if kind != Kind::Section {
            return self.current().map_or(Select::Nothing, Select::One);
        }
        let components = level.manifest.components().count();
        if components == 1 && !level.manifest.has_dependencies() {
            Select::One(0)
        } else {
            Select::Nothing
        }
    }

    /// Goes down to a dependency: the same section of its manifest, with its own shared sequence (trust domains).
    fn descend(&mut self, manifest: Manifest<'a>) -> Result<(), ProcessError> {
        let Some(level) = self.level() else {
            return Ok(());
        };
        check::components(&manifest, self.capabilities)?;
        check::section(&manifest, level.key, self.capabilities)?;
        let mut path = level.path;
        path.push(self.current().unwrap_or(u8::MAX));
        if self.depth > self.capabilities.dependencies {
            return Err(ProcessError::Nesting);
        }
        let place = self.levels.get_mut(usize::from(self.depth));
        *place.ok_or(ProcessError::Nesting)? = Some(Level {
            manifest,
            path,
            key: level.key,
            part: Part::Start,
            bytes: &[],
            above: self.open,
        });
        self.depth += 1;
        Ok(())
    }

    /// Makes a record of the command under way, if its author asked for one.
    fn note(&mut self, success: bool) {
        if !self.records {
            return;
        }
        let (Some(level), Some((code, raw, _))) = (self.level(), self.command()) else {
            return;
        };
        let policy = super::execute::policy(code, raw);
        let wanted = if success { 1 } else { 2 };
        let target = self
            .current()
            .and_then(|index| self.target(&level, index.into()));
        if policy & wanted != 0
            && let Some((target, _)) = target
        {
            self.record = Some(Record {
                path: level.path,
                section: self.section(),
                offset: self.offset(),
                component: self.current().unwrap_or(0).into(),
                target,
                command: CommandCode::new(code),
                success,
                policy,
            });
        }
    }

    fn failure(&self) -> ProcessError {
        let code = self.command().map_or(0, |(code, _, _)| code);
        ProcessError::Failed {
            command: CommandCode::new(code),
            section: self.section(),
            offset: self.offset(),
        }
    }

    /// The section's key, for people.
    pub(super) fn section(&self) -> i64 {
        self.level().map_or(0, |level| match level.part {
            Part::Shared => COMMON,
            _ => level.key,
        })
    }

    pub(super) fn offset(&self) -> u32 {
        self.frame().map_or(0, |frame| frame.at)
    }

    /// The command under way: its code, its argument, and where the next one begins.
    pub(super) fn command(&self) -> Option<(i64, &'a [u8], u32)> {
        command_at(self.level()?.bytes, self.frame()?.at)
    }

    #[inline(never)]
    pub(super) fn level(&self) -> Option<Level<'a>> {
        let top = usize::from(self.depth).checked_sub(1)?;
        *self.levels.get(top)?
    }

    fn level_mut(&mut self) -> Option<&mut Level<'a>> {
        let top = usize::from(self.depth).checked_sub(1)?;
        self.levels.get_mut(top)?.as_mut()
    }

    fn set_part(&mut self, part: Part) {
        if let Some(level) = self.level_mut() {
            level.part = part;
        }
    }

    /// The sequence under way; `None` between two of them.
    #[inline(never)]
    pub(super) fn frame(&self) -> Option<Frame> {
        let above = self.level()?.above;
        let top = usize::from(self.open.checked_sub(1).filter(|top| *top >= above)?);
        self.frames.get(top).copied()
    }

    pub(super) fn frame_mut(&mut self) -> Option<&mut Frame> {
        let top = usize::from(self.open).checked_sub(1)?;
        self.frames.get_mut(top)
    }
}

/// Whether a failure of this command may be taken softly. A try-each fails with the condition that failed in it.
const fn is_condition(code: i64) -> bool {
    matches!(code, 1..=8 | 14 | 15 | 24..=28)
}
