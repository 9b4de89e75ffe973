//! What a list may say, and what may not follow it; without an allocator.

use core::fmt;

use iot_core::crypto::Sha256Digest;
use iot_core::{DeviceId, TenantId};

use crate::key::KeyHash;

const MAX_SERIAL_BYTES: usize = 20;

/// Names one certificate: by its issuer and its serial number (RFC 5280 §4.1.2.2).
///
/// ```
/// use iot_identity::revocation::CertificateId;
/// let id = CertificateId::new([7; 32], &[0x01, 0xff]).unwrap();
/// assert_eq!(id.serial(), [0x01, 0xff]);
/// assert!(CertificateId::new([7; 32], &[1; 21]).is_none());
/// ```
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CertificateId {
    issuer: Sha256Digest,
    serial: [u8; MAX_SERIAL_BYTES],
    len: u8,
}

impl CertificateId {
    /// From the SHA-256 of the issuer's DER name and the big-endian serial number without padding.
    ///
    /// `None` unless the serial number has 1 to 20 bytes.
    #[must_use]
    pub fn new(issuer: Sha256Digest, serial: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SERIAL_BYTES];
        bytes.get_mut(..serial.len())?.copy_from_slice(serial);
        let len = u8::try_from(serial.len()).ok().filter(|&len| len > 0)?;
        Some(Self {
            issuer,
            serial: bytes,
            len,
        })
    }

    /// The SHA-256 of the issuer's DER name.
    #[must_use]
    pub const fn issuer(&self) -> &Sha256Digest {
        &self.issuer
    }

    /// The serial number, big-endian, without padding.
    #[must_use]
    pub fn serial(&self) -> &[u8] {
        self.serial.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificateId(")?;
        for byte in self.serial() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// One entry of a deny-list.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Denied {
    /// A device, whatever certificate it shows: it neither connects nor enrols again.
    Device(TenantId, DeviceId),
    /// A key, in whatever certificate: also that of an authority below an anchor.
    Key(KeyHash),
    /// One certificate.
    Certificate(CertificateId),
}

/// A list would take back what a newer one said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("deny-list version {offered} cannot follow version {current}: fetch the newest")]
#[non_exhaustive]
pub struct RollBack {
    /// The version in force, which stays.
    pub current: u64,
    /// The version that was offered.
    pub offered: u64,
}
