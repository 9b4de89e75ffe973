//! Reading definite lengths in their shortest form, and nothing else.

#[cfg(feature = "rustcrypto")]
use super::{INTEGER, SEQUENCE};

/// Goes through a run of DER values.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next value: its tag, its content, and the whole of it.
    pub(crate) fn any(&mut self) -> Option<(u8, &'a [u8], &'a [u8])> {
        let (&tag, tail) = self.rest.split_first()?;
        let (&first, tail) = tail.split_first()?;
        let (len, content) = match first {
            0..=0x7f => (usize::from(first), tail),
            0x81 => match *tail {
                [len, ref tail @ ..] if len >= 0x80 => (usize::from(len), tail),
                _ => return None,
            },
            0x82 => match *tail {
                [high, low, ref tail @ ..] if high > 0 => {
                    (usize::from(u16::from_be_bytes([high, low])), tail)
                }
                _ => return None,
            },
            0x83 => match *tail {
                [high, middle, low, ref tail @ ..] if high > 0 => {
                    let len = u32::from_be_bytes([0, high, middle, low]);
                    (usize::try_from(len).ok()?, tail)
                }
                _ => return None,
            },
            _ => return None,
        };
        let (content, rest) = content.split_at_checked(len)?;
        let whole = self.rest.get(..self.rest.len() - rest.len())?;
        self.rest = rest;
        Some((tag, content, whole))
    }

    /// The content of the next value, which must have this tag.
    pub(crate) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content, _) = self.any()?;
        (found == tag).then_some(content)
    }

    /// The next value whole, which must have this tag.
    pub(crate) fn whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, _, whole) = self.any()?;
        (found == tag).then_some(whole)
    }

    /// A reader of the content of the next value, which must have this tag.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Self> {
        self.content(tag).map(Self::new)
    }
}

/// An ECDSA signature as X.509 and TLS carry it, `SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 §2.2.3), in the fixed
/// form `r ‖ s` of a curve of 256 bits. `None` for anything but its one DER encoding, or a number of more bits.
#[cfg(feature = "rustcrypto")]
pub(crate) fn ecdsa(der: &[u8]) -> Option<[u8; 64]> {
    let mut outer = Reader::new(der);
    let mut numbers = outer.enter(SEQUENCE)?;
    let mut fixed = [0; 64];
    let (r, s) = fixed.split_at_mut(32);
    for to in [r, s] {
        let digits = match numbers.content(INTEGER)? {
            [0, digits @ ..] if digits.first().is_some_and(|&first| first >= 0x80) => digits,
            digits @ [1..=0x7f, ..] => digits,
            _ => return None,
        };
        let zeros = to.len().checked_sub(digits.len())?;
        to.get_mut(zeros..)?.copy_from_slice(digits);
    }
    (numbers.is_empty() && outer.is_empty()).then_some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(feature = "rustcrypto")]
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn longer_forms_of_a_length_are_refused() {
        for bytes in [
            &[0x30u8, 0x80][..],
            &[0x30, 0x81, 1, 0],
            &[0x30, 0x82, 0, 1, 0],
            &[0x30, 0x83, 0, 1, 0, 0],
            &[0x30, 2, 0],
            &[0x30],
        ] {
            assert!(Reader::new(bytes).any().is_none(), "{bytes:?}");
        }
    }

    #[cfg(feature = "rustcrypto")]
    #[test]
    fn a_signature_has_one_encoding() {
        let (r, s) = ([0x80; 32], [1; 3]);
        let good = |r: &[u8], s: &[u8]| {
            let mut buffer = [0; 80];
            let mut writer = super::super::Writer::new(&mut buffer);
            let mark = writer.mark();
            writer.tlv(INTEGER, s).unwrap();
            writer.tlv(INTEGER, r).unwrap();
            writer.wrap(SEQUENCE, mark).unwrap();
            ecdsa(writer.finish())
        };
        let padded = [&[0][..], &r].concat();
        let fixed = good(&padded, &s).unwrap();
        assert_eq!(fixed[..32], r);
        assert_eq!(fixed[32..], [&[0; 29][..], &s].concat());
        for bad in [&r[..], &[0], &[], &[0, 1], &[1; 33], &[0, 0, 0x80]] {
            assert_eq!(good(bad, &s), None, "{bad:?}");
            assert_eq!(good(&s, bad), None, "{bad:?}");
        }
        for bad in [
            &[0x30, 3, 2, 1, 1][..],
            &[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
        ] {
            assert_eq!(ecdsa(bad), None, "{bad:?}");
        }
    }

    #[cfg(feature = "rustcrypto")]
    proptest! {
        #[test]
        fn what_the_writer_makes_of_a_signature_is_read_back(mut fixed in proptest::collection::vec(any::<u8>(), 64), zeros in 0usize..32) {
            fixed[..zeros].fill(0);
            fixed[31] |= 1;
            fixed[63] |= 1;
            let mut buffer = [0; 80];
            let mut writer = super::super::Writer::new(&mut buffer);
            writer.ecdsa(&fixed).unwrap();
            prop_assert_eq!(ecdsa(writer.finish()).map(Vec::from), Some(fixed));
        }

        #[test]
        fn arbitrary_signatures_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ecdsa(&bytes);
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(content in proptest::collection::vec(any::<u8>(), 0..400), tag: u8) {
            let mut buffer = [0; 410];
            let mut writer = super::super::Writer::new(&mut buffer);
            writer.tlv(tag, &content).unwrap();
            let der = writer.finish();
            let mut reader = Reader::new(der);
            prop_assert_eq!(reader.any(), Some((tag, &content[..], der)));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes);
            while reader.any().is_some() {}
        }
    }
}
