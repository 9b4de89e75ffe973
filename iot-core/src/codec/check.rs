//! The gate in front of every decoder.

/// How much a decoder is willing to look at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Limits {
    /// The longest input in bytes.
    pub bytes: usize,
    /// The deepest nesting of arrays, maps and tags; at most 32 are ever followed.
    pub depth: usize,
    /// The most data items in all, each key and value counted.
    pub items: usize,
}

impl Limits {
    /// States all three; a depth above 32 counts as 32.
    #[must_use]
    pub const fn new(bytes: usize, depth: usize, items: usize) -> Self {
        Self {
            bytes,
            depth: if depth > MAX_DEPTH { MAX_DEPTH } else { depth },
            items,
        }
    }
}

impl Default for Limits {
    /// 64 KiB, 8 levels, 1,024 items.
    fn default() -> Self {
        Self::new(65_536, 8, 1_024)
    }
}

const MAX_DEPTH: usize = 32;

/// Why an input is not acceptable CBOR.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CodecError {
    /// The input ends within an item.
    #[error("the input ends in the middle of an item")]
    Truncated,
    /// Bytes follow the item.
    #[error("the item ends at byte {position}, but more bytes follow")]
    Trailing {
        /// Where the item ended.
        position: usize,
    },
    /// A reserved or indefinite form.
    #[error(
        "the form at byte {position} is reserved or of indefinite length, which is not allowed"
    )]
    Form {
        /// Where.
        position: usize,
    },
    /// A number or length that is not in its shortest form.
    #[error("the number at byte {position} is not in its shortest form")]
    NotShortest {
        /// Where.
        position: usize,
    },
    /// A map whose keys are not strictly rising in their encoded bytes: unsorted or doubled.
    #[error("the map key at byte {position} is out of order or doubled")]
    KeyOrder {
        /// Where.
        position: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at byte {position} is not UTF-8")]
    Text {
        /// Where.
        position: usize,
    },
    /// More bytes than [`Limits::bytes`].
    #[error("{bytes} bytes exceed the limit of {limit}")]
    TooLong {
        /// How many there are.
        bytes: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Deeper than [`Limits::depth`].
    #[error("nested deeper than the limit of {limit} at byte {position}")]
    TooDeep {
        /// Where.
        position: usize,
        /// How deep is allowed.
        limit: usize,
    },
    /// More items than [`Limits::items`].
    #[error("more than the limit of {limit} items")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
}

/// Checks that `input` is exactly one deterministic item within `limits`.
///
/// # Errors
///
/// [`CodecError`] with the first thing that is wrong.
///
/// ```
/// use iot_core::codec::{CodecError, Limits, check};
/// assert_eq!(check(&[0x82, 0x01, 0x02], Limits::default()), Ok(()));
/// // The number 1 in two bytes is another spelling of the same value.
/// assert_eq!(check(&[0x18, 0x01], Limits::default()), Err(CodecError::NotShortest { position: 0 }));
/// ```
#[inline(never)]
pub fn check(input: &[u8], limits: Limits) -> Result<(), CodecError> {
    let position = check_prefix(input, limits)?;
    if position == input.len() {
        Ok(())
    } else {
        Err(CodecError::Trailing { position })
    }
}

/// Checks the deterministic item at the start of `input` and returns its length in bytes.
///
/// # Errors
///
/// [`CodecError`] with the first thing that is wrong.
pub fn check_prefix(input: &[u8], limits: Limits) -> Result<usize, CodecError> {
    let (bytes, limit) = (input.len(), limits.bytes);
    if bytes > limit {
        return Err(CodecError::TooLong { bytes, limit });
    }
    let mut open = [Open::EMPTY; MAX_DEPTH];
    let limit = limits.depth.min(MAX_DEPTH);
    let open = open.get_mut(..limit).unwrap_or(&mut []);
    let (mut depth, mut at) = (0, 0);
    for _ in 0..limits.items {
        let position = at;
        let (children, is_map) = item(input, &mut at).map_err(|fault| match fault {
            Fault::Truncated => CodecError::Truncated,
            Fault::Form => CodecError::Form { position },
            Fault::NotShortest => CodecError::NotShortest { position },
            Fault::Text => CodecError::Text { position },
        })?;
        if children > 0 {
            let Some(place) = open.get_mut(depth) else {
                return Err(CodecError::TooDeep { position, limit });
            };
            *place = Open {
                left: children,
                is_map,
                child: at,
                key: (0, 0),
            };
            depth += 1;
            continue;
        }
        loop {
            let Some(frame) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) else {
                return Ok(at);
            };
            if !frame.close_child(input, at) {
                let position = frame.child;
                return Err(CodecError::KeyOrder { position });
            }
            if frame.left > 0 {
                break;
            }
            depth -= 1;
        }
    }
    let limit = limits.items;
    Err(CodecError::TooMany { limit })
}

/// A container whose children are being read.
#[derive(Clone, Copy)]
struct Open {
    left: usize,
    is_map: bool,
    // Where the child begins that is being read.
    child: usize,
    // From where to where the last key went; at first none, which is less than any.
    key: (usize, usize),
}

impl Open {
    const EMPTY: Self = Self {
        left: 0,
        is_map: false,
        child: 0,
        key: (0, 0),
    };

    /// One child ends at `end`; false when it is a key that does not rise.
    fn close_child(&mut self, input: &[u8], end: usize) -> bool {
        self.left -= 1;
        // A map has an even number of children: after a key an odd one is left.
        if self.is_map && self.left % 2 == 1 {
            let (from, to) = self.key;
            let old = input.get(from..to).unwrap_or(&[]);
            if old >= input.get(self.child..end).unwrap_or(&[]) {
                return false;
            }
            self.key = (self.child, end);
        }
        self.child = end;
        true
    }
}

/// What is wrong with an item, without where it is.
enum Fault {
    Truncated,
    Form,
    NotShortest,
    Text,
}

/// Reads one head, and the content of strings; returns how many items follow inside it.
fn item(input: &[u8], at: &mut usize) -> Result<(usize, bool), Fault> {
    let (first, rest) = input
        .get(*at..)
        .and_then(<[u8]>::split_first)
        .ok_or(Fault::Truncated)?;
    let (major, info) = (first >> 5, first & 0x1f);
    let extra = match info {
        0..=23 => 0,
        24..=27 => 1 << (info - 24),
        _ => return Err(Fault::Form),
    };
    let (followers, rest) = rest.split_at_checked(extra).ok_or(Fault::Truncated)?;
    *at += 1 + extra;
    // What does not fit is refused below, where it would be a length.
    let argument = followers
        .iter()
        .fold(0, |value, &byte| value << 8 | usize::from(byte));
    if major == 7 {
        // Simple values below 32 have no two-byte form (RFC 8949 §3.3).
        return match info {
            24 if argument < 32 => Err(Fault::Form),
            _ => Ok((0, false)),
        };
    }
    // Shorter is what fits into the first byte, or into half of those that follow.
    let (upper, _) = followers.split_at(extra / 2);
    let shorter = match extra {
        0 => false,
        1 => argument < 24,
        _ => upper.iter().all(|&byte| byte == 0),
    };
    if shorter {
        return Err(Fault::NotShortest);
    }
    let len = match major {
        0 | 1 => return Ok((0, false)),
        6 => 1,
        _ if extra == 0 => info.into(),
        _ if extra > size_of::<usize>() => usize::MAX,
        _ => argument,
    };
    let len = if major == 5 {
        len.saturating_mul(2)
    } else {
        len
    };
    // Every child needs a byte: a length that cannot be true is refused before it is counted.
    let (content, _) = rest.split_at_checked(len).ok_or(Fault::Truncated)?;
    if major > 3 {
        return Ok((len, major == 5));
    }
    if major == 3 && core::str::from_utf8(content).is_err() {
        return Err(Fault::Text);
    }
    *at += len;
    Ok((0, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits::new(1_024, 8, 64);

    #[test]
    fn one_spelling_of_every_value() {
        for (input, expected) in [
            (&[0x17][..], Ok(())),
            (&[0x18, 0x17], Err(CodecError::NotShortest { position: 0 })),
            (
                &[0x19, 0x00, 0xff],
                Err(CodecError::NotShortest { position: 0 }),
            ),
            (
                &[0x58, 0x01, 0x00],
                Err(CodecError::NotShortest { position: 0 }),
            ),
            (&[0x9f, 0xff], Err(CodecError::Form { position: 0 })),
            (&[0x5f, 0xff], Err(CodecError::Form { position: 0 })),
            (&[0xf8, 0x14], Err(CodecError::Form { position: 0 })),
            (&[0xa2, 0x01, 0x00, 0x02, 0x00], Ok(())),
            (
                &[0xa2, 0x02, 0x00, 0x01, 0x00],
                Err(CodecError::KeyOrder { position: 3 }),
            ),
            (
                &[0xa2, 0x01, 0x00, 0x01, 0x00],
                Err(CodecError::KeyOrder { position: 3 }),
            ),
            (&[0x61, 0xff], Err(CodecError::Text { position: 0 })),
            (&[0x00, 0x00], Err(CodecError::Trailing { position: 1 })),
            (&[0x82, 0x00], Err(CodecError::Truncated)),
            (&[], Err(CodecError::Truncated)),
            (&[0xf9, 0x3c, 0x00], Ok(())),
            (&[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], Ok(())),
        ] {
            assert_eq!(check(input, LIMITS), expected, "{input:02x?}");
        }
    }

    #[test]
    fn keys_of_a_nested_map_do_not_disturb_the_outer_one() {
        // {1: {5: 0, 6: 0}, 2: 0}
        assert_eq!(
            check(
                &[0xa2, 0x01, 0xa2, 0x05, 0x00, 0x06, 0x00, 0x02, 0x00],
                LIMITS
            ),
            Ok(())
        );
        // {[1, 2]: 0, [1, 1]: 0} is out of order.
        let input = [0xa2, 0x82, 0x01, 0x02, 0x00, 0x82, 0x01, 0x01, 0x00];
        assert_eq!(
            check(&input, LIMITS),
            Err(CodecError::KeyOrder { position: 5 })
        );
    }

    #[test]
    fn each_limit_is_exact() {
        let deep = |levels: usize| [[0x81].repeat(levels), [0x00].to_vec()].concat();
        assert_eq!(check(&deep(8), LIMITS), Ok(()));
        assert_eq!(
            check(&deep(9), LIMITS),
            Err(CodecError::TooDeep {
                position: 8,
                limit: 8
            })
        );
        let wide = |items: u8| [[0x98, items].to_vec(), [0x00].repeat(usize::from(items))].concat();
        assert_eq!(check(&wide(63), LIMITS), Ok(()));
        assert_eq!(
            check(&wide(64), LIMITS),
            Err(CodecError::TooMany { limit: 64 })
        );
        assert!(matches!(
            check(&[0x00; 1_025], LIMITS),
            Err(CodecError::TooLong { .. })
        ));
    }

    #[test]
    fn a_length_that_cannot_be_true_costs_nothing() {
        let endless = [0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(check(&endless, LIMITS), Err(CodecError::Truncated));
        let endless = [0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(check(&endless, LIMITS), Err(CodecError::Truncated));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_what_passes_is_decodable(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            if check(&input, LIMITS).is_ok() {
                let mut decoder = minicbor::Decoder::new(&input);
                prop_assert!(decoder.skip().is_ok());
                prop_assert_eq!(decoder.position(), input.len());
            }
        }

        #[test]
        fn what_minicbor_writes_passes(numbers in proptest::collection::vec(any::<i64>(), 0..30), text in ".{0,20}") {
            let mut buffer = [0; 512];
            let bytes = crate::codec::encode_into(&mut buffer, |encoder| {
                encoder.array(numbers.len() as u64 + 1)?;
                for number in &numbers { encoder.i64(*number)?; }
                encoder.str(&text)?.ok()
            }).unwrap();
            prop_assert_eq!(check(bytes, LIMITS), Ok(()));
        }
    }
}
