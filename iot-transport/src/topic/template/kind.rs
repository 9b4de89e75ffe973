//! What a field may hold.

use core::fmt;

/// The kind of a field: what its values are, and how they are written.
///
/// | written as | values | Rust type |
/// |---|---|---|
/// | `{x}` or `{x:text}` | one level or a part of it: not empty, without `/`, `+`, `#` and NUL | `&str` |
/// | `{x:name}` | a name by [`iot_core::id`], 1 to 64 bytes | `&str` |
/// | `{x:u16}`, `{x:u32}`, `{x:u64}` | a decimal number that fits, without sign and leading zero | `u16`, `u32`, `u64` |
/// | `{x:channel}` | the name of a [`Channel`](iot_core::Channel) | `Channel` |
/// | `{x:direction}` | `up` or `down` | [`Direction`](iot_core::authz::Direction) |
/// | `{x:rest}` | what follows the last `/`, levels and empty text included, without `+`, `#` and NUL | `&str` |
///
/// ```
/// use iot_transport::topic::template::Kind;
/// assert_eq!(Kind::U16.name(), "u16");
/// assert_eq!(Kind::U16.rule(), "a number from 0 to 65535 without sign and leading zero");
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// One level or a part of it.
    Text,
    /// A name by the rules of [`iot_core::id`].
    Name,
    /// A number from 0 to 65,535.
    U16,
    /// A number from 0 to 4,294,967,295.
    U32,
    /// A number from 0 to 18,446,744,073,709,551,615.
    U64,
    /// The name of a channel.
    Channel,
    /// `up` or `down`.
    Direction,
    /// Everything that follows.
    Rest,
}

impl Kind {
    /// How it is written in a template.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Name => "name",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::Channel => "channel",
            Self::Direction => "direction",
            Self::Rest => "rest",
        }
    }

    /// What its values have to be, in words.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::Text => {
                "text without '/', '+', '#' and NUL, not empty, and without '$' where the topic begins"
            }
            Self::Name => {
                "a name: letters, digits, '-', '_' and '.', beginning with a letter or digit, at most 64"
            }
            Self::U16 => "a number from 0 to 65535 without sign and leading zero",
            Self::U32 => "a number from 0 to 4294967295 without sign and leading zero",
            Self::U64 => "a number from 0 to 18446744073709551615 without sign and leading zero",
            Self::Channel => "the name of a channel",
            Self::Direction => "up or down",
            Self::Rest => "levels without '+', '#' and NUL",
        }
    }

    pub(super) const fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"text" => Self::Text,
            b"name" => Self::Name,
            b"u16" => Self::U16,
            b"u32" => Self::U32,
            b"u64" => Self::U64,
            b"channel" => Self::Channel,
            b"direction" => Self::Direction,
            b"rest" => Self::Rest,
            _ => return None,
        })
    }

    /// Whether a value may contain this byte; a field ends in the middle of a level where it may not.
    pub(super) const fn may_hold(self, byte: u8) -> bool {
        match self {
            Self::Text | Self::Rest => true,
            Self::Name => byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'),
            Self::U16 | Self::U32 | Self::U64 => byte.is_ascii_digit(),
            Self::Channel | Self::Direction => byte.is_ascii_lowercase(),
        }
    }

    pub(super) const fn is(self, other: Self) -> bool {
        self as u8 == other as u8
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
