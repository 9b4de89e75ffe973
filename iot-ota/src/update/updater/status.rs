//! What an updater is given, and what it says about itself.

use iot_core::crypto::Digest;

use crate::manifest::{Device, ManifestKeys};
use crate::slot::{Ended, Release};

/// What a device trusts, and what it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Trust<'d, K, D> {
    /// Whose manifests are accepted.
    pub keys: K,
    /// SHA-256; must have absorbed nothing.
    pub digest: D,
    /// What manifests are compared with.
    pub device: Device<'d>,
}

impl<'d, K: ManifestKeys, D: Digest + Clone> Trust<'d, K, D> {
    /// Puts it together.
    pub const fn new(keys: K, digest: D, device: Device<'d>) -> Self {
        Self {
            keys,
            digest,
            device,
        }
    }
}

/// What an updater wants from the application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Want {
    /// Nothing.
    Nothing,
    /// This firmware runs on trial: test it, then call [`confirm`](super::Updater::confirm).
    Confirm,
    /// A restart, when it suits: another image is to boot.
    Reboot,
    /// Somebody's agreement to the release that was offered: call [`approve`](super::Updater::approve), or
    /// [`cancel`](super::Updater::cancel).
    Approve,
}

/// What an updater is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Activity {
    /// It has not seen its records yet.
    Restoring,
    /// The memory holds no boot record, or cannot note that a staged image is tried: nothing can be updated.
    Unusable,
    /// Nothing.
    Idle,
    /// A release was offered, and nobody has agreed to it yet.
    AwaitingApproval {
        /// Which one.
        release: Release,
    },
    /// It downloads a release.
    Fetching {
        /// Which one.
        release: Release,
        /// How many bytes are there.
        offset: u32,
    },
    /// A verified image waits for the reboot.
    Staged {
        /// Which one.
        release: Release,
    },
    /// This firmware runs on trial.
    OnTrial,
    /// This firmware was rejected and waits for the reboot.
    Rejected,
}

/// What runs, what is being done or staged, and how the last update ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Status {
    /// The image that really runs; `None` while a rejected image waits for the reboot.
    pub running: Option<Release>,
    /// What is being done.
    pub activity: Activity,
    /// How the last update that was staged ended, and why.
    pub ended: Option<Ended>,
}
