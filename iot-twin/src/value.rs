//! A tree of values, as documents hold it: CBOR inside, JSON only at the edges.

mod cbor;
#[cfg(feature = "json")]
mod json;
mod same;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

pub use cbor::DecodeError;
pub(crate) use cbor::{Sink, read, write};
#[cfg(feature = "json")]
pub use json::JsonError;

/// One value, or a tree of them.
///
/// ```
/// use iot_twin::value::Value;
/// let room = Value::map([("setpoint", Value::from(21.5)), ("lit", Value::from(true))]);
/// assert_eq!(room.get("lit"), Some(&Value::Bool(true)));
/// assert_eq!(room.to_cbor(), b"\xa2\x63lit\xf5\x68setpoint\xfa\x41\xac\x00\x00");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number; CBOR carries −2^64 to 2^64 − 1, and others are written as the nearest of these.
    Int(i128),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list; patches and deltas take it as one value.
    Array(Vec<Self>),
    /// Named values.
    Map(BTreeMap<String, Self>),
}

/// How large a tree may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// How many maps and arrays may lie in each other.
    pub depth: usize,
    /// How many values there may be, the inner ones and the maps and arrays themselves counted.
    pub values: usize,
    /// How long all names, texts and bytes may be together.
    pub bytes: usize,
}

impl Limits {
    /// 8 deep, 1,024 values, 32 KiB.
    pub const DEFAULT: Self = Self::new(8, 1_024, 32 << 10);

    /// States all limits.
    #[must_use]
    pub const fn new(depth: usize, values: usize, bytes: usize) -> Self {
        Self {
            depth,
            values,
            bytes,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A tree is larger than its [`Limits`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LimitError {
    /// Too deep.
    #[error("the value is more than {limit} levels deep: flatten it or raise the limit")]
    Depth {
        /// The limit.
        limit: usize,
    },
    /// Too many values.
    #[error("there are more than {limit} values: split the document or raise the limit")]
    Values {
        /// The limit.
        limit: usize,
    },
    /// Too long.
    #[error(
        "names, texts and bytes are longer than {limit} bytes: shorten them or raise the limit"
    )]
    Bytes {
        /// The limit.
        limit: usize,
    },
}

/// What is left of some limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    limits: Limits,
    values: usize,
    bytes: usize,
}

impl Budget {
    pub(crate) const fn new(limits: Limits) -> Self {
        Self {
            limits,
            values: limits.values,
            bytes: limits.bytes,
        }
    }

    pub(crate) fn value(&mut self) -> Result<(), LimitError> {
        let limit = self.limits.values;
        self.values = self
            .values
            .checked_sub(1)
            .ok_or(LimitError::Values { limit })?;
        Ok(())
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<(), LimitError> {
        let limit = self.limits.bytes;
        self.bytes = self
            .bytes
            .checked_sub(len)
            .ok_or(LimitError::Bytes { limit })?;
        Ok(())
    }

    /// One level down from `depth`, which counts from 0.
    pub(crate) const fn level(&self, depth: usize) -> Result<usize, LimitError> {
        if depth < self.limits.depth {
            Ok(depth + 1)
        } else {
            Err(LimitError::Depth {
                limit: self.limits.depth,
            })
        }
    }

    fn spend(&mut self, value: &Value, depth: usize) -> Result<(), LimitError> {
        self.value()?;
        match value {
            Value::Text(text) => self.bytes(text.len()),
            Value::Bytes(bytes) => self.bytes(bytes.len()),
            Value::Array(items) => {
                let depth = self.level(depth)?;
                items.iter().try_for_each(|item| self.spend(item, depth))
            }
            Value::Map(entries) => {
                let depth = self.level(depth)?;
                entries.iter().try_for_each(|(name, value)| {
                    self.bytes(name.len())?;
                    self.spend(value, depth)
                })
            }
            _ => Ok(()),
        }
    }
}

impl Value {
    /// A map of these entries; of two with one name, the later counts.
    #[must_use]
    pub fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let entries = entries.into_iter();
        Self::Map(
            entries
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }

    /// The value under a name; `None` when there is none, or this is no map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.as_map()?.get(name)
    }

    /// The entries, if this is a map.
    #[must_use]
    pub const fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The number, if this is one; a whole number is rounded to the nearest.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            #[expect(
                clippy::cast_precision_loss,
                reason = "rounding is what reading a whole number as any number means"
            )]
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The truth value, if this is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The text, if this is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether there is no value.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Holds the tree against limits.
    ///
    /// # Errors
    ///
    /// [`LimitError`] with the first limit that is passed.
    pub fn check(&self, limits: Limits) -> Result<(), LimitError> {
        Budget::new(limits).spend(self, 0)
    }
}

macro_rules! from_whole {
    ($($name:ident)+) => {$(
        impl From<$name> for Value {
            fn from(number: $name) -> Self {
                Self::Int(number.into())
            }
        }
    )+};
}
from_whole!(u8 u16 u32 u64 i8 i16 i32 i64);

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f32> for Value {
    fn from(number: f32) -> Self {
        Self::Float(number.into())
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any value that a field can have.
    pub(crate) fn any_leaf() -> impl Strategy<Value = Value> {
        let whole = -(1_i128 << 64)..(1_i128 << 64);
        let scalar = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            whole.prop_map(Value::Int),
            proptest::num::f64::NORMAL.prop_map(Value::Float),
        ];
        prop_oneof![
            Just(Value::Null),
            scalar.clone(),
            "[a-z]{0,6}".prop_map(Value::Text),
            proptest::collection::vec(scalar, 1..5).prop_map(Value::Array),
        ]
    }

    /// Any tree of at most four levels.
    pub(crate) fn any_value() -> impl Strategy<Value = Value> {
        let whole = -(1_i128 << 64)..(1_i128 << 64);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            whole.prop_map(Value::Int),
            proptest::num::f64::NORMAL.prop_map(Value::Float),
            "[a-z]{0,6}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..6).prop_map(Value::Bytes),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                proptest::collection::btree_map("[a-c]{0,2}", inner, 0..4).prop_map(Value::Map),
            ]
        })
    }

    #[test]
    fn each_limit_is_named_when_it_is_passed() {
        let value = Value::map([("ab", Value::Array(alloc::vec![Value::from("xyz")]))]);
        assert_eq!(value.check(Limits::new(2, 3, 5)), Ok(()));
        let check = |depth, values, bytes| value.check(Limits::new(depth, values, bytes));
        assert_eq!(check(1, 3, 5), Err(LimitError::Depth { limit: 1 }));
        assert_eq!(check(2, 2, 5), Err(LimitError::Values { limit: 2 }));
        assert_eq!(check(2, 3, 4), Err(LimitError::Bytes { limit: 4 }));
    }
}
