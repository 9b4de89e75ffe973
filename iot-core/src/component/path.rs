//! From a SUIT component identifier to a name.

use crate::id::{ComponentId, MAX_NAME_BYTES, NameError};

impl ComponentId {
    /// The name of a SUIT component identifier (draft-ietf-suit-manifest, section 8.4.4), which is a list of byte strings.
    ///
    /// Segments are joined by `.`. A segment of ASCII letters, digits, `-` and `_` that begins with a letter or digit stands as it
    /// is; any other one, and one that begins with `0x`, is `0x` and its bytes in lower-case hexadecimal. So no two identifiers
    /// have one name.
    ///
    /// # Errors
    ///
    /// [`NameError::Empty`] without a segment, and [`NameError::TooLong`] when the name has more than 64 bytes.
    ///
    /// ```
    /// use iot_core::component::ComponentId;
    /// assert_eq!(ComponentId::from_path(&[b"firmware"])?.as_str(), "firmware");
    /// assert_eq!(ComponentId::from_path(&[b"radio", &[0]])?.as_str(), "radio.0x00");
    /// # Ok::<(), iot_core::id::NameError>(())
    /// ```
    pub fn from_path(segments: &[&[u8]]) -> Result<Self, NameError> {
        let mut name = Name {
            bytes: [0; MAX_NAME_BYTES],
            used: 0,
        };
        for (at, segment) in segments.iter().enumerate() {
            if at > 0 {
                name.push(b'.');
            }
            if is_word(segment) {
                segment.iter().for_each(|&byte| name.push(byte));
                continue;
            }
            name.push(b'0');
            name.push(b'x');
            for byte in *segment {
                name.push(digit(byte >> 4));
                name.push(digit(byte & 15));
            }
        }
        let text = name.bytes.get(..name.used).unwrap_or(&[]);
        if name.used > text.len() {
            return Err(NameError::TooLong { bytes: name.used });
        }
        Self::new(core::str::from_utf8(text).unwrap_or(""))
    }
}

struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    // How long it became; more than there is room for when it did not fit.
    used: usize,
}

impl Name {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.used) {
            *place = byte;
        }
        self.used = self.used.saturating_add(1);
    }
}

/// Whether a segment stands as it is.
fn is_word(segment: &[u8]) -> bool {
    segment.first().is_some_and(u8::is_ascii_alphanumeric)
        && !segment.starts_with(b"0x")
        && (segment.iter()).all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

const fn digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0' + nibble,
        _ => b'a' + nibble - 10,
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_identifier_without_a_name_is_refused() {
        assert_eq!(ComponentId::from_path(&[]), Err(NameError::Empty));
        let long = [b'a'; 65];
        let too_long = Err(NameError::TooLong { bytes: 65 });
        assert_eq!(ComponentId::from_path(&[&long]), too_long);
        assert!(ComponentId::from_path(&[&long[..64]]).is_ok());
        // 0x and two digits for each byte.
        assert_eq!(
            ComponentId::from_path(&[&[0; 32]]).unwrap_err(),
            NameError::TooLong { bytes: 66 }
        );
        assert!(ComponentId::from_path(&[&[0; 31]]).is_ok());
    }

    #[test]
    fn a_text_that_looks_like_bytes_or_a_separator_is_written_as_bytes() {
        for (segment, name) in [
            (&b"0x00"[..], "0x30783030"),
            (b"0X00", "0X00"),
            (b"a.b", "0x612e62"),
            (b"-a", "0x2d61"),
            (b"", "0x"),
            (b"\0", "0x00"),
        ] {
            let made = ComponentId::from_path(&[segment]);
            assert_eq!(made, ComponentId::new(name), "{segment:?}");
        }
    }

    /// What lies near the borders between a word, a separator and hexadecimal.
    fn segment() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(prop::sample::select(b"0xa.-_\0\xff".as_slice()), 0..4)
    }

    proptest! {
        #[test]
        fn no_two_identifiers_have_one_name(
            a in proptest::collection::vec(segment(), 1..4),
            b in proptest::collection::vec(segment(), 1..4),
        ) {
            let name = |path: &[Vec<u8>]| {
                let path: Vec<_> = path.iter().map(Vec::as_slice).collect();
                ComponentId::from_path(&path).unwrap()
            };
            prop_assert_eq!(name(&a) == name(&b), a == b);
        }
    }
}
