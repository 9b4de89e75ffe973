//! A process whose every question is answered at once.

use iot_core::Timestamp;
use iot_core::crypto::Sha256Digest;
use iot_core::time::Proof;

use super::{Device, Plan, PlanError, Situation};
use crate::manifest::{CommandCode, Manifest, ParameterCode};
use crate::process::{
    Capabilities, Check, Component, Details, Effect, Fetch, Identity, Procedure, Process,
    ProcessError, Source, Step,
};
use crate::slot::Release;

/// The image's place among the components; the patch is behind it.
const IMAGE: usize = 0;
const ENCRYPTION: i32 = 19;
const FETCH_ARGUMENTS: i32 = 25;
const METADATA: i32 = 30;

/// What a component holds, as far as it is known.
#[derive(Clone, Copy, Default)]
struct Content {
    digest: Option<Sha256Digest>,
    size: Option<u64>,
    // It is yet to come: what it is compared with is what it must be.
    to_come: bool,
}

#[derive(Clone, Copy)]
struct Fetched<'a> {
    uri: &'a str,
    bytes: u64,
    encryption: Option<&'a [u8]>,
}

/// Follows procedures on paper, and notes what they would do.
pub(super) struct Walk<'a, 'd> {
    device: &'d Device<'d>,
    situation: &'d Situation,
    // What the identifiers of vendor and class differ by from the device's.
    other: [u8; 2],
    contents: [Content; 2],
    fetched: Option<Fetched<'a>>,
    patch: bool,
    authorization: Option<i64>,
    acted: bool,
    matched: bool,
}

impl<'a, 'd> Walk<'a, 'd> {
    pub(super) fn new(device: &'d Device<'d>, situation: &'d Situation) -> Self {
        let mut walk = Self {
            device,
            situation,
            other: [0; 2],
            contents: [Content::default(); 2],
            fetched: None,
            patch: false,
            authorization: None,
            acted: false,
            matched: false,
        };
        walk.be_another(0, 0);
        walk
    }

    /// Begins anew as a device whose vendor and class differ by these bits in each byte.
    #[inline(never)]
    pub(super) fn be_another(&mut self, vendor: u8, class: u8) {
        let (digest, size) = self.situation.running.unzip();
        self.other = [vendor, class];
        self.contents = [Content::default(); 2];
        if let Some(image) = self.contents.first_mut() {
            image.digest = digest;
            image.size = size.map(u64::from);
        }
        self.fetched = None;
        (self.acted, self.matched) = (false, false);
    }

    /// Whether anything would have been done.
    pub(super) const fn has_acted(&self) -> bool {
        self.acted
    }

    /// From here on the image has to be matched anew.
    pub(super) const fn validate(&mut self) {
        self.matched = false;
    }

    /// With which priority agreement was asked for first, if it was.
    pub(super) const fn authorization(&self) -> Option<i64> {
        self.authorization
    }

    /// Whether the image was matched.
    pub(super) const fn is_valid(&self) -> bool {
        self.matched
    }

    /// Goes through a procedure.
    #[inline(never)]
    pub(super) fn follow(
        &mut self,
        manifest: &Manifest<'a>,
        procedure: Procedure,
    ) -> Result<(), PlanError> {
        let device = self.device;
        let own = |id| Component::new(id).for_roles(device.roles);
        let components = [own(device.component), own(device.patch.unwrap_or(&[]))];
        let count = 1 + usize::from(device.patch.is_some());
        let [vendor, class] = self.other;
        let by = |id: [u8; 16], bits| id.map(|byte| byte ^ bits);
        let mut identity = Identity::new(by(device.vendor, vendor), by(device.class, class));
        identity.device = device.device;
        let components = components.get(..count).unwrap_or(&[]);
        let capabilities = Capabilities::new(identity, components).with_dependencies(0);
        let mut process = Process::<32>::new(*manifest, procedure, &capabilities);
        // Where it was made: it is most of what this takes of the stack.
        let process = process.as_mut().map_err(|error| self.refused(*error))?;
        loop {
            let success = match process.step().map_err(|error| self.refused(error))? {
                Step::Check { target, check } => self.check(target.place, check)?,
                Step::Perform {
                    target,
                    effect,
                    details,
                } => {
                    self.acted |= procedure == Procedure::Update;
                    self.perform(target.place, procedure, effect, details)?;
                    true
                }
                Step::Finished => return Ok(()),
                // Nobody asked for records, and there are no dependencies.
                Step::Record(_) | Step::Dependency { .. } => false,
            };
            process.done(success);
        }
    }

    /// What was planned, once the update procedure has come to its end.
    pub(super) fn plan(&self, manifest: &Manifest<'a>) -> Result<Plan<'a>, PlanError> {
        let fetched = self.fetched.ok_or(PlanError::Fetch)?;
        let image = self.image();
        if !image.to_come || !self.matched {
            return Err(PlanError::Unmatched);
        }
        let (digest, size) = image.digest.zip(image.size).ok_or(PlanError::Missing)?;
        let small = |size| u32::try_from(size).map_err(|_| PlanError::TooLarge { size });
        Ok(Plan {
            release: Release::new(manifest.sequence(), digest, small(size)?)
                .with_counter(manifest.security_counter()),
            uri: fetched.uri,
            content_bytes: small(fetched.bytes)?,
            encryption: fetched.encryption,
            patch: self.patch,
            authorization: self.authorization,
        })
    }

    fn image(&self) -> Content {
        let [image, _] = self.contents;
        image
    }

    /// Answers what is asked of the device.
    fn check(&mut self, place: usize, check: Check<'_>) -> Result<bool, PlanError> {
        let holds = match check {
            Check::Image { digest, size } => self.matches(place, digest, size, 3),
            Check::NotImage { digest, size } => self.matches(place, digest, size, 25).map(|is| !is),
            Check::Slot(slot) => self.situation.slot.map(|own| own == slot).ok_or(5),
            Check::Version(wanted) => self.device.version.map(|own| wanted.holds(own)).ok_or(28),
            Check::UseBefore(moment) => {
                let reached = self.situation.wall.reached(Timestamp::from_secs(moment));
                Ok(reached == Proof::No)
            }
            Check::Authorized(priority) => {
                self.authorization.get_or_insert(priority);
                Ok(true)
            }
            Check::Content(_) => Err(6),
            Check::MinimumBattery(_) => Err(26),
        };
        holds.map_err(unsupported)
    }

    /// Whether a component holds that; one whose content is to come must hold it.
    fn matches(
        &mut self,
        place: usize,
        digest: &Sha256Digest,
        size: Option<u64>,
        command: i32,
    ) -> Result<bool, i32> {
        let content = self.contents.get_mut(place).ok_or(command)?;
        if !content.to_come {
            // Nothing lies where a patch would; of an image that is not known nothing can be said.
            let known = content.digest.is_some() || place != IMAGE;
            return known
                .then(|| {
                    content.digest == Some(*digest) && size.is_none_or(|_| content.size == size)
                })
                .ok_or(command);
        }
        if command == 3 {
            content.digest.get_or_insert(*digest);
            content.size = content.size.or(size);
        }
        let own = content.digest.ok_or(command)?;
        let is = own == *digest && size.is_none_or(|_| content.size == size);
        self.matched |= is && place == IMAGE;
        Ok(is)
    }

    /// Notes what is to be done.
    fn perform(
        &mut self,
        place: usize,
        procedure: Procedure,
        effect: Effect<'a>,
        details: Details<'a>,
    ) -> Result<(), PlanError> {
        let is_update = procedure == Procedure::Update;
        match effect {
            Effect::Fetch(fetch) if is_update => self.fetch(place, fetch, details),
            Effect::Copy { from } if is_update && place == IMAGE && from.place != IMAGE => {
                refuse_parameter(ENCRYPTION, details.encryption)?;
                refuse_parameter(METADATA, details.metadata)?;
                let [image, patch] = &mut self.contents;
                if !patch.to_come {
                    return Err(unsupported(22));
                }
                *image = Content {
                    to_come: true,
                    ..Content::default()
                };
                (self.patch, self.matched) = (true, false);
                Ok(())
            }
            Effect::Invoke(_) if !is_update => Ok(()),
            Effect::Fetch(_) => Err(unsupported(21)),
            Effect::Copy { .. } => Err(unsupported(22)),
            Effect::Swap { .. } => Err(unsupported(31)),
            Effect::Write(_) => Err(unsupported(18)),
            Effect::Invoke(_) => Err(unsupported(23)),
            Effect::Wait(_) => Err(unsupported(29)),
            Effect::Unlink => Err(unsupported(33)),
        }
    }

    fn fetch(
        &mut self,
        place: usize,
        fetch: Fetch<'a>,
        details: Details<'a>,
    ) -> Result<(), PlanError> {
        refuse_parameter(FETCH_ARGUMENTS, fetch.arguments)?;
        refuse_parameter(METADATA, details.metadata)?;
        let Source::Uri(uri) = fetch.source else {
            return Err(PlanError::Integrated);
        };
        let bytes = fetch.size.ok_or(PlanError::Missing)?;
        if self.fetched.is_some() {
            return Err(PlanError::Fetch);
        }
        self.fetched = Some(Fetched {
            uri,
            bytes,
            encryption: details.encryption,
        });
        if let Some(content) = self.contents.get_mut(place) {
            *content = Content {
                digest: fetch.digest.copied(),
                size: fetch.size,
                to_come: true,
            };
        }
        self.matched = false;
        Ok(())
    }

    /// What a process says when it refuses or fails.
    fn refused(&self, error: ProcessError) -> PlanError {
        match error {
            ProcessError::Component { .. } => PlanError::OtherComponent,
            ProcessError::Unauthorised { .. } => PlanError::Unauthorised,
            ProcessError::Command { command } => PlanError::Unsupported { command },
            ProcessError::Failed { command, .. } => match command.get() {
                1 | 2 | 24 => PlanError::OtherDevice { condition: command },
                3 if self.image().to_come => PlanError::Unmatched,
                _ => PlanError::Process(error),
            },
            error => PlanError::Process(error),
        }
    }
}

const fn unsupported(command: i32) -> PlanError {
    PlanError::Unsupported {
        command: CommandCode::new(command),
    }
}

fn refuse_parameter(code: i32, value: Option<&[u8]>) -> Result<(), PlanError> {
    match value {
        None => Ok(()),
        Some(_) => Err(PlanError::UnsupportedParameter {
            code: ParameterCode::new(code),
        }),
    }
}
