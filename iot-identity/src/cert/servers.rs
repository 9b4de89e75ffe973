//! Who a server is, as its client sees it.

use alloc::vec::Vec;

use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Role, Timestamp};
use rustls_pki_types::{CertificateDer, ServerName};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::ExtendedKeyUsage;

use super::anchors::{AnchorError, link};
use super::names;
use super::path::{
    Algorithms, Anchor, Defect, OWN_ALGORITHMS, Path, PathError, PathPolicy, Purpose,
};
use super::profile::SERVER_AUTH;
use super::view::UnverifiedCertificate;
use crate::key::KeyHash;
use crate::revocation::CertificateId;

/// Whom the client means to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wanted<'a> {
    /// Whoever is reached under this name (RFC 9525 §6).
    Named(&'a ServerName<'a>),
    /// This service, wherever it is reached.
    Service(&'a DeviceId),
}

/// The authorities that a client believes about servers.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    // Both lists run in parallel.
    anchors: Vec<Anchor>,
    keys: Vec<Vec<u8>>,
    algorithms: Algorithms,
}

impl Servers {
    pub(crate) const fn new() -> Self {
        Self {
            anchors: Vec::new(),
            keys: Vec::new(),
            algorithms: OWN_ALGORITHMS,
        }
    }

    /// Believes an authority. Twice the same is no mistake: all of them mean the same here.
    pub(crate) fn add(&mut self, certificate: &CertificateDer<'_>) -> Result<(), AnchorError> {
        let view = UnverifiedCertificate::parse(certificate).ok_or(AnchorError::NotAnAuthority)?;
        let anchor = Anchor::new(certificate).map_err(AnchorError::Profile)?;
        anchor.check().map_err(|defect| match defect {
            Defect::BasicConstraints => AnchorError::NotAnAuthority,
            other => AnchorError::Profile(other),
        })?;
        self.anchors.push(anchor);
        self.keys.push(view.spki().to_vec());
        Ok(())
    }

    pub(crate) const fn accept(&mut self, algorithms: Algorithms) {
        self.algorithms = algorithms;
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.anchors.is_empty()
    }

    /// Verifies a server's chain, and gives what a deny-list may name of it.
    pub(crate) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        wanted: Wanted<'_>,
        wall: TimeBounds,
    ) -> Result<Vec<(CertificateId, KeyHash)>, PathError> {
        let mut between = Vec::new();
        for certificate in rest {
            let view = UnverifiedCertificate::parse(certificate);
            // Else a chain that its own anchor's name constraints refuse could go on to another anchor.
            if !view.is_some_and(|view| self.keys.iter().any(|key| key == view.spki())) {
                between.push(certificate.as_ref());
            }
        }
        let purpose = match wanted {
            Wanted::Named(name) => Purpose::Server(name.clone()),
            Wanted::Service(_) => Purpose::Any,
        };
        let policy = PathPolicy::new(wall, purpose).algorithms(self.algorithms);
        let policy = policy.anchors_without_dates();
        let path = policy.verify(leaf, &between, &self.anchors)?;
        if let Wanted::Service(name) = wanted {
            is_service(&path, name)?;
        }
        let links = path.certificates().iter().map(|der| link(der));
        let links: Option<Vec<_>> = links.collect();
        links.ok_or(PathError::Leaf(Defect::Encoding))
    }
}

/// The first moment at which everything in a chain has begun: if it is ever valid, it is valid then.
pub(crate) fn begun<'c>(chain: impl Iterator<Item = &'c CertificateDer<'c>>) -> Timestamp {
    chain
        .filter_map(|der| UnverifiedCertificate::parse(der))
        .map(|view| view.not_before())
        .fold(Timestamp::EPOCH, Ord::max)
}

/// Whether a path that is good for something is good for this server: the search knows no names of this kind.
fn is_service(path: &Path<'_>, name: &DeviceId) -> Result<(), PathError> {
    let mut leaf = None;
    for (place, der) in path.certificates().iter().enumerate() {
        let certificate = Certificate::from_der(der);
        let certificate = certificate.map_err(|_| PathError::Leaf(Defect::Encoding))?;
        let uses = certificate.tbs_certificate().get_extension();
        let serves = match uses.map_err(|_| PathError::Purpose)? {
            Some((_, ExtendedKeyUsage(uses))) => uses.contains(&SERVER_AUTH),
            // An authority that does not say what for may certify servers; a server has to say it.
            None => place > 0,
        };
        if !serves {
            return Err(PathError::Purpose);
        }
        leaf = leaf.or(Some(certificate));
    }
    let named = leaf.and_then(|leaf| names::device(Role::Service, &leaf));
    match named {
        Some(found) if found == *name => Ok(()),
        _ => Err(PathError::ServerName),
    }
}
