//! The rules for a certificate's place in a chain.

use super::certificate::{Certificate, is_empty};
use super::defect::Defect;
use super::extensions::AuthorityKey;
use super::signature::{Algorithms, verifies};

/// The certificate of an authority, below an anchor (RFC 5280 §4.2.1).
pub(super) fn authority(certificate: &Certificate<'_>) -> Result<(), Defect> {
    keyed(certificate)?;
    authority_only(certificate)
}

/// An anchor's own certificate. One that signed itself need not name its key twice (RFC 5280 §4.2.1.1).
pub(super) fn anchor(certificate: &Certificate<'_>, algorithms: Algorithms) -> Result<(), Defect> {
    let own = || verifies(algorithms, &certificate.key, &certificate.signed);
    match certificate.extensions.authority_key {
        None if certificate.is_self_issued() || own() => {}
        // Of a root it could only name the root itself; what differs would be ignored.
        Some(AuthorityKey {
            certificate: true, ..
        }) if certificate.is_self_issued() => return Err(Defect::KeyIdentifier),
        _ => keyed(certificate)?,
    }
    authority_only(certificate)?;
    // "In general, this extension will appear only in end entity certificates" (RFC 5280 §4.2.1.12), and
    // of an anchor no rule says whether it constrains what is below.
    if certificate.extensions.purposes.is_some() {
        return Err(Defect::ExtendedKeyUsage);
    }
    Ok(())
}

/// The certificate at the end of a chain.
pub(in crate::cert) fn leaf(certificate: &Certificate<'_>) -> Result<(), Defect> {
    let extensions = &certificate.extensions;
    if extensions.basic.is_some_and(|basic| basic.authority) {
        return Err(Defect::AuthorityAsLeaf);
    }
    // "If the cA boolean is not asserted, then the keyCertSign bit … MUST NOT be asserted."
    if extensions
        .key_usage
        .is_some_and(|usage| usage.signs_certificates())
    {
        return Err(Defect::KeyUsage);
    }
    if extensions.constraints.is_some() {
        return Err(Defect::NameConstraints);
    }
    keyed(certificate)
}

fn authority_only(certificate: &Certificate<'_>) -> Result<(), Defect> {
    let extensions = &certificate.extensions;
    if !matches!(extensions.basic, Some(basic) if basic.authority && basic.critical) {
        return Err(Defect::BasicConstraints);
    }
    if !extensions
        .key_usage
        .is_some_and(|usage| usage.signs_certificates())
    {
        return Err(Defect::KeyUsage);
    }
    if extensions.subject_key.is_none() {
        return Err(Defect::KeyIdentifier);
    }
    // "If the subject is a CA …, then the subject field MUST be populated" (RFC 5280 §4.1.2.6).
    if is_empty(certificate.subject) {
        return Err(Defect::Subject);
    }
    Ok(())
}

/// "The keyIdentifier field … MUST be included in all certificates" (RFC 5280 §4.2.1.1).
fn keyed(certificate: &Certificate<'_>) -> Result<(), Defect> {
    let key = certificate.extensions.authority_key.and_then(|id| id.key);
    key.map(|_| ()).ok_or(Defect::KeyIdentifier)
}
