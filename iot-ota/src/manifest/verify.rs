//! From a signed manifest to a trusted one.

use iot_core::codec::{self, CodecError, FlatReader};
use iot_core::cose::{Algorithm, Proofs};
use iot_core::crypto::Digest;

use super::content::Manifest;
use super::envelope::{Element, SignedManifest};
use super::keys::ManifestKeys;
use super::read;

/// How many proofs are looked at: as many as there may be keys. Each costs a chip about a second, and whoever wrote
/// them may be anybody.
const MAX_PROOFS: u32 = 32;

/// Why a manifest was refused; it says nothing about why a signature does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum VerifyError {
    /// No signature or code in the envelope is one of the accepted keys'.
    #[error("the manifest is not authenticated by an accepted key")]
    Unauthenticated,
    /// The manifest is not the one that was signed.
    #[error("the manifest is not the one that was signed")]
    Digest,
    /// Not deterministic CBOR, or beyond the limits.
    #[error("the manifest is not acceptable CBOR: {0}")]
    Codec(#[from] CodecError),
    /// Not a manifest.
    #[error("the manifest's structure is not that of a manifest")]
    Structure,
    /// Another version of the format.
    #[error("manifest version {version} is not supported: only 1 is")]
    Version {
        /// Which one.
        version: u64,
    },
    /// It is older than what is installed.
    #[error("the sequence number {found} is lower than the current {current}")]
    TooOld {
        /// The manifest's.
        found: u64,
        /// The device's.
        current: u64,
    },
    /// Its security counter is lower than the device's.
    #[error("the security counter {found} is lower than the current {current}")]
    Counter {
        /// The manifest's.
        found: u64,
        /// The device's.
        current: u64,
    },
    /// A part of the manifest with an unknown key.
    #[error("the manifest has a part with the unknown key {key}")]
    Unknown {
        /// Its key.
        key: i32,
    },
    /// More components than allowed.
    #[error("more than the limit of {limit} components")]
    TooManyComponents {
        /// How many are allowed.
        limit: usize,
    },
    /// A key set that would lock the device out, or count a key twice; see
    /// [`KeySet::verify`](super::KeySet::verify).
    #[error(
        "the key set has a key or an id twice, too many keys or roles, no role, or one that nobody can fill"
    )]
    KeySet,
    /// A severed part is not the one that was signed.
    #[error("the severed part {element:?} is not the one that was signed")]
    Severed {
        /// Which one.
        element: Element,
    },
}

/// What a manifest must not fall below: two numbers that rise independently.
///
/// The sequence number rises with every release. The security counter rises only when older releases must never run
/// again, so that a downgrade can be authorised between two releases that are both secure.
///
/// ```
/// use iot_ota::manifest::Floor;
/// let floor = Floor::new(7).with_counter(2);
/// assert_eq!((floor.sequence, floor.counter), (7, 2));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Floor {
    /// The sequence number of what is installed.
    pub sequence: u64,
    /// The device's security counter.
    pub counter: u64,
}

impl Floor {
    /// Refuses sequence numbers below `sequence`, and no security counter.
    #[must_use]
    pub const fn new(sequence: u64) -> Self {
        Self {
            sequence,
            counter: 0,
        }
    }

    /// Refuses security counters below `counter` too; a manifest without one has 0.
    #[must_use]
    pub const fn with_counter(self, counter: u64) -> Self {
        Self { counter, ..self }
    }
}

impl From<u64> for Floor {
    fn from(sequence: u64) -> Self {
        Self::new(sequence)
    }
}

impl<'a> SignedManifest<'a> {
    /// Checks signatures, digest, version, sequence number and security counter, in this order, and reads the manifest.
    ///
    /// What the keys say decides how many signatures are enough: see [`ManifestKeys::granted`]. Only the first 32 are
    /// looked at, which are as many as there may be keys. `floor` is the
    /// sequence number of what is installed, or both numbers: a lower one is refused, the same one is not, so that an
    /// update can be applied again.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; nothing of the manifest may be used.
    #[inline(never)]
    pub fn verify(
        self,
        keys: &(impl ManifestKeys + ?Sized),
        mut digest: &mut (impl Digest + ?Sized),
        floor: impl Into<Floor>,
    ) -> Result<Manifest<'a>, VerifyError> {
        codec::check(self.authentication, self.limits.codec)?;
        let mut wrapper = FlatReader::new(self.authentication);
        let blocks = wrapper.array_len().saturating_sub(1);
        let signed = wrapper.bytes();
        wrapper.rest().ok_or(VerifyError::Structure)?;
        let roles = authenticate(wrapper, blocks, signed, keys)?;
        // Proofs are not signed themselves, so anybody may add one: who may go back does so for himself alone.
        let mut below = 0;
        for role in (0..u32::BITS).map(|bit| roles & 1 << bit) {
            if role != 0 && keys.may_downgrade(role) {
                below |= role;
            }
        }
        // Only now is the digest worth reading, and only after it the manifest.
        read::read(self, signed, [roles, below], &mut digest, floor.into())
    }
}

/// Which roles the accepted keys among the signers fill together.
#[inline(never)]
pub(super) fn authenticate(
    mut wrapper: FlatReader<'_>,
    blocks: u32,
    signed: &[u8],
    keys: &(impl ManifestKeys + ?Sized),
) -> Result<u32, VerifyError> {
    let (mut verified, mut left) = (0_u32, MAX_PROOFS);
    for _ in 0..blocks {
        let block = wrapper.bytes();
        wrapper.rest().ok_or(VerifyError::Structure)?;
        let mut proofs = Proofs::decode(block);
        let Ok(proofs) = proofs.as_mut() else {
            continue;
        };
        for proof in proofs {
            let Some(fewer) = left.checked_sub(1) else {
                break;
            };
            left = fewer;
            // A bad one says nothing about the others.
            let Ok(proof) = proof else { continue };
            let header = proof.header();
            let holds = if header.algorithm == Algorithm::Hmac256 {
                let key = keys.mac(header);
                key.is_some_and(|key| proof.verify_mac(signed, key).is_ok())
            } else {
                let key = keys.verifier(header);
                key.is_some_and(|key| proof.verify(signed, key).is_ok())
            };
            if holds {
                verified |= 1_u32.checked_shl(keys.number(header).into()).unwrap_or(0);
                if keys.granted(verified) == u32::MAX {
                    return Ok(u32::MAX);
                }
            }
        }
    }
    match keys.granted(verified) {
        0 => Err(VerifyError::Unauthenticated),
        roles => Ok(roles),
    }
}

#[cfg(test)]
mod tests;
