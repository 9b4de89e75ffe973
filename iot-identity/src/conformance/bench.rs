//! What the facts have in common: one store, and what is asked of it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use iot_core::crypto::{
    KeyError, KeyPolicy, KeyStore, Signature, SignatureAlgorithm, Signer, SlotId, Verifier,
};

use super::{Subject, Verdict};
use crate::key::PublicKey;
use crate::{ring, rustcrypto};

/// Nothing to say when the fact holds.
pub(super) type Shown<T = ()> = Result<T, Verdict>;

pub(super) struct Bench<'s, S: Subject> {
    pub(super) subject: &'s mut S,
    pub(super) algorithms: Vec<SignatureAlgorithm>,
    pub(super) slots: [SlotId; 4],
}

impl<'s, S: Subject> Bench<'s, S> {
    pub(super) fn new(subject: &'s mut S) -> Self {
        Self {
            algorithms: subject.algorithms().to_vec(),
            slots: subject.slots(),
            subject,
        }
    }

    /// The algorithm that the facts use which need only one.
    pub(super) fn algorithm(&self) -> Shown<SignatureAlgorithm> {
        let first = self.algorithms.first().copied();
        first.ok_or(Verdict::NotShown("it has no algorithm"))
    }
}

pub(super) fn failed(why: impl fmt::Display) -> Verdict {
    Verdict::Failed(format!("{why}"))
}

/// Fails with `why` unless it is so.
pub(super) fn ensure(so: bool, why: impl fmt::Display) -> Shown {
    if so { Ok(()) } else { Err(failed(why)) }
}

/// What must succeed.
pub(super) fn done<T>(what: impl fmt::Display, outcome: Result<T, KeyError>) -> Shown<T> {
    outcome.map_err(|error| failed(format!("{what}: {error}")))
}

/// What must be refused, and how.
pub(super) fn refused<T>(
    what: impl fmt::Display,
    outcome: Result<T, KeyError>,
    with: KeyError,
) -> Shown {
    match outcome.map(|_| ()) {
        Err(error) if error == with => Ok(()),
        other => {
            let seen = other.map_or_else(|error| format!("{error:?}"), |()| "success".into());
            Err(failed(format!("{what}: {seen}, not {with:?}")))
        }
    }
}

pub(super) fn fill(store: &impl KeyStore, slot: SlotId, algorithm: SignatureAlgorithm) -> Shown {
    let made = store.generate(slot, algorithm, KeyPolicy::Sign);
    done(format!("a new {algorithm:?} key in {slot:?}"), made)
}

/// The public key in a slot, in an exact buffer.
pub(super) fn public(store: &impl KeyStore, slot: SlotId) -> Shown<PublicKey> {
    let signer = done(format!("the key in {slot:?}"), store.signer(slot))?;
    done(
        format!("the public key in {slot:?}"),
        PublicKey::of(&signer),
    )
}

pub(super) fn sign(signer: &impl Signer, message: &[&[u8]]) -> Shown<Vec<u8>> {
    let mut signature = Signature::empty();
    done("signing", signer.sign(message, &mut signature))?;
    Ok(signature.as_bytes().into())
}

/// Signs with the key in `slot`, and checks the signature.
pub(super) fn signs(store: &impl KeyStore, slot: SlotId, what: impl fmt::Display) -> Shown {
    let message = b"a message of the suite";
    let signer = done(format!("the key in {slot:?}"), store.signer(slot))?;
    let key = done("its public key", PublicKey::of(&signer))?;
    let signature = sign(&signer, &[message])?;
    ensure(good(&key, message, &signature), what)
}

/// Whether both software providers take the signature; they are not known to differ.
pub(super) fn good(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let by_ring = ring::SoftwareVerifier::new(*key).verify(&[message], signature);
    by_ring.is_ok() && other_takes(key, message, signature)
}

/// Whether any of the two does.
pub(super) fn taken(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let by_ring = ring::SoftwareVerifier::new(*key).verify(&[message], signature);
    by_ring.is_ok() || other_takes(key, message, signature)
}

fn other_takes(key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
    let checked = match key.algorithm() {
        SignatureAlgorithm::EcdsaP256Sha256 => {
            rustcrypto::P256Verifier::new(key).map(|by| by.verify(&[message], signature))
        }
        _ => rustcrypto::Ed25519Verifier::new(key).map(|by| by.verify(&[message], signature)),
    };
    checked.is_some_and(|verdict| verdict.is_ok())
}

/// The first complaint of many threads.
pub(super) fn first(complaints: Vec<String>) -> Shown {
    complaints
        .into_iter()
        .next()
        .map_or(Ok(()), |why| Err(failed(why)))
}
