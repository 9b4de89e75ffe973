//! From a certificate chain to a principal.

use alloc::vec::Vec;

use iot_core::crypto::Digest;
use iot_core::time::TimeBounds;
use iot_core::{Principal, Role, TenantId};
use rustls_pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage as Usage};

use super::names;
use super::path::{Anchor, Defect, PathError, PathPolicy, Purpose};
use super::profile::CLIENT_AUTH;
use super::view::UnverifiedCertificate;
use crate::key::KeyHash;
use crate::revocation::CertificateId;
use crate::ring::Sha256;

/// The longest chain a peer may present.
pub const MAX_CHAIN: usize = 6;

/// Why a certificate cannot be an anchor.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnchorError {
    /// It is no certificate of an authority.
    #[error("the anchor is not the certificate of an authority")]
    NotAnAuthority,
    /// Its certificate breaks the profile, so that no chain may end at it.
    #[error("the anchor's certificate: {0}")]
    Profile(Defect),
    /// Its key is an anchor already; one key cannot stand for two tenants or roles.
    #[error(
        "the anchor's key is an anchor already: give every tenant and role an authority of its own"
    )]
    Taken,
    /// An authority of another tenant has its name, and certificates are denied by their issuer's name and their
    /// serial number: one tenant could have the other's certificates denied.
    #[error(
        "an authority of another tenant has the anchor's name: give every tenant's a name of its own"
    )]
    Named,
}

/// Why a peer was not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmitError {
    /// It presented no certificate.
    #[error("the peer presented no certificate")]
    NoCertificate,
    /// It presented more than [`MAX_CHAIN`] certificates.
    #[error("the peer presented more than {MAX_CHAIN} certificates")]
    TooLong,
    /// What it presented cannot be read.
    #[error("the peer's certificates cannot be read")]
    Malformed,
    /// No anchor verifies its chain.
    #[error("no trust anchor verifies the peer's certificate")]
    Untrusted,
    /// Its certificate, or one above it, has expired.
    #[error("the peer's certificate has expired")]
    Expired,
    /// Its certificate, or one above it, is not valid yet.
    #[error("the peer's certificate is not valid yet")]
    NotYetValid,
    /// The clock's bounds do not prove whether its certificate is valid now.
    #[error("the time is too uncertain to judge the peer's certificate: set the clock")]
    TimeUncertain,
    /// Its certificate is not for a TLS client, or names nobody of its anchor's role.
    #[error("the peer's certificate is not one of its anchor's role")]
    Profile,
    /// Its device, its key or a certificate of its chain is on the deny-list.
    #[error("the peer is revoked")]
    Revoked,
}

/// A peer whose chain was verified, with all that a deny-list may name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifiedPeer {
    principal: Principal,
    links: Vec<(CertificateId, KeyHash)>,
}

impl VerifiedPeer {
    /// Who it is.
    #[must_use]
    pub const fn principal(&self) -> &Principal {
        &self.principal
    }

    /// The certificates of its chain and their keys: its own first, then those below the anchor.
    #[must_use]
    pub fn links(&self) -> &[(CertificateId, KeyHash)] {
        &self.links
    }
}

/// The authorities that are trusted, each for one tenant and one role.
///
/// Tenant and role come from the anchor that verified and from nowhere else; only the device's name is read
/// from the certificate, and only in the form that belongs to the role. An anchor always ends a chain, so a
/// peer cannot reach a higher one by presenting the lower one as an intermediate. An anchor is trusted for as
/// long as it is here, whatever its own dates say (RFC 5280 §6.2).
///
/// No authority of one tenant may have the name of another tenant's anchor, because a certificate is denied by its
/// issuer's name and serial number. Where tenants issue from authorities below their anchors, deny devices or keys.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{DeviceId, Role, TenantId, Timestamp, crypto::SignatureAlgorithm, time::TimeBounds};
/// use iot_identity::cert::{AdmitError, Authority, TrustAnchors, Validity};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}};
///
/// let new_key = || SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
/// let now = Timestamp::from_secs(1_800_000_000);
/// let day = Validity::lasting(now, Duration::from_secs(86_400));
/// let authority = Authority::root(new_key()?, "Acme devices", day, &mut SystemEntropy::new())?;
/// let mut anchors = TrustAnchors::new();
/// anchors.add(authority.certificate(), TenantId::new("acme")?, Role::Device)?;
///
/// let device = DeviceId::new("boiler-7")?;
/// let ldevid = authority.ldevid(&device, &PublicKey::of(&new_key()?)?, day, &mut SystemEntropy::new())?;
/// let peer = anchors.verify(&[ldevid.clone()], TimeBounds::exact(now))?;
/// assert_eq!(peer.principal().tenant.as_str(), "acme");
/// let later = TimeBounds::exact(now.after(Duration::from_secs(90_000)));
/// assert_eq!(anchors.verify(&[ldevid], later), Err(AdmitError::Expired));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct TrustAnchors {
    // Both lists run in parallel: a path names the place of its anchor.
    anchors: Vec<Anchor>,
    meanings: Vec<Meaning>,
}

#[derive(Clone, Debug)]
struct Meaning {
    spki: Vec<u8>,
    subject: Vec<u8>,
    tenant: TenantId,
    role: Role,
}

impl TrustAnchors {
    /// Trusts nobody.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts an authority to name peers of this tenant and role.
    ///
    /// # Errors
    ///
    /// [`AnchorError`]; nothing was added.
    pub fn add(
        &mut self,
        certificate: &CertificateDer<'_>,
        tenant: TenantId,
        role: Role,
    ) -> Result<(), AnchorError> {
        let view = UnverifiedCertificate::parse(certificate).ok_or(AnchorError::NotAnAuthority)?;
        let anchor = Anchor::new(certificate).map_err(AnchorError::Profile)?;
        // A certificate that no path may end at is found out about now, not when the first peer comes.
        anchor.check().map_err(|defect| match defect {
            Defect::BasicConstraints => AnchorError::NotAnAuthority,
            other => AnchorError::Profile(other),
        })?;
        if self.is_anchor(view.spki()) {
            return Err(AnchorError::Taken);
        }
        if self.is_named(view.subject(), &tenant) {
            return Err(AnchorError::Named);
        }
        self.anchors.push(anchor);
        self.meanings.push(Meaning {
            spki: view.spki().to_vec(),
            subject: view.subject().to_vec(),
            tenant,
            role,
        });
        Ok(())
    }

    /// Verifies a chain, the peer's own certificate first, by the rules of [`path`](super::path), and says who
    /// the peer is.
    ///
    /// Valid means valid at every moment the clock's bounds allow. Revocation is [`Trust`](super::Trust)'s.
    ///
    /// # Errors
    ///
    /// [`AdmitError`]; the peer must not be served.
    pub fn verify(
        &self,
        chain: &[CertificateDer<'_>],
        wall: TimeBounds,
    ) -> Result<VerifiedPeer, AdmitError> {
        let (leaf, rest) = chain.split_first().ok_or(AdmitError::NoCertificate)?;
        if chain.len() > MAX_CHAIN {
            return Err(AdmitError::TooLong);
        }
        let mut between = Vec::new();
        for certificate in rest {
            let view = UnverifiedCertificate::parse(certificate).ok_or(AdmitError::Malformed)?;
            // Else a chain that its own anchor's name constraints refuse could go on to a higher anchor.
            if !self.is_anchor(view.spki()) {
                between.push(certificate.as_ref());
            }
        }
        let policy = PathPolicy::new(wall, Purpose::Client).anchors_without_dates();
        let path = policy.verify(leaf, &between, &self.anchors);
        let path = path.map_err(|error| refusal(&error))?;
        let meaning = self.meanings.get(path.anchor());
        let meaning = meaning.ok_or(AdmitError::Untrusted)?;
        let certificate = Certificate::from_der(leaf).map_err(|_| AdmitError::Malformed)?;
        if !is_client(meaning.role, &certificate) {
            return Err(AdmitError::Profile);
        }
        let device = names::device(meaning.role, &certificate).ok_or(AdmitError::Profile)?;
        // Nor may an authority below an anchor issue under the name of another tenant's, in whatever case of letters.
        for certificate in path.certificates() {
            let view = UnverifiedCertificate::parse(certificate).ok_or(AdmitError::Malformed)?;
            if self.is_named(view.issuer(), &meaning.tenant) {
                return Err(AdmitError::Profile);
            }
        }
        let links = path.certificates().iter().map(|der| link(der));
        let links: Option<Vec<_>> = links.collect();
        Ok(VerifiedPeer {
            principal: Principal::new(meaning.tenant, device, meaning.role),
            links: links.ok_or(AdmitError::Malformed)?,
        })
    }

    fn is_anchor(&self, spki: &[u8]) -> bool {
        self.meanings.iter().any(|meaning| meaning.spki == spki)
    }

    /// Whether an anchor of another tenant has this name.
    fn is_named(&self, subject: &[u8], tenant: &TenantId) -> bool {
        let mut others = self
            .meanings
            .iter()
            .filter(|meaning| meaning.tenant != *tenant);
        others.any(|meaning| meaning.subject == subject)
    }
}

/// Names a certificate and its key for the deny-list.
pub(crate) fn link(der: &[u8]) -> Option<(CertificateId, KeyHash)> {
    let view = UnverifiedCertificate::parse(der)?;
    let mut hash = Sha256::new();
    hash.update(view.issuer());
    let id = CertificateId::new(hash.finish(), view.serial())?;
    hash.update(view.spki());
    Some((id, KeyHash::new(hash.finish())))
}

fn is_client(role: Role, certificate: &Certificate) -> bool {
    let tbs = certificate.tbs_certificate();
    let signs = tbs.get_extension::<Usage>();
    let signs = matches!(signs, Ok(Some((_, usage))) if usage.digital_signature());
    let uses = tbs.get_extension::<ExtendedKeyUsage>();
    // An IDevID is good for any use (IEEE 802.1AR §8.10.5); a path has refused one for other uses already.
    let client = match uses {
        Ok(Some((_, ExtendedKeyUsage(uses)))) => uses.contains(&CLIENT_AUTH),
        Ok(None) => role == Role::Newcomer,
        Err(_) => false,
    };
    signs && client
}

const fn refusal(error: &PathError) -> AdmitError {
    match error {
        PathError::Expired => AdmitError::Expired,
        PathError::NotYetValid => AdmitError::NotYetValid,
        PathError::TimeUncertain => AdmitError::TimeUncertain,
        PathError::Leaf(Defect::Encoding | Defect::TooLarge) => AdmitError::Malformed,
        PathError::Leaf(_) | PathError::Purpose => AdmitError::Profile,
        _ => AdmitError::Untrusted,
    }
}
