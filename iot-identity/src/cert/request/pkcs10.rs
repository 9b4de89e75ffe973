//! PKCS #10 requests of any sender (RFC 2986), read strictly.

use alloc::vec::Vec;

use super::RequestError;
use crate::cert::path::certificate::{self, Signed};
use crate::cert::path::{Algorithms, directory, encoding, encoding::OID, extensions, signature};
use crate::der::{CONTEXT_0, INTEGER, Reader, SEQUENCE, SET};

/// More bytes than any request needs.
pub(super) const MAX_REQUEST_BYTES: usize = 4_096;
/// More attributes, and extensions in them, than any request needs.
pub(super) const MAX_ATTRIBUTES: usize = 16;

// RFC 2985 §5.4.
const EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 14];

/// A request whose signature proves that its sender holds the key, with all that it asks for.
///
/// Nothing of it is decided: who issues looks at the extensions that were asked for, and takes over none by itself.
///
/// ```
/// use iot_core::{DeviceId, crypto::SignatureAlgorithm};
/// use iot_identity::cert::path::OWN_ALGORITHMS;
/// use iot_identity::cert::{CertificationRequest, csr};
/// use iot_identity::ring::SoftwareKey;
/// let key = SoftwareKey::generate(SignatureAlgorithm::Ed25519)?;
/// let mut buffer = [0; csr::MAX_CSR_BYTES];
/// let der = csr::write(&DeviceId::new("boiler-7")?, &key, &mut buffer)?;
/// let request = CertificationRequest::parse(der, OWN_ALGORITHMS)?;
/// assert!(request.extensions().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificationRequest<'a> {
    subject: &'a [u8],
    spki: &'a [u8],
    extensions: Vec<RequestedExtension<'a>>,
    attributes: Vec<(&'a [u8], &'a [u8])>,
}

/// An extension that a request asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RequestedExtension<'a> {
    kind: &'a [u8],
    critical: bool,
    value: &'a [u8],
}

impl<'a> RequestedExtension<'a> {
    /// The content of its object identifier.
    #[must_use]
    pub const fn kind(&self) -> &'a [u8] {
        self.kind
    }

    /// Whether it is to be critical.
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        self.critical
    }

    /// What its OCTET STRING holds.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value
    }
}

impl<'a> CertificationRequest<'a> {
    /// Reads a request and checks that its own key signed it, with one of these algorithms.
    ///
    /// # Errors
    ///
    /// [`RequestError`] with the first thing that is wrong.
    pub fn parse(der: &'a [u8], algorithms: Algorithms) -> Result<Self, RequestError> {
        if der.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLong);
        }
        if !encoding::is_der(der) {
            return Err(RequestError::Malformed);
        }
        let signed = Signed::read(der).ok_or(RequestError::Malformed)?;
        let mut info = Reader::new(signed.message)
            .enter(SEQUENCE)
            .ok_or(RequestError::Malformed)?;
        if info.content(INTEGER).ok_or(RequestError::Malformed)? != [0] {
            return Err(RequestError::Version);
        }
        let subject = info.whole(SEQUENCE).ok_or(RequestError::Malformed)?;
        let spki = info.whole(SEQUENCE).ok_or(RequestError::Malformed)?;
        let list = info.enter(CONTEXT_0).ok_or(RequestError::Malformed)?;
        if !info.is_empty() || !certificate::is_name(subject) {
            return Err(RequestError::Malformed);
        }
        let mut found = Self {
            subject,
            spki,
            extensions: Vec::new(),
            attributes: Vec::new(),
        };
        found.take(list)?;
        // What is read is cheap; only then is the signature looked at.
        let key = certificate::key(spki).ok_or(RequestError::Key)?;
        if !signature::knows(algorithms, &key) {
            return Err(RequestError::Key);
        }
        if !signs(algorithms, &signed) {
            return Err(RequestError::Algorithm);
        }
        if !signature::verifies(algorithms, &key, &signed) {
            return Err(RequestError::NoPossession);
        }
        Ok(found)
    }

    fn take(&mut self, mut list: Reader<'a>) -> Result<(), RequestError> {
        while !list.is_empty() {
            let (kind, values) = attribute(&mut list).ok_or(RequestError::Attribute)?;
            let again = self.attributes.iter().any(|(one, _)| *one == kind);
            if again || self.attributes.len() == MAX_ATTRIBUTES {
                return Err(RequestError::Attribute);
            }
            self.attributes.push((kind, values));
            if kind == EXTENSION_REQUEST {
                self.take_extensions(values)?;
            }
        }
        Ok(())
    }

    fn take_extensions(&mut self, values: &'a [u8]) -> Result<(), RequestError> {
        // "EXTENSION-REQUEST … SINGLE VALUE TRUE" (RFC 2985 §5.4.2).
        let list = extensions::only(values, SEQUENCE).ok_or(RequestError::Attribute)?;
        let mut list = Reader::new(list);
        while !list.is_empty() {
            let (kind, critical, value) =
                extensions::extension(&mut list).ok_or(RequestError::Attribute)?;
            let again = self.extensions.iter().any(|one| one.kind == kind);
            if again || self.extensions.len() == MAX_ATTRIBUTES {
                return Err(RequestError::Attribute);
            }
            self.extensions.push(RequestedExtension {
                kind,
                critical,
                value,
            });
        }
        Ok(())
    }

    /// The subject's name in DER.
    #[must_use]
    pub const fn subject(&self) -> &'a [u8] {
        self.subject
    }

    /// The SubjectPublicKeyInfo in DER.
    #[must_use]
    pub const fn spki(&self) -> &'a [u8] {
        self.spki
    }

    /// The extensions that are asked for, each once.
    #[must_use]
    pub fn extensions(&self) -> &[RequestedExtension<'a>] {
        &self.extensions
    }

    /// All attributes, each once: the content of its object identifier, and that of the set of its values.
    #[must_use]
    pub fn attributes(&self) -> &[(&'a [u8], &'a [u8])] {
        &self.attributes
    }

    /// The only common name that the subject has, if it has nothing else.
    pub(super) fn only_common_name(&self) -> Option<&'a str> {
        let mut all = directory::attributes(self.subject);
        let one = all.next()??;
        (one.kind == directory::COMMON_NAME && all.next().is_none()).then_some(())?;
        one.text()
    }
}

/// `Attribute ::= SEQUENCE { type, values SET OF }`, of at least one value.
fn attribute<'a>(list: &mut Reader<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let mut one = list.enter(SEQUENCE)?;
    let kind = one.content(OID)?;
    let values = one.content(SET)?;
    (one.is_empty() && !values.is_empty()).then_some((kind, values))
}

/// Whether any of the algorithms is the one that was signed with.
fn signs(algorithms: Algorithms, signed: &Signed<'_>) -> bool {
    algorithms
        .iter()
        .any(|algorithm| *algorithm.signature_alg_id() == *signed.algorithm)
}
