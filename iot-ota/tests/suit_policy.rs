//! Who may have a device install what: roles, rights, and the two numbers that rise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;

use core::cell::Cell;

use forge::{
    Forge, array, block, cbor, digest_of, envelope, int, map, truth, uint, verify, wrapped,
};
use iot_core::Timestamp;
use iot_core::cose::{Content, sign};
use iot_core::crypto::{BadSignature, Mac, SignatureAlgorithm, Signer, Verifier};
use iot_core::sim::ToyKey;
use iot_core::time::TimeBounds;
use iot_ota::manifest::{
    Device, Floor, KeySet, PlanError, Role, Roles, SharedSecret, SigningKey, Template, VerifyError,
};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, ProcessError};
use keys::{Hmac256, Sha256};

const KEYS: [(&[u8], ToyKey); 3] = [
    (b"one", ToyKey::new(1)),
    (b"two", ToyKey::new(2)),
    (b"three", ToyKey::new(3)),
];

fn plain() -> Forge {
    Forge::of(&[b"a"])
}

/// An envelope in which these keys, by number, have each a `COSE_Sign1` of their own.
fn signed_by(forge: &Forge, signers: &[usize]) -> Vec<u8> {
    let manifest = forge.manifest();
    let blocks: Vec<_> = signers
        .iter()
        .map(|n| block(&manifest, KEYS[*n].1, Some(KEYS[*n].0)))
        .collect();
    envelope(&manifest, &blocks)
}

fn accepts(envelope: &[u8], roles: &[Role]) -> bool {
    let policy = Roles::new(&KEYS, roles, TimeBounds::UNKNOWN);
    match verify(envelope, &policy, 0) {
        Ok(_) => true,
        Err(VerifyError::Unauthenticated) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_role_is_filled_by_k_of_its_n_keys_and_by_nobody_elses() {
    let two_of_three = [Role::new(2, 0b111)];
    for (signers, accepted) in [
        (&[0][..], false),
        (&[0, 1], true),
        (&[2, 0], true),
        (&[0, 1, 2], true),
        (&[], false),
    ] {
        let envelope = signed_by(&plain(), signers);
        assert_eq!(accepts(&envelope, &two_of_three), accepted, "{signers:?}");
    }
    let first_two = [Role::new(2, 0b011)];
    assert!(!accepts(&signed_by(&plain(), &[0, 2]), &first_two));
    assert!(accepts(&signed_by(&plain(), &[0, 2, 1]), &first_two));
}

#[test]
fn a_key_that_signs_twice_counts_once() {
    let two = [Role::new(2, 0b111)];
    assert!(!accepts(&signed_by(&plain(), &[0, 0, 0]), &two));
    // Nor does it count under another key's id, nor when the device lists its id twice.
    let manifest = plain().manifest();
    let borrowed = [
        block(&manifest, KEYS[0].1, Some(b"one")),
        block(&manifest, KEYS[0].1, Some(b"two")),
    ];
    assert!(!accepts(&envelope(&manifest, &borrowed), &two));
    let doubled = [(&b"one"[..], ToyKey::new(1)), (b"one", ToyKey::new(1))];
    let policy = [Role::new(2, 0b11)];
    let policy = Roles::new(&doubled, &policy, TimeBounds::UNKNOWN);
    let envelope = signed_by(&plain(), &[0, 0]);
    assert_eq!(
        verify(&envelope, &policy, 0).err(),
        Some(VerifyError::Unauthenticated)
    );
}

/// Counts how often it is asked to do the most expensive thing that a device does.
#[derive(Default)]
struct Counted(Cell<u32>);

impl Verifier for Counted {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, _: &[&[u8]], _: &[u8]) -> Result<(), BadSignature> {
        self.0.set(self.0.get() + 1);
        Err(BadSignature::new())
    }
}

#[test]
fn a_flood_of_signatures_costs_no_more_than_as_many_as_there_may_be_keys() {
    let manifest = plain().manifest();
    let blocks = vec![block(&manifest, ToyKey::new(9), None); 300];
    let counted = Counted::default();
    let keys = SigningKey::new(&counted);
    let flood = envelope(&manifest, &blocks);
    let found = verify(&flood, &keys, 0).err();
    assert_eq!(found, Some(VerifyError::Unauthenticated));
    assert_eq!(counted.0.get(), 32);
    // All in one message, too.
    let signed = digest_of(&wrapped(&manifest));
    let (one, mut room) = (ToyKey::new(9), [0; 6_000]);
    let signers = vec![(&one as &dyn Signer, None); 40];
    let message = sign(&mut room, &signers, Content::Detached(&signed), &[]).unwrap();
    let counted = Counted::default();
    let keys = SigningKey::new(&counted);
    let flood = envelope(&manifest, &[message.to_vec()]);
    let found = verify(&flood, &keys, 0).err();
    assert_eq!(found, Some(VerifyError::Unauthenticated));
    assert_eq!(counted.0.get(), 32);
}

#[test]
fn the_signers_of_one_cose_sign_count_like_those_of_several_messages() {
    let manifest = plain().manifest();
    let signed = digest_of(&wrapped(&manifest));
    let together = |signers: &[(&dyn Signer, Option<&[u8]>)]| {
        let mut room = [0; 600];
        let message = sign(&mut room, signers, Content::Detached(&signed), &[]).unwrap();
        envelope(&manifest, &[message.to_vec()])
    };
    let [one, two, three] = KEYS.map(|(_, key)| key);
    let policy = [Role::new(2, 0b111)];
    let both = together(&[(&one, Some(b"one")), (&three, Some(b"three"))]);
    assert!(accepts(&both, &policy));
    let twice = together(&[(&one, Some(b"one")), (&one, Some(b"one"))]);
    assert!(!accepts(&twice, &policy));
    let forged = together(&[(&one, Some(b"one")), (&one, Some(b"two"))]);
    assert!(!accepts(&forged, &policy));
    // One in a message of its own, one in the common one.
    let mut room = [0; 600];
    let common = sign(
        &mut room,
        &[(&two, Some(b"two"))],
        Content::Detached(&signed),
        &[],
    )
    .unwrap();
    let blocks = [block(&manifest, one, Some(b"one")), common.to_vec()];
    assert!(accepts(&envelope(&manifest, &blocks), &policy));
}

#[test]
fn a_cose_mac_for_several_recipients_is_accepted_with_the_key_that_they_hold() {
    let manifest = plain().manifest();
    let signed = digest_of(&wrapped(&manifest));
    let protected = map(&[(1, uint(5))]);
    let message = |secret: &[u8]| {
        // RFC 9052 §6.3, written down once more.
        let parts = [
            &[0x84, 0x63][..],
            b"MAC",
            &wrapped(&protected),
            &[0x40],
            &wrapped(&signed),
        ];
        let mut tag = [0; 32];
        Hmac256::new(secret).authenticate(&parts, &mut tag).unwrap();
        let direct = |id: &[u8]| {
            array(&[
                wrapped(&[]),
                map(&[(1, int(-6)), (4, wrapped(id))]),
                wrapped(&[]),
            ])
        };
        let recipients = array(&[direct(b"here"), direct(b"there")]);
        let items = [
            wrapped(&protected),
            map(&[]),
            vec![0xf6],
            wrapped(&tag),
            recipients,
        ];
        let mut bytes = cbor(|w| w.tag(minicbor::data::Tag::new(97))?.ok());
        bytes.extend(array(&items));
        envelope(&manifest, &[bytes])
    };
    let keys = SharedSecret::new(Hmac256::new(&[7; 32]));
    assert!(verify(&message(&[7; 32]), &keys, 0).is_ok());
    let other = message(&[8; 32]);
    assert_eq!(
        verify(&other, &keys, 0).err(),
        Some(VerifyError::Unauthenticated)
    );
}

#[test]
fn an_expired_role_is_filled_by_nobody_and_one_that_may_have_expired_only_where_that_is_accepted() {
    let until = Timestamp::from_secs(1_000);
    let roles = [Role::new(1, 0b111).until(until)];
    let envelope = signed_by(&plain(), &[0]);
    let at = |now| verify(&envelope, &Roles::new(&KEYS, &roles, now), 0).is_ok();
    assert!(at(TimeBounds::exact(Timestamp::from_secs(999))));
    assert!(!at(TimeBounds::exact(until)));
    assert!(!at(TimeBounds::at_least(Timestamp::from_secs(999))));
    let lenient = |now| {
        let policy = Roles::new(&KEYS, &roles, now).danger_accept_unproved_time();
        verify(&envelope, &policy, 0).is_ok()
    };
    assert!(lenient(TimeBounds::at_least(Timestamp::from_secs(999))));
    assert!(!lenient(TimeBounds::at_least(until)), "proved is proved");
}

/// Root: two of three. The new set has one key, one role.
fn key_set(version: u64, signers: &[usize]) -> Vec<u8> {
    let mut point = [9; 65];
    point[0] = 4;
    let keys = array(&[array(&[wrapped(b"new"), int(-9), wrapped(&point)])]);
    let roles = array(&[array(&[uint(1), uint(1), vec![0xf6], truth(false)])]);
    let content = array(&[uint(1), uint(version), keys, roles]);
    let mut items = vec![wrapped(&content)];
    for n in signers {
        let mut room = [0; 300];
        let (id, key) = KEYS[*n];
        let content = Content::Detached(&content);
        let proof = iot_core::cose::sign1(&mut room, &key, Some(id), content, &[]).unwrap();
        items.push(wrapped(proof));
    }
    array(&items)
}

#[test]
fn a_rotated_key_counts_no_more_and_its_successor_counts() {
    let root = [Role::new(2, 0b111), Role::new(1, 0b111)];
    let policy = Roles::new(&KEYS, &root, TimeBounds::UNKNOWN);
    // One signature fills the role of bit 1, but not the one that may change keys.
    let weak = key_set(4, &[0]);
    assert_eq!(
        KeySet::verify(&weak, &policy, 0, 3).err(),
        Some(VerifyError::Unauthenticated)
    );
    let signed = key_set(4, &[0, 2]);
    let again = KeySet::verify(&signed, &policy, 0, 4).err();
    assert_eq!(
        again,
        Some(VerifyError::TooOld {
            found: 4,
            current: 4
        })
    );
    let set = KeySet::verify(&signed, &policy, 0, 3).unwrap();
    let entries: Vec<_> = set.keys().map(Option::unwrap).collect();
    let roles: Vec<_> = set.roles().map(Option::unwrap).collect();
    assert_eq!(
        (set.version(), entries[0].id, roles[0]),
        (4, &b"new"[..], Role::new(1, 1))
    );

    // What a device makes of the set: the key that belongs to the entry, whatever it was before.
    let keys = [(entries[0].id, ToyKey::new(9))];
    let now = Roles::new(&keys, &roles, TimeBounds::UNKNOWN);
    let manifest = plain().manifest();
    let by_new = envelope(&manifest, &[block(&manifest, ToyKey::new(9), Some(b"new"))]);
    assert!(verify(&by_new, &now, 0).is_ok());
    let by_old = signed_by(&plain(), &[0, 1, 2]);
    assert_eq!(
        verify(&by_old, &now, 0).err(),
        Some(VerifyError::Unauthenticated)
    );
}

#[test]
fn every_changed_byte_of_a_key_set_is_refused() {
    let root = [Role::new(2, 0b111)];
    let policy = Roles::new(&KEYS, &root, TimeBounds::UNKNOWN);
    let good = key_set(4, &[0, 2]);
    assert!(KeySet::verify(&good, &policy, 0, 3).is_ok());
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(KeySet::verify(&bad, &policy, 0, 3).is_err(), "byte {at}");
    }
}

#[test]
fn a_manifest_names_only_components_that_one_of_its_roles_has_a_right_to() {
    const COMPONENTS: &[Component<'static>] = &[
        Component::new(&[b"a"]),
        Component::new(&[b"loader"]).for_roles(0b10),
    ];
    let device = Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);
    let roles = [Role::new(1, 0b001), Role::new(2, 0b110)];
    let policy = Roles::new(&KEYS, &roles, TimeBounds::UNKNOWN);
    let outcome = |components: &[&'static [u8]], signers: &[usize]| {
        let envelope = signed_by(&Forge::of(components), signers);
        let manifest = verify(&envelope, &policy, 0).unwrap();
        Process::<8>::new(manifest, Procedure::Update, &device)
            .map(|_| ())
            .err()
    };
    assert_eq!(outcome(&[b"a"], &[0]), None);
    let denied = Some(ProcessError::Unauthorised { index: 1 });
    assert_eq!(outcome(&[b"a", b"loader"], &[0]), denied);
    assert_eq!(outcome(&[b"a", b"loader"], &[1, 2]), None);
    assert_eq!(outcome(&[b"a", b"loader"], &[0, 1, 2]), None);
}

#[test]
fn a_lower_sequence_number_is_refused_unless_a_role_with_that_right_has_signed() {
    let roles = [Role::new(1, 0b001), Role::new(2, 0b110).with_downgrade()];
    let policy = Roles::new(&KEYS, &roles, TimeBounds::UNKNOWN);
    let verify = |signers: &[usize], floor| {
        let envelope = signed_by(&plain(), signers);
        verify(&envelope, &policy, floor).map(|manifest| manifest.sequence())
    };
    assert_eq!(verify(&[0], 7), Ok(7), "the same may be applied again");
    let old = Err(VerifyError::TooOld {
        found: 7,
        current: 8,
    });
    assert_eq!(verify(&[0], 8), old);
    assert_eq!(verify(&[0, 1], 8), old, "half a role has no rights");
    assert_eq!(verify(&[1, 2], 8), Ok(7));
}

#[test]
fn a_role_that_may_go_back_lends_that_to_no_other_roles_components() {
    let roles = [Role::new(1, 0b001), Role::new(1, 0b010).with_downgrade()];
    let policy = Roles::new(&KEYS, &roles, TimeBounds::UNKNOWN);
    // A release that the first role signed long ago; proofs are not signed, so the second may add its own.
    let signed = signed_by(&plain(), &[0, 1]);
    let manifest = verify(&signed, &policy, 7).unwrap();
    assert_eq!(manifest.roles(), 0b11);
    let manifest = verify(&signed, &policy, 8).unwrap();
    assert_eq!(manifest.roles(), 0b10);
    let own = [Component::new(&[b"a"]).for_roles(0b01)];
    let capabilities = Capabilities::new(Identity::new([1; 16], [2; 16]), &own);
    let process = Process::<16>::new(manifest, Procedure::Update, &capabilities);
    let denied = ProcessError::Unauthorised { index: 0 };
    assert_eq!(process.err(), Some(denied));
}

#[test]
fn a_plan_is_only_for_who_has_a_right_to_the_component() {
    let keys: [(&[u8], ToyKey); 2] = [(b"firmware", ToyKey::new(1)), (b"config", ToyKey::new(2))];
    let roles = [Role::new(1, 0b01), Role::new(1, 0b10)];
    let policy = Roles::new(&keys, &roles, TimeBounds::UNKNOWN);
    let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
    let template = Template::new(7, device, [3; 32], 4_096, "iot:f");
    let sign = |index: usize| {
        let (id, key) = keys[index];
        template
            .sign(&key, Some(id), &mut Sha256::default())
            .unwrap()
    };
    let (ours, theirs) = (sign(0), sign(1));
    let own = device.for_roles(0b01);
    let plan = |envelope: &[u8]| verify(envelope, &policy, 0).unwrap().plan(&own).err();
    assert_eq!(plan(&ours), None);
    assert_eq!(plan(&theirs), Some(PlanError::Unauthorised));
}

#[test]
fn a_lower_security_counter_is_refused_whoever_has_signed() {
    let roles = [Role::new(1, 0b111).with_downgrade()];
    let policy = Roles::new(&KEYS, &roles, TimeBounds::UNKNOWN);
    let verify = |forge: &Forge, counter| {
        let envelope = signed_by(forge, &[0]);
        let floor = Floor::new(8).with_counter(counter);
        verify(&envelope, &policy, floor).map(|manifest| manifest.security_counter())
    };
    let counted = plain().part(-256, uint(3));
    assert_eq!(verify(&counted, 3), Ok(3));
    assert_eq!(
        verify(&counted, 4),
        Err(VerifyError::Counter {
            found: 3,
            current: 4
        })
    );
    // Without a counter a manifest counts as the oldest.
    assert_eq!(verify(&plain(), 0), Ok(0));
    assert_eq!(
        verify(&plain(), 1),
        Err(VerifyError::Counter {
            found: 0,
            current: 1
        })
    );
}
