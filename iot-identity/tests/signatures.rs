//! Both providers beside each other: what one accepts, the other accepts.
#![cfg(all(feature = "cert", feature = "rustcrypto"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "support/forge.rs"]
#[allow(dead_code, reason = "other tests forge more")]
mod forge;

use forge::Dice;
use iot_core::crypto::SignatureAlgorithm::{self, EcdsaP256Sha256, Ed25519};
use iot_core::crypto::{Signature, Signer, Verifier};
use iot_identity::key::PublicKey;
use iot_identity::{ring, rustcrypto};

/// The order of the P-256 group, and that of Ed25519's as it is written there, the lowest byte first.
const P256_ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
    0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
const ED25519_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// Keys of Ed25519 that lie in the small subgroup, among them such as are not written in their shortest form.
const SMALL: [[u8; 32]; 4] = {
    let mut all = [[0; 32]; 4];
    all[0][0] = 1;
    all[2] = [0xff; 32];
    all[2][0] = 0xec;
    all[2][31] = 0x7f;
    all[3] = [0xff; 32];
    all[3][0] = 0xee;
    all[3][31] = 0x7f;
    all
};

struct Case {
    key: Vec<u8>,
    message: Vec<u8>,
    signature: Vec<u8>,
}

/// Adds the order to a number, as far as there is room: another name for the same number.
fn wrapped(number: &mut [u8], algorithm: SignatureAlgorithm) {
    let mut carry = 0u16;
    for place in 0..32 {
        let (at, add) = match algorithm {
            Ed25519 => (place, ED25519_ORDER[place]),
            _ => (31 - place, P256_ORDER[31 - place]),
        };
        let sum = u16::from(number[at]) + u16::from(add) + carry;
        number[at] = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
}

/// The order less a number: for P-256 the other signature that a verifier accepts.
fn negated(number: &mut [u8]) {
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let mut difference = i16::from(P256_ORDER[at]) - i16::from(number[at]) - borrow;
        borrow = i16::from(difference < 0);
        difference += borrow << 8;
        number[at] = u8::try_from(difference).unwrap();
    }
}

fn change(case: &mut Case, algorithm: SignatureAlgorithm, dice: &mut Dice) {
    let flip = |bytes: &mut Vec<u8>, dice: &mut Dice| {
        let at = dice.below(bytes.len());
        bytes[at] ^= 1 << dice.below(8);
    };
    let half = 32 * dice.below(2);
    match dice.below(16) {
        0 | 1 => {}
        2..=5 => flip(&mut case.signature, dice),
        6 => flip(&mut case.message, dice),
        7 => flip(&mut case.key, dice),
        8 => case.signature[half..half + 32].fill(0),
        9 => case.signature[half..half + 32].fill(0xff),
        10 if algorithm == Ed25519 => {
            case.signature[half..half + 32].copy_from_slice(&ED25519_ORDER)
        }
        10 => case.signature[half..half + 32].copy_from_slice(&P256_ORDER),
        11 => wrapped(&mut case.signature[half..half + 32], algorithm),
        12 if algorithm == Ed25519 => {
            case.key.copy_from_slice(&SMALL[dice.below(SMALL.len())]);
            if dice.chance(2) {
                case.signature[..32].copy_from_slice(&SMALL[dice.below(SMALL.len())]);
                case.signature[32..].fill(0);
            }
        }
        12 => negated(&mut case.signature[32..]),
        13 => case.signature.truncate(dice.below(64)),
        14 => case.signature.push(0),
        _ => case.signature.rotate_left(32),
    }
}

fn judge(case: &Case, algorithm: SignatureAlgorithm) -> Option<[bool; 2]> {
    let key = PublicKey::new(algorithm, &case.key)?;
    let message = [&case.message[..]];
    let ring = ring::SoftwareVerifier::new(key).verify(&message, &case.signature);
    // A key that is refused when it is taken verifies nothing.
    let pure = match algorithm {
        Ed25519 => rustcrypto::Ed25519Verifier::new(&key)
            .is_some_and(|one| one.verify(&message, &case.signature).is_ok()),
        _ => rustcrypto::P256Verifier::new(&key)
            .is_some_and(|one| one.verify(&message, &case.signature).is_ok()),
    };
    Some([ring.is_ok(), pure])
}

#[test]
fn both_providers_accept_the_same_of_changed_signatures() {
    let count = std::env::var("IOT_SIGNATURES").map_or(4_000, |text| text.parse().unwrap());
    let keys: Vec<_> = [EcdsaP256Sha256, Ed25519]
        .iter()
        .map(|algorithm| ring::SoftwareKey::generate(*algorithm).unwrap())
        .collect();
    let mut dice = Dice(7);
    let (mut accepted, mut refused) = ([0, 0], [0, 0]);
    let mut seen = 0;
    while seen < count {
        let which = dice.below(2);
        let key = &keys[which];
        let message: Vec<u8> = dice.next().to_be_bytes().to_vec();
        let mut signature = Signature::empty();
        key.sign(&[&message], &mut signature).unwrap();
        let mut case = Case {
            key: PublicKey::of(key).unwrap().as_bytes().to_vec(),
            message,
            signature: signature.as_bytes().to_vec(),
        };
        change(&mut case, key.algorithm(), &mut dice);
        let Some([ring, pure]) = judge(&case, key.algorithm()) else {
            continue;
        };
        assert_eq!(
            ring,
            pure,
            "{:?}: key {:02x?}, message {:02x?}, signature {:02x?}",
            key.algorithm(),
            case.key,
            case.message,
            case.signature
        );
        *(if ring {
            &mut accepted[which]
        } else {
            &mut refused[which]
        }) += 1;
        seen += 1;
    }
    println!("signatures={seen} disagreements=0 accepted={accepted:?} refused={refused:?}");
    for which in 0..2 {
        assert!(accepted[which] * 20 > count / 2 && refused[which] * 3 > count / 2);
    }
}
