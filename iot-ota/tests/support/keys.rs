//! The crypto ports on ring, for tests.
#![allow(dead_code, reason = "each test file uses a part")]

use iot_core::crypto::{
    BadSignature, Digest, KeyError, Mac, Sha256Digest, Signature, SignatureAlgorithm, Signer, Tag,
    Verifier,
};
use ring::digest::{Context, SHA256};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

#[derive(Clone)]
pub(crate) struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&mut self) -> Sha256Digest {
        let whole = std::mem::take(self).0.finish();
        whole.as_ref().try_into().unwrap()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut digest = Sha256::default();
    digest.update(bytes);
    digest.finish()
}

#[derive(Clone)]
pub(crate) struct P256Public(pub(crate) Vec<u8>);

impl Verifier for P256Public {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.0)
            .verify(&message.concat(), signature)
            .map_err(|_| BadSignature::new())
    }
}

pub(crate) struct P256Key(EcdsaKeyPair);

impl P256Key {
    pub(crate) fn generate() -> Self {
        let random = SystemRandom::new();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random);
        Self(pair.unwrap())
    }

    pub(crate) fn public(&self) -> P256Public {
        P256Public(self.0.public_key().as_ref().to_vec())
    }
}

impl Signer for P256Key {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn public_key<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], KeyError> {
        let key = self.0.public_key().as_ref();
        let out = out
            .get_mut(..key.len())
            .ok_or(KeyError::Buffer { needed: key.len() })?;
        out.copy_from_slice(key);
        Ok(out)
    }
    fn sign(&self, message: &[&[u8]], out: &mut Signature) -> Result<(), KeyError> {
        let signature = self
            .0
            .sign(&SystemRandom::new(), &message.concat())
            .map_err(|_| KeyError::Device)?;
        assert!(out.set(signature.as_ref()));
        Ok(())
    }
}

pub(crate) struct Hmac256(pub(crate) ring::hmac::Key);

impl Hmac256 {
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret))
    }
}

impl Mac for Hmac256 {
    fn authenticate(&self, message: &[&[u8]], out: &mut Tag) -> Result<(), KeyError> {
        let tag = ring::hmac::sign(&self.0, &message.concat());
        out.copy_from_slice(tag.as_ref());
        Ok(())
    }
    fn verify(&self, message: &[&[u8]], tag: &[u8]) -> Result<(), BadSignature> {
        ring::hmac::verify(&self.0, &message.concat(), tag).map_err(|_| BadSignature::new())
    }
}
