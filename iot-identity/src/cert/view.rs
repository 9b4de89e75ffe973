//! Fields of a certificate that nobody has verified.

use core::time::Duration;

use iot_core::Timestamp;

use crate::der::{CONTEXT_0, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, UTC_TIME};
use crate::key::PublicKey;

const BOOLEAN: u8 = 0x01;
const OID: u8 = 0x06;
const EXTENSIONS: u8 = 0xa3;
const URI: u8 = 0x86;
const ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 17];

/// Reads fields out of a DER certificate (RFC 5280 §4.1) without an allocator; it checks no signature.
///
/// For a device that looks at its own certificate, and for naming certificates in lists.
///
/// ```
/// use iot_identity::cert::UnverifiedCertificate;
/// assert!(UnverifiedCertificate::parse(b"no certificate").is_none());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UnverifiedCertificate<'a> {
    serial: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
    spki: &'a [u8],
    not_before: Timestamp,
    not_after: Timestamp,
    rest: &'a [u8],
}

impl<'a> UnverifiedCertificate<'a> {
    /// Reads the fields; `None` when `der` is not one certificate of version 3 and nothing behind it.
    #[must_use]
    pub fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut certificate = outer.enter(SEQUENCE)?;
        let mut tbs = certificate.enter(SEQUENCE)?;
        tbs.content(CONTEXT_0)?;
        let serial = tbs.content(INTEGER)?;
        tbs.content(SEQUENCE)?;
        let issuer = tbs.whole(SEQUENCE)?;
        let mut validity = tbs.enter(SEQUENCE)?;
        let subject = tbs.whole(SEQUENCE)?;
        let spki = tbs.whole(SEQUENCE)?;
        let (not_before, not_after) = (time(&mut validity)?, time(&mut validity)?);
        let found = Self {
            // DER pads a positive number whose first bit is set with one zero.
            serial: match serial {
                [0, digits @ ..] if !digits.is_empty() => digits,
                digits => digits,
            },
            issuer,
            subject,
            spki,
            not_before,
            not_after,
            rest: tbs.rest(),
        };
        (outer.is_empty() && validity.is_empty()).then_some(found)
    }

    /// The serial number, big-endian, without padding.
    #[must_use]
    pub const fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// The issuer's name in DER.
    #[must_use]
    pub const fn issuer(&self) -> &'a [u8] {
        self.issuer
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

    /// The certified key; `None` when it is of a kind this crate does not use.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey> {
        PublicKey::from_spki(self.spki)
    }

    /// The URIs among its alternative names (RFC 5280 §4.2.1.6), as far as they can be read.
    pub fn uris(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut names = alternative_names(self.rest).unwrap_or(Reader::new(&[]));
        core::iter::from_fn(move || names.any())
            .filter_map(|(tag, content, _)| (tag == URI).then_some(content))
    }

    /// The first moment of its validity.
    #[must_use]
    pub const fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// The last moment of its validity; 9999-12-31T23:59:59Z means for ever.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// The list in the extension for alternative names, in what follows the key.
fn alternative_names(rest: &[u8]) -> Option<Reader<'_>> {
    let mut rest = Reader::new(rest);
    let mut list = loop {
        // Unique identifiers may come first (RFC 5280 §4.1).
        let (tag, content, _) = rest.any()?;
        if tag == EXTENSIONS {
            break Reader::new(content).enter(SEQUENCE)?;
        }
    };
    loop {
        let mut one = list.enter(SEQUENCE)?;
        if one.content(OID)? != ALTERNATIVE_NAME {
            continue;
        }
        let (tag, mut content, _) = one.any()?;
        if tag == BOOLEAN {
            content = one.any()?.1;
        }
        return Reader::new(content).enter(SEQUENCE);
    }
}

/// A date in the form that belongs to its year: "through the year 2049 as UTCTime" (RFC 5280 §4.1.2.5).
pub(super) fn date(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let (tag, _, whole) = reader.any()?;
    let date = time(&mut Reader::new(whole))?;
    (tag == UTC_TIME || date.as_secs() >= 2_524_608_000).then_some(date)
}

/// RFC 5280 §4.1.2.5: UTCTime `YYMMDDHHMMSSZ` to 2049, then GeneralizedTime `YYYYMMDDHHMMSSZ`.
fn time(reader: &mut Reader<'_>) -> Option<Timestamp> {
    let (tag, text, _) = reader.any()?;
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = two(text)?;
            // "Where YY is greater than or equal to 50, the year SHALL be interpreted as 19YY".
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (century, rest) = two(text)?;
            let (year, rest) = two(rest)?;
            (century * 100 + year, rest)
        }
        _ => return None,
    };
    let (month, rest) = two(rest)?;
    let (day, rest) = two(rest)?;
    let (hour, rest) = two(rest)?;
    let (minute, rest) = two(rest)?;
    let (second, rest) = two(rest)?;
    let legal = rest.is_empty() && hour < 24 && minute < 60 && second < 60;
    let days = legal.then(|| days(year, month, day)).flatten()?;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::EPOCH.after(Duration::from_secs(seconds)))
}

fn two(text: &[u8]) -> Option<(u64, &[u8])> {
    match *text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', ref rest @ ..] => {
            Some((u64::from(tens - b'0') * 10 + u64::from(ones - b'0'), rest))
        }
        _ => None,
    }
}

/// Days since 1970 in the Gregorian calendar; `None` for no such day, or one before 1970.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (before, length) = match month {
        1 => (0, 31),
        2 => (31, if leap { 29 } else { 28 }),
        3 => (59, 31),
        4 => (90, 30),
        5 => (120, 31),
        6 => (151, 30),
        7 => (181, 31),
        8 => (212, 31),
        9 => (243, 30),
        10 => (273, 31),
        11 => (304, 30),
        12 => (334, 31),
        _ => return None,
    };
    if !(1..=length).contains(&day) || year < 1970 {
        return None;
    }
    let past = year - 1;
    // Leap days of all earlier years, less the 477 of the years 1 to 1969.
    let leaps = past / 4 - past / 100 + past / 400 - 477 + u64::from(leap && month > 2);
    Some((year - 1970) * 365 + leaps + before + day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(tag: u8, text: &str) -> Option<u64> {
        let mut der = alloc::vec![tag, u8::try_from(text.len()).unwrap()];
        der.extend_from_slice(text.as_bytes());
        time(&mut Reader::new(&der)).map(Timestamp::as_secs)
    }

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (text, seconds) in [
            ("19700101000000Z", 0),
            ("20000229235959Z", 951_868_799),
            ("20000301000000Z", 951_868_800),
            ("20260101000000Z", 1_767_225_600),
            ("21000301000000Z", 4_107_542_400),
            ("99991231235959Z", 253_402_300_799),
        ] {
            assert_eq!(read(GENERALIZED_TIME, text), Some(seconds), "{text}");
        }
        assert_eq!(read(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(read(UTC_TIME, "700101000000Z"), Some(0));
    }

    #[test]
    fn days_that_never_were_are_refused() {
        for text in [
            "20230229000000Z",
            "21000229000000Z",
            "20231301000000Z",
            "20230100000000Z",
            "20230101240000Z",
            "20230101000000",
            "20230101000000+0100",
            "19691231235959Z",
        ] {
            assert_eq!(read(GENERALIZED_TIME, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = UnverifiedCertificate::parse(&bytes);
            let mut der = alloc::vec![0x30, 0x82, 0x01, 0x00, 0x30, 0x81, 0xc0, 0xa0, 0x03, 2, 1, 2];
            der.extend_from_slice(&bytes);
            let _ = UnverifiedCertificate::parse(&der);
        }
    }
}
