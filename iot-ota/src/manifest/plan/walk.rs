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
#[derive(Clone, Copy)]
struct Content<'d> {
    digest: Option<&'d Sha256Digest>,
    size: Option<u64>,
    // It is yet to come: what it is compared with is what it must be.
    to_come: bool,
}

impl Content<'_> {
    const UNKNOWN: Self = Self {
        digest: None,
        size: None,
        to_come: false,
    };
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
    // The device's own, or that of another one.
    identity: Identity<'d>,
    contents: [Content<'d>; 2],
    fetched: Option<Fetched<'a>>,
    patch: bool,
    authorization: Option<i64>,
    acted: bool,
    matched: bool,
}

impl<'a: 'd, 'd> Walk<'a, 'd> {
    pub(super) fn new(device: &'d Device<'d>, situation: &'d Situation) -> Self {
        let mut identity = Identity::new(device.vendor, device.class);
        identity.device = device.device;
        let mut walk = Self {
            device,
            situation,
            identity,
            contents: [Content::UNKNOWN; 2],
            fetched: None,
            patch: false,
            authorization: None,
            acted: false,
            matched: false,
        };
        walk.begin();
        walk
    }

    /// Begins anew as a device of another vendor, and after that as one of another class of the same vendor.
    pub(super) fn be_another(&mut self, same_vendor: bool) {
        change(&mut self.identity.vendor);
        if same_vendor {
            change(&mut self.identity.class);
        }
        self.begin();
    }

    #[inline(never)]
    fn begin(&mut self) {
        let [image, patch] = &mut self.contents;
        (*image, *patch) = (Content::UNKNOWN, Content::UNKNOWN);
        if let Some((digest, size)) = &self.situation.running {
            (image.digest, image.size) = (Some(digest), Some(u64::from(*size)));
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
        let components = components.get(..count).unwrap_or(&[]);
        let capabilities = Capabilities::new(self.identity, components).with_dependencies(0);
        let mut process = Process::<32>::new(*manifest, procedure, &capabilities);
        // Where it was made: it is most of what this takes of the stack.
        let process = match &mut process {
            Ok(process) => process,
            Err(error) => return Err(self.refused(error)),
        };
        loop {
            let success = match &process.step() {
                Ok(Step::Check { target, check }) => self.check(target.place, check),
                Ok(Step::Perform {
                    target,
                    effect,
                    details,
                }) => {
                    self.acted |= procedure == Procedure::Update;
                    self.perform(target.place, procedure, effect, details)
                }
                Ok(Step::Finished) => return Ok(()),
                // Nobody asked for records, and there are no dependencies.
                Ok(Step::Record(_) | Step::Dependency { .. }) => Ok(false),
                Err(error) => Err(self.refused(error)),
            };
            process.done(success?);
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
            release: Release::new(manifest.sequence(), *digest, small(size)?)
                .with_counter(manifest.security_counter()),
            uri: fetched.uri,
            content_bytes: small(fetched.bytes)?,
            encryption: fetched.encryption,
            patch: self.patch,
            authorization: self.authorization,
        })
    }

    const fn image(&self) -> Content<'d> {
        let [image, _] = self.contents;
        image
    }

    /// Answers what is asked of the device.
    fn check(&mut self, place: usize, check: &Check<'a>) -> Result<bool, PlanError> {
        let (command, holds) = match *check {
            Check::Image { digest, size } => (3, self.matches(place, digest, size, true)),
            Check::NotImage { digest, size } => (25, self.matches(place, digest, size, false)),
            Check::Slot(slot) => (5, self.situation.slot.map(|own| own == slot)),
            Check::Version(wanted) => (28, self.device.version.map(|own| wanted.holds(own))),
            Check::UseBefore(moment) => {
                let reached = self.situation.wall.reached(Timestamp::from_secs(moment));
                (4, Some(reached == Proof::No))
            }
            Check::Authorized(priority) => {
                self.authorization.get_or_insert(priority);
                return Ok(true);
            }
            Check::Content(_) => (6, None),
            Check::MinimumBattery(_) => (26, None),
        };
        holds.ok_or(unsupported(command))
    }

    /// Whether a component holds that, or holds something else if it must not; one whose content is to come must hold
    /// what it is said to.
    fn matches(
        &mut self,
        place: usize,
        digest: &'a Sha256Digest,
        size: Option<u64>,
        is_to_match: bool,
    ) -> Option<bool> {
        let content = self.contents.get_mut(place)?;
        if content.to_come && is_to_match {
            content.digest.get_or_insert(digest);
            content.size = content.size.or(size);
        }
        let is = content.digest == Some(digest) && (size.is_none() || content.size == size);
        self.matched |= is && content.to_come && place == IMAGE;
        // Nothing lies where a patch would; of what is not known nothing can be said.
        let is_known = content.digest.is_some() || (place != IMAGE && !content.to_come);
        is_known.then_some(is == is_to_match)
    }

    /// Notes what is to be done.
    fn perform(
        &mut self,
        place: usize,
        procedure: Procedure,
        effect: &Effect<'a>,
        details: &Details<'a>,
    ) -> Result<bool, PlanError> {
        let is_update = procedure == Procedure::Update;
        let command = match effect {
            Effect::Fetch(fetch) if is_update => return self.fetch(place, fetch, details),
            Effect::Copy { from } if is_update && place == IMAGE && from.place != IMAGE => {
                refuse_parameter(ENCRYPTION, details.encryption)?;
                refuse_parameter(METADATA, details.metadata)?;
                let [image, patch] = &mut self.contents;
                if patch.to_come {
                    *image = Content {
                        to_come: true,
                        ..Content::UNKNOWN
                    };
                    (self.patch, self.matched) = (true, false);
                    return Ok(true);
                }
                22
            }
            Effect::Invoke(_) if !is_update => return Ok(true),
            Effect::Write(_) => 18,
            Effect::Fetch(_) => 21,
            Effect::Copy { .. } => 22,
            Effect::Invoke(_) => 23,
            Effect::Wait(_) => 29,
            Effect::Swap { .. } => 31,
            Effect::Unlink => 33,
        };
        Err(unsupported(command))
    }

    fn fetch(
        &mut self,
        place: usize,
        fetch: &Fetch<'a>,
        details: &Details<'a>,
    ) -> Result<bool, PlanError> {
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
                digest: fetch.digest,
                size: fetch.size,
                to_come: true,
            };
        }
        self.matched = false;
        Ok(true)
    }

    /// What a process says when it refuses or fails.
    fn refused(&self, error: &ProcessError) -> PlanError {
        match *error {
            ProcessError::Component { .. } => PlanError::OtherComponent,
            ProcessError::Unauthorised { .. } => PlanError::Unauthorised,
            ProcessError::Command { command } => PlanError::Unsupported { command },
            ProcessError::Failed { command, .. } => match command.get() {
                1 | 2 | 24 => PlanError::OtherDevice { condition: command },
                3 if self.image().to_come => PlanError::Unmatched,
                _ => PlanError::Process(*error),
            },
            error => PlanError::Process(error),
        }
    }
}

/// Makes another identifier of one, and that one of the other.
fn change(id: &mut [u8; 16]) {
    for byte in id {
        *byte = !*byte;
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
