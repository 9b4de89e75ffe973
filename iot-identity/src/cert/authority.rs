//! Issuing certificates.

use alloc::vec;
use alloc::vec::Vec;

use iot_core::crypto::{Digest, KeyError, Signature, SignatureAlgorithm, Signer};
use iot_core::entropy::{Entropy, EntropyError};
use iot_core::{DeviceId, Role, Timestamp};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::builder::{Builder, CertificateBuilder};
use x509_cert::der::asn1::{BitString, Ia5String, ObjectIdentifier};
use x509_cert::der::{self, Decode, Document, Encode};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;
use x509_cert::serial_number::SerialNumber;
use x509_cert::spki::{
    self, AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, EncodePublicKey,
    SignatureBitStringEncoding, SubjectPublicKeyInfoOwned,
};

use super::profile::{self, Kind, Profile};
use super::request::{ECDSA_SHA256, ED25519_OID};
use super::{Request, UnverifiedCertificate, Validity, names};
use crate::der::Writer;
use crate::key::{MAX_SPKI_BYTES, PublicKey};
use crate::ring::Sha256;

/// Why a certificate was not issued.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The authority's key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// There was no randomness for a serial number.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
    /// The name cannot stand in this kind of certificate.
    #[error(
        "the name cannot be certified: an authority's has 1 to 64 bytes, an IDevID's has no '_'"
    )]
    Name,
    /// The hardware type is no object identifier.
    #[error("the hardware type is no object identifier such as 1.3.6.1.4.1.32473.1")]
    HardwareType,
    /// The certificate given is not that of an authority with this key.
    #[error("the certificate is not that of an authority with this key")]
    NotTheAuthority,
    /// The dates, names or key could not be encoded.
    #[error("the certificate could not be encoded: check that the dates lie before the year 10000")]
    Encoding,
}

impl From<der::Error> for IssueError {
    fn from(_: der::Error) -> Self {
        Self::Encoding
    }
}

/// A certificate authority around any [`Signer`]: in memory, or in a hardware module.
///
/// Every certificate gets a serial number of 126 random bits, dates that are handed in, and key identifiers.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{DeviceId, Timestamp, crypto::SignatureAlgorithm};
/// use iot_identity::cert::{Authority, UnverifiedCertificate, Validity};
/// use iot_identity::key::PublicKey;
/// use iot_identity::ring::{SoftwareKey, SystemEntropy};
///
/// let p256 = SignatureAlgorithm::EcdsaP256Sha256;
/// let mut entropy = SystemEntropy::new();
/// let now = Timestamp::from_secs(1_800_000_000);
/// let years = Validity::lasting(now, Duration::from_secs(10 * 365 * 86_400));
/// let authority = Authority::root(SoftwareKey::generate(p256)?, "Acme devices", years, &mut entropy)?;
///
/// let device_key = SoftwareKey::generate(p256)?;
/// let days = Validity::lasting(now, Duration::from_secs(30 * 86_400));
/// let device = DeviceId::new("boiler-7")?;
/// let ldevid = authority.ldevid(&device, &PublicKey::of(&device_key)?, days, &mut entropy)?;
/// assert_eq!(UnverifiedCertificate::parse(&ldevid).unwrap().not_after(), days.not_after().unwrap());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Authority<S> {
    key: S,
    public: PublicKey,
    name: Name,
    certificate: CertificateDer<'static>,
}

impl<S: Signer> Authority<S> {
    /// Creates an authority that certifies itself; one more may stand below it.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn root(
        key: S,
        common_name: &str,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<Self, IssueError> {
        let public = PublicKey::of(&key)?;
        let name = names::common_name(common_name).ok_or(IssueError::Name)?;
        let profile = Profile {
            issuer: name.clone(),
            subject: name.clone(),
            kind: Kind::Authority { below: 1 },
        };
        let certificate = sign(&key, &public, profile, &public, validity, entropy)?;
        Ok(Self {
            key,
            public,
            name,
            certificate,
        })
    }

    /// Creates an authority that this one certifies; it issues to peers only.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn subordinate<T: Signer>(
        &self,
        key: T,
        common_name: &str,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<Authority<T>, IssueError> {
        let public = PublicKey::of(&key)?;
        let name = names::common_name(common_name).ok_or(IssueError::Name)?;
        let kind = Kind::Authority { below: 0 };
        let certificate = self.issue(name.clone(), kind, &public, validity, entropy)?;
        Ok(Authority {
            key,
            public,
            name,
            certificate,
        })
    }

    /// Takes up an authority again from its key and its certificate, as after a restart.
    ///
    /// # Errors
    ///
    /// [`IssueError::NotTheAuthority`] when the certificate is another key's or no authority's.
    pub fn resume(key: S, certificate: CertificateDer<'static>) -> Result<Self, IssueError> {
        let public = PublicKey::of(&key)?;
        let parsed =
            Certificate::from_der(&certificate).map_err(|_| IssueError::NotTheAuthority)?;
        let own = UnverifiedCertificate::parse(&certificate).and_then(|view| view.public_key());
        let constraints = parsed.tbs_certificate().get_extension::<BasicConstraints>();
        if own != Some(public) || !matches!(constraints, Ok(Some((_, ref found))) if found.ca) {
            return Err(IssueError::NotTheAuthority);
        }
        Ok(Self {
            key,
            public,
            name: parsed.tbs_certificate().subject().clone(),
            certificate,
        })
    }

    /// Issues a factory identity without end (IDevID, IEEE 802.1AR): hardware type and serial number.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn idevid(
        &self,
        device: &DeviceId,
        hardware_type: &str,
        key: &PublicKey,
        not_before: Timestamp,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let kind = ObjectIdentifier::new(hardware_type).map_err(|_| IssueError::HardwareType)?;
        let subject = names::serial_number(device).ok_or(IssueError::Name)?;
        let kind = Kind::Peer {
            uses: Vec::new(),
            names: vec![names::hardware(kind, device)?],
        };
        self.issue(subject, kind, key, Validity::for_ever(not_before), entropy)
    }

    /// Issues an operational identity (LDevID) for TLS clients: `urn:iot:device:` and the device's name.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn ldevid(
        &self,
        device: &DeviceId,
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        self.client(Role::Device, device, key, validity, entropy)
    }

    /// Issues what a request asks for, whose key its sender has proved to hold.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn ldevid_for(
        &self,
        request: &Request,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        self.ldevid(request.device(), request.public_key(), validity, entropy)
    }

    /// Issues a service's identity for TLS clients: `urn:iot:service:` and the service's name.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn service(
        &self,
        name: &DeviceId,
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        self.client(Role::Service, name, key, validity, entropy)
    }

    /// Issues a certificate for a TLS server reached under these DNS names.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn server(
        &self,
        dns_names: &[&str],
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let first = dns_names.first().ok_or(IssueError::Name)?;
        let subject = names::common_name(first).ok_or(IssueError::Name)?;
        let names = dns(dns_names)?;
        let uses = vec![profile::SERVER_AUTH];
        self.issue(subject, Kind::Peer { uses, names }, key, validity, entropy)
    }

    /// Issues a certificate for a TLS server that is known by its own name, `urn:iot:service:` and the name, wherever
    /// it is reached; and under these DNS names, which may be none.
    ///
    /// # Errors
    ///
    /// [`IssueError`]; nothing was issued.
    pub fn service_host(
        &self,
        name: &DeviceId,
        dns_names: &[&str],
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let subject = names::common_name(name.as_str()).ok_or(IssueError::Name)?;
        let mut names = dns(dns_names)?;
        names.insert(0, names::uri(Role::Service, name)?);
        let uses = vec![profile::SERVER_AUTH];
        self.issue(subject, Kind::Peer { uses, names }, key, validity, entropy)
    }

    /// The authority's own certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    fn client(
        &self,
        role: Role,
        name: &DeviceId,
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let subject = names::common_name(name.as_str()).ok_or(IssueError::Name)?;
        let kind = profile::client(names::uri(role, name)?);
        self.issue(subject, kind, key, validity, entropy)
    }

    pub(super) fn issue(
        &self,
        subject: Name,
        kind: Kind,
        key: &PublicKey,
        validity: Validity,
        entropy: &mut dyn Entropy,
    ) -> Result<CertificateDer<'static>, IssueError> {
        let profile = Profile {
            issuer: self.name.clone(),
            subject,
            kind,
        };
        sign(&self.key, &self.public, profile, key, validity, entropy)
    }
}

fn dns(names: &[&str]) -> Result<Vec<GeneralName>, IssueError> {
    let name = |name: &&str| Ok(GeneralName::DnsName(Ia5String::new(name)?));
    names.iter().map(name).collect()
}

fn sign(
    signer: &impl Signer,
    public: &PublicKey,
    profile: Profile,
    key: &PublicKey,
    validity: Validity,
    entropy: &mut dyn Entropy,
) -> Result<CertificateDer<'static>, IssueError> {
    let serial = serial(&profile.subject, key, validity, entropy)?;
    let mut spki = [0; MAX_SPKI_BYTES];
    let spki = SubjectPublicKeyInfoOwned::from_der(key.write_spki(&mut spki)?)?;
    let mut builder = CertificateBuilder::new(
        profile,
        SerialNumber::new(&serial)?,
        validity.to_x509()?,
        spki,
    )
    .map_err(|_| IssueError::Encoding)?;
    let public = Public(*public);
    let body = builder
        .finalize(&public)
        .map_err(|_| IssueError::Encoding)?;
    let mut signature = Signature::empty();
    signer.sign(&[&body], &mut signature)?;
    let bits = Bits(public.0.algorithm(), signature).to_bitstring()?;
    let certificate = builder
        .assemble(bits, &public)
        .map_err(|_| IssueError::Encoding)?;
    Ok(CertificateDer::from(certificate.to_der()?))
}

/// Sixteen octets with 126 random bits. A generator that repeats itself, as after a restored snapshot, still
/// gives no number to two certificates that differ in key, subject or dates.
fn serial(
    subject: &Name,
    key: &PublicKey,
    validity: Validity,
    entropy: &mut dyn Entropy,
) -> Result<[u8; 16], IssueError> {
    let mut random = [0; 16];
    entropy.fill(&mut random)?;
    let mut hash = Sha256::new();
    hash.update(&random);
    hash.update(key.as_bytes());
    hash.update(&validity.not_before().as_millis().to_be_bytes());
    let end = validity.not_after().map_or(u64::MAX, Timestamp::as_millis);
    hash.update(&end.to_be_bytes());
    hash.update(&subject.to_der()?);
    let digest = hash.finish();
    let mut serial = [0; 16];
    for (to, from) in serial.iter_mut().zip(digest) {
        *to = from;
    }
    // Positive, and of the same length whatever was drawn (RFC 5280 §4.1.2.2).
    let [first, ..] = &mut serial;
    *first = (*first & 0x7f) | 0x40;
    Ok(serial)
}

/// What x509-cert's builder wants to know of the issuer; the signature is made outside of it.
#[derive(Clone)]
struct Public(PublicKey);

impl signature::Keypair for Public {
    type VerifyingKey = Self;
    fn verifying_key(&self) -> Self {
        self.clone()
    }
}

impl EncodePublicKey for Public {
    fn to_public_key_der(&self) -> spki::Result<Document> {
        let mut buffer = [0; MAX_SPKI_BYTES];
        let der = self.0.write_spki(&mut buffer);
        Ok(Document::try_from(
            der.map_err(|_| spki::Error::KeyMalformed)?,
        )?)
    }
}

impl DynSignatureAlgorithmIdentifier for Public {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        let oid = match self.0.algorithm() {
            SignatureAlgorithm::EcdsaP256Sha256 => ECDSA_SHA256,
            _ => ED25519_OID,
        };
        Ok(AlgorithmIdentifierOwned {
            oid,
            parameters: None,
        })
    }
}

struct Bits(SignatureAlgorithm, Signature);

impl SignatureBitStringEncoding for Bits {
    fn to_bitstring(&self) -> der::Result<BitString> {
        if self.0 != SignatureAlgorithm::EcdsaP256Sha256 {
            return BitString::from_bytes(self.1.as_bytes());
        }
        let mut buffer = [0; 80];
        let mut writer = Writer::new(&mut buffer);
        writer
            .ecdsa(self.1.as_bytes())
            .map_err(|_| der::ErrorKind::Overflow)?;
        BitString::from_bytes(writer.finish())
    }
}
