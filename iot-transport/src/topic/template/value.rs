//! The values of fields, and the Rust types that stand for them.

use iot_core::Channel;
use iot_core::authz::Direction;
use iot_core::id::check_name;

use super::kind::Kind;
use crate::topic::direction_name;
use crate::topic::map::direction_of;

/// The value of a field, borrowed from the topic or from the caller.
///
/// ```
/// use iot_transport::topic::template::Value;
/// assert_eq!(Value::from("boiler-7"), Value::Text("boiler-7"));
/// assert_eq!(Value::from(204_u16), Value::Number(204));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Value<'a> {
    /// Of a field of the kind `text`, `name` or `rest`.
    Text(&'a str),
    /// Of a field of the kind `u16`, `u32` or `u64`.
    Number(u64),
    /// Of a field of the kind `channel`.
    Channel(Channel),
    /// Of a field of the kind `direction`.
    Direction(Direction),
}

impl<'a> Value<'a> {
    /// Reads a value of that kind; `None` when the text is not one, or would be written otherwise.
    pub(super) fn read(kind: Kind, text: &'a str) -> Option<Self> {
        Some(match kind {
            Kind::Text => Self::Text(text).some_if(!text.is_empty() && is_clean(text, true))?,
            Kind::Name => Self::Text(text).some_if(check_name(text).is_ok())?,
            Kind::Rest => Self::Text(text).some_if(is_clean(text, false))?,
            Kind::U16 | Kind::U32 | Kind::U64 => {
                let number = number(text).filter(|&number| number <= most(kind))?;
                Self::Number(number)
            }
            Kind::Channel => Self::Channel(Channel::from_name(text)?),
            Kind::Direction => Self::Direction(direction_of(text)?),
        })
    }

    /// The text of a value for a field of that kind, in `room` when it is a number.
    pub(super) fn text<'b>(self, kind: Kind, room: &'b mut [u8; 20]) -> Result<&'b str, Unfit>
    where
        'a: 'b,
    {
        let (text, fits) = match (self, kind) {
            (Self::Text(text), Kind::Text | Kind::Name | Kind::Rest) => {
                (text, Self::read(kind, text).is_some())
            }
            (Self::Number(number), Kind::U16 | Kind::U32 | Kind::U64) => {
                (digits(number, room), number <= most(kind))
            }
            (Self::Channel(channel), Kind::Channel) => (channel.name(), true),
            (Self::Direction(direction), Kind::Direction) => (direction_name(direction), true),
            _ => return Err(Unfit::Kind),
        };
        fits.then_some(text).ok_or(Unfit::Value)
    }

    fn some_if(self, fits: bool) -> Option<Self> {
        fits.then_some(self)
    }
}

/// Why a value cannot be written.
pub(super) enum Unfit {
    Kind,
    Value,
}

fn is_clean(text: &str, one_level: bool) -> bool {
    !text.contains(|c| matches!(c, '+' | '#' | '\0') || (one_level && c == '/'))
}

const fn most(kind: Kind) -> u64 {
    match kind {
        Kind::U16 => u16::MAX as u64,
        Kind::U32 => u32::MAX as u64,
        _ => u64::MAX,
    }
}

/// A decimal number; a sign or a leading zero would be another spelling of the same value.
fn number(text: &str) -> Option<u64> {
    let canonical = text == "0" || text.starts_with(|c: char| matches!(c, '1'..='9'));
    text.parse().ok().filter(|_| canonical)
}

fn digits(mut number: u64, room: &mut [u8; 20]) -> &str {
    let mut from = room.len();
    for place in room.iter_mut().rev() {
        // The remainder of ten is a digit.
        *place = b'0'.saturating_add(u8::try_from(number % 10).unwrap_or(0));
        from = from.saturating_sub(1);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let used = room.get(from..).unwrap_or_default();
    core::str::from_utf8(used).unwrap_or_default()
}

mod sealed {
    #[allow(unnameable_types, reason = "so that nobody else implements it")]
    pub trait Sealed {}
}

/// A Rust type for the values of a field; the table of [`Kind`] says which stands for which.
///
/// This trait is sealed. A number takes no field of another width: what is read could not be held, or what is held not be
/// written.
///
/// ```
/// use iot_transport::topic::template::{FieldValue, Kind, Value};
/// assert_eq!(<u16 as FieldValue>::KINDS, [Kind::U16]);
/// assert_eq!(<&str as FieldValue>::of(Value::Text("a")), Some("a"));
/// assert_eq!(<u16 as FieldValue>::of(Value::Number(65_536)), None);
/// ```
pub trait FieldValue<'a>: Copy + Into<Value<'a>> + sealed::Sealed {
    /// The kinds of fields whose values it holds, each of them.
    const KINDS: &'static [Kind];

    /// Takes the value, if it is of this type.
    fn of(value: Value<'a>) -> Option<Self>;
}

macro_rules! field_value {
    ($($type:ty: $variant:ident of $($kind:ident)|+;)*) => { $(
        impl sealed::Sealed for $type {}

        impl<'a> From<$type> for Value<'a> {
            fn from(value: $type) -> Self {
                Self::$variant(value.into())
            }
        }

        impl<'a> FieldValue<'a> for $type {
            const KINDS: &'static [Kind] = &[$(Kind::$kind),+];

            fn of(value: Value<'a>) -> Option<Self> {
                match value {
                    Value::$variant(value) => value.try_into().ok(),
                    _ => None,
                }
            }
        }
    )* };
}

field_value! {
    u16: Number of U16;
    u32: Number of U32;
    u64: Number of U64;
    Channel: Channel of Channel;
    Direction: Direction of Direction;
}

impl sealed::Sealed for &str {}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> FieldValue<'a> for &'a str {
    const KINDS: &'static [Kind] = &[Kind::Text, Kind::Name, Kind::Rest];

    fn of(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}
