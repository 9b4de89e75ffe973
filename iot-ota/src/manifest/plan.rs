//! What a device with one component makes of a manifest.

use iot_core::crypto::Sha256Digest;

use super::command::{Argument, Command, CommandCode, CommandError, Sequence};
use super::content::Manifest;
use super::envelope::Element;
use super::parameter::{Parameter, ParameterCode};
use crate::slot::Release;

/// What a manifest is compared with: vendor and class (§8.4.8.2), and where the device installs.
///
/// ```
/// use iot_ota::manifest::Device;
/// const DEVICE: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);
/// assert_eq!(DEVICE.component.len(), 1);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Device<'d> {
    /// The vendor's UUID.
    pub vendor: [u8; 16],
    /// The UUID of this kind of device.
    pub class: [u8; 16],
    /// The identifier of its only component.
    pub component: &'d [&'d [u8]],
    /// One of these roles must have signed: bit n is the role with the number n.
    pub roles: u32,
}

impl<'d> Device<'d> {
    /// Describes a device whose component belongs to every role.
    #[must_use]
    pub const fn new(vendor: [u8; 16], class: [u8; 16], component: &'d [&'d [u8]]) -> Self {
        Self {
            vendor,
            class,
            component,
            roles: u32::MAX,
        }
    }

    /// Takes images from these roles alone: bit n is the role with the number n of
    /// [`Roles`](crate::manifest::Roles).
    #[must_use]
    pub const fn for_roles(self, roles: u32) -> Self {
        Self { roles, ..self }
    }
}

/// What to fetch and install: one image for one component.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Plan<'a> {
    /// The image, under the manifest's sequence number and security counter.
    pub release: Release,
    /// Where the manifest says it is.
    pub uri: &'a str,
}

/// Why a device cannot follow a manifest; nothing was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// A sequence cannot be read.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// It is for devices of another vendor or class.
    #[error("{condition} does not hold: the manifest is for other devices")]
    OtherDevice {
        /// The condition that does not hold.
        condition: CommandCode,
    },
    /// None of the roles that signed it has a right to the component.
    #[error("nobody who has a right to this device's component signed the manifest")]
    Unauthorised,
    /// It is for another component, or for several.
    #[error("the manifest is not for this device's only component")]
    OtherComponent,
    /// It needs a command that this processor does not have.
    #[error("{command} is not supported here: a plan is checks, one fetch and image matches")]
    Unsupported {
        /// Which one.
        command: CommandCode,
    },
    /// It needs a parameter that this processor does not have.
    #[error("{code} is not supported")]
    UnsupportedParameter {
        /// Which one.
        code: ParameterCode,
    },
    /// It depends on other manifests.
    #[error("dependencies are not supported")]
    Dependencies,
    /// A part that is needed was severed, and one that this processor does not have is there.
    #[error("the part {element:?} is missing, or not supported")]
    Part {
        /// Which one.
        element: Element,
    },
    /// A part that this processor does not follow: 5 is the manifest's component, 6 set-version, 24 uninstall.
    #[error(
        "the manifest's part {key} is not supported: 5 is its component, 6 set-version, 24 uninstall"
    )]
    UnsupportedPart {
        /// Its key.
        key: i32,
    },
    /// Vendor or class is never checked, so that it would install on any device.
    #[error("the manifest does not check vendor and class before it fetches")]
    Unchecked,
    /// There is no fetch, or more than one.
    #[error("the manifest does not fetch exactly one image")]
    Fetch,
    /// Digest, size or URI is missing where it is needed.
    #[error("digest, size or URI is missing where it is needed")]
    Missing,
    /// The image is not matched after it was fetched, or against something else than what was fetched.
    #[error("the image that is fetched is not the one that is matched")]
    Unmatched,
    /// The size is more than 4 GiB.
    #[error("an image of {size} bytes is too large")]
    TooLarge {
        /// The declared size.
        size: u64,
    },
}

impl<'a> Manifest<'a> {
    /// Works out what this device is to fetch and install.
    ///
    /// The sequences are followed in the order of the update procedure (§6.4): payload fetch, install and
    /// validate, each after the shared one. Only what one component needs is followed; the rest is refused
    /// by name, never skipped: also a manifest-component-id, a set-version and an uninstall sequence.
    ///
    /// # Errors
    ///
    /// [`PlanError`] with the first thing that does not fit.
    pub fn plan(&self, device: &Device<'_>) -> Result<Plan<'a>, PlanError> {
        if self.has_dependencies() {
            return Err(PlanError::Dependencies);
        }
        let mut components = self.components();
        let only = components.next().filter(|only| only == device.component);
        if only.is_none() || components.next().is_some() {
            return Err(PlanError::OtherComponent);
        }
        if device.roles & self.roles() == 0 {
            return Err(PlanError::Unauthorised);
        }
        for element in [
            Element::DependencyResolution,
            Element::CandidateVerification,
        ] {
            if self.section(element).is_some() || self.is_severed(element) {
                return Err(PlanError::Part { element });
            }
        }
        if let Some(key) = [5, 6, 24].into_iter().find(|key| self.part(*key).is_some()) {
            return Err(PlanError::UnsupportedPart { key });
        }
        let mut run = Run::new(device);
        for element in [Element::PayloadFetch, Element::Install] {
            if self.is_severed(element) {
                return Err(PlanError::Part { element });
            }
            run.follow(self.shared(), Stage::Update)?;
            run.follow(self.section(element), Stage::Update)?;
        }
        let Some(fetched) = run.fetched else {
            return Err(PlanError::Fetch);
        };
        run.follow(self.shared(), Stage::Validate)?;
        run.follow(self.validate(), Stage::Validate)?;
        if !run.validated {
            return Err(PlanError::Unmatched);
        }
        run.follow(self.load(), Stage::Validate)?;
        run.follow(self.invoke(), Stage::Invoke)?;
        let size = u32::try_from(fetched.size);
        let size = size.map_err(|_| PlanError::TooLarge { size: fetched.size })?;
        Ok(Plan {
            release: Release::new(self.sequence(), fetched.digest, size)
                .with_counter(self.security_counter()),
            uri: fetched.uri,
        })
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Stage {
    Update,
    Validate,
    Invoke,
}

#[derive(Clone, Copy)]
struct Fetched<'a> {
    digest: Sha256Digest,
    size: u64,
    uri: &'a str,
}

/// The state of the processor: parameters, and what was found so far.
struct Run<'a, 'd> {
    device: &'d Device<'d>,
    vendor: Option<[u8; 16]>,
    class: Option<[u8; 16]>,
    digest: Option<Sha256Digest>,
    size: Option<u64>,
    uri: Option<&'a str>,
    vendor_checked: bool,
    class_checked: bool,
    fetched: Option<Fetched<'a>>,
    validated: bool,
}

impl<'a, 'd> Run<'a, 'd> {
    const fn new(device: &'d Device<'d>) -> Self {
        Self {
            device,
            vendor: None,
            class: None,
            digest: None,
            size: None,
            uri: None,
            vendor_checked: false,
            class_checked: false,
            fetched: None,
            validated: false,
        }
    }

    fn follow(&mut self, sequence: Option<Sequence<'a>>, stage: Stage) -> Result<(), PlanError> {
        let Some(sequence) = sequence else {
            return Ok(());
        };
        for command in sequence.commands()? {
            self.command(&command?, stage)?;
        }
        Ok(())
    }

    fn command(&mut self, command: &Command<'a>, stage: Stage) -> Result<(), PlanError> {
        let code = command.code;
        match (code.get(), &command.argument, stage) {
            (1, Argument::ReportingPolicy(_), _) => {
                self.vendor_checked = self.vendor == Some(self.device.vendor);
                self.holds(self.vendor_checked, code)
            }
            (2, Argument::ReportingPolicy(_), _) => {
                self.class_checked = self.class == Some(self.device.class);
                self.holds(self.class_checked, code)
            }
            (3, Argument::ReportingPolicy(_), _) => self.image_match(code, stage),
            // With one component the index can only be 0, or all there are.
            (12, Argument::Component(0) | Argument::EveryComponent, _) => Ok(()),
            (20, Argument::Parameters(parameters), _) => {
                for parameter in parameters.clone() {
                    self.set(parameter?)?;
                }
                Ok(())
            }
            (21, Argument::ReportingPolicy(_), Stage::Update) => self.fetch(),
            (23, Argument::ReportingPolicy(_), Stage::Invoke) => Ok(()),
            _ => Err(PlanError::Unsupported { command: code }),
        }
    }

    const fn holds(&self, holds: bool, condition: CommandCode) -> Result<(), PlanError> {
        if holds {
            Ok(())
        } else {
            Err(PlanError::OtherDevice { condition })
        }
    }

    fn set(&mut self, parameter: Parameter<'a>) -> Result<(), PlanError> {
        match parameter {
            Parameter::VendorId(id) => self.vendor = Some(id),
            Parameter::ClassId(id) => self.class = Some(id),
            Parameter::ImageDigest(digest) => self.digest = Some(digest),
            Parameter::ImageSize(size) => self.size = Some(size),
            Parameter::Uri(uri) => self.uri = Some(uri),
            Parameter::Other { code, .. } => return Err(PlanError::UnsupportedParameter { code }),
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<(), PlanError> {
        if !(self.vendor_checked && self.class_checked) {
            return Err(PlanError::Unchecked);
        }
        if self.fetched.is_some() {
            return Err(PlanError::Fetch);
        }
        match (self.digest, self.size, self.uri) {
            (Some(digest), Some(size), Some(uri)) => {
                self.fetched = Some(Fetched { digest, size, uri });
                Ok(())
            }
            _ => Err(PlanError::Missing),
        }
    }

    /// Before the fetch a match would be about what is installed now, which this processor does not look at.
    fn image_match(&mut self, command: CommandCode, stage: Stage) -> Result<(), PlanError> {
        let fetched = self.fetched.ok_or(PlanError::Unsupported { command })?;
        if self.digest != Some(fetched.digest) || self.size != Some(fetched.size) {
            return Err(PlanError::Unmatched);
        }
        self.validated |= stage == Stage::Validate;
        Ok(())
    }
}
