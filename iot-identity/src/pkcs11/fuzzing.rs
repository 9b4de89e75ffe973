//! What a token tells of its objects, for the fuzz targets alone.

use alloc::vec::Vec;

use cryptoki::object::{Attribute, KeyType};

use super::object;
use crate::key::PublicKey;

/// The key that a token tells of: `kind`, `curve` and `point` as `CKA_KEY_TYPE`, `CKA_EC_PARAMS` and `CKA_EC_POINT`.
#[must_use]
pub fn told_key(kind: u8, curve: &[u8], point: &[u8]) -> Option<PublicKey> {
    let kind = match kind {
        0 => KeyType::EC,
        1 => KeyType::EC_EDWARDS,
        _ => KeyType::RSA,
    };
    let attributes: Vec<_> = [
        Attribute::KeyType(kind),
        Attribute::EcParams(curve.into()),
        Attribute::EcPoint(point.into()),
    ]
    .into();
    object::told(attributes)
}

/// The slot that a `CKA_ID` names, and the identifier of that slot.
#[must_use]
pub fn told_slot(id: &[u8]) -> Option<(u16, Vec<u8>)> {
    let slot = object::slot_of(id)?;
    Some((slot.get(), object::id(slot)))
}
