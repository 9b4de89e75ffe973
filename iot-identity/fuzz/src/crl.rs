//! Revocation lists.

use iot_identity::cert::path::Crl;

use crate::certificate::key;
use crate::forge::{COMMON_NAME, UTF8, date, name, seq, signed, standard, tlv};

/// A list never ends before it begins, and nothing shorter or longer is the same list.
pub fn run(data: &[u8]) {
    let Ok(list) = Crl::parse(data) else {
        return;
    };
    assert!(list.this_update() <= list.next_update());
    assert!(Crl::parse(&data[..data.len() - 1]).is_err());
    assert!(Crl::parse(&[data, &[0]].concat()).is_err());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let by = key();
    let list = |entries: Vec<u8>| {
        let extensions = seq(&[
            standard(35, false, &seq(&[tlv(0x80, &by.id())])),
            standard(20, false, &tlv(2, &[7])),
        ]);
        let message = seq(&[
            tlv(2, &[1]),
            by.algorithm(),
            name(&[(COMMON_NAME, UTF8, "Root")]),
            date("20270114080000"),
            date("20510120080000"),
            entries,
            tlv(0xa0, &extensions),
        ]);
        let signature = by.sign(&message);
        signed(message, by.algorithm(), &signature)
    };
    let reason = seq(&[standard(21, false, &tlv(10, &[1]))]);
    let plain = seq(&[tlv(2, &[9]), date("20270101000000")]);
    let full = seq(&[tlv(2, &[10]), date("20270101000000"), reason]);
    vec![list(vec![]), list(seq(&[plain, full]))]
}

#[test]
fn every_seed_is_a_list_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Crl::parse(&seed).is_ok());
        run(&seed);
    }
}
