//! Key sets to be signed.

use alloc::vec::Vec;

use iot_core::cose::{Algorithm, Content, sign1};
use iot_core::crypto::Signer;

use super::super::keyset::{KeyEntry, KeySet};
use super::super::roles::Role;
use super::cbor;
use super::envelope::AuthorError;

const FORMAT: u64 = 1;
const PROOF_BYTES: usize = 200;

/// Writes a [`KeySet`](super::super::KeySet) and signs it with the keys before it, each under its key id.
///
/// # Errors
///
/// [`AuthorError::KeySet`] for keys and roles that no device takes up, see [`KeySet::verify`]: nothing was signed.
/// [`AuthorError::Cose`] when a key cannot sign.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::crypto::SignatureAlgorithm;
/// use iot_core::{sim::ToyKey, time::TimeBounds};
/// use iot_ota::manifest::{KeyEntry, KeySet, Role, Roles, sign_key_set};
///
/// let key = KeyEntry::new(b"new", SignatureAlgorithm::EcdsaP256Sha256, &[4; 65]);
/// let signed = sign_key_set(2, &[key], &[Role::new(1, 1)], &[(&ToyKey::new(1), Some(b"root"))])?;
///
/// let (root, roles) = ([(&b"root"[..], ToyKey::new(1))], [Role::new(1, 1)]);
/// let set = KeySet::verify(&signed, &Roles::new(&root, &roles, TimeBounds::UNKNOWN), 0, 1)?;
/// assert_eq!((set.version(), set.keys().count()), (2, 1));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub fn sign_key_set(
    version: u64,
    keys: &[KeyEntry<'_>],
    roles: &[Role],
    signers: &[(&dyn Signer, Option<&[u8]>)],
) -> Result<Vec<u8>, AuthorError> {
    let keys: Vec<_> = keys
        .iter()
        .map(|entry| {
            let algorithm = Algorithm::of_key(entry.algorithm).number();
            cbor::array(&[
                cbor::bytes(entry.id),
                cbor::int(algorithm),
                cbor::bytes(entry.key),
            ])
        })
        .collect();
    let roles: Vec<_> = roles
        .iter()
        .map(|role| {
            let expires = role.expires.map(|moment| cbor::uint(moment.as_secs()));
            cbor::array(&[
                cbor::uint(role.threshold.into()),
                cbor::uint(role.keys.into()),
                expires.unwrap_or_else(cbor::null),
                cbor::boolean(role.downgrade),
            ])
        })
        .collect();
    let set = cbor::array(&[
        cbor::uint(FORMAT),
        cbor::uint(version),
        cbor::array(&keys),
        cbor::array(&roles),
    ]);
    if !KeySet::read(&set).is_some_and(|set| set.is_usable()) {
        return Err(AuthorError::KeySet);
    }
    let mut items = alloc::vec![cbor::bytes(&set)];
    for (signer, key_id) in signers {
        let mut room = alloc::vec![0; PROOF_BYTES + key_id.map_or(0, <[u8]>::len)];
        let proof = sign1(&mut room, *signer, *key_id, Content::Detached(&set), &[])?;
        items.push(cbor::bytes(proof));
    }
    Ok(cbor::array(&items))
}
