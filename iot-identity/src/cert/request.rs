//! Certification requests as a service reads them.

use ::ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use iot_core::DeviceId;
use iot_core::crypto::SignatureAlgorithm;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::der::{Decode, Encode};
use x509_cert::request::CertReq;

use super::names;
use crate::der::{Reader, SEQUENCE};
use crate::key::PublicKey;

const MAX_REQUEST_BYTES: usize = 4_096;
pub(super) const ECDSA_SHA256: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
pub(super) const ED25519_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// More bytes than any request needs.
    #[error("the request has more than {MAX_REQUEST_BYTES} bytes: leave out attributes")]
    TooLong,
    /// It is no PKCS #10 request.
    #[error("the request is not a certification request in DER")]
    Malformed,
    /// Its key is of a kind that is not used here.
    #[error("the request's key is neither P-256 nor Ed25519")]
    Key,
    /// Whoever wrote it does not hold the key.
    #[error("the request is not signed by its own key")]
    NoPossession,
    /// Its subject is more or less than a device's name.
    #[error("the request's subject must be one common name, the device's")]
    Subject,
}

/// A certification request whose signature proves that its sender holds the key (RFC 2986).
///
/// Attributes and requested extensions are ignored: what a certificate says is decided by who issues it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Request {
    device: DeviceId,
    key: PublicKey,
}

impl Request {
    /// Reads a request and checks that its own key signed it.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the first thing that is wrong.
    pub fn parse(der: &[u8]) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong);
        }
        let request = CertReq::from_der(der).map_err(|_| RequestError::Malformed)?;
        let spki = request.info.public_key.to_der();
        let key = spki.map_err(|_| RequestError::Malformed)?;
        let key = PublicKey::from_spki(&key).ok_or(RequestError::Key)?;
        let (algorithm, oid): (&dyn VerificationAlgorithm, _) = match key.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => (&ECDSA_P256_SHA256_ASN1, ECDSA_SHA256),
            _ => (&ED25519, ED25519_OID),
        };
        // The bytes that came are verified, not a re-encoding of what was understood of them.
        let mut outer = Reader::new(der);
        let signed = outer
            .enter(SEQUENCE)
            .and_then(|mut inner| inner.whole(SEQUENCE))
            .ok_or(RequestError::Malformed)?;
        let signature = request.signature.as_bytes().unwrap_or(&[]);
        let by_own_key =
            UnparsedPublicKey::new(algorithm, key.as_bytes()).verify(signed, signature);
        if by_own_key.is_err() || request.algorithm.oid != oid {
            return Err(RequestError::NoPossession);
        }
        let device = names::only_common_name(&request.info.subject).ok_or(RequestError::Subject)?;
        Ok(Self { device, key })
    }

    /// The device the request names; whether it is the sender is for the caller to check.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The key to be certified.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.key
    }
}
