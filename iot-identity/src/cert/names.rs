//! Names in certificates: how a device or service is written, and how it is read back.

use alloc::format;
use alloc::string::String;

use iot_core::{DeviceId, Role};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, OctetString};
use x509_cert::der::{self, Decode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{GeneralName, HardwareModuleName, OtherName};
use x509_cert::name::Name;

use crate::der::{SEQUENCE, SET, UTF8_STRING, Writer};

const PRINTABLE_STRING: u8 = 0x13;
const COMMON_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x03];
const SERIAL_NUMBER: [u8; 5] = [0x06, 0x03, 0x55, 0x04, 0x05];
const SERIAL_NUMBER_OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");

const DEVICE: &str = "urn:iot:device:";
const SERVICE: &str = "urn:iot:service:";

/// A subject with one common name; `None` unless it has 1 to 64 bytes (RFC 5280, ub-common-name).
pub(super) fn common_name(text: &str) -> Option<Name> {
    (1..=64).contains(&text.len()).then_some(())?;
    subject(&[(&COMMON_NAME, UTF8_STRING, text)])
}

/// An IDevID's subject; `None` when the serial number is no PrintableString (X.520 §6.2.9), that is, has a `_`.
pub(super) fn serial_number(device: &DeviceId) -> Option<Name> {
    let text = device.as_str();
    (!text.contains('_')).then_some(())?;
    subject(&[
        (&COMMON_NAME, UTF8_STRING, text),
        (&SERIAL_NUMBER, PRINTABLE_STRING, text),
    ])
}

/// Built as DER, since the text form of x509-cert's `Name` would need escaping.
fn subject(attributes: &[(&[u8], u8, &str)]) -> Option<Name> {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    let whole = writer.mark();
    for (kind, tag, text) in attributes.iter().rev() {
        let mark = writer.mark();
        writer.tlv(*tag, text.as_bytes()).ok()?;
        writer.bytes(kind).ok()?;
        writer.wrap(SEQUENCE, mark).ok()?;
        writer.wrap(SET, mark).ok()?;
    }
    writer.wrap(SEQUENCE, whole).ok()?;
    Name::from_der(writer.finish()).ok()
}

/// The alternative name of an enrolled device or of a service.
pub(super) fn uri(role: Role, device: &DeviceId) -> der::Result<GeneralName> {
    let uri = format!("{}{device}", prefix(role));
    Ia5String::new(&uri).map(GeneralName::UniformResourceIdentifier)
}

const fn prefix(role: Role) -> &'static str {
    match role {
        Role::Service => SERVICE,
        _ => DEVICE,
    }
}

/// The alternative name of an IDevID (RFC 4108 §5, IEEE 802.1AR §8.10.4).
pub(super) fn hardware(kind: ObjectIdentifier, device: &DeviceId) -> der::Result<GeneralName> {
    let name = HardwareModuleName {
        hw_type: kind,
        hw_serial_num: OctetString::new(device.as_str().as_bytes())?,
    };
    OtherName::try_from(&name).map(GeneralName::OtherName)
}

/// The device that a factory certificate names; nothing is verified but the form of the name.
#[cfg(feature = "tls")]
pub(crate) fn idevid_name(der: &[u8]) -> Option<DeviceId> {
    device(Role::Newcomer, &Certificate::from_der(der).ok()?)
}

/// The one name that a certificate of this role carries; `None` for none, several or another role's.
pub(super) fn device(role: Role, certificate: &Certificate) -> Option<DeviceId> {
    let tbs = certificate.tbs_certificate();
    let (_, SubjectAltName(names)) = tbs.get_extension::<SubjectAltName>().ok()??;
    let mut found = names.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) if role != Role::Newcomer => {
            Some(uri.as_str().strip_prefix(prefix(role)).map(String::from))
        }
        GeneralName::OtherName(other) if role == Role::Newcomer => {
            let name = HardwareModuleName::from_other_name(other).ok().flatten()?;
            Some(String::from_utf8(name.hw_serial_num.as_bytes().to_vec()).ok())
        }
        _ => None,
    });
    let name = found.next()??;
    if found.next().is_some() {
        return None;
    }
    if role == Role::Newcomer {
        // Two places name the hardware; a certificate in which they differ names nobody.
        let mut serials = tbs
            .subject()
            .iter()
            .filter(|attribute| attribute.oid == SERIAL_NUMBER_OID);
        let serial = serials.next()?;
        if serials.next().is_some() || serial.value.value() != name.as_bytes() {
            return None;
        }
    }
    DeviceId::new(&name).ok()
}
