//! Values as deterministic CBOR.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::data::Type;
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use super::{Budget, LimitError, Limits, Value};
use crate::leaf::{half_in, narrow};

/// How many lengths of names are looked for one by one.
const LENGTHS: usize = 8;

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const FALSE: u8 = 7 << 5 | 20;
const NULL: u8 = 7 << 5 | 22;
const SINGLE: u8 = 7 << 5 | 26;
const DOUBLE: u8 = 7 << 5 | 27;

/// Why bytes are no value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// They are larger than the limits.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// They are not CBOR, or of a kind that a [`Value`] cannot hold: a tag, a map whose names are no texts or
    /// not unique, a length that is not stated at the start.
    #[error(
        "the bytes at {position} are no value: send plain CBOR with text names and stated lengths"
    )]
    Malformed {
        /// Where, in bytes.
        position: usize,
    },
    /// Bytes follow the value.
    #[error("something follows the value at {position}: send one value")]
    Trailing {
        /// Where, in bytes.
        position: usize,
    },
}

impl Value {
    /// Writes it as CBOR: one value has one encoding (RFC 8949 §4.2.1), but no float is shorter than 32 bits.
    #[must_use]
    pub fn to_cbor(&self) -> Vec<u8> {
        self.to_cbor_of(0)
    }

    /// The same, with room for so many bytes from the start.
    pub(crate) fn to_cbor_of(&self, bytes: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes);
        put(self, &mut out);
        out
    }

    /// Reads one value.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the bytes are no value, more than one, or beyond `limits`.
    pub fn from_cbor(bytes: &[u8], limits: Limits) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        let value = read(&mut input, &mut Budget::new(limits), 0)?;
        if input.position() == bytes.len() {
            Ok(value)
        } else {
            Err(DecodeError::Trailing {
                position: input.position(),
            })
        }
    }
}

// Writing to a vector cannot fail, and its error type says so.
pub(crate) struct Sink(pub(crate) Vec<u8>);

impl Write for Sink {
    type Error = core::convert::Infallible;
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn write(value: &Value, out: &mut Encoder<&mut Sink>) {
    put(value, &mut out.writer_mut().0);
}

fn put(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NULL),
        Value::Bool(value) => out.push(FALSE + u8::from(*value)),
        Value::Int(number) => match u64::try_from(*number) {
            Ok(number) => head(out, UNSIGNED, number),
            Err(_) if *number > 0 => head(out, UNSIGNED, u64::MAX),
            // -1 is 0, -2 is 1 (§3.1): the complement.
            Err(_) => head(out, NEGATIVE, (!*number).try_into().unwrap_or(u64::MAX)),
        },
        Value::Float(number) => match narrow(*number) {
            Some(number) => {
                let [a, b, c, d] = number.to_be_bytes();
                out.extend_from_slice(&[SINGLE, a, b, c, d]);
            }
            None => {
                out.push(DOUBLE);
                out.extend_from_slice(&number.to_be_bytes());
            }
        },
        Value::Text(text) => put_bytes(out, TEXT, text.as_bytes()),
        Value::Bytes(bytes) => put_bytes(out, BYTES, bytes),
        Value::Array(items) => {
            head(out, ARRAY, items.len() as u64);
            items.iter().for_each(|item| put(item, out));
        }
        Value::Map(entries) => {
            head(out, MAP, entries.len() as u64);
            put_sorted(entries, out);
        }
    }
}

/// Sorted as their encodings are: by length first (§4.2.1). Names of one length are in the right order already, and most
/// maps have few lengths: so they are gone through once for each of these.
fn put_sorted(entries: &BTreeMap<String, Value>, out: &mut Vec<u8>) {
    let mut next = entries.keys().map(String::len).min();
    for _ in 0..LENGTHS {
        let Some(len) = next else { return };
        next = None;
        for (name, value) in entries {
            if name.len() == len {
                put_entry(name, value, out);
            } else if name.len() > len && next.is_none_or(|next| name.len() < next) {
                next = Some(name.len());
            }
        }
    }
    let Some(len) = next else { return };
    let mut rest: Vec<_> = entries
        .iter()
        .filter(|(name, _)| name.len() >= len)
        .collect();
    // Stable: those of one length stay as they are.
    rest.sort_by_key(|(name, _)| name.len());
    for (name, value) in rest {
        put_entry(name, value, out);
    }
}

fn put_entry(name: &str, value: &Value, out: &mut Vec<u8>) {
    put_bytes(out, TEXT, name.as_bytes());
    put(value, out);
}

fn put_bytes(out: &mut Vec<u8>, major: u8, bytes: &[u8]) {
    head(out, major, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The shortest head of an item.
fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let [.., a, b, c, low] = bytes;
    match argument {
        0..24 => out.push(major | low),
        24..0x100 => out.extend_from_slice(&[major | 24, low]),
        0x100..0x1_0000 => out.extend_from_slice(&[major | 25, c, low]),
        0x1_0000..0x1_0000_0000 => out.extend_from_slice(&[major | 26, a, b, c, low]),
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Reads one value within a budget; what follows it is left.
pub(crate) fn read(
    input: &mut Decoder<'_>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Value, DecodeError> {
    let position = input.position();
    let malformed = DecodeError::Malformed { position };
    budget.value()?;
    let wrong = |_| malformed;
    Ok(match input.datatype().map_err(wrong)? {
        Type::Null => input.null().map(|()| Value::Null).map_err(wrong)?,
        Type::Bool => Value::Bool(input.bool().map_err(wrong)?),
        Type::F16 => Value::Float(half_in(input).ok_or(malformed)?),
        Type::F32 => Value::Float(input.f32().map_err(wrong)?.into()),
        Type::F64 => Value::Float(input.f64().map_err(wrong)?),
        Type::String => Value::Text(text(input, budget, malformed)?),
        Type::Bytes => {
            let bytes = input.bytes().map_err(wrong)?;
            budget.bytes(bytes.len())?;
            Value::Bytes(bytes.to_owned())
        }
        Type::Array => {
            let depth = budget.level(depth)?;
            let len = input.array().map_err(wrong)?.ok_or(malformed)?;
            let items = (0..len).map(|_| read(input, budget, depth));
            Value::Array(collect(items)?)
        }
        Type::Map => {
            let depth = budget.level(depth)?;
            let len = input.map().map_err(wrong)?.ok_or(malformed)?;
            let mut entries = BTreeMap::new();
            for _ in 0..len {
                let name = text(input, budget, malformed)?;
                if entries.insert(name, read(input, budget, depth)?).is_some() {
                    return Err(malformed);
                }
            }
            Value::Map(entries)
        }
        _ => Value::Int(input.int().map_err(wrong)?.into()),
    })
}

// A stated length is not believed: `collect` into a vector of its own would reserve room for it.
fn collect(
    items: impl Iterator<Item = Result<Value, DecodeError>>,
) -> Result<Vec<Value>, DecodeError> {
    let mut all = Vec::new();
    for item in items {
        all.push(item?);
    }
    Ok(all)
}

fn text(
    input: &mut Decoder<'_>,
    budget: &mut Budget,
    malformed: DecodeError,
) -> Result<String, DecodeError> {
    let text = input.str().map_err(|_| malformed)?;
    budget.bytes(text.len())?;
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    #[test]
    fn a_name_given_twice_is_refused() {
        let twice = b"\xa2\x61a\x01\x61a\x02";
        assert_eq!(
            Value::from_cbor(twice, Limits::DEFAULT),
            Err(DecodeError::Malformed { position: 0 })
        );
    }

    #[test]
    fn a_long_promise_reserves_nothing_and_a_deep_one_stops_at_the_limit() {
        let promise = b"\x9b\x7f\xff\xff\xff\xff\xff\xff\xff\x01";
        assert!(Value::from_cbor(promise, Limits::DEFAULT).is_err());
        assert_eq!(
            Value::from_cbor(&[0x81; 100_000], Limits::DEFAULT),
            Err(LimitError::Depth { limit: 8 }.into())
        );
    }

    #[test]
    fn names_are_sorted_as_their_encodings() {
        let value = Value::map([("b", 1.into()), ("aa", 2.into())]);
        assert_eq!(value.to_cbor(), b"\xa2\x61b\x01\x62aa\x02");
    }

    #[test]
    fn names_of_many_lengths_are_sorted_as_their_encodings() {
        // Longer ones come first in the map, two of each length.
        let names: Vec<_> = (1..=20_usize)
            .flat_map(|len| ["a", "b"].map(|first| first.to_owned() + &"z".repeat(20 - len)))
            .collect();
        let value = Value::map(names.iter().map(|name| (name.as_str(), Value::Null)));
        let mut expected: Vec<_> = names
            .iter()
            .map(|name| Value::from(name.as_str()).to_cbor())
            .collect();
        expected.sort();
        let mut whole = alloc::vec![0xb8, 40];
        for name in expected {
            whole.extend(name);
            whole.push(NULL);
        }
        assert_eq!(value.to_cbor(), whole);
    }

    proptest! {
        #[test]
        fn every_value_comes_back(value in any_value()) {
            prop_assert_eq!(Value::from_cbor(&value.to_cbor(), Limits::DEFAULT), Ok(value));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(value) = Value::from_cbor(&bytes, Limits::DEFAULT) {
                prop_assert!(value.check(Limits::DEFAULT).is_ok());
            }
        }

        #[test]
        fn a_byte_changed_anywhere_never_panics(value in any_value(), at: prop::sample::Index, byte: u8) {
            let mut bytes = value.to_cbor();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            let _ = Value::from_cbor(&bytes, Limits::DEFAULT);
        }
    }
}
