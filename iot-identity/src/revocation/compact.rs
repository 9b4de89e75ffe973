//! Very many denials in few bytes, looked up where they lie.
//!
//! An entry is the first 9 bytes of a hash: of a key, of a certificate's issuer and serial number, or of a tenant
//! and a device's name. The list sorts them and cuts them into buckets by their first two bytes, which then need
//! not be stored: seven bytes an entry and a table of 256 KiB, 7.3 bytes an entry for a million.
//!
//! **False denials.** A peer that is not denied is hit when its hash begins with the same 72 bits as that of an
//! entry. With a million entries that happens to one look-up in 2⁵². Nobody can aim at it by choosing
//! keys for himself, because a hit only denies himself; and whoever wants to have *somebody else* denied has to get
//! an entry into the list that collides with a given key, which takes 2⁷² keys. So no exact check follows.
//!
//! **Trust.** The bytes are signed as a whole, and their version only rises: [`CompactList::verify`] is the only
//! way to one, and refuses what is older than the version in force. The signature is over the format's name and all
//! bytes before it, in fixed form, so that a list of a million entries is not copied into an envelope.

use core::fmt;

use iot_core::crypto::{Digest, Verifier};
use iot_core::{DeviceId, TenantId};

use super::{CertificateId, RollBack};
use crate::key::KeyHash;

const MAGIC: [u8; 4] = *b"IDL1";
const CONTEXT: &[u8] = b"iot-identity compact deny-list 1";
const HEAD_BYTES: usize = 16;
const BUCKETS: usize = 1 << 16;
const OFFSET_BYTES: usize = 4;
const ENTRY_BYTES: usize = 7;
const PREFIX_BYTES: usize = ENTRY_BYTES + 2;
const SIGNATURE_BYTES: usize = 64;
const TABLE_BYTES: usize = (BUCKETS + 1) * OFFSET_BYTES;

/// Why bytes are no list to be put into force; what is in force stays.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The bytes are not in this format.
    #[error("not a compact deny-list of format 1")]
    Format,
    /// They are not signed by whoever issues deny-lists.
    #[error("the deny-list is not signed by its issuer")]
    Signature,
    /// They would take back what a newer list said.
    #[error(transparent)]
    RollBack(#[from] RollBack),
}

/// A verified list in its own bytes; a look-up takes no allocator, and does not decode the rest.
///
/// ```
/// # #[cfg(feature = "ring")] {
/// use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::key::PublicKey;
/// use iot_identity::revocation::{CompactList, CompactWriter};
/// use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
/// let (tenant, device) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let key = SoftwareKey::generate(EcdsaP256Sha256)?;
/// let mut writer = CompactWriter::new(2);
/// writer.deny_device(&tenant, &device, &mut Sha256::new());
/// let bytes = writer.sign(&key)?;
/// let issuer = SoftwareVerifier::new(PublicKey::of(&key)?);
/// let list = CompactList::verify(&bytes, &issuer, 0)?;
/// assert!(list.denies_device(&tenant, &device, &mut Sha256::new()));
/// assert!(CompactList::verify(&bytes, &issuer, 3).is_err());
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct CompactList<'a> {
    version: u64,
    table: &'a [u8],
    entries: &'a [u8],
}

impl<'a> CompactList<'a> {
    /// Checks form, signature and version; `in_force` is the version that is in force now, and may come again.
    ///
    /// # Errors
    ///
    /// [`CompactError`] with the first thing that is wrong.
    pub fn verify(
        bytes: &'a [u8],
        issuer: &impl Verifier,
        in_force: u64,
    ) -> Result<Self, CompactError> {
        let end = bytes.len().checked_sub(SIGNATURE_BYTES);
        let (signed, signature) = end
            .and_then(|end| bytes.split_at_checked(end))
            .ok_or(CompactError::Format)?;
        let list = Self::read(signed).ok_or(CompactError::Format)?;
        issuer
            .verify(&[CONTEXT, signed], signature)
            .map_err(|_| CompactError::Signature)?;
        if list.version < in_force {
            return Err(RollBack {
                current: in_force,
                offered: list.version,
            }
            .into());
        }
        Ok(list)
    }

    fn read(signed: &'a [u8]) -> Option<Self> {
        let (head, rest) = signed.split_at_checked(HEAD_BYTES)?;
        let (magic, head) = head.split_first_chunk()?;
        let (version, count) = head.split_first_chunk()?;
        let (table, entries) = rest.split_at_checked(TABLE_BYTES)?;
        let count = usize::try_from(u32::from_be_bytes(count.try_into().ok()?)).ok()?;
        if *magic != MAGIC || entries.len() != count.checked_mul(ENTRY_BYTES)? {
            return None;
        }
        let list = Self {
            version: u64::from_be_bytes(*version),
            table,
            entries,
        };
        // Whoever signs writes it in order; still nothing rests on that but the answer to a look-up.
        (list.offset(0)? == 0 && list.offset(BUCKETS)? == count).then_some(list)
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len() / ENTRY_BYTES
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether the key is denied.
    #[must_use]
    pub fn denies_key(&self, key: &KeyHash) -> bool {
        let prefix = key.as_bytes().first_chunk();
        prefix.is_none_or(|prefix| self.contains(prefix))
    }

    /// Whether the certificate is denied; `digest` must have absorbed nothing.
    #[must_use]
    pub fn denies_certificate(
        &self,
        certificate: &CertificateId,
        digest: &mut (impl Digest + ?Sized),
    ) -> bool {
        self.contains(&certificate_prefix(certificate, digest))
    }

    /// Whether the device is denied; `digest` must have absorbed nothing.
    #[must_use]
    pub fn denies_device(
        &self,
        tenant: &TenantId,
        device: &DeviceId,
        digest: &mut (impl Digest + ?Sized),
    ) -> bool {
        self.contains(&device_prefix(tenant, device, digest))
    }

    fn offset(&self, bucket: usize) -> Option<usize> {
        let at = bucket.checked_mul(OFFSET_BYTES)?;
        let bytes = self.table.get(at..)?.first_chunk()?;
        usize::try_from(u32::from_be_bytes(*bytes)).ok()
    }

    /// A list that cannot be read there denies: what cannot be looked up counts as denied.
    fn contains(&self, prefix: &[u8; PREFIX_BYTES]) -> bool {
        self.find(prefix).unwrap_or(true)
    }

    fn find(&self, prefix: &[u8; PREFIX_BYTES]) -> Option<bool> {
        let [high, low, wanted @ ..] = prefix;
        let bucket = usize::from(u16::from_be_bytes([*high, *low]));
        let (from, to) = (self.offset(bucket)?, self.offset(bucket + 1)?);
        let (from, to) = (from.checked_mul(ENTRY_BYTES)?, to.checked_mul(ENTRY_BYTES)?);
        let (entries, _) = self.entries.get(from..to)?.as_chunks::<ENTRY_BYTES>();
        Some(entries.binary_search(wanted).is_ok())
    }
}

impl fmt::Debug for CompactList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, len) = (self.version, self.len());
        write!(f, "CompactList(version {version}, {len} entries)")
    }
}

fn certificate_prefix(
    certificate: &CertificateId,
    digest: &mut (impl Digest + ?Sized),
) -> [u8; PREFIX_BYTES] {
    digest.update(b"certificate\0");
    digest.update(certificate.issuer());
    digest.update(certificate.serial());
    shorten(&digest.finish())
}

fn device_prefix(
    tenant: &TenantId,
    device: &DeviceId,
    digest: &mut (impl Digest + ?Sized),
) -> [u8; PREFIX_BYTES] {
    digest.update(b"device\0");
    digest.update(tenant.as_str().as_bytes());
    // No name holds this byte, so that no two pairs are spelt alike.
    digest.update(b"\0");
    digest.update(device.as_str().as_bytes());
    shorten(&digest.finish())
}

fn shorten(hash: &[u8; 32]) -> [u8; PREFIX_BYTES] {
    hash.first_chunk().copied().unwrap_or_default()
}

pub use writer::CompactWriter;

mod writer {
    use alloc::vec::Vec;

    use iot_core::crypto::{Digest, KeyError, Signature, Signer};
    use iot_core::{DeviceId, TenantId};

    use super::{
        BUCKETS, CONTEXT, HEAD_BYTES, MAGIC, PREFIX_BYTES, TABLE_BYTES, certificate_prefix,
        device_prefix, shorten,
    };
    use crate::key::KeyHash;
    use crate::revocation::CertificateId;

    /// Collects denials and signs them as one list.
    #[derive(Clone, Debug)]
    pub struct CompactWriter {
        version: u64,
        prefixes: Vec<[u8; PREFIX_BYTES]>,
    }

    impl CompactWriter {
        /// An empty list of this version.
        #[must_use]
        pub const fn new(version: u64) -> Self {
            Self {
                version,
                prefixes: Vec::new(),
            }
        }

        /// Denies a key.
        pub fn deny_key(&mut self, key: &KeyHash) {
            self.prefixes.push(shorten(key.as_bytes()));
        }

        /// Denies a certificate; `digest` must have absorbed nothing.
        pub fn deny_certificate(
            &mut self,
            certificate: &CertificateId,
            digest: &mut (impl Digest + ?Sized),
        ) {
            self.prefixes.push(certificate_prefix(certificate, digest));
        }

        /// Denies a device; `digest` must have absorbed nothing.
        pub fn deny_device(
            &mut self,
            tenant: &TenantId,
            device: &DeviceId,
            digest: &mut (impl Digest + ?Sized),
        ) {
            self.prefixes.push(device_prefix(tenant, device, digest));
        }

        /// Sorts and signs.
        ///
        /// # Errors
        ///
        /// What the key says; [`KeyError::Unsupported`] for signatures of another length or 2³² entries.
        pub fn sign(mut self, issuer: &(impl Signer + ?Sized)) -> Result<Vec<u8>, KeyError> {
            self.prefixes.sort_unstable();
            self.prefixes.dedup();
            let count = u32::try_from(self.prefixes.len()).map_err(|_| KeyError::Unsupported)?;
            let mut out = Vec::with_capacity(
                HEAD_BYTES + TABLE_BYTES + self.prefixes.len().saturating_mul(7) + 64,
            );
            out.extend_from_slice(&MAGIC);
            out.extend_from_slice(&self.version.to_be_bytes());
            out.extend_from_slice(&count.to_be_bytes());
            let mut at = 0u32;
            let mut rest = self.prefixes.iter().peekable();
            for bucket in 0..=BUCKETS {
                out.extend_from_slice(&at.to_be_bytes());
                while rest
                    .next_if(|[high, low, ..]| {
                        usize::from(u16::from_be_bytes([*high, *low])) == bucket
                    })
                    .is_some()
                {
                    at = at.saturating_add(1);
                }
            }
            for [_, _, entry @ ..] in &self.prefixes {
                out.extend_from_slice(entry);
            }
            let mut signature = Signature::empty();
            issuer.sign(&[CONTEXT, &out], &mut signature)?;
            if signature.as_bytes().len() != super::SIGNATURE_BYTES {
                return Err(KeyError::Unsupported);
            }
            out.extend_from_slice(signature.as_bytes());
            Ok(out)
        }
    }
}
