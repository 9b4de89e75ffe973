//! A certificate read strictly, with the rules that do not depend on its place in a chain.

use iot_core::Timestamp;

use super::defect::Defect;
use super::encoding::is_der;
use super::extensions::Extensions;
use super::limits::MAX_CERTIFICATE_BYTES;
use crate::cert::view::date;
use crate::der::{BIT_STRING, CONTEXT_0, INTEGER, Reader, SEQUENCE};

const CONTEXT_1: u8 = 0x81;
const CONTEXT_2: u8 = 0x82;
const CONTEXT_3: u8 = 0xa3;

/// The fields that a path is judged by; all of them point into the bytes that came.
#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct Certificate<'a> {
    pub(in crate::cert) der: &'a [u8],
    pub(in crate::cert) signed: Signed<'a>,
    pub(in crate::cert) serial: &'a [u8],
    pub(in crate::cert) issuer: &'a [u8],
    pub(in crate::cert) subject: &'a [u8],
    pub(in crate::cert) not_before: Timestamp,
    pub(in crate::cert) not_after: Timestamp,
    pub(in crate::cert) key: Key<'a>,
    pub(in crate::cert) extensions: Extensions<'a>,
}

/// Something signed: a certificate or a list.
#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct Signed<'a> {
    pub(in crate::cert) message: &'a [u8],
    /// The content of the `AlgorithmIdentifier`.
    pub(in crate::cert) algorithm: &'a [u8],
    pub(in crate::cert) signature: &'a [u8],
}

/// A `SubjectPublicKeyInfo`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::cert) struct Key<'a> {
    pub(in crate::cert) whole: &'a [u8],
    /// The content of the `AlgorithmIdentifier`.
    pub(in crate::cert) algorithm: &'a [u8],
    pub(in crate::cert) bits: &'a [u8],
}

impl<'a> Signed<'a> {
    /// The three fields that everything signed in X.509 has, and nothing behind them.
    pub(in crate::cert) fn read(der: &'a [u8]) -> Option<Self> {
        let mut outer = Reader::new(der);
        let mut inner = outer.enter(SEQUENCE)?;
        let message = inner.whole(SEQUENCE)?;
        let algorithm = inner.content(SEQUENCE)?;
        let [0, signature @ ..] = inner.content(BIT_STRING)? else {
            return None;
        };
        (outer.is_empty() && inner.is_empty()).then_some(Self {
            message,
            algorithm,
            signature,
        })
    }
}

impl<'a> Certificate<'a> {
    pub(in crate::cert) fn read(der: &'a [u8]) -> Result<Self, Defect> {
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(Defect::TooLarge);
        }
        if !is_der(der) {
            return Err(Defect::Encoding);
        }
        let signed = Signed::read(der).ok_or(Defect::Encoding)?;
        let mut outer = Reader::new(signed.message);
        let mut tbs = outer.enter(SEQUENCE).ok_or(Defect::Encoding)?;
        if tbs.content(CONTEXT_0).ok_or(Defect::Version)? != [INTEGER, 1, 2] {
            return Err(Defect::Version);
        }
        let serial = tbs.content(INTEGER).ok_or(Defect::Encoding)?;
        let algorithm = tbs.content(SEQUENCE).ok_or(Defect::Encoding)?;
        let issuer = tbs.whole(SEQUENCE).ok_or(Defect::Encoding)?;
        let mut dates = tbs.enter(SEQUENCE).ok_or(Defect::Encoding)?;
        let subject = tbs.whole(SEQUENCE).ok_or(Defect::Encoding)?;
        let key = tbs.whole(SEQUENCE).ok_or(Defect::Encoding)?;
        let (not_before, not_after) = validity(&mut dates).ok_or(Defect::Dates)?;
        if !is_serial(serial) {
            return Err(Defect::Serial);
        }
        if algorithm != signed.algorithm {
            return Err(Defect::Algorithm);
        }
        if !is_name(issuer) || !is_name(subject) {
            return Err(Defect::Encoding);
        }
        if is_empty(issuer) {
            return Err(Defect::Issuer);
        }
        let found = Self {
            der,
            signed,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            key: self::key(key).ok_or(Defect::Key)?,
            extensions: extensions(&mut tbs)?,
        };
        if is_empty(subject) && !matches!(found.extensions.names, Some((_, true))) {
            return Err(Defect::Subject);
        }
        Ok(found)
    }

    /// "A certificate is self-issued if the same DN appears in the subject and issuer fields" (RFC 5280 §6.1).
    pub(in crate::cert) fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }
}

fn extensions<'a>(tbs: &mut Reader<'a>) -> Result<Extensions<'a>, Defect> {
    if tbs.is_empty() {
        return Ok(Extensions::default());
    }
    let (tag, content, _) = tbs.any().ok_or(Defect::Encoding)?;
    match tag {
        CONTEXT_1 | CONTEXT_2 => Err(Defect::UniqueId),
        CONTEXT_3 if tbs.is_empty() => {
            let mut outer = Reader::new(content);
            let list = outer.enter(SEQUENCE).ok_or(Defect::Encoding)?;
            if outer.is_empty() {
                Extensions::read(list)
            } else {
                Err(Defect::Encoding)
            }
        }
        _ => Err(Defect::Encoding),
    }
}

fn is_serial(content: &[u8]) -> bool {
    content.len() <= 20 && content.first().is_some_and(|&first| first < 0x80) && content != [0]
}

fn validity(dates: &mut Reader<'_>) -> Option<(Timestamp, Timestamp)> {
    let (from, to) = (date(dates)?, date(dates)?);
    (dates.is_empty() && from <= to).then_some((from, to))
}

pub(in crate::cert) fn key(whole: &[u8]) -> Option<Key<'_>> {
    let mut outer = Reader::new(whole);
    let mut inner = outer.enter(SEQUENCE)?;
    let algorithm = inner.content(SEQUENCE)?;
    let [0, bits @ ..] = inner.content(BIT_STRING)? else {
        return None;
    };
    inner.is_empty().then_some(Key {
        whole,
        algorithm,
        bits,
    })
}

pub(in crate::cert) fn is_empty(name: &[u8]) -> bool {
    name == [SEQUENCE, 0]
}

/// Whether DER is a `Name`: sets of at least one attribute, each of a kind and a value.
pub(in crate::cert) fn is_name(whole: &[u8]) -> bool {
    super::directory::attributes(whole).all(|attribute| attribute.is_some())
}
