//! New keys on the word of the old ones.

use iot_core::Timestamp;
use iot_core::codec::{self, FlatReader};
use iot_core::cose::Algorithm;
use iot_core::crypto::SignatureAlgorithm;

use super::envelope::Limits;
use super::keys::ManifestKeys;
use super::roles::Role;
use super::verify::{VerifyError, authenticate};

const FORMAT: u64 = 1;
/// As many as a [`Roles`](super::Roles) tells apart by its bits.
const MAX_KEYS: usize = 32;
const MAX_ROLES: usize = 31;

/// Keys and roles that replace a device's, for as long as no later set does: how keys are rotated, and how a part of
/// the rights is delegated to others. See `keyset.cddl` for its bytes.
///
/// Store it, signatures and all, and verify it at each boot against the keys that the device was made with, or the
/// set before it.
#[derive(Clone, Copy, Debug)]
pub struct KeySet<'a> {
    version: u64,
    // Arrays that were checked.
    keys: &'a [u8],
    roles: &'a [u8],
}

/// One key of a [`KeySet`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct KeyEntry<'a> {
    /// The key id that signatures name it by.
    pub id: &'a [u8],
    /// What it verifies.
    pub algorithm: SignatureAlgorithm,
    /// The public key, in the form of [`SignatureAlgorithm::public_key_bytes`].
    pub key: &'a [u8],
}

impl<'a> KeyEntry<'a> {
    /// A key under its id.
    #[must_use]
    pub const fn new(id: &'a [u8], algorithm: SignatureAlgorithm, key: &'a [u8]) -> Self {
        Self { id, algorithm, key }
    }
}

impl<'a> KeySet<'a> {
    /// Verifies a set that `keys` have signed in the role of bit `role`, and reads it.
    ///
    /// Its version must be higher than `current`: an old set would bring keys back that were taken away. And it must be
    /// one that a device can go on with: at most 32 keys, each with an id of its own and there once, for a key under two
    /// ids would fill two of two; and 1 to 31 roles, each of which its keys can fill.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Unauthenticated`] when the role is not filled, [`VerifyError::TooOld`],
    /// [`VerifyError::KeySet`] for one that no device could go on with, or [`VerifyError::Codec`] and
    /// [`VerifyError::Structure`] for bytes that are none; the device keeps the keys that it has.
    pub fn verify(
        signed: &'a [u8],
        keys: &(impl ManifestKeys + ?Sized),
        role: u8,
        current: u64,
    ) -> Result<Self, VerifyError> {
        codec::check(signed, Limits::default().codec)?;
        let mut wrapper = FlatReader::new(signed);
        let blocks = wrapper.array_len().saturating_sub(1);
        let content = wrapper.bytes();
        wrapper.rest().ok_or(VerifyError::Structure)?;
        let roles = authenticate(wrapper, blocks, content, keys)?;
        if roles.checked_shr(role.into()).unwrap_or(0) & 1 == 0 {
            return Err(VerifyError::Unauthenticated);
        }
        codec::check(content, Limits::default().codec)?;
        let set = Self::read(content).ok_or(VerifyError::Structure)?;
        if !set.is_usable() {
            return Err(VerifyError::KeySet);
        }
        if set.version <= current {
            return Err(VerifyError::TooOld {
                found: set.version,
                current,
            });
        }
        Ok(set)
    }

    /// Whether a device that takes it up can still be updated, and counts its keys rightly.
    pub(super) fn is_usable(&self) -> bool {
        let mut present = 0_u32;
        for (place, entry) in self.keys().flatten().enumerate() {
            let mut before = self.keys().flatten().take(place);
            let twice = before.any(|other| {
                other.id == entry.id || (other.algorithm, other.key) == (entry.algorithm, entry.key)
            });
            if twice || place >= MAX_KEYS {
                return false;
            }
            present = present << 1 | 1;
        }
        let mut roles = self.roles().flatten();
        let filled = |role: Role| (role.keys & present).count_ones() >= u32::from(role.threshold);
        (1..=MAX_ROLES).contains(&self.roles().count()) && roles.all(filled)
    }

    pub(super) fn read(content: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::new(content);
        let known = reader.array_len() == 4 && reader.uint() == FORMAT;
        let set = Self {
            version: reader.uint(),
            keys: reader.item(),
            roles: reader.item(),
        };
        let whole = reader.is_empty()
            && set.keys().all(|key| key.is_some())
            && set.roles().all(|role| role.is_some());
        (known && whole).then_some(set)
    }

    /// Which set it is; it rises with every change.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// Its keys, in the order that roles count them in; `None` does not occur in a set that was verified.
    pub fn keys(&self) -> impl Iterator<Item = Option<KeyEntry<'a>>> + use<'a> {
        let mut reader = FlatReader::new(self.keys);
        (0..reader.array_len()).map(move |_| {
            let mut entry = FlatReader::new(reader.item());
            let items = entry.array_len();
            let (id, algorithm, key) = (entry.bytes(), entry.int(), entry.bytes());
            let algorithm = Algorithm::from_number(algorithm)?.signature()?;
            let fits = items == 3 && entry.is_empty() && key.len() == algorithm.public_key_bytes();
            fits.then_some(KeyEntry { id, algorithm, key })
        })
    }

    /// Its roles, by rising bit; `None` does not occur in a set that was verified.
    pub fn roles(&self) -> impl Iterator<Item = Option<Role>> + use<'a> {
        let mut reader = FlatReader::new(self.roles);
        (0..reader.array_len()).map(move |_| {
            let mut entry = FlatReader::new(reader.item());
            let items = entry.array_len();
            let threshold = u8::try_from(entry.u32()).ok()?;
            let keys = entry.u32();
            let forever = entry.null();
            let expires = (!forever).then(|| Timestamp::from_secs(entry.uint()));
            let downgrade = entry.boolean();
            (items == 4 && entry.is_empty() && threshold > 0).then_some(Role {
                threshold,
                keys,
                expires,
                downgrade,
            })
        })
    }
}
