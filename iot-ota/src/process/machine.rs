//! The processor's loop: levels of manifests, frames of sequences.

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

use super::capabilities::Capabilities;
use super::check;
use super::error::ProcessError;
use super::execute::PROCESS;
use super::frame::{Frame, Kind};
use super::parameters::Table;
use super::position::Position;
use super::step::{DependencyPath, Step, Target};
use crate::image::digests_equal;
use crate::manifest::{INVOKE, LOAD, Manifest, UNINSTALL, VALIDATE};

// How deep manifests may lie below the first one.
const DEPENDENCIES: usize = 3;
/// How many sequences may lie open in all manifests together.
pub(super) const FRAMES: u8 = 16;

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
    #[inline(never)]
    pub(super) fn sections(self) -> &'static [i32] {
        static KEYS: [i32; 8] = [15, 16, 18, 20, VALIDATE, LOAD, INVOKE, UNINSTALL];
        let own = match self {
            Self::Update => 0..5,
            Self::Stage => 0..2,
            Self::Install => 2..5,
            Self::Invoke => 4..7,
            Self::Uninstall => 7..8,
        };
        KEYS.get(own).unwrap_or_default()
    }

    /// The procedure of a position, which is never an invocation.
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Update,
            1 => Self::Stage,
            2 => Self::Install,
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
/// A sequence's choice of components, soft failure and strict order end with it. Parameters stay: what a dependency
/// sets is set for its dependent too, as trust domains want it, but for a source component and the name of a payload in
/// the envelope, which mean nothing in another manifest and count there as unset.
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
    pub(super) first: Level<'a>,
    pub(super) dependencies: [Option<Level<'a>>; DEPENDENCIES],
    pub(super) frames: [Frame<'a>; FRAMES as usize],
    pub(super) depth: u8,
    pub(super) open: u8,
    pub(super) left: u16,
    // Components that commands without order have read, and written.
    pub(super) sources: u32,
    pub(super) targets: u32,
    pub(super) asked: Option<Asked<'a>>,
    // The steps so far; what the position knows of an earlier run is gone through without a word.
    pub(super) replayed: u16,
    pub(super) position: Position,
    // How the command under way ended, while its record is handed out.
    pub(super) recorded: Option<bool>,
    pub(super) records: bool,
    pub(super) end: Option<Result<(), ProcessError>>,
}

/// A manifest that is being followed: the first one, or a dependency.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'a> {
    pub(super) manifest: Manifest<'a>,
    pub(super) path: DependencyPath,
    // Which section, and which part of it.
    pub(super) key: i32,
    pub(super) part: Part,
    // The sequence under way, and the section's own, which is next once the shared one has ended.
    pub(super) bytes: &'a [u8],
    pub(super) own: Option<&'a [u8]>,
    // How many frames belong to the levels above.
    pub(super) above: u8,
    // How many commands were left when it began: no other level has that number.
    pub(super) owner: u16,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Part {
    // Nothing is then all zeros for an optional level, and costs no copy.
    Start = 1,
    Shared,
    Own,
}

/// The command that only the device can go on from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) code: i32,
    pub(super) target: Target<'a>,
    // Whether it is about the manifest that is kept there.
    pub(super) manifest: bool,
}

/// The process failed; why is in its `end`. It has no size, so that every way out is short.
pub(super) struct Failed;

impl<'a, 'd, const PARAMETERS: usize> Process<'a, 'd, PARAMETERS> {
    /// Checks everything that can be checked, and stands before the first step. Parameters are unset.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] when the device does not have or take what the manifest needs.
    #[inline(never)]
    pub fn new(
        manifest: Manifest<'a>,
        procedure: Procedure,
        capabilities: &'d Capabilities<'d>,
    ) -> Result<Self, ProcessError> {
        let sections = procedure.sections();
        check::manifest(&manifest, sections, capabilities, FRAMES)?;
        Ok(Self {
            capabilities,
            table: Table::EMPTY,
            first: Level {
                manifest,
                path: DependencyPath::default(),
                key: sections.first().copied().unwrap_or(0),
                part: Part::Start,
                bytes: &[],
                own: None,
                above: 0,
                owner: 0,
            },
            dependencies: const { [const { None }; DEPENDENCIES] },
            frames: const { [Frame::new(FlatReader::found(None), Kind::Section); FRAMES as usize] },
            depth: 0,
            open: 0,
            left: capabilities.steps,
            sources: 0,
            targets: 0,
            asked: None,
            replayed: 0,
            position: Position::start(procedure, manifest.digest()),
            recorded: None,
            records: false,
            end: None,
        })
    }

    /// Stands where another process over the same manifest stood when it was asked for its position.
    ///
    /// The steps before are not asked for again, neither effects nor checks: whoever can write a position can say that
    /// an image was matched, so it must be kept where only trusted code can write. Of a dependency only what is
    /// followed is asked for again, because its manifest is needed: the one that it was, or the process fails.
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
        Ok(process)
    }

    /// Hands out a [`Step::Record`] for each command whose author asked for one.
    #[must_use]
    pub const fn recording(mut self) -> Self {
        self.record_commands();
        self
    }

    /// The same without moving the process, which is more than a kilobyte long.
    pub const fn record_commands(&mut self) {
        self.records = true;
    }

    /// Where it is; `None` after more than 256 [answers](Position::steps), when it can only be begun again.
    ///
    /// An invocation has none: nothing in it must not happen twice, and what starts must have been matched just now.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        let told = self.position.is_whole() && self.position.procedure != Procedure::Invoke;
        told.then_some(self.position)
    }

    /// What is next. The same again until it is told that it is done.
    ///
    /// # Errors
    ///
    /// [`ProcessError`] when the procedure has failed; it says so again whenever it is asked.
    #[inline(never)]
    pub fn step(&mut self) -> Result<Step<'a>, ProcessError> {
        loop {
            if self.recorded.is_some() {
                let record = self.record().ok_or(ProcessError::Structure)?;
                return Ok(Step::Record(record));
            }
            if let Some(end) = self.end {
                return end.map(|()| Step::Finished);
            }
            // Whatever fails is the end, which is found above.
            if let Some(asked) = self.asked {
                if let Some(step) = self.ask(asked) {
                    return Ok(step);
                }
            } else {
                let _ = self.turn();
            }
        }
    }

    /// Says how the step that was handed out went: whether the condition holds, or the effect has happened.
    ///
    /// Without such a step nothing happens.
    pub fn done(&mut self, success: bool) {
        if let Some(success) = self.recorded.take() {
            self.advance(success);
            return;
        }
        match self.asked {
            Some(asked) if asked.manifest => self.dependency(None),
            Some(_) => self.answer(success),
            None => {}
        }
    }

    /// Hands in the verified manifest of a [`Step::Dependency`]; `None` when there is none that verifies.
    ///
    /// It is followed, or matches, only if it is the one whose digest the manifest names. To uninstall, a manifest may
    /// have one followed that it does not name; then the position remembers which one that was.
    /// Without such a step nothing happens.
    pub fn dependency(&mut self, manifest: Option<Manifest<'a>>) {
        let Some(asked) = self.asked.filter(|asked| asked.manifest) else {
            return;
        };
        if self.recorded.is_some() {
            return;
        }
        let expected = self.digest();
        let mut success = false;
        if let Some(manifest) = &manifest {
            let own = manifest.digest();
            // One condition asks for another manifest than that.
            let same = expected.is_none_or(|expected| digests_equal(own, expected));
            success = same != (asked.code == 25);
            if success && asked.code == PROCESS {
                self.asked = None;
                self.recall(true);
                if expected.is_some() || self.remembers(own) {
                    // Whatever fails is the end, which the next step finds.
                    let _ = self.descend(manifest);
                } else {
                    self.settle(false);
                }
                return;
            }
        }
        self.answer(success);
    }

    /// Goes on with how the step under way ended.
    fn answer(&mut self, success: bool) {
        self.asked = None;
        self.recall(success);
        self.settle(success);
    }

    /// Whether this is the manifest that was followed here before, where that is known: its first 8 bytes are answers.
    fn remembers(&mut self, digest: &Sha256Digest) -> bool {
        let mut same = true;
        for byte in digest.iter().take(8) {
            for bit in 0..8 {
                let own = byte >> bit & 1 == 1;
                same &= self.recall(own) == own;
            }
        }
        same
    }

    /// How the step under way has ended: as it did before, where that is known, or so.
    #[inline(never)]
    fn recall(&mut self, success: bool) -> bool {
        let answer = self.position.answer(self.replayed, Some(success));
        self.replayed = self.replayed.saturating_add(1);
        answer.unwrap_or(success)
    }

    /// Ends the process.
    pub(super) fn fail<T>(&mut self, error: ProcessError) -> Result<T, Failed> {
        self.end = Some(Err(error));
        Err(Failed)
    }
}
