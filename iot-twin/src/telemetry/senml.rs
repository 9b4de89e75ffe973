//! SenML in CBOR: a writer that fills a buffer, and a reader that resolves base values in place.

mod read;
mod write;

use core::fmt;

pub use read::{ReadError, Records};
pub use write::{Pack, PackError};

/// The version of SenML this crate speaks (RFC 8428 §4.4).
pub const VERSION: u64 = 10;
/// Times below are relative to now (RFC 8428 §4.5.3): 2^28 seconds.
pub const RELATIVE_BELOW_S: f64 = 268_435_456.0;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Measured<'a> {
    /// A number.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// A truth value.
    Bool(bool),
    /// Bytes.
    Data(&'a [u8]),
}

impl From<f64> for Measured<'_> {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

// The shortest decimal is what was meant: 21.1 in single precision is not 21.100000381469727. A chip does not
// print and parse numbers for that, so that the value is taken as it is.
impl From<f32> for Measured<'_> {
    fn from(number: f32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Measured<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl<'a> From<&'a str> for Measured<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

/// A measurement to be written; times are relative to the pack's base time.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Entry<'a> {
    /// What follows the base name.
    pub name: &'a str,
    /// Its unit; `None` for the base unit.
    pub unit: Option<&'a str>,
    /// What was measured.
    pub value: Measured<'a>,
    /// When, in seconds after the base time; negative before it.
    pub time_s: f64,
}

impl<'a> Entry<'a> {
    /// A measurement at the base time, in the base unit.
    pub fn new(name: &'a str, value: impl Into<Measured<'a>>) -> Self {
        Self {
            name,
            unit: None,
            value: value.into(),
            time_s: 0.0,
        }
    }

    /// Gives it a unit of its own.
    #[must_use]
    pub const fn with_unit(mut self, unit: &'a str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// Moves it in time.
    #[must_use]
    pub const fn at_s(mut self, time_s: f64) -> Self {
        self.time_s = time_s;
        self
    }
}

/// A name in two parts, as it stands in the pack.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Name<'a> {
    base: &'a str,
    rest: &'a str,
}

impl Name<'_> {
    /// Its length in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.base.len() + self.rest.len()
    }

    /// Whether it is empty; a valid name is not.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Whether SenML allows it: `A-Z a-z 0-9 - : . / _`, beginning with a letter or digit (RFC 8428 §4.5.1).
    #[must_use]
    pub fn is_valid(self) -> bool {
        let allowed = |byte: u8| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b':' | b'.' | b'/' | b'_')
        };
        let mut bytes = self.base.bytes().chain(self.rest.bytes());
        bytes
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
            && bytes.all(allowed)
    }
}

impl PartialEq<str> for Name<'_> {
    fn eq(&self, text: &str) -> bool {
        text.strip_prefix(self.base) == Some(self.rest)
    }
}

impl PartialEq<&str> for Name<'_> {
    fn eq(&self, text: &&str) -> bool {
        *self == **text
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base)?;
        f.write_str(self.rest)
    }
}

/// A measurement that was read, its base values resolved.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Record<'a> {
    /// Its whole name.
    pub name: Name<'a>,
    /// Its unit, where it has one.
    pub unit: Option<&'a str>,
    /// What was measured; `None` when only a sum was.
    pub value: Option<Measured<'a>>,
    /// The integral of the value over time, where it was sent.
    pub sum: Option<f64>,
    /// When, in seconds since 1970, or relative to now when below [`RELATIVE_BELOW_S`].
    pub time_s: f64,
    /// Until when the next is to be expected at the latest, in seconds from then on.
    pub update_s: Option<f64>,
}

impl Record<'_> {
    /// When, in seconds since 1970, if it is now `now_s` there.
    #[must_use]
    pub fn time_at_s(&self, now_s: f64) -> f64 {
        if self.time_s < RELATIVE_BELOW_S {
            now_s + self.time_s
        } else {
            self.time_s
        }
    }
}

mod label {
    //! The integer labels (RFC 8428 §6, table 4).
    pub(super) const VERSION: i64 = -1;
    pub(super) const BASE_NAME: i64 = -2;
    pub(super) const BASE_TIME: i64 = -3;
    pub(super) const BASE_UNIT: i64 = -4;
    pub(super) const BASE_VALUE: i64 = -5;
    pub(super) const BASE_SUM: i64 = -6;
    pub(super) const NAME: i64 = 0;
    pub(super) const UNIT: i64 = 1;
    pub(super) const VALUE: i64 = 2;
    pub(super) const TEXT: i64 = 3;
    pub(super) const BOOL: i64 = 4;
    pub(super) const SUM: i64 = 5;
    pub(super) const TIME: i64 = 6;
    pub(super) const UPDATE: i64 = 7;
    pub(super) const DATA: i64 = 8;
}

#[cfg(test)]
mod tests;
