//! Values as JSON, for documents at the edge.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Number, Value as Json};

use super::{LimitError, Limits, Value};

/// Why a text is no value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// It is larger than the limits.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// It is no JSON.
    #[error("the text is no JSON: {0}")]
    Malformed(String),
}

impl Value {
    /// Reads JSON.
    ///
    /// # Errors
    ///
    /// [`JsonError`] when the text is no JSON or beyond `limits`. Texts longer than eight times the limit of
    /// bytes plus 16 bytes for each value are refused unread.
    ///
    /// ```
    /// use iot_twin::value::{Limits, Value};
    /// let value = Value::from_json(r#"{"setpoint": 21.5}"#, Limits::DEFAULT)?;
    /// assert_eq!(value.to_json(), r#"{"setpoint":21.5}"#);
    /// # Ok::<(), iot_twin::value::JsonError>(())
    /// ```
    pub fn from_json(text: &str, limits: Limits) -> Result<Self, JsonError> {
        // An escape makes six characters of one byte; the rest is room for punctuation and numbers.
        let longest = limits
            .bytes
            .saturating_mul(8)
            .saturating_add(limits.values.saturating_mul(16));
        if text.len() > longest {
            return Err(LimitError::Bytes {
                limit: limits.bytes,
            }
            .into());
        }
        let json: Json = serde_json::from_str(text)
            .map_err(|error| JsonError::Malformed(alloc::format!("{error}")))?;
        let value = Self::from(json);
        value.check(limits)?;
        Ok(value)
    }

    /// Writes JSON; bytes become base64url text without padding, and a float that is no number becomes null.
    #[must_use]
    pub fn to_json(&self) -> String {
        alloc::format!("{}", Json::from(self.clone()))
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => match (number.as_i128(), number.as_f64()) {
                (Some(whole), _) => Self::Int(whole),
                (None, Some(number)) => Self::Float(number),
                (None, None) => Self::Null,
            },
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Json::Object(entries) => Self::Map(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect(),
            ),
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Int(number) => {
                let exact = Number::from_i128(number);
                #[expect(
                    clippy::cast_precision_loss,
                    reason = "JSON's numbers beyond 64 bits are rounded by every reader"
                )]
                let rounded = || Number::from_f64(number as f64);
                exact.or_else(rounded).map_or(Self::Null, Self::Number)
            }
            Value::Float(number) => Number::from_f64(number).map_or(Self::Null, Self::Number),
            Value::Text(text) => Self::String(text),
            Value::Bytes(bytes) => Self::String(base64url(&bytes)),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Map(entries) => Self::Object(
                entries
                    .into_iter()
                    .map(|(name, value)| (name, Self::from(value)))
                    .collect::<Map<_, _>>(),
            ),
        }
    }
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let letter = |six: u32| {
        ALPHABET
            .get(six as usize & 63)
            .map_or('A', |&byte| char::from(byte))
    };
    let groups = bytes.chunks(3).flat_map(|chunk| {
        let bits = (0..3).fold(0, |bits, at| {
            bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0))
        });
        let letters: Vec<_> = [18, 12, 6, 0].map(|by| letter(bits >> by)).into();
        letters.into_iter().take(chunk.len() + 1)
    });
    groups.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    #[test]
    fn bytes_become_text_as_in_the_standards_examples() {
        // RFC 4648 §10, without padding.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64url(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_text_beyond_the_limits_is_refused() {
        let deep = alloc::format!("{}1{}", "[".repeat(9), "]".repeat(9));
        assert!(matches!(
            Value::from_json(&deep, Limits::DEFAULT),
            Err(JsonError::Limit(LimitError::Depth { limit: 8 }))
        ));
        assert!(matches!(
            Value::from_json(&"x".repeat(400), Limits::new(8, 1, 8)),
            Err(JsonError::Limit(LimitError::Bytes { limit: 8 }))
        ));
    }

    fn is_beyond_json(value: &Value) -> bool {
        match value {
            Value::Bytes(_) => true,
            Value::Int(number) => {
                i64::try_from(*number).is_err() && u64::try_from(*number).is_err()
            }
            Value::Array(items) => items.iter().any(is_beyond_json),
            Value::Map(entries) => entries.values().any(is_beyond_json),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn every_value_that_json_can_hold_comes_back(value in any_value()) {
            prop_assume!(!is_beyond_json(&value));
            let back = Value::from_json(&value.to_json(), Limits::DEFAULT).unwrap();
            prop_assert_eq!(back.to_cbor(), value.to_cbor());
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".{0,64}") {
            let _ = Value::from_json(&text, Limits::DEFAULT);
        }
    }
}
