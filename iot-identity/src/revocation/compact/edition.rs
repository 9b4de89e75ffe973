//! Which list is in force.

use iot_core::crypto::Sha256Digest;

use crate::revocation::RollBack;

/// Which list: its version, and a hash of what was signed, so that two lists of one version are told apart.
///
/// Whoever keeps a list over restarts keeps its edition beside it, before the list is put into force.
///
/// ```
/// use iot_identity::revocation::Edition;
/// let in_force = Edition::new(7, [1; 32]);
/// assert!(Edition::new(8, [2; 32]).may_follow(&in_force).is_ok());
/// assert!(in_force.may_follow(&in_force).is_ok()); // the same again
/// assert!(Edition::new(7, [2; 32]).may_follow(&in_force).is_err());
/// assert!(Edition::new(6, [1; 32]).may_follow(&in_force).is_err());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Edition {
    /// The list's version, which only rises.
    pub version: u64,
    /// The SHA-256 of the signed payload.
    pub digest: Sha256Digest,
}

impl Edition {
    /// Puts together what was kept.
    ///
    /// Where only a version was kept, as in a monotonic counter, any digest that no list has will do: then the
    /// list of that version is refused as well.
    #[must_use]
    pub const fn new(version: u64, digest: Sha256Digest) -> Self {
        Self { version, digest }
    }

    /// Whether this list may take the place of the one `in_force`: it is newer, or the very same.
    ///
    /// # Errors
    ///
    /// [`RollBack`] for an older list, and for another one of the same version.
    pub fn may_follow(&self, in_force: &Self) -> Result<(), RollBack> {
        if self.version > in_force.version || self == in_force {
            return Ok(());
        }
        Err(RollBack {
            current: in_force.version,
            offered: self.version,
        })
    }
}
