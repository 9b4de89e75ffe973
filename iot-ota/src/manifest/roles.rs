//! Several signers: k of n keys fill a role, and a role has rights.

use iot_core::Timestamp;
use iot_core::cose::Header;
use iot_core::crypto::Verifier;
use iot_core::time::{Proof, TimeBounds};

use super::keys::ManifestKeys;

/// Who has to agree before a device takes a manifest: so many of these keys, until then.
///
/// ```
/// use iot_core::Timestamp;
/// use iot_ota::manifest::Role;
/// // Two of the keys 0, 1 and 2.
/// const RELEASE: Role = Role::new(2, 0b111).until(Timestamp::from_secs(2_000_000_000));
/// assert!(!RELEASE.downgrade);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Role {
    /// How many keys have to sign, at least 1.
    pub threshold: u8,
    /// Which keys may, one bit each: bit n is key n of the list.
    pub keys: u32,
    /// When it ends; never unless told.
    pub expires: Option<Timestamp>,
    /// Whether it may install a lower sequence number than the current one.
    pub downgrade: bool,
}

impl Role {
    /// Filled by `threshold` of `keys`; a threshold of 0 counts as 1.
    #[must_use]
    pub const fn new(threshold: u8, keys: u32) -> Self {
        Self {
            threshold: if threshold == 0 { 1 } else { threshold },
            keys,
            expires: None,
            downgrade: false,
        }
    }

    /// Until that moment.
    #[must_use]
    pub const fn until(self, moment: Timestamp) -> Self {
        Self {
            expires: Some(moment),
            ..self
        }
    }

    /// May bring an older release back, as long as the security counter allows it.
    #[must_use]
    pub const fn with_downgrade(self) -> Self {
        Self {
            downgrade: true,
            ..self
        }
    }
}

/// Keys under their ids, at most 32, and the roles that they fill, at most 31.
///
/// A manifest is accepted when its signers fill at least one role. How often one key has signed makes no difference: it
/// counts once, as long as the list holds it once. Which of a device's
/// [components](crate::process::Component) a manifest may name depends on the roles that are filled: role n of the list
/// is bit n there.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::{sim::ToyKey, time::TimeBounds};
/// use iot_ota::manifest::{ManifestKeys, Role, Roles};
/// let keys = [(&b"one"[..], ToyKey::new(1)), (b"two", ToyKey::new(2)), (b"three", ToyKey::new(3))];
/// let roles = [Role::new(2, 0b111)];
/// let policy = Roles::new(&keys, &roles, TimeBounds::UNKNOWN);
/// assert_eq!((policy.granted(0b100), policy.granted(0b101)), (0, 1));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Roles<'k, V> {
    keys: &'k [(&'k [u8], V)],
    roles: &'k [Role],
    now: TimeBounds,
    lenient: bool,
}

impl<'k, V: Verifier> Roles<'k, V> {
    /// Accepts what fills one of `roles` now. A role that ends at some time is not filled by anybody while it is
    /// not proved that the time has not come.
    ///
    /// `keys` must hold each key once and each id once: a key under two ids counts as two keys, and of two keys under one
    /// id only the first is ever tried. Verifiers cannot be compared, so nobody checks it here; a
    /// [`KeySet`](super::KeySet) is checked. Keys beyond 32, roles beyond 31 and bits that no key has count for nothing.
    #[must_use]
    pub const fn new(keys: &'k [(&'k [u8], V)], roles: &'k [Role], now: TimeBounds) -> Self {
        Self {
            keys,
            roles,
            now,
            lenient: false,
        }
    }

    /// Takes a role for valid that may have ended, for devices without a clock: an expired role is theirs for ever.
    #[must_use]
    pub const fn danger_accept_unproved_time(self) -> Self {
        Self {
            lenient: true,
            ..self
        }
    }

    fn place(&self, header: &Header<'_>) -> Option<usize> {
        let wanted = header.key_id?;
        self.keys.iter().position(|(id, _)| *id == wanted)
    }

    fn is_valid(&self, role: &Role) -> bool {
        let ended = role.expires.map(|moment| self.now.reached(moment));
        match ended {
            None | Some(Proof::No) => true,
            Some(Proof::Uncertain) => self.lenient,
            Some(_) => false,
        }
    }
}

impl<V: Verifier> ManifestKeys for Roles<'_, V> {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        let (_, key) = self.keys.get(self.place(header)?)?;
        Some(key)
    }

    fn number(&self, header: &Header<'_>) -> u8 {
        let place = self
            .place(header)
            .and_then(|place| u8::try_from(place).ok());
        place.unwrap_or(u8::MAX)
    }

    fn granted(&self, verified: u32) -> u32 {
        let mut granted = 0;
        for (bit, role) in (0..31).zip(self.roles) {
            let signers = (verified & role.keys).count_ones();
            if signers >= u32::from(role.threshold.max(1)) && self.is_valid(role) {
                granted |= 1 << bit;
            }
        }
        granted
    }

    fn may_downgrade(&self, roles: u32) -> bool {
        let mut own = (0..31).zip(self.roles);
        own.any(|(bit, role)| roles >> bit & 1 == 1 && role.downgrade)
    }
}
