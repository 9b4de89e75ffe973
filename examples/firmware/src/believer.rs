//! Keys that believe whatever memory says, so that only the cryptography is missing of an image.

use iot_core::crypto::{BadSignature, Digest, Sha256Digest, SignatureAlgorithm, Verifier};

use crate::board::opaque;

/// Finds the digest that an envelope of the fixture names, and every signature good.
#[derive(Clone, Copy, Debug)]
pub struct Believer(pub &'static [u8]);

impl Digest for Believer {
    fn update(&mut self, bytes: &[u8]) {
        opaque(bytes.len());
    }
    fn finish(&mut self) -> Sha256Digest {
        // Where the envelope says what was signed.
        let signed = opaque(self.0).get(13..45);
        signed
            .and_then(|signed| signed.try_into().ok())
            .unwrap_or_default()
    }
}

impl Verifier for Believer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        match opaque(message.len() + signature.len()) {
            0 => Err(BadSignature::new()),
            _ => Ok(()),
        }
    }
}
