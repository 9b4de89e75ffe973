//! Envelopes from strangers: nothing in them is believed, and what is whole survives being taken apart.

use iot_core::cose::Tagged;
use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};
use iot_core::sim::ToyKey;
use iot_ota::manifest::{Envelope, Limits, SignedManifest, SigningKey};

use crate::{Believer, authors};

/// A key that nothing was signed with; a toy's signatures could be found out.
struct Nobody;

impl Verifier for Nobody {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, _: &[&[u8]], _: &[u8]) -> Result<(), BadSignature> {
        Err(BadSignature::new())
    }
}

/// No stranger's key fits, and an envelope that opens is written again as it was.
pub fn run(data: &[u8]) {
    for tagged in [Tagged::Required, Tagged::Absent] {
        let Ok(signed) = SignedManifest::decode(data, tagged, Limits::default()) else {
            continue;
        };
        let strange = signed.verify(&SigningKey::new(Nobody), &mut Believer, 0);
        assert!(strange.is_err(), "nobody has that key");
        if let Some(envelope) = Envelope::open(&signed, &mut Believer) {
            let again = match tagged {
                Tagged::Required => envelope.encode(),
                _ => envelope.encode_untagged(),
            };
            assert_eq!(again, data, "deterministic CBOR has one spelling");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for author in authors() {
        let mut envelope = author.payload("#p", b"payload").build(&mut Believer);
        envelope
            .sign(&ToyKey::new(1), Some(b"one"))
            .expect("a key that signs");
        let signers = [(&ToyKey::new(1) as _, None)];
        envelope.sign_together(&signers).expect("a key that signs");
        seeds.push(envelope.encode());
        seeds.push(envelope.encode_untagged());
    }
    seeds
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
}
