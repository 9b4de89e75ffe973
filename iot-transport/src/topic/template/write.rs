//! From values to the topic, or to the filter for it.

use super::kind::Kind;
use super::pieces::{Field, Piece, Pieces};
use super::value::{Unfit, Value};
use super::{MAX_BYTES, Template};

/// Why a topic or filter was not written. What the buffer holds then has no meaning.
///
/// ```
/// use iot_transport::topic::template::{Kind, Template, WriteError};
/// let template = Template::new("plant/{line}").unwrap();
/// let write = |name, value: &str| template.write(&mut [0; 32], &[(name, value.into())]).map(|_| ());
/// assert_eq!(write("lime", "a"), Err(WriteError::Unknown { value: 0 }));
/// assert_eq!(write("line", "a/b"), Err(WriteError::Value { field: 0, kind: Kind::Text }));
/// assert_eq!(write("line", &"a".repeat(65_535)), Err(WriteError::TooLong { bytes: 65_541 }));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// A value has a name that no field has.
    #[error("no field of the template has the name of value {value} (from 0): it was misspelt")]
    Unknown {
        /// Its place among the given values, from 0.
        value: usize,
    },
    /// Two values have the same name.
    #[error("value {value} (from 0) has the name of an earlier one: give one of them")]
    Twice {
        /// The place of the later one among the given values, from 0.
        value: usize,
    },
    /// A field of a topic has no value.
    #[error("field {field} of the template (from 0) has no value: give each field one")]
    Missing {
        /// Its place in the template, from 0.
        field: usize,
    },
    /// A value is of another kind than its field.
    #[error("field {field} of the template (from 0) is of the kind {kind}, and its value is not")]
    Kind {
        /// The field's place in the template, from 0.
        field: usize,
        /// The kind of the field.
        kind: Kind,
    },
    /// A value is not one that its field may have.
    #[error("field {field} of the template (from 0) needs {}", kind.rule())]
    Value {
        /// The field's place in the template, from 0.
        field: usize,
        /// The kind of the field.
        kind: Kind,
    },
    /// The buffer is too small.
    #[error("the buffer is too small: give it {needed} bytes")]
    Buffer {
        /// So many bytes would have been enough.
        needed: usize,
    },
    /// No topic may be that long.
    #[error("the topic would have {bytes} bytes: MQTT allows {MAX_BYTES}")]
    TooLong {
        /// How long it would be.
        bytes: usize,
    },
}

/// What becomes of a field without a value.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Unbound {
    Refused,
    Wildcard,
}

pub(super) fn compose<'b>(
    template: Template<'_>,
    buffer: &'b mut [u8],
    values: &[(&str, Value<'_>)],
    unbound: Unbound,
) -> Result<&'b str, WriteError> {
    each_names_a_field(template, values)?;
    let mut out = Out::new(buffer);
    let mut index = 0_usize;
    for piece in Pieces::new(template.text) {
        let Field { name, kind } = match piece {
            Piece::Literal(text) => {
                out.literal(text);
                continue;
            }
            Piece::Field(field) => field,
        };
        let (field, mut room) = (index, [0; 20]);
        index = index.saturating_add(1);
        match values.iter().find(|(named, _)| *named == name) {
            Some((_, value)) => match value.text(kind, &mut room) {
                Ok(text) if out.end > 0 || !text.starts_with('$') => out.push(text),
                Err(Unfit::Kind) => return Err(WriteError::Kind { field, kind }),
                _ => return Err(WriteError::Value { field, kind }),
            },
            None if unbound == Unbound::Refused => return Err(WriteError::Missing { field }),
            None => out.wildcard = Some(if kind == Kind::Rest { "#" } else { "+" }),
        }
    }
    out.finish()
}

fn each_names_a_field(
    template: Template<'_>,
    values: &[(&str, Value<'_>)],
) -> Result<(), WriteError> {
    for (value, (name, _)) in values.iter().enumerate() {
        if !template.fields().any(|field| field.name == *name) {
            return Err(WriteError::Unknown { value });
        }
        if values
            .iter()
            .take(value)
            .any(|(earlier, _)| earlier == name)
        {
            return Err(WriteError::Twice { value });
        }
    }
    Ok(())
}

/// The buffer, filled from its front; what does not fit is only counted.
struct Out<'b> {
    buffer: &'b mut [u8],
    end: usize,
    /// Where the level began that is being written.
    level: usize,
    /// What this level becomes as a whole.
    wildcard: Option<&'static str>,
}

impl<'b> Out<'b> {
    const fn new(buffer: &'b mut [u8]) -> Self {
        let (end, level, wildcard) = (0, 0, None);
        Self {
            buffer,
            end,
            level,
            wildcard,
        }
    }

    fn literal(&mut self, text: &str) {
        let Some((front, last)) = text.rsplit_once('/') else {
            return self.push(text);
        };
        // A wildcard stands for its level up to the first of these slashes.
        let (first, levels) = front
            .split_once('/')
            .map_or((front, None), |(first, more)| (first, Some(more)));
        self.push(first);
        self.close_level();
        for level in levels.into_iter().flat_map(|levels| levels.split('/')) {
            self.push("/");
            self.push(level);
        }
        self.push("/");
        self.level = self.end;
        self.push(last);
    }

    fn close_level(&mut self) {
        if let Some(wildcard) = self.wildcard.take() {
            self.end = self.level;
            self.push(wildcard);
        }
    }

    fn push(&mut self, text: &str) {
        let from = self.end;
        self.end = from.saturating_add(text.len());
        if let Some(room) = self.buffer.get_mut(from..self.end) {
            room.copy_from_slice(text.as_bytes());
        }
    }

    fn finish(mut self) -> Result<&'b str, WriteError> {
        self.close_level();
        let bytes = self.end;
        if bytes > MAX_BYTES {
            return Err(WriteError::TooLong { bytes });
        }
        let short = WriteError::Buffer { needed: bytes };
        let written = self.buffer.get(..bytes).ok_or(short)?;
        core::str::from_utf8(written).map_err(|_| short)
    }
}
