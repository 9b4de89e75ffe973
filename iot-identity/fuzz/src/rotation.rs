//! A rotation's records, as storage hands them in.

use iot_identity::fuzzing::{rotation_head, rotation_slot};

use crate::certificate;

/// A record has one encoding, and a chain lies in the bytes that came.
pub fn run(data: &[u8]) {
    if let Some(again) = rotation_head(data) {
        assert_eq!(again, data);
    }
    let Some((again, chain)) = rotation_slot(data) else {
        return;
    };
    assert_eq!(again, data);
    assert!((1..=4).contains(&chain.len()));
    for one in chain {
        let within = data.windows(one.len()).any(|some| some == one);
        assert!(within, "a certificate that is not in the record");
    }
}

/// Both heads, and slots with one and with two certificates.
pub fn seeds() -> Vec<Vec<u8>> {
    let bytes = |content: &[u8]| {
        let length = u16::try_from(content.len()).expect("a short certificate");
        [&[0x59][..], &length.to_be_bytes(), content].concat()
    };
    let all = certificate::seeds();
    let [root, leaf] = [&all[0], &all[1]].map(|one| bytes(one));
    vec![
        vec![0x84, 1, 7, 0, 0x1a, 0x6b, 0x49, 0xd2, 0],
        vec![0x84, 1, 0x18, 0x20, 1, 0],
        [&[0x84, 1, 7, 0, 0x81][..], &leaf].concat(),
        [&[0x84, 1, 8, 9, 0x82][..], &leaf, &root].concat(),
    ]
}

#[test]
fn every_seed_is_a_record_and_keeps_the_claims() {
    let seeds = seeds();
    for seed in &seeds {
        run(seed);
    }
    let heads = seeds.iter().filter(|seed| rotation_head(seed).is_some());
    let slots = seeds.iter().filter(|seed| rotation_slot(seed).is_some());
    assert_eq!((heads.count(), slots.count()), (2, 2));
}
