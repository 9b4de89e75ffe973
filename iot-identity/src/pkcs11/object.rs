//! Key pairs as objects of a token.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use cryptoki::context::Function;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, SessionState};
use iot_core::crypto::{KeyError, KeyPolicy, SignatureAlgorithm, SlotId};

use super::error::{Failure, Fault};
use crate::key::PublicKey;

const PREFIX: [u8; 4] = *b"iot\0";

// `secp256r1` and `id-Ed25519` as DER object identifiers (RFC 5480 §2.1.1.1, RFC 8410 §3).
const P256_PARAMS: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519_OID: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];
// The same curve as PKCS#11 v3.0 names it: a PrintableString `edwards25519`.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

/// A key pair that was found.
#[derive(Clone, Copy)]
pub(super) struct Held {
    pub(super) private: ObjectHandle,
    pub(super) public: PublicKey,
    pub(super) policy: KeyPolicy,
}

pub(super) fn id(slot: SlotId) -> Vec<u8> {
    [&PREFIX[..], &slot.get().to_be_bytes()].concat()
}

pub(super) fn slot_of(id: &[u8]) -> Option<SlotId> {
    let number = id.strip_prefix(&PREFIX)?.try_into().ok()?;
    Some(SlotId::new(u16::from_be_bytes(number)))
}

fn label(slot: SlotId, policy: KeyPolicy) -> String {
    match policy {
        KeyPolicy::SignForLife => format!("iot-{}-life", slot.get()),
        _ => format!("iot-{}", slot.get()),
    }
}

/// The objects of a slot, private or public halves.
pub(super) fn halves(
    session: &Session,
    class: ObjectClass,
    slot: SlotId,
) -> Result<Vec<ObjectHandle>, Error> {
    session.find_objects(&[
        Attribute::Class(class),
        Attribute::Token(true),
        Attribute::Id(id(slot)),
    ])
}

/// The private halves in a slot.
pub(super) fn privates(session: &Session, slot: SlotId) -> Result<Vec<ObjectHandle>, Error> {
    let found = halves(session, ObjectClass::PRIVATE_KEY, slot)?;
    if found.is_empty() {
        logged_in(session)?;
    }
    Ok(found)
}

/// Whether private objects can be seen: to a session that somebody logged out, every slot looks empty.
fn logged_in(session: &Session) -> Result<(), Error> {
    match session.get_session_info()?.session_state() {
        SessionState::RwUser | SessionState::RoUser => Ok(()),
        _ => Err(Error::Pkcs11(
            RvError::UserNotLoggedIn,
            Function::FindObjects,
        )),
    }
}

/// A slot of ours whose key can leave the token.
pub(super) fn extractable(session: &Session) -> Result<Option<SlotId>, Failure> {
    let all = [
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::Token(true),
    ];
    for key in session.find_objects(&all)? {
        for attribute in session.get_attributes(key, &[AttributeType::Id])? {
            let Attribute::Id(id) = attribute else {
                continue;
            };
            match slot_of(&id) {
                Some(slot) if !stays(session, key)? => return Ok(Some(slot)),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// Whether a key cannot be read, and never could.
fn stays(session: &Session, key: ObjectHandle) -> Result<bool, Error> {
    let asked = [
        AttributeType::Sensitive,
        AttributeType::Extractable,
        AttributeType::AlwaysSensitive,
        AttributeType::NeverExtractable,
    ];
    let told = session.get_attributes(key, &asked)?;
    let wanted = [
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::AlwaysSensitive(true),
        Attribute::NeverExtractable(true),
    ];
    // What a token does not tell it does not promise.
    Ok(wanted.iter().all(|one| told.contains(one)))
}

/// The key pair in a slot; `None` when there is no private half.
pub(super) fn find(session: &Session, slot: SlotId) -> Result<Option<Held>, Failure> {
    let private = match privates(session, slot)?.as_slice() {
        [] => return Ok(None),
        [one] => *one,
        _ => return Err(Fault::Objects.into()),
    };
    if !stays(session, private)? {
        return Err(Fault::Extractable.into());
    }
    let [public] = *halves(session, ObjectClass::PUBLIC_KEY, slot)? else {
        return Err(Fault::Objects.into());
    };
    let asked = [
        AttributeType::KeyType,
        AttributeType::EcParams,
        AttributeType::EcPoint,
    ];
    let public = told(session.get_attributes(public, &asked)?).ok_or(Fault::Objects)?;
    let mut named = Vec::new();
    for attribute in session.get_attributes(private, &[AttributeType::Label])? {
        if let Attribute::Label(bytes) = attribute {
            named = bytes;
        }
    }
    let policy = if named == label(slot, KeyPolicy::SignForLife).as_bytes() {
        KeyPolicy::SignForLife
    } else {
        KeyPolicy::Sign
    };
    Ok(Some(Held {
        private,
        public,
        policy,
    }))
}

/// The key that the attributes of its public half tell; the last of each kind counts.
pub(super) fn told(attributes: Vec<Attribute>) -> Option<PublicKey> {
    let (mut kind, mut point, mut curve) = (None, None, Vec::new());
    for attribute in attributes {
        match attribute {
            Attribute::KeyType(one) => kind = Some(one),
            Attribute::EcParams(bytes) => curve = bytes,
            Attribute::EcPoint(bytes) => point = Some(bytes),
            _ => {}
        }
    }
    // Points of other curves are as long.
    let algorithm = match (kind?, curve.as_slice()) {
        (KeyType::EC, P256_PARAMS) => SignatureAlgorithm::EcdsaP256Sha256,
        (KeyType::EC_EDWARDS, ED25519_OID | ED25519_NAME) => SignatureAlgorithm::Ed25519,
        _ => return None,
    };
    public_key(algorithm, &point?)
}

/// `CKA_EC_POINT`: the key in a DER OCTET STRING, or bare as some tokens have it.
pub(super) fn public_key(algorithm: SignatureAlgorithm, point: &[u8]) -> Option<PublicKey> {
    let bare = || PublicKey::new(algorithm, point);
    match point {
        [0x04, length, inner @ ..] if usize::from(*length) == inner.len() => {
            PublicKey::new(algorithm, inner).or_else(bare)
        }
        _ => bare(),
    }
}

/// Makes a key pair that never leaves the token.
pub(super) fn generate(
    session: &Session,
    slot: SlotId,
    algorithm: SignatureAlgorithm,
    policy: KeyPolicy,
) -> Result<(), Failure> {
    let (mechanism, kind, curves): (_, _, &[&[u8]]) = match algorithm {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            (Mechanism::EccKeyPairGen, KeyType::EC, &[P256_PARAMS])
        }
        SignatureAlgorithm::Ed25519 => (
            Mechanism::EccEdwardsKeyPairGen,
            KeyType::EC_EDWARDS,
            &[ED25519_OID, ED25519_NAME],
        ),
        _ => return Err(KeyError::Unsupported.into()),
    };
    let life = policy == KeyPolicy::SignForLife;
    let mut outcome = Err(KeyError::Unsupported.into());
    for curve in curves {
        // Older tokens do not know that an object can be kept from being destroyed.
        for destroyable in if life { &[true, false][..] } else { &[false] } {
            let (public, mut private) = templates(slot, kind, curve, policy);
            if *destroyable {
                private.push(Attribute::Destroyable(false));
            }
            match session.generate_key_pair(&mechanism, &public, &private) {
                Ok(_) => return Ok(()),
                Err(error) if is_taste(&error) => outcome = Err(error.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
    outcome
}

/// Whether another template may please the token; it has changed nothing.
const fn is_taste(error: &Error) -> bool {
    matches!(
        error,
        Error::Pkcs11(
            RvError::AttributeTypeInvalid
                | RvError::AttributeValueInvalid
                | RvError::TemplateInconsistent
                | RvError::TemplateIncomplete
                | RvError::DomainParamsInvalid
                | RvError::CurveNotSupported,
            _
        )
    )
}

fn templates(
    slot: SlotId,
    kind: KeyType,
    curve: &[u8],
    policy: KeyPolicy,
) -> (Vec<Attribute>, Vec<Attribute>) {
    let name = label(slot, policy).into_bytes();
    let both = |class, private| {
        vec![
            Attribute::Class(class),
            Attribute::KeyType(kind),
            Attribute::Token(true),
            Attribute::Private(private),
            Attribute::Id(id(slot)),
            Attribute::Label(name.clone()),
        ]
    };
    let mut public = both(ObjectClass::PUBLIC_KEY, false);
    public.extend([Attribute::EcParams(curve.into()), Attribute::Verify(true)]);
    let mut private = both(ObjectClass::PRIVATE_KEY, true);
    private.extend([
        Attribute::Sign(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Derive(false),
    ]);
    (public, private)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_taken_wrapped_and_bare() {
        let p256 = SignatureAlgorithm::EcdsaP256Sha256;
        let point = [&[4][..], &[7; 64]].concat();
        let wrapped = [&[4, 65][..], &point].concat();
        assert_eq!(public_key(p256, &point), public_key(p256, &wrapped));
        assert!(public_key(p256, &point).is_some());
        // A bare key may begin like a wrapped one.
        let mut bare = [9; 32];
        bare[..2].copy_from_slice(&[4, 30]);
        let key = public_key(SignatureAlgorithm::Ed25519, &bare).unwrap();
        assert_eq!(key.as_bytes(), bare);
        assert!(public_key(p256, &wrapped[..66]).is_none());
        assert!(public_key(p256, &[]).is_none());
    }

    #[test]
    fn an_identifier_names_one_slot() {
        for slot in [0, 1, 255, 256, u16::MAX] {
            assert_eq!(slot_of(&id(SlotId::new(slot))), Some(SlotId::new(slot)));
        }
        assert_eq!(slot_of(b"iot\0\0"), None);
        assert_eq!(slot_of(b"iot\0\0\0\0"), None);
        assert_eq!(slot_of(b"tio\0\0\0"), None);
    }
}
