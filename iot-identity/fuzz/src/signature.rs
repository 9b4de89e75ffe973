//! Signatures as certificates and TLS carry them, judged by both providers.

use std::sync::OnceLock;

use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
use iot_identity::cert::path::OWN_ALGORITHMS;
use iot_identity::rustcrypto::ALGORITHMS;

use crate::forge::Key;

const MESSAGE: &[u8] = b"a message of the usual length";

/// A key, the bits of its public half, and a signature of [`MESSAGE`].
struct Signed {
    bits: Vec<u8>,
    signature: Vec<u8>,
}

/// One for each algorithm, in the order of both lists.
fn signed() -> &'static [Signed; 2] {
    static SIGNED: OnceLock<[Signed; 2]> = OnceLock::new();
    SIGNED.get_or_init(|| {
        [(EcdsaP256Sha256, 65), (Ed25519, 32)].map(|(algorithm, len)| {
            let key = Key::new(algorithm);
            Signed {
                bits: key.spki[key.spki.len() - len..].to_vec(),
                signature: key.sign(MESSAGE),
            }
        })
    })
}

/// The first byte chooses the algorithm, and whether what follows is a signature or changes of a good one, two bytes
/// each. Both providers say the same, and take no changed one: each signature has one encoding, and nobody can make
/// another. Of P-256 there is the one with the negated number, which no change of a few bytes finds.
pub fn run(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let which = usize::from(first & 1);
    let good = &signed()[which];
    let mut signature = good.signature.clone();
    if first & 2 == 0 {
        for change in rest.chunks_exact(2) {
            let at = usize::from(change[0]) % signature.len().max(1);
            match signature.get_mut(at) {
                Some(byte) if change[1] > 0 => *byte ^= change[1],
                Some(_) => drop(signature.remove(at)),
                None => signature.push(change[1]),
            }
        }
    } else {
        signature = rest.to_vec();
    }
    let [host, chip] = [OWN_ALGORITHMS, ALGORITHMS].map(|provider| {
        let verdict = provider[which].verify_signature(&good.bits, MESSAGE, &signature);
        verdict.is_ok()
    });
    assert_eq!(host, chip, "the providers differ");
    assert_eq!(
        host,
        signature == good.signature,
        "a changed signature is good"
    );
}

pub fn seeds() -> Vec<Vec<u8>> {
    let whole = |first: u8, signature: &[u8]| [&[first], signature].concat();
    let [p256, ed25519] = signed();
    vec![
        vec![0],
        vec![1],
        vec![0, 3, 1],
        vec![1, 40, 0],
        whole(2, &p256.signature),
        whole(3, &ed25519.signature),
        whole(2, &[0x30, 6, 2, 1, 1, 2, 1, 1]),
    ]
}

#[test]
fn unchanged_signatures_are_good_and_every_seed_keeps_the_claims() {
    for (which, good) in signed().iter().enumerate() {
        let algorithm = ALGORITHMS[which];
        let found = algorithm.verify_signature(&good.bits, MESSAGE, &good.signature);
        assert!(found.is_ok());
    }
    for seed in seeds() {
        run(&seed);
    }
}
