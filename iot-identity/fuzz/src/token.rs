//! What a PKCS#11 token tells of its objects.

use iot_identity::fuzzing::{told_key, told_slot};

const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x06, 0x03, 0x2b, 0x65, 0x70];

/// A slot has one identifier; a key is one that we could have made, and told of in no other place.
pub fn run(data: &[u8]) {
    if let Some((slot, id)) = told_slot(data) {
        assert_eq!(id, data);
        assert_eq!(id[4..], slot.to_be_bytes());
    }
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    // One of the curves that are known, or one of the token's own.
    let (curve, point) = match kind / 4 {
        0 => (P256, rest),
        1 => (ED25519, rest),
        _ => rest.split_at(rest.len().min(usize::from(*kind) / 8)),
    };
    let Some(key) = told_key(kind % 4, curve, point) else {
        return;
    };
    let length = key.as_bytes().len();
    assert!(matches!((kind % 4, length), (0, 65) | (1, 32)));
    assert!(point.ends_with(key.as_bytes()));
    // Bare, or behind the two bytes of an OCTET STRING.
    assert!(matches!(point.len() - length, 0 | 2));
}

/// Identifiers, and points of both kinds, wrapped and bare.
pub fn seeds() -> Vec<Vec<u8>> {
    let point = [&[4][..], &[7; 64]].concat();
    let name: &[u8] = b"\x13\x0cedwards25519";
    vec![
        b"iot\0\x01\x02".to_vec(),
        [&[0][..], &point].concat(),
        [&[0, 4, 65][..], &point].concat(),
        [&[5][..], &[7; 32]].concat(),
        [&[5, 4, 32][..], &[7; 32]].concat(),
        // The curve by its other name: fourteen bytes of the input.
        [&[8 * 14 + 1][..], name, &[7; 32]].concat(),
    ]
}

#[test]
fn every_seed_is_told_of_and_keeps_the_claims() {
    let seeds = seeds();
    assert_eq!(told_slot(&seeds[0]).map(|(slot, _)| slot), Some(0x0102));
    for seed in &seeds[1..3] {
        assert!(told_key(0, P256, &seed[1..]).is_some());
    }
    for seed in &seeds[3..5] {
        assert!(told_key(1, ED25519, &seed[1..]).is_some());
    }
    assert!(told_key(1, &seeds[5][1..15], &seeds[5][15..]).is_some());
    for seed in seeds {
        run(&seed);
    }
}
