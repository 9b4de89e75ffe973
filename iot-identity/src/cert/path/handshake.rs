//! What a handshake needs of the policy that its chain was judged by.

use iot_core::crypto::SignatureAlgorithm;
use rustls_pki_types::{ServerName, alg_id};

use super::certificate::{self, Signed};
use super::{PathPolicy, Purpose, signature};
use crate::key::{MAX_SPKI_BYTES, PublicKey};

impl<'a> PathPolicy<'a> {
    /// The server that is asked for.
    pub(crate) const fn server(&self) -> Option<&ServerName<'a>> {
        match &self.purpose {
            Purpose::Server(name) => Some(name),
            _ => None,
        }
    }

    /// Whether `key` made this signature, in the form of X.509, with an algorithm that is accepted.
    pub(crate) fn proves(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => alg_id::ECDSA_SHA256,
            SignatureAlgorithm::Ed25519 => alg_id::ED25519,
            _ => return false,
        };
        let mut buffer = [0; MAX_SPKI_BYTES];
        let spki = key.write_spki(&mut buffer).ok();
        let signed = Signed {
            message,
            algorithm: &algorithm,
            signature,
        };
        spki.and_then(certificate::key)
            .is_some_and(|key| signature::verifies(self.algorithms, &key, &signed))
    }
}
