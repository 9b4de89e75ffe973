//! Certificates that a device can read, and requests that a service can: DER of the right shape, unsigned.

use alloc::vec::Vec;

use iot_core::crypto::SignatureAlgorithm;

use crate::der::{CONTEXT_0, Full, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, Writer};
use crate::enrol::granted;
use crate::key::PublicKey;

/// The public key of that number.
#[must_use]
pub fn public(number: u64) -> Option<PublicKey> {
    let mut point = [4; 65];
    let digits = point.iter_mut().skip(1).zip(number.to_le_bytes());
    digits.for_each(|(to, from)| *to = from);
    PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, &point)
}

/// The number of a key.
#[must_use]
pub fn number(key: &PublicKey) -> u64 {
    let digits = key.as_bytes().iter().skip(1).take(8).rev();
    digits.fold(0, |number, &byte| (number << 8) | u64::from(byte))
}

/// A certificate with that serial number for that key; times in milliseconds, in whole seconds.
#[must_use]
pub fn certificate(serial: u64, key: &PublicKey, not_before_ms: u64, not_after_ms: u64) -> Vec<u8> {
    let mut buffer = [0; 512];
    let mut writer = Writer::new(&mut buffer);
    match write(&mut writer, serial, key, not_before_ms, not_after_ms) {
        Ok(()) => writer.finish().to_vec(),
        Err(Full) => Vec::new(),
    }
}

fn write(
    writer: &mut Writer<'_>,
    serial: u64,
    key: &PublicKey,
    from_ms: u64,
    to_ms: u64,
) -> Result<(), Full> {
    let whole = writer.mark();
    let [head, tail] = key.spki_parts();
    writer.bytes(tail)?;
    writer.bytes(head)?;
    writer.tlv(SEQUENCE, &[])?;
    let validity = writer.mark();
    writer.tlv(GENERALIZED_TIME, &date(to_ms))?;
    writer.tlv(GENERALIZED_TIME, &date(from_ms))?;
    writer.wrap(SEQUENCE, validity)?;
    writer.tlv(SEQUENCE, &[])?;
    writer.tlv(SEQUENCE, &[])?;
    writer.unsigned(&serial.to_be_bytes())?;
    let version = writer.mark();
    writer.tlv(INTEGER, &[2])?;
    writer.wrap(CONTEXT_0, version)?;
    writer.wrap(SEQUENCE, whole)?;
    writer.wrap(SEQUENCE, whole)
}

/// The key that a request is for.
#[must_use]
pub fn requested(csr: &[u8]) -> Option<PublicKey> {
    let mut info = Reader::new(csr).enter(SEQUENCE)?.enter(SEQUENCE)?;
    info.content(INTEGER)?;
    info.whole(SEQUENCE)?;
    PublicKey::from_spki(info.whole(SEQUENCE)?)
}

/// The answer that grants one certificate.
#[must_use]
pub fn answer(certificate: &[u8]) -> Option<Vec<u8>> {
    granted(1, &[certificate])
}

/// `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
fn date(ms: u64) -> [u8; 15] {
    let seconds = ms / 1_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days from 1 March 2000, in cycles of 400 years; the day of the year begins with March.
    let days = days.saturating_sub(11_017);
    let (cycle, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let year = 2000 + cycle * 400 + year + u64::from(month >= 10);
    let month = if month < 10 { month + 3 } else { month - 9 };
    let mut text = [b'Z'; 15];
    let mut at = text.iter_mut();
    for (number, width) in [
        (year, 4),
        (month, 2),
        (day, 2),
        (rest / 3_600, 2),
        (rest / 60 % 60, 2),
        (rest % 60, 2),
    ] {
        for place in (0..width).rev() {
            let digit = number / 10u64.pow(place) % 10;
            if let (Some(to), Ok(digit)) = (at.next(), u8::try_from(digit)) {
                *to = b'0' + digit;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cert::UnverifiedCertificate;

    #[test]
    fn a_device_reads_what_was_written() {
        for (days, key) in [
            (11_017u64, 1u64),
            (11_018, 2),
            (20_000, 1 << 40),
            (47_541, 9),
            (22_339, 77),
        ] {
            let (from, to) = (
                days * 86_400_000 + 5_000,
                (days + 30) * 86_400_000 + 3_601_000,
            );
            let der = certificate(300, &public(key).unwrap(), from, to);
            let view = UnverifiedCertificate::parse(&der).unwrap();
            assert_eq!(view.not_before().as_millis(), from);
            assert_eq!(view.not_after().as_millis(), to);
            assert_eq!(number(&view.public_key().unwrap()), key);
            assert_eq!(view.serial(), [1, 44]);
        }
    }
}
