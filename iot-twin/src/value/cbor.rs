//! Values as deterministic CBOR.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use minicbor::data::{Int, Type};
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use super::{Budget, LimitError, Limits, Value};
use crate::leaf::{half_in, narrow};

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
        let mut out = Sink(Vec::new());
        write(self, &mut Encoder::new(&mut out));
        out.0
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
    let _ = match value {
        Value::Null => out.null(),
        Value::Bool(value) => out.bool(*value),
        Value::Int(number) => out.int(clamp(*number)),
        Value::Float(number) => match narrow(*number) {
            Some(number) => out.f32(number),
            None => out.f64(*number),
        },
        Value::Text(text) => out.str(text),
        Value::Bytes(bytes) => out.bytes(bytes),
        Value::Array(items) => {
            let _ = out.array(items.len() as u64);
            items.iter().for_each(|item| write(item, out));
            Ok(out)
        }
        Value::Map(entries) => {
            // Sorted as their encodings are: by length first (RFC 8949 §4.2.1).
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(one, _), (two, _)| one.len().cmp(&two.len()).then(one.cmp(two)));
            let _ = out.map(entries.len() as u64);
            for (name, value) in entries {
                let _ = out.str(name);
                write(value, out);
            }
            Ok(out)
        }
    };
}

fn clamp(number: i128) -> Int {
    let limit = i128::from(u64::MAX);
    Int::try_from(number.clamp(-limit - 1, limit)).unwrap_or(Int::from(0_u8))
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
