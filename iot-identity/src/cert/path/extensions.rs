//! The extensions of a certificate, each at most once (RFC 5280 §4.2).

use heapless::Vec;

use super::constraints::NameConstraints;
use super::defect::Defect;
use super::encoding::{BOOLEAN, OCTET_STRING, OID, is_der};
use super::general_name;
use super::limits::MAX_EXTENSIONS;
use crate::der::{BIT_STRING, INTEGER, Reader, SEQUENCE};

const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

const KEY_CERT_SIGN: u32 = 1 << 5;
const CRL_SIGN: u32 = 1 << 6;
// Beyond the two octets that are read.
const CRITICAL: u32 = 1 << 16;

/// What is understood of a certificate's extensions.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::cert) struct Extensions<'a> {
    pub(in crate::cert) authority_key: Option<AuthorityKey<'a>>,
    pub(in crate::cert) subject_key: Option<&'a [u8]>,
    pub(in crate::cert) basic: Option<Basic>,
    pub(in crate::cert) key_usage: Option<KeyUsage>,
    /// The content of the sequence of purposes.
    pub(in crate::cert) purposes: Option<&'a [u8]>,
    /// The content of the sequence of names, and whether it is critical.
    pub(in crate::cert) names: Option<(&'a [u8], bool)>,
    pub(in crate::cert) constraints: Option<NameConstraints<'a>>,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct AuthorityKey<'a> {
    pub(in crate::cert) key: Option<&'a [u8]>,
    /// It also names the issuer's certificate.
    pub(in crate::cert) certificate: bool,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct Basic {
    pub(in crate::cert) critical: bool,
    pub(in crate::cert) authority: bool,
    pub(in crate::cert) path_len: Option<u8>,
}

/// The bits of a key usage, the first one lowest, and the highest for a critical one.
#[derive(Clone, Copy, Debug)]
pub(in crate::cert) struct KeyUsage {
    bits: u32,
}

impl KeyUsage {
    pub(in crate::cert) const fn signs(self) -> bool {
        self.bits & 1 != 0
    }

    /// Critical, digitalSignature, and at most keyEncipherment and keyAgreement beside it.
    #[cfg(feature = "cert")]
    pub(in crate::cert) const fn is_device(self) -> bool {
        self.bits & !0b1_0100 == CRITICAL | 1
    }

    pub(in crate::cert) const fn signs_certificates(self) -> bool {
        self.bits & KEY_CERT_SIGN != 0
    }

    pub(in crate::cert) const fn signs_lists(self) -> bool {
        self.bits & CRL_SIGN != 0
    }
}

impl<'a> Extensions<'a> {
    /// Reads the content of the sequence of extensions.
    pub(in crate::cert) fn read(mut list: Reader<'a>) -> Result<Self, Defect> {
        let mut found = Self::default();
        let mut seen = Vec::<_, MAX_EXTENSIONS>::new();
        // "This field … is a SEQUENCE of one or more certificate extensions" (RFC 5280 §4.1.2.9).
        if list.is_empty() {
            return Err(Defect::Encoding);
        }
        while !list.is_empty() {
            let (kind, critical, content) = extension(&mut list).ok_or(Defect::Encoding)?;
            if seen.contains(&kind) {
                return Err(Defect::DuplicateExtension);
            }
            seen.push(kind).map_err(|_| Defect::TooLarge)?;
            found.take(kind, critical, content)?;
        }
        Ok(found)
    }

    fn take(&mut self, kind: &[u8], critical: bool, content: &'a [u8]) -> Result<(), Defect> {
        let der = |defect| if is_der(content) { Ok(()) } else { Err(defect) };
        match *kind {
            [0x55, 0x1d, 14] => {
                der(Defect::KeyIdentifier)?;
                let key = only(content, OCTET_STRING).filter(|key| !key.is_empty() && !critical);
                self.subject_key = Some(key.ok_or(Defect::KeyIdentifier)?);
            }
            [0x55, 0x1d, 15] => {
                der(Defect::KeyUsage)?;
                self.key_usage = Some(key_usage(content, critical).ok_or(Defect::KeyUsage)?);
            }
            [0x55, 0x1d, 17] => {
                der(Defect::AlternativeName)?;
                let names = only(content, SEQUENCE).ok_or(Defect::AlternativeName)?;
                general_name::check(names)?;
                self.names = Some((names, critical));
            }
            [0x55, 0x1d, 19] => {
                der(Defect::BasicConstraints)?;
                self.basic = Some(basic(content, critical).ok_or(Defect::BasicConstraints)?);
            }
            [0x55, 0x1d, 30] => {
                der(Defect::NameConstraints)?;
                self.constraints = Some(NameConstraints::read(content)?);
            }
            [0x55, 0x1d, 35] => {
                der(Defect::KeyIdentifier)?;
                let key = authority_key(content).filter(|_| !critical);
                self.authority_key = Some(key.ok_or(Defect::KeyIdentifier)?);
            }
            [0x55, 0x1d, 37] => {
                der(Defect::ExtendedKeyUsage)?;
                self.purposes = Some(purposes(content).ok_or(Defect::ExtendedKeyUsage)?);
            }
            _ if critical => return Err(Defect::CriticalExtension),
            _ if kind == AUTHORITY_INFO_ACCESS => {
                der(Defect::Extension)?;
                let access = only(content, SEQUENCE).filter(|access| !access.is_empty());
                access.ok_or(Defect::Extension)?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// One `Extension`: its kind, whether it is critical, and what its OCTET STRING holds.
pub(in crate::cert) fn extension<'a>(list: &mut Reader<'a>) -> Option<(&'a [u8], bool, &'a [u8])> {
    let mut one = list.enter(SEQUENCE)?;
    let kind = one.content(OID)?;
    let (tag, content, _) = one.any()?;
    let (critical, content) = match tag {
        // "critical BOOLEAN DEFAULT FALSE": DER does not write a default (X.690 §11.5).
        BOOLEAN if content == [0xff] => (true, one.content(OCTET_STRING)?),
        OCTET_STRING => (false, content),
        _ => return None,
    };
    one.is_empty().then_some((kind, critical, content))
}

/// The content of the one value that `bytes` are.
pub(in crate::cert) fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let mut reader = Reader::new(bytes);
    let content = reader.content(tag)?;
    reader.is_empty().then_some(content)
}

fn key_usage(content: &[u8], critical: bool) -> Option<KeyUsage> {
    // "At least one of the bits MUST be set"; and DER leaves out trailing zeros (X.690 §11.2.2).
    match *only(content, BIT_STRING)? {
        [unused, ref bits @ .., last] if last.trailing_zeros() == u32::from(unused) => {
            let (first, second) = match *bits {
                [] => (last, 0),
                [first] => (first, last),
                _ => return None,
            };
            let bits = u32::from(first.reverse_bits()) | u32::from(second.reverse_bits()) << 8;
            let critical = if critical { CRITICAL } else { 0 };
            Some(KeyUsage {
                bits: bits | critical,
            })
        }
        _ => None,
    }
}

fn basic(content: &[u8], critical: bool) -> Option<Basic> {
    let mut inner = Reader::new(only(content, SEQUENCE)?);
    let mut found = Basic {
        critical,
        authority: false,
        path_len: None,
    };
    if inner.is_empty() {
        return Some(found);
    }
    let (tag, value, _) = inner.any()?;
    let length = match tag {
        BOOLEAN => {
            found.authority = (value == [0xff]).then_some(true)?;
            if inner.is_empty() {
                return Some(found);
            }
            inner.content(INTEGER)?
        }
        INTEGER => value,
        _ => return None,
    };
    found.path_len = Some(match *length {
        [high, ..] if high >= 0x80 => return None,
        [length] | [0, length] => length,
        _ => u8::MAX,
    });
    // "CAs MUST NOT include the pathLenConstraint field unless the cA boolean is asserted".
    (inner.is_empty() && found.authority).then_some(found)
}

pub(in crate::cert) fn authority_key(content: &[u8]) -> Option<AuthorityKey<'_>> {
    let mut inner = Reader::new(only(content, SEQUENCE)?);
    let mut found = AuthorityKey {
        key: None,
        certificate: false,
    };
    let mut last = 0;
    while !inner.is_empty() {
        let (tag, value, _) = inner.any()?;
        match tag {
            0x80 if last == 0 && !value.is_empty() => found.key = Some(value),
            0xa1 | 0x82 if last < tag & 0x1f || last == 0 => found.certificate = true,
            _ => return None,
        }
        last = (tag & 0x1f) + 1;
    }
    Some(found)
}

fn purposes(content: &[u8]) -> Option<&[u8]> {
    let list = only(content, SEQUENCE)?;
    let mut inner = Reader::new(list);
    let mut count = 0;
    while !inner.is_empty() {
        inner.content(OID)?;
        count += 1;
    }
    (1..=MAX_EXTENSIONS).contains(&count).then_some(list)
}

#[cfg(test)]
#[cfg(feature = "cert")]
mod tests {
    use super::*;

    #[test]
    fn no_bit_of_a_usage_makes_it_critical() {
        let device = |content: &[u8], critical| key_usage(content, critical).unwrap().is_device();
        assert!(device(&[3, 2, 7, 0x80], true));
        assert!(!device(&[3, 2, 7, 0x80], false));
        for bit in 0..8 {
            // digitalSignature, and one of the bits that RFC 5280 does not know.
            let usage = [3, 3, bit, 0x80, 1 << bit];
            assert!(!device(&usage, false));
            assert!(!device(&usage, true));
        }
    }
}
