//! Where a path may end.

use rustls_pki_types::CertificateDer;

use super::certificate::Certificate;
use super::defect::Defect;

/// An authority that is trusted, by its certificate: owned, or wherever a chip has its bytes.
///
/// ```
/// use iot_identity::cert::path::{Anchor, Defect};
/// assert_eq!(Anchor::of(b"no certificate").err(), Some(Defect::Encoding));
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Anchor<D = CertificateDer<'static>> {
    der: D,
    // Where its name stands; a search compares that first.
    subject: (usize, usize),
}

#[cfg(feature = "alloc")]
impl Anchor {
    /// Takes the certificate; the profile is applied when a path ends here, so that one defect hurts no other.
    ///
    /// # Errors
    ///
    /// [`Defect`] when it cannot be read.
    pub fn new(certificate: &CertificateDer<'_>) -> Result<Self, Defect> {
        Ok(Self {
            subject: find_subject(certificate)?,
            der: certificate.clone().into_owned(),
        })
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// Whether it is one that a path may end at.
    #[cfg(feature = "cert")]
    pub(in crate::cert) fn check(&self) -> Result<(), Defect> {
        super::profile::anchor(&Certificate::read(&self.der)?, super::OWN_ALGORITHMS)
    }
}

impl<'d> Anchor<&'d [u8]> {
    /// Takes the certificate in DER where it is, without an allocator; otherwise as `new`.
    ///
    /// # Errors
    ///
    /// [`Defect`] when it cannot be read.
    pub fn of(der: &'d [u8]) -> Result<Self, Defect> {
        Ok(Self {
            subject: find_subject(der)?,
            der,
        })
    }
}

impl<D: AsRef<[u8]>> Anchor<D> {
    /// The certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.der.as_ref()
    }

    pub(super) fn subject(&self) -> &[u8] {
        let (from, to) = self.subject;
        self.der().get(from..to).unwrap_or(&[])
    }
}

fn find_subject(der: &[u8]) -> Result<(usize, usize), Defect> {
    let subject = Certificate::read(der)?.subject;
    // An issuer of the same bytes may stand before it, and is as good.
    let mut places = der.windows(subject.len());
    let from = places.position(|window| window == subject);
    let from = from.ok_or(Defect::Encoding)?;
    Ok((from, from + subject.len()))
}
