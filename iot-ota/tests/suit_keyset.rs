//! Key sets: a device takes up none that would count a key twice, or lock it out.
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

use forge::{array, int, truth, uint, wrapped};
use iot_core::cose::{Content, sign1};
use iot_core::crypto::SignatureAlgorithm;
use iot_core::sim::ToyKey;
use iot_ota::manifest::{
    AuthorError, KeyEntry, KeySet, Role, SigningKey, VerifyError, sign_key_set,
};

const ROOT: ToyKey = ToyKey::new(1);

/// A key as long as one of its algorithm has to be, which differs from those of other numbers.
#[derive(Clone, Copy)]
struct Key(&'static [u8], SignatureAlgorithm, u8);

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
const ED: SignatureAlgorithm = SignatureAlgorithm::Ed25519;

/// What the writer makes of them; and what a device does, to which somebody else wrote them.
fn outcome(keys: &[Key], roles: &[Role]) -> Option<VerifyError> {
    let owned: Vec<_> = keys
        .iter()
        .map(|key| vec![key.2; key.1.public_key_bytes()])
        .collect();
    let entries: Vec<_> = keys
        .iter()
        .zip(&owned)
        .map(|(key, bytes)| KeyEntry::new(key.0, key.1, bytes))
        .collect();
    let written = sign_key_set(2, &entries, roles, &[(&ROOT, None)]);

    let number = |algorithm| if algorithm == P256 { -9 } else { -19 };
    let theirs: Vec<_> = keys
        .iter()
        .zip(&owned)
        .map(|(key, bytes)| array(&[wrapped(key.0), int(number(key.1)), wrapped(bytes)]))
        .collect();
    let rights: Vec<_> = roles
        .iter()
        .map(|role| {
            let threshold = uint(role.threshold.into());
            array(&[threshold, uint(role.keys.into()), vec![0xf6], truth(false)])
        })
        .collect();
    let set = array(&[uint(1), uint(2), array(&theirs), array(&rights)]);
    let mut room = [0; 300];
    let proof = sign1(&mut room, &ROOT, None, Content::Detached(&set), &[]).unwrap();
    let signed = array(&[wrapped(&set), wrapped(proof)]);
    let outcome = KeySet::verify(&signed, &SigningKey::new(ROOT), 0, 1).err();
    match written {
        Ok(bytes) => assert!(bytes == signed && outcome.is_none()),
        Err(error) => assert_eq!(
            (error, outcome),
            (AuthorError::KeySet, Some(VerifyError::KeySet))
        ),
    }
    outcome
}

#[test]
fn a_key_set_with_a_key_or_an_id_twice_is_refused() {
    let both = [Role::new(2, 0b11)];
    let refused = Some(VerifyError::KeySet);
    assert_eq!(
        outcome(&[Key(b"one", P256, 4), Key(b"two", P256, 5)], &both),
        None
    );
    // One person would fill two of two.
    assert_eq!(
        outcome(&[Key(b"one", P256, 4), Key(b"uno", P256, 4)], &both),
        refused
    );
    // The second would never be tried.
    assert_eq!(
        outcome(&[Key(b"one", P256, 4), Key(b"one", P256, 5)], &both),
        refused
    );
    assert_eq!(
        outcome(&[Key(b"one", P256, 4), Key(b"one", ED, 4)], &both),
        refused
    );
    // And wherever they stand.
    let far = [
        Key(b"1", ED, 1),
        Key(b"2", ED, 2),
        Key(b"3", ED, 3),
        Key(b"4", ED, 1),
    ];
    assert_eq!(outcome(&far, &both), refused);
    assert_eq!(outcome(&far[..3], &both), None);
}

#[test]
fn a_key_set_with_a_role_that_nobody_can_fill_is_refused() {
    let two = [Key(b"one", P256, 4), Key(b"two", P256, 5)];
    let refused = Some(VerifyError::KeySet);
    assert_eq!(outcome(&two, &[Role::new(2, 0b11)]), None);
    assert_eq!(
        outcome(&two, &[Role::new(2, u32::MAX)]),
        None,
        "any two of them"
    );
    assert_eq!(outcome(&two, &[Role::new(3, 0b11)]), refused);
    assert_eq!(outcome(&two, &[Role::new(2, 0b10)]), refused);
    assert_eq!(
        outcome(&two, &[Role::new(1, 0b100)]),
        refused,
        "no such key"
    );
    assert_eq!(
        outcome(&two, &[Role::new(2, 0b101)]),
        refused,
        "half a role"
    );
    assert_eq!(
        outcome(&two, &[Role::new(1, 0b01), Role::new(1, 0)]),
        refused
    );
    assert_eq!(outcome(&two, &[]), refused, "nobody has any right");
    assert_eq!(outcome(&[], &[Role::new(1, 1)]), refused, "no key");
    assert_eq!(outcome(&[], &[]), refused);
}

#[test]
fn a_key_set_has_no_more_keys_and_roles_than_bits() {
    const IDS: [[u8; 1]; 33] = {
        let mut ids = [[0]; 33];
        let mut n = 0;
        while n < 33 {
            ids[n as usize] = [n];
            n += 1;
        }
        ids
    };
    let keys: Vec<_> = (0..33).map(|n| Key(&IDS[n], ED, IDS[n][0])).collect();
    let last = [Role::new(1, 1 << 31)];
    assert_eq!(outcome(&keys[..32], &last), None);
    assert_eq!(outcome(&keys[..31], &last), Some(VerifyError::KeySet));
    assert_eq!(outcome(&keys, &last), Some(VerifyError::KeySet));
    let roles = [Role::new(1, 1); 32];
    assert_eq!(outcome(&keys[..32], &roles[..31]), None);
    assert_eq!(outcome(&keys[..32], &roles), Some(VerifyError::KeySet));
}

/// What the root has signed, whatever it is.
fn signed(set: &[u8]) -> Vec<u8> {
    let mut room = [0; 300];
    let proof = sign1(&mut room, &ROOT, None, Content::Detached(set), &[]).unwrap();
    array(&[wrapped(set), wrapped(proof)])
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_no_key_set_and_a_changed_one_is_one_to_go_on_with(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
        // Small numbers are what thresholds, rights and lengths are.
        edits in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), 0..8_u8), 0..4),
    ) {
        let root = SigningKey::new(ROOT);
        let verify = |signed: &[u8]| KeySet::verify(signed, &root, 0, 1).map(|set| set.version());
        assert!(verify(&bytes).is_err());
        assert!(verify(&signed(&bytes)).is_err());
        let ids = [&b"one"[..], b"two"];
        let keys = [[1; 32], [2; 32]].map(|key| key.to_vec());
        let entries = [0, 1].map(|n| KeyEntry::new(ids[n], ED, &keys[n]));
        let good = sign_key_set(2, &entries, &[Role::new(2, 0b11), Role::new(1, 0b10)], &[(&ROOT, None)]);
        let good = good.unwrap();
        assert_eq!(verify(&good), Ok(2));
        let mut set = minicbor::Decoder::new(&good[1..]).bytes().unwrap().to_vec();
        for (at, byte) in edits {
            let at = at.index(set.len());
            set[at] = byte;
        }
        let changed = signed(&set);
        if let Ok(set) = KeySet::verify(&changed, &root, 0, 1) {
            let keys: Vec<_> = set.keys().map(Option::unwrap).collect();
            let unlike = keys.len() == 2 && keys[0].id != keys[1].id && keys[0].key != keys[1].key;
            assert!(unlike, "{keys:?}");
            for role in set.roles() {
                let role = role.unwrap();
                assert!((role.keys & 0b11).count_ones() >= role.threshold.into(), "{role:?}");
            }
        }
    }
}
