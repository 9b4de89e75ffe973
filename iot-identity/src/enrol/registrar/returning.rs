//! Devices that come back after their certificate has expired.

use core::time::Duration;

use iot_core::crypto::Signer;
use iot_core::time::{Proof, TimeBounds};
use iot_core::{Principal, Role};
use rustls_pki_types::CertificateDer;

use super::Registrar;
use crate::cert::{AdmitError, Trust, UnverifiedCertificate};

impl<S: Signer> Registrar<S> {
    /// Who a peer is whose certificate has expired, where [`Terms::after_expiry`](super::Terms::after_expiry)
    /// lets it come back: a newcomer, who may ask for a certificate and for nothing else.
    ///
    /// Everything but the end of the certificate is verified as ever, and above all whether it is revoked. A
    /// peer whose certificate has not expired is who [`Trust::principal`] says.
    ///
    /// # Errors
    ///
    /// [`AdmitError`]; the peer must not be served.
    pub fn returning(
        &self,
        trust: &Trust,
        chain: &[CertificateDer<'_>],
        wall: TimeBounds,
    ) -> Result<Principal, AdmitError> {
        match (trust.principal(chain, wall), self.terms.after_expiry) {
            (Err(AdmitError::Expired), Some(grace)) => expired(trust, chain, wall, grace),
            (known, _) => known,
        }
    }
}

/// Verifies a chain as of the last moment of its first certificate, if that was at most `grace` ago.
pub(crate) fn expired(
    trust: &Trust,
    chain: &[CertificateDer<'_>],
    wall: TimeBounds,
    grace: Duration,
) -> Result<Principal, AdmitError> {
    let first = chain
        .first()
        .and_then(|der| UnverifiedCertificate::parse(der));
    let end = first.ok_or(AdmitError::Malformed)?.not_after();
    // Only what is provably within the grace is admitted.
    if wall.reached(end.after(grace)) != Proof::No {
        return Err(AdmitError::Expired);
    }
    let mut who = trust.principal(chain, TimeBounds::exact(end))?;
    // A factory certificate has no end, and nobody but a device has a successor to ask for.
    if !matches!(who.role, Role::Device | Role::Gateway) {
        return Err(AdmitError::Expired);
    }
    who.role = Role::Newcomer;
    Ok(who)
}
