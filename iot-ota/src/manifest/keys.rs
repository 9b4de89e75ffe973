//! Whose word a device takes.

use iot_core::cose::Header;
use iot_core::crypto::{Mac, Verifier};

/// The keys a device accepts manifests from.
///
/// The header is not verified yet: its key id is a hint which key to try. One accepted key is enough, unless
/// [`granted`](Self::granted) says otherwise.
pub trait ManifestKeys {
    /// The key to check a signature with; `None` when none fits.
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier>;

    /// The key to check a message authentication code with; `None` when none fits.
    fn mac(&self, header: &Header<'_>) -> Option<&dyn Mac> {
        let _ = header;
        None
    }

    /// The number of the key that a header leads to, 0 to 31: signatures of one number count once.
    fn number(&self, header: &Header<'_>) -> u8 {
        let _ = header;
        0
    }

    /// The roles that the keys in `verified` fill together, one bit each: bit n of `verified` is the key of
    /// [`number`](Self::number) n. None is a refusal; all of them end the search for further signatures.
    fn granted(&self, verified: u32) -> u32 {
        if verified == 0 { 0 } else { u32::MAX }
    }

    /// Whether a role, as a bit of [`granted`](Self::granted), may install a lower sequence number than the current one.
    /// Such a manifest counts as signed by these roles alone. Never a lower security counter.
    fn may_downgrade(&self, roles: u32) -> bool {
        let _ = roles;
        false
    }
}

impl<K: ManifestKeys + ?Sized> ManifestKeys for &K {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        (**self).verifier(header)
    }
    fn mac(&self, header: &Header<'_>) -> Option<&dyn Mac> {
        (**self).mac(header)
    }
    fn number(&self, header: &Header<'_>) -> u8 {
        (**self).number(header)
    }
    fn granted(&self, verified: u32) -> u32 {
        (**self).granted(verified)
    }
    fn may_downgrade(&self, roles: u32) -> bool {
        (**self).may_downgrade(roles)
    }
}

/// The one key whose signatures are accepted, whatever key id a manifest names.
#[derive(Clone, Copy, Debug)]
pub struct SigningKey<V>(V);

impl<V: Verifier> SigningKey<V> {
    /// Accepts signatures of `key`.
    pub const fn new(key: V) -> Self {
        Self(key)
    }
}

impl<V: Verifier> ManifestKeys for SigningKey<V> {
    fn verifier(&self, _: &Header<'_>) -> Option<&dyn Verifier> {
        Some(&self.0)
    }
}

/// The one secret whose message authentication codes are accepted.
#[derive(Clone, Copy, Debug)]
pub struct SharedSecret<M>(M);

impl<M: Mac> SharedSecret<M> {
    /// Accepts codes of `key`.
    pub const fn new(key: M) -> Self {
        Self(key)
    }
}

impl<M: Mac> ManifestKeys for SharedSecret<M> {
    fn verifier(&self, _: &Header<'_>) -> Option<&dyn Verifier> {
        None
    }
    fn mac(&self, _: &Header<'_>) -> Option<&dyn Mac> {
        Some(&self.0)
    }
}

/// Several keys, each accepted under its key id only.
#[derive(Clone, Copy, Debug)]
pub struct KeyList<'k, V>(&'k [(&'k [u8], V)]);

impl<'k, V: Verifier> KeyList<'k, V> {
    /// Accepts signatures of `keys`, pairs of key id and key.
    #[must_use]
    pub const fn new(keys: &'k [(&'k [u8], V)]) -> Self {
        Self(keys)
    }
}

impl<V: Verifier> ManifestKeys for KeyList<'_, V> {
    fn verifier(&self, header: &Header<'_>) -> Option<&dyn Verifier> {
        let wanted = header.key_id?;
        let found = self.0.iter().find(|(id, _)| *id == wanted);
        found.map(|(_, key)| key as &dyn Verifier)
    }
}
