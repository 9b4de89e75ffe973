//! Whether bytes are DER all the way down (ITU-T X.690 §10 and §11).

use crate::der::{
    BIT_STRING, GENERALIZED_TIME, INTEGER, Reader, SEQUENCE, SET, UTC_TIME, UTF8_STRING,
};

pub(super) const BOOLEAN: u8 = 0x01;
pub(in crate::cert) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(in crate::cert) const OID: u8 = 0x06;
pub(in crate::cert) const PRINTABLE_STRING: u8 = 0x13;
pub(super) const IA5_STRING: u8 = 0x16;

// No certificate nests deeper; each level is one of the stack's.
const MAX_DEPTH: u8 = 16;

/// Whether `bytes` are exactly one DER value; the content of OCTET STRINGs and of primitive context tags is not read.
pub(in crate::cert) fn is_der(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    value(&mut reader, MAX_DEPTH).is_some() && reader.is_empty()
}

fn value(reader: &mut Reader<'_>, depth: u8) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let (tag, content, _) = reader.any()?;
    // The long form of a tag; nothing here has a number above 30.
    (tag & 0x1f != 0x1f).then_some(())?;
    let legal = match tag {
        SEQUENCE => true,
        SET => return set(content, depth),
        BOOLEAN => matches!(content, [0 | 0xff]),
        INTEGER => is_minimal(content),
        BIT_STRING => is_bit_string(content),
        NULL => content.is_empty(),
        OID => is_oid(content),
        UTF8_STRING => core::str::from_utf8(content).is_ok(),
        PRINTABLE_STRING => content.iter().all(|&byte| is_printable(byte)),
        IA5_STRING => content.is_ascii(),
        // Which years belong to which form is the certificate's matter.
        UTC_TIME => content.len() == 13,
        GENERALIZED_TIME => content.len() == 15,
        // Any other universal type of X.509 is primitive: "The constructed form … shall not be used".
        tag if tag & 0xc0 == 0 => return (tag & 0x20 == 0).then_some(()),
        tag if tag & 0x20 == 0 => return Some(()),
        _ => true,
    };
    if tag & 0x20 == 0 {
        return legal.then_some(());
    }
    let mut inner = Reader::new(content);
    while !inner.is_empty() {
        value(&mut inner, depth)?;
    }
    Some(())
}

/// "The encodings of the component values of a set-of value shall appear in ascending order" (X.690 §11.6).
fn set(content: &[u8], depth: u8) -> Option<()> {
    let (mut order, mut inner) = (Reader::new(content), Reader::new(content));
    let mut before: &[u8] = &[];
    while !inner.is_empty() {
        value(&mut inner, depth)?;
        let (_, _, whole) = order.any()?;
        (before < whole).then_some(())?;
        before = whole;
    }
    Some(())
}

pub(super) fn is_minimal(integer: &[u8]) -> bool {
    match *integer {
        [] => false,
        [0, second, ..] => second >= 0x80,
        [0xff, second, ..] => second < 0x80,
        _ => true,
    }
}

fn is_bit_string(content: &[u8]) -> bool {
    match *content {
        [0] => true,
        [unused @ 0..=7, .., last] => last & ((1 << unused) - 1) == 0,
        _ => false,
    }
}

fn is_oid(content: &[u8]) -> bool {
    let mut starts = true;
    for &byte in content {
        if starts && byte == 0x80 {
            return false;
        }
        starts = byte < 0x80;
    }
    starts && !content.is_empty()
}

const fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b' ' | b'\'' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'?'
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_ber_but_not_der_is_refused() {
        for bad in [
            &[1u8, 1, 1][..],
            &[2, 2, 0, 5],
            &[2, 0],
            &[3, 2, 1, 1],
            &[3, 0],
            &[5, 1, 0],
            &[6, 2, 0x80, 1],
            &[6, 1, 0x80],
            &[0x0c, 1, 0xff],
            &[0x13, 1, b'*'],
            &[0x16, 1, 0x80],
            &[0x24, 3, 4, 1, 0],
            &[0x31, 6, 2, 1, 2, 2, 1, 1],
            &[0x1f, 0x20, 0],
            &[5, 0, 5, 0],
        ] {
            assert!(!is_der(bad), "{bad:?}");
        }
        assert!(is_der(&[0x30, 6, 1, 1, 0xff, 3, 1, 0]));
        let mut deep = alloc::vec::Vec::new();
        for _ in 0..20u8 {
            let len = u8::try_from(deep.len()).unwrap();
            deep.splice(0..0, [0x30, len]);
        }
        assert!(!is_der(&deep));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = is_der(&bytes);
        }
    }
}
