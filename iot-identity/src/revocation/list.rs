//! The list as a value.

use alloc::collections::BTreeSet;
use core::fmt;

use iot_core::crypto::Sha256Digest;
use iot_core::{DeviceId, TenantId};

use crate::key::KeyHash;

const MAX_SERIAL_BYTES: usize = 20;

/// Names one certificate: by its issuer and its serial number (RFC 5280 §4.1.2.2).
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
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
#[error("deny-list version {offered} cannot follow version {current}: fetch the newest")]
#[non_exhaustive]
pub struct RollBack {
    /// The version in force, which stays.
    pub current: u64,
    /// The version that was offered.
    pub offered: u64,
}

/// Entries under a version number that only rises.
///
/// ```
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::revocation::{Denied, DenyList};
/// let mut list = DenyList::new(7);
/// list.insert(Denied::Device(TenantId::new("acme")?, DeviceId::new("boiler-7")?));
/// assert_eq!(DenyList::decode(&list.encode())?, list);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DenyList {
    pub(super) version: u64,
    pub(super) entries: BTreeSet<Denied>,
}

impl DenyList {
    /// An empty list of this version.
    #[must_use]
    pub const fn new(version: u64) -> Self {
        Self {
            version,
            entries: BTreeSet::new(),
        }
    }

    /// Adds an entry; false when it was there.
    pub fn insert(&mut self, entry: Denied) -> bool {
        self.entries.insert(entry)
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Whether it holds the entry.
    #[must_use]
    pub fn contains(&self, entry: &Denied) -> bool {
        self.entries.contains(entry)
    }

    /// All entries, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Denied> {
        self.entries.iter()
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
