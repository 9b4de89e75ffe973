//! The body of a patch, expanded byte by byte.

use super::error::PatchError;
use super::heatshrink::Heatshrink;
use super::number::Number;

/// How a body is compressed, and where in it we are.
#[derive(Clone, Debug)]
pub(super) enum Expand<const WINDOW: usize> {
    Plain,
    Crle(Crle),
    Heatshrink(Heatshrink<WINDOW>),
}

/// Conditional run lengths: scattered bytes as they are, repeated ones once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Crle {
    Kind,
    Length { repeated: bool, length: Number },
    Scattered { left: u32 },
    Repeated { left: u32, byte: Option<u8> },
}

impl<const WINDOW: usize> Expand<WINDOW> {
    pub(super) const fn of(method: u8) -> Result<Self, PatchError> {
        match method {
            0 => Ok(Self::Plain),
            2 => Ok(Self::Crle(Crle::Kind)),
            4 => Ok(Self::Heatshrink(Heatshrink::new())),
            found => Err(PatchError::Compression { found }),
        }
    }

    /// The next byte; `None` when more has to come in first.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<u8>, PatchError> {
        match self {
            Self::Plain => Ok(take(input)),
            Self::Crle(crle) => crle.next(input),
            Self::Heatshrink(heatshrink) => heatshrink.next(input),
        }
    }

    /// Whether a byte can come without anything coming in.
    pub(super) const fn has_more(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Crle(crle) => matches!(crle, Crle::Repeated { byte: Some(_), .. }),
            Self::Heatshrink(heatshrink) => heatshrink.has_more(),
        }
    }

    /// Whether nothing but padding is left of what came in.
    pub(super) const fn is_at_end(&self) -> bool {
        match self {
            Self::Plain => true,
            Self::Crle(crle) => matches!(crle, Crle::Kind),
            Self::Heatshrink(heatshrink) => heatshrink.is_at_end(),
        }
    }
}

impl Crle {
    fn next(&mut self, input: &mut &[u8]) -> Result<Option<u8>, PatchError> {
        loop {
            match *self {
                Self::Kind => {
                    let Some(kind) = take(input) else {
                        return Ok(None);
                    };
                    let repeated = match kind {
                        0 => false,
                        1 => true,
                        _ => return Err(PatchError::Compressed),
                    };
                    let length = Number::default();
                    *self = Self::Length { repeated, length };
                }
                Self::Length {
                    repeated,
                    mut length,
                } => {
                    let Some(byte) = take(input) else {
                        return Ok(None);
                    };
                    *self = match (length.push_unsigned(byte)?, repeated) {
                        (None, _) => Self::Length { repeated, length },
                        (Some(0), _) => Self::Kind,
                        (Some(left), false) => Self::Scattered { left },
                        (Some(left), true) => Self::Repeated { left, byte: None },
                    };
                }
                Self::Scattered { left } => {
                    let Some(byte) = take(input) else {
                        return Ok(None);
                    };
                    *self = match left {
                        1 => Self::Kind,
                        _ => Self::Scattered { left: left - 1 },
                    };
                    return Ok(Some(byte));
                }
                Self::Repeated { left, byte: None } => match take(input) {
                    None => return Ok(None),
                    byte => *self = Self::Repeated { left, byte },
                },
                Self::Repeated { left, byte } => {
                    *self = match left {
                        1 => Self::Kind,
                        _ => Self::Repeated {
                            left: left - 1,
                            byte,
                        },
                    };
                    return Ok(byte);
                }
            }
        }
    }
}

pub(super) fn take(input: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = input.split_first()?;
    *input = rest;
    Some(byte)
}
