//! Certification requests as a service reads them.

mod pkcs10;

use iot_core::DeviceId;
use x509_cert::der::asn1::ObjectIdentifier;

use self::pkcs10::{MAX_ATTRIBUTES, MAX_REQUEST_BYTES};
use super::path::OWN_ALGORITHMS;
use crate::key::PublicKey;

pub use self::pkcs10::{CertificationRequest, RequestedExtension};

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
    /// It is not of version 1.
    #[error("the request is not of version 1 (RFC 2986 §4.1)")]
    Version,
    /// An attribute is malformed or appears twice, an extension in it does, or there are too many.
    #[error(
        "an attribute or extension of the request is malformed, doubled, or beyond {MAX_ATTRIBUTES}"
    )]
    Attribute,
    /// Its key is of a kind that is not accepted.
    #[error("the request's key is of a kind that is not accepted: use P-256 or Ed25519")]
    Key,
    /// It is signed with an algorithm that is not accepted.
    #[error("the request is signed with an algorithm that is not accepted, such as one over SHA-1")]
    Algorithm,
    /// Whoever wrote it does not hold the key.
    #[error("the request is not signed by its own key")]
    NoPossession,
    /// Its subject is more or less than a device's name.
    #[error("the request's subject must be one common name, the device's")]
    Subject,
}

/// A certification request whose signature proves that its sender holds the key (RFC 2986).
///
/// Attributes and requested extensions are ignored: what a certificate says is decided by who issues it. Who wants
/// to see them reads a [`CertificationRequest`].
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
        let request = CertificationRequest::parse(der, OWN_ALGORITHMS)?;
        let key = PublicKey::from_spki(request.spki()).ok_or(RequestError::Key)?;
        let name = request.only_common_name().ok_or(RequestError::Subject)?;
        let device = DeviceId::new(name).map_err(|_| RequestError::Subject)?;
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
