use core::time::Duration;

use iot_core::cose::{Sign1, Tagged};
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, Signature, Signer, SlotId};
use iot_core::engine::{Done, RecordKey};
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, DeviceId, Engine, Event, Instant, Now, Principal, Role, Step, TenantId, Ticket,
    Timestamp,
};
use iot_identity::cert::{Authority, Validity};
use iot_identity::enrol::{Answer, Refusal, Registrar, Terms};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{
    CertificateId, CompactList, CompactWriter, Denied, DenyList, Revocations,
};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareKeys, SoftwareVerifier, SystemEntropy};
use iot_identity::rotate::{Policy, Rotation, Session, Want};
use iot_identity::tls::Provision;

use super::engine::hand;
use super::schema::{Schema, schema};

pub(crate) const DENY_LIST: Schema = schema!("iot-identity/src/revocation/denylist.cddl");
pub(crate) const COMPACT: Schema = schema!("iot-identity/src/revocation/compact.cddl");
pub(crate) const ENROLMENT: Schema = schema!("iot-identity/src/enrol/enrol.cddl");
pub(crate) const PROVISION: Schema = schema!("iot-identity/src/tls/provision.cddl");
pub(crate) const ROTATION: Schema = schema!("iot-identity/src/rotate/rotate.cddl");

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn names() -> (TenantId, DeviceId) {
    (
        TenantId::new("acme").unwrap(),
        DeviceId::new("boiler-7").unwrap(),
    )
}

#[test]
fn a_deny_list_is_as_described() {
    let (tenant, device) = names();
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let public = PublicKey::of(&key).unwrap();
    let mut list = DenyList::new(u64::MAX);
    DENY_LIST.holds("deny-list", &list.encode());
    list.insert(Denied::Device(tenant, device));
    list.insert(Denied::Key(public.hash(&mut Sha256::new())));
    for serial in [&[1][..], &[0x7f; 20]] {
        list.insert(Denied::Certificate(
            CertificateId::new([9; 32], serial).unwrap(),
        ));
    }
    assert_eq!(list.len(), 4);
    DENY_LIST.holds("deny-list", &list.encode());
}

/// In each of its three layouts, and in the message that it is signed in.
#[test]
fn a_compact_deny_list_is_as_described() {
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let issuer = SoftwareVerifier::new(PublicKey::of(&key).unwrap());
    for (entries, index) in [(0, 0), (3, 0), (1_500, 1), (262_144, 2)] {
        let mut writer = CompactWriter::new(u64::from(u32::MAX));
        for number in 0..entries {
            let mut hash = [7; 32];
            hash[..4].copy_from_slice(&u32::reverse_bits(number).to_be_bytes());
            writer.deny(&Denied::Key(KeyHash::new(hash)), &mut Sha256::new());
        }
        let bytes = writer.sign(&key).unwrap();
        let list = CompactList::verify(&bytes, &issuer, None, &mut Sha256::new()).unwrap();
        assert_eq!(list.len(), usize::try_from(entries).unwrap());
        // Behind the tag, which the validator does not know.
        assert_eq!(bytes[0], 0xd2);
        COMPACT.accepts("signed-list", &bytes[1..]).unwrap();
        let message = Sign1::decode(&bytes, Tagged::Required).unwrap();
        let context = b"iot-identity compact deny-list";
        let payload = message.verify(None, context, &issuer).unwrap();
        COMPACT.holds("compact-list", payload);
        // The array's head, the format, and five bytes of version come before it.
        assert_eq!(payload[7], index);
        for other in (0..4).filter(|other| *other != index) {
            let mut wrong = payload.to_vec();
            wrong[7] = other;
            assert!(COMPACT.accepts("compact-list", &wrong).is_err());
        }
        let format = bytes.len() - 66 - payload.len() + 1;
        // An algorithm, a signature or a payload that does not belong there.
        for (at, byte) in [(5, 0x00), (bytes.len() - 65, 63), (format, 0x02)] {
            let mut wrong = bytes[1..].to_vec();
            wrong[at - 1] = byte;
            assert!(COMPACT.accepts("signed-list", &wrong).is_err(), "{at}");
        }
    }
}

#[test]
fn what_the_factory_stores_is_as_described() {
    let (_, device) = names();
    let mut entropy = SystemEntropy::new();
    let years = Validity::lasting(START, Duration::from_secs(86_400_000));
    let new_key = || SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let factory = Authority::root(new_key(), "Acme", years, &mut entropy).unwrap();
    let public = PublicKey::of(&new_key()).unwrap();
    let kind = "1.3.6.1.4.1.32473.1";
    let idevid = factory.idevid(&device, kind, &public, START, &mut entropy);
    let root = factory.certificate().clone();
    for (above, roots) in [(0, 1), (3, 8)] {
        let mut chain = vec![idevid.clone().unwrap()];
        chain.extend(vec![root.clone(); above]);
        let provision = Provision::new(chain, vec![root.clone(); roots]).unwrap();
        PROVISION.holds("provision", &provision.encode());
    }
}

/// A rotation and a registrar, over a link that loses nothing; every byte on it and every record of both.
#[test]
fn enrolment_and_rotation_are_as_described_on_the_wire_and_in_both_stores() {
    let (tenant, device) = names();
    let mut entropy = SystemEntropy::new();
    let validity = Validity::lasting(START, Duration::from_secs(86_400_000));
    let authority = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    let authority = Authority::root(authority, "Acme", validity, &mut entropy).unwrap();
    let mut registrar = Registrar::new(authority, tenant, Terms::default(), Revocations::default());
    let keys = SoftwareKeys::new();
    let slots = [SlotId::new(1), SlotId::new(2)];
    let first = RecordKey::new(0x100);
    let policy = Policy::default();
    let mut rotation =
        Rotation::<_, 2_048>::new(device, slots, first, policy, SystemEntropy::new());
    let now = Now::new(Instant::ZERO, TimeBounds::exact(START));
    rotation.input(now, &Event::Restored);
    let newcomer = Principal::new(tenant, device, Role::Newcomer);
    let (mut sent, mut stored) = (0, 0);
    for _ in 0..2 {
        rotation.renew();
        loop {
            while let Some(want) = rotation.wants(now) {
                let slot = match want {
                    Want::Session(identity) => {
                        rotation.session(now, identity, Session::Open);
                        continue;
                    }
                    Want::Generate(slot) => {
                        keys.generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
                            .unwrap();
                        slot
                    }
                    Want::Inspect(slot) => slot,
                    want => panic!("{want:?}"),
                };
                let key = keys.signer(slot).ok();
                rotation.holds(now, slot, key.map(|key| PublicKey::of(&key).unwrap()));
            }
            let (mut buffer, mut signature) = ([0; 4_096], Signature::empty());
            let mut answer = None;
            let done = match rotation.step(now, &mut buffer) {
                Step::Idle => break,
                Step::Sign { slot, message } => {
                    let key = keys.signer(slot).unwrap();
                    key.sign(&[message], &mut signature).unwrap();
                    Done::Signed(&signature)
                }
                Step::Send(message) => {
                    ENROLMENT.holds("request", message.payload);
                    let wall = now.wall;
                    let enrolled = registrar.answer(&newcomer, message.payload, wall, &mut entropy);
                    answer = Some(enrolled.0);
                    sent += 1;
                    Done::Sent(Ticket::new(1))
                }
                Step::Persist(batch) => {
                    for (key, value) in batch.iter() {
                        let rule = if key == first { "head" } else { "slot" };
                        ROTATION.holds(rule, value.unwrap());
                        stored += 1;
                    }
                    Done::Persisted
                }
                step => panic!("{step:?}"),
            };
            rotation.done(now, done);
            if let Some(answer) = answer {
                ENROLMENT.holds("answer", &answer);
                hand(&mut rotation, now, Channel::Enrol, &answer);
            }
        }
    }
    assert_eq!((sent, stored), (2, 4));
    for enrolment in registrar.enrolments() {
        ENROLMENT.holds("enrolment", &enrolment.encode());
    }
}

#[test]
fn every_refusal_is_as_described() {
    for refusal in [
        Refusal::Request,
        Refusal::OtherDevice,
        Refusal::Revoked,
        Refusal::NotAllowed,
        Refusal::TooMany,
        Refusal::Later,
    ] {
        let mut buffer = [0; 32];
        ENROLMENT.holds(
            "answer",
            Answer::refused(u32::MAX, refusal)
                .encode(&mut buffer)
                .unwrap(),
        );
    }
}
