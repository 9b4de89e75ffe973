//! What is wrong with an IDevID or LDevID, before anybody has to live with it.

use alloc::vec::Vec;

use super::path::certificate::Certificate;
use super::path::directory::{self, Attribute};
use super::path::encoding::{OCTET_STRING, OID, PRINTABLE_STRING};
use super::path::general_name::{self, GeneralName};
use super::path::{Defect, OWN_ALGORITHMS};
use super::path::{profile, purpose, signature};
use crate::der::{Reader, SEQUENCE};

const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
// id-on-hardwareModuleName, RFC 4108 §5.
const HARDWARE_MODULE_NAME: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 4];
const DEVICE: &str = "urn:iot:device:";
/// 99991231235959Z.
const WITHOUT_END: u64 = 253_402_300_799;

/// A rule of IEEE 802.1AR-2018, or of this SDK's profile of it, that a certificate breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// It breaks RFC 5280, on which all of IEEE 802.1AR stands.
    #[error("RFC 5280: {0}")]
    Profile(Defect),
    /// Its key is neither P-256 nor Ed25519.
    #[error("the key is neither P-256 nor Ed25519 (IEEE 802.1AR §8.7)")]
    Key,
    /// Its serial number has fewer than 64 bits, so that it cannot have 64 random ones.
    #[error("the certificate's serial number has fewer than 64 bits (IEEE 802.1AR §8.2)")]
    ShortSerial,
    /// An IDevID ends some day; it can never be replaced.
    #[error("an IDevID must be valid until 99991231235959Z (IEEE 802.1AR §8.5)")]
    Ends,
    /// An LDevID has no end, so that only revocation could end it.
    #[error("an LDevID must end: issue a short-lived one (IEEE 802.1AR §8.5)")]
    WithoutEnd,
    /// An IDevID's subject has not exactly one serialNumber, a PrintableString.
    #[error("an IDevID's subject must have one serialNumber (IEEE 802.1AR §8.6)")]
    SerialNumber,
    /// The subject of an LDevID is empty.
    #[error("the subject is empty (IEEE 802.1AR §8.6)")]
    Subject,
    /// There is no subject key identifier.
    #[error("the subject key identifier is missing (IEEE 802.1AR §8.10.2)")]
    SubjectKey,
    /// The key may not sign, its use is not critical, or it may do more than sign and agree on keys.
    #[error("the key usage must be critical, and digitalSignature (IEEE 802.1AR §8.10.3)")]
    KeyUsage,
    /// An IDevID has not exactly one HardwareModuleName.
    #[error("an IDevID must have one HardwareModuleName (IEEE 802.1AR §8.10.4)")]
    HardwareModuleName,
    /// The hardware's serial number is not the subject's.
    #[error("HardwareModuleName and serialNumber differ (IEEE 802.1AR §8.6 and §8.10.4)")]
    TwoSerialNumbers,
    /// An LDevID has not exactly one name of a device.
    #[error("an LDevID must have one alternative name, urn:iot:device: and the device's")]
    DeviceName,
    /// An IDevID is limited to some uses; it is to be good for whatever its owner will need.
    #[error("an IDevID must not be limited to some purposes (IEEE 802.1AR §8.10.5)")]
    Purposes,
    /// An LDevID is not for a TLS client.
    #[error("an LDevID must be for TLS clients (IEEE 802.1AR §8.10.5)")]
    NotForClients,
}

/// All that is wrong with a factory identity (IDevID).
///
/// ```
/// use iot_core::{DeviceId, Timestamp, crypto::SignatureAlgorithm};
/// use iot_identity::cert::{Authority, Validity, lint};
/// use iot_identity::{key::PublicKey, ring::{SoftwareKey, SystemEntropy}};
/// let new_key = || SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256);
/// let now = Timestamp::from_secs(1_800_000_000);
/// let mut entropy = SystemEntropy::new();
/// let factory = Authority::root(new_key()?, "Factory", Validity::for_ever(now), &mut entropy)?;
/// let (device, key) = (DeviceId::new("SN-0042")?, PublicKey::of(&new_key()?)?);
/// let idevid = factory.idevid(&device, "1.3.6.1.4.1.32473.1", &key, now, &mut entropy)?;
/// assert!(lint::idevid(&idevid).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn idevid(der: &[u8]) -> Vec<Finding> {
    let certificate = match Certificate::read(der) {
        Ok(certificate) => certificate,
        Err(defect) => return alloc::vec![Finding::Profile(defect)],
    };
    let mut found = both(&certificate);
    if certificate.not_after.as_secs() != WITHOUT_END {
        found.push(Finding::Ends);
    }
    let serial = one(directory::attributes(certificate.subject)
        .flatten()
        .filter(|attribute| attribute.kind == SERIAL_NUMBER))
    .filter(|attribute: &Attribute<'_>| {
        attribute.tag == PRINTABLE_STRING && !attribute.value.is_empty()
    });
    let names = certificate.extensions.names.map_or(&[][..], |(all, _)| all);
    let hardware = one(hardware_serials(names)).flatten();
    match (serial, hardware) {
        (Some(subject), Some(hardware)) if subject.value != hardware => {
            found.push(Finding::TwoSerialNumbers);
        }
        (serial, hardware) => {
            found.extend(serial.is_none().then_some(Finding::SerialNumber));
            found.extend(hardware.is_none().then_some(Finding::HardwareModuleName));
        }
    }
    if certificate.extensions.purposes.is_some() {
        found.push(Finding::Purposes);
    }
    found
}

/// All that is wrong with an operational identity (LDevID).
#[must_use]
pub fn ldevid(der: &[u8]) -> Vec<Finding> {
    let certificate = match Certificate::read(der) {
        Ok(certificate) => certificate,
        Err(defect) => return alloc::vec![Finding::Profile(defect)],
    };
    let mut found = both(&certificate);
    if certificate.not_after.as_secs() == WITHOUT_END {
        found.push(Finding::WithoutEnd);
    }
    if directory::attributes(certificate.subject).next().is_none() {
        found.push(Finding::Subject);
    }
    let names = certificate.extensions.names.map_or(&[][..], |(all, _)| all);
    let uris = general_name::all(names)
        .flatten()
        .filter_map(|name| match name {
            GeneralName::Uri(uri) => Some(uri),
            _ => None,
        });
    let device = one(uris).and_then(|uri| uri.strip_prefix(DEVICE));
    if device.is_none_or(str::is_empty) {
        found.push(Finding::DeviceName);
    }
    if !certificate
        .extensions
        .purposes
        .is_some_and(|list| purpose::all(list).any(|one| one == purpose::CLIENT_AUTH))
    {
        found.push(Finding::NotForClients);
    }
    found
}

fn both(certificate: &Certificate<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let extensions = &certificate.extensions;
    found.extend(profile::leaf(certificate).err().map(Finding::Profile));
    if !signature::knows(OWN_ALGORITHMS, &certificate.key) {
        found.push(Finding::Key);
    }
    if certificate.serial.len() < 8 {
        found.push(Finding::ShortSerial);
    }
    if extensions.subject_key.is_none() {
        found.push(Finding::SubjectKey);
    }
    if !extensions.key_usage.is_some_and(|usage| usage.is_device()) {
        found.push(Finding::KeyUsage);
    }
    found
}

/// The only one; `None` for none and for several.
fn one<T>(mut all: impl Iterator<Item = T>) -> Option<T> {
    all.next().filter(|_| all.next().is_none())
}

/// The serial number of each HardwareModuleName; `None` for one that cannot be read.
fn hardware_serials(names: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut reader = Reader::new(names);
    core::iter::from_fn(move || reader.any()).filter_map(|(tag, content, _)| {
        let mut name = Reader::new(content);
        let hardware = tag == 0xa0 && name.content(OID)? == HARDWARE_MODULE_NAME;
        hardware.then(|| {
            let mut module = name.enter(0xa0)?.enter(SEQUENCE)?;
            module.content(OID)?;
            module.content(OCTET_STRING)
        })
    })
}
