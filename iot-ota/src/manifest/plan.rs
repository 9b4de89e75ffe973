//! What a device with one image makes of a manifest.

use iot_core::crypto::Sha256Digest;
use iot_core::time::TimeBounds;

use super::command::CommandCode;
use super::content::Manifest;
use super::parameter::ParameterCode;
use crate::process::{Procedure, ProcessError};
use crate::slot::Release;

mod walk;

use walk::Walk;

/// What a manifest is compared with: vendor and class (§8.4.8.2), and where the device installs.
///
/// ```
/// use iot_ota::manifest::Device;
/// const DEVICE: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"])
///     .with_patches(&[b"patch"])
///     .with_version(&[1, 2, 0]);
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
    /// The UUID of this one device, where it has one.
    pub device: Option<[u8; 16]>,
    /// The identifier of its image.
    pub component: &'d [&'d [u8]],
    /// The identifier of a component that holds a patch: what is copied from it to the image is what the patch makes of
    /// the image that runs. `None` where the device applies no patches.
    pub patch: Option<&'d [&'d [u8]]>,
    /// One of these roles must have signed: bit n is the role with the number n.
    pub roles: u32,
    /// The numbers of the slots in which an image runs from bank A and from bank B, where that makes a difference.
    pub slots: Option<[u64; 2]>,
    /// The version of the firmware that runs, where manifests may ask for it.
    pub version: Option<&'d [i64]>,
}

impl<'d> Device<'d> {
    /// Describes a device whose image belongs to every role.
    #[must_use]
    pub const fn new(vendor: [u8; 16], class: [u8; 16], component: &'d [&'d [u8]]) -> Self {
        Self {
            vendor,
            class,
            device: None,
            component,
            patch: None,
            roles: u32::MAX,
            slots: None,
            version: None,
        }
    }

    /// Takes images from these roles alone: bit n is the role with the number n of
    /// [`Roles`](crate::manifest::Roles).
    #[must_use]
    pub const fn for_roles(self, roles: u32) -> Self {
        Self { roles, ..self }
    }

    /// The one device of that UUID.
    #[must_use]
    pub const fn with_device(self, device: [u8; 16]) -> Self {
        Self {
            device: Some(device),
            ..self
        }
    }

    /// With a component under that identifier that holds a patch.
    #[must_use]
    pub const fn with_patches(self, patch: &'d [&'d [u8]]) -> Self {
        Self {
            patch: Some(patch),
            ..self
        }
    }

    /// With these numbers for the slots of bank A and bank B.
    #[must_use]
    pub const fn with_slots(self, slots: [u64; 2]) -> Self {
        Self {
            slots: Some(slots),
            ..self
        }
    }

    /// With firmware of that version.
    #[must_use]
    pub const fn with_version(self, version: &'d [i64]) -> Self {
        Self {
            version: Some(version),
            ..self
        }
    }
}

/// What is known, when a plan is made, of what changes.
///
/// ```
/// use iot_core::time::TimeBounds;
/// use iot_ota::manifest::Situation;
/// let situation = Situation::new(TimeBounds::UNKNOWN).running([3; 32], 4_096);
/// assert_eq!(situation.running, Some(([3; 32], 4_096)));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Situation {
    /// The time.
    pub wall: TimeBounds,
    /// SHA-256 and size in bytes of the image that runs.
    pub running: Option<(Sha256Digest, u32)>,
    /// The slot in which the new image would run.
    pub slot: Option<u64>,
}

impl Situation {
    /// Nothing but the time is known.
    #[must_use]
    pub const fn new(wall: TimeBounds) -> Self {
        Self {
            wall,
            running: None,
            slot: None,
        }
    }

    /// An image of that SHA-256 and that size in bytes runs.
    #[must_use]
    pub const fn running(self, digest: Sha256Digest, size: u32) -> Self {
        Self {
            running: Some((digest, size)),
            ..self
        }
    }

    /// The new image would run in the slot of that number.
    #[must_use]
    pub const fn in_slot(self, slot: Option<u64>) -> Self {
        Self { slot, ..self }
    }
}

/// What to fetch, and what is to become of it: one image.
///
/// The payload is what is fetched. Where it is neither encrypted nor a patch it is the image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Plan<'a> {
    /// The image, under the manifest's sequence number and security counter.
    pub release: Release,
    /// Where the manifest says that the payload is.
    pub uri: &'a str,
    /// How many bytes of image or patch are in the payload.
    pub content_bytes: u32,
    /// How the payload is encrypted: a `SUIT_Encryption_Info`, of which nothing was looked at.
    pub encryption: Option<&'a [u8]>,
    /// Whether the payload is a patch, which makes the image out of the one that runs.
    pub patch: bool,
    /// With which priority the manifest asks for somebody's agreement (`update-authorized`), if it does: whoever follows
    /// the plan asks before the first byte.
    pub authorization: Option<i64>,
}

/// Why a device cannot follow a manifest; nothing was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PlanError {
    /// It cannot be followed by anybody with such a device, or a condition does not hold.
    #[error(transparent)]
    Process(ProcessError),
    /// It is for devices of another vendor or class, or for another one of them.
    #[error("{condition} does not hold: the manifest is for other devices")]
    OtherDevice {
        /// The condition that does not hold.
        condition: CommandCode,
    },
    /// None of the roles that signed it has a right to the component.
    #[error("nobody who has a right to this device's component signed the manifest")]
    Unauthorised,
    /// It names a component that the device does not have.
    #[error("the manifest is for components that this device does not have")]
    OtherComponent,
    /// It needs a command that a plan does not have, or a fact that the device does not tell.
    #[error("{command} is not supported here: a plan is checks, one fetch and image matches")]
    Unsupported {
        /// Which one.
        command: CommandCode,
    },
    /// It needs a parameter that a plan does not have.
    #[error("{code} is not supported")]
    UnsupportedParameter {
        /// Which one.
        code: ParameterCode,
    },
    /// It depends on other manifests.
    #[error("dependencies are not supported")]
    Dependencies,
    /// A part that no plan follows: 5 is the manifest's component, 6 set-version, 24 uninstall.
    #[error(
        "the manifest's part {key} is not supported: 5 is its component, 6 set-version, 24 uninstall"
    )]
    UnsupportedPart {
        /// Its key.
        key: i32,
    },
    /// Vendor or class makes no difference, so that it would install on any device.
    #[error("the manifest does not check vendor and class before it fetches")]
    Unchecked,
    /// There is no fetch, or more than one.
    #[error("the manifest does not fetch exactly one image")]
    Fetch,
    /// The payload travels in the envelope, where no plan looks for it.
    #[error("the payload is in the envelope: give it a URI, and let devices fetch it")]
    Integrated,
    /// Digest or size is missing where it is needed.
    #[error("digest or size is missing where it is needed")]
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
    /// Works out what this device is to fetch and install when nothing is known of what it runs: see
    /// [`plan_in`](Self::plan_in).
    ///
    /// # Errors
    ///
    /// [`PlanError`] with the first thing that does not fit.
    pub fn plan(&self, device: &Device<'_>) -> Result<Plan<'a>, PlanError> {
        self.plan_in(device, &Situation::new(TimeBounds::UNKNOWN))
    }

    /// Works out what this device is to fetch and install.
    ///
    /// A [`Process`](crate::process::Process) goes through the whole update procedure and what follows it, validate, load
    /// and invoke. What it asks of the device is answered from `device` and `situation`; the one fetch is noted, and so is
    /// what the image will have to match: that is for the one who fetches to prove. `update-authorized` is noted in
    /// [`Plan::authorization`], for the one who fetches to ask before the first byte. What can neither be answered nor noted is refused by name,
    /// never skipped: also a manifest-component-id, a set-version and an uninstall sequence.
    ///
    /// A device of another vendor, and one of another class, must come to no fetch by the same manifest.
    ///
    /// # Errors
    ///
    /// [`PlanError`] with the first thing that does not fit.
    pub fn plan_in(
        &self,
        device: &Device<'_>,
        situation: &Situation,
    ) -> Result<Plan<'a>, PlanError> {
        if self.has_dependencies() {
            return Err(PlanError::Dependencies);
        }
        if let Some(key) = [5, 6, 24].into_iter().find(|key| self.part(*key).is_some()) {
            return Err(PlanError::UnsupportedPart { key });
        }
        let mut walk = Walk::new(device, situation);
        walk.follow(self, Procedure::Update)?;
        let mut planned = walk.plan(self);
        // What was planned stays where it was made: moving it costs a chip more than making it.
        if let Ok(plan) = &mut planned
            && let Err(error) = self.prove(&mut walk, plan)
        {
            planned = Err(error);
        }
        planned
    }

    /// What follows the update procedure, and what other devices would do.
    fn prove<'d>(&self, walk: &mut Walk<'a, 'd>, plan: &mut Plan<'a>) -> Result<(), PlanError>
    where
        'a: 'd,
    {
        walk.validate();
        walk.follow(self, Procedure::Invoke)?;
        if !walk.is_valid() {
            return Err(PlanError::Unmatched);
        }
        // What is asked before the image is started is asked for with the rest.
        plan.authorization = walk.authorization();
        for same_vendor in [false, true] {
            walk.be_another(same_vendor);
            // Where it ends does not matter, if it does nothing.
            let _ = walk.follow(self, Procedure::Update);
            if walk.has_acted() {
                return Err(PlanError::Unchecked);
            }
        }
        Ok(())
    }
}
