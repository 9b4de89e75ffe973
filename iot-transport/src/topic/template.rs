//! Topics of any layout: written down once, checked once, then read and written without a copy.
//!
//! A [`Template`] is the text of a topic with fields in braces. The same text reads a topic into borrowed values,
//! writes values into a buffer, and makes the filter to subscribe to:
//!
//! ```
//! use iot_transport::topic::matches;
//! use iot_transport::topic::template::Template;
//!
//! let reply = Template::new("$iothub/twin/res/{status:u16}/?$rid={rid:u64}")?;
//! let values = reply.parse("$iothub/twin/res/204/?$rid=7")?;
//! assert_eq!((values.get("status")?, values.get("rid")?), (204_u16, 7_u64));
//!
//! let mut buffer = [0; 64];
//! let topic = reply.write(&mut buffer, &[("status", 404_u16.into()), ("rid", 8_u64.into())])?;
//! assert_eq!(topic, "$iothub/twin/res/404/?$rid=8");
//!
//! let mut buffer = [0; 64];
//! let filter = reply.filter(&mut buffer, &[("status", 404_u16.into())])?;
//! assert_eq!(filter, "$iothub/twin/res/404/+");
//! assert!(matches(filter, topic));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Where the template is known as the program is compiled, [`template!`](crate::template!) makes a struct of it: then
//! a misspelt field, a wrong type and a template with a fault do not compile.
//!
//! # Laws
//!
//! - What is written for some values is read as the same values, and what is read is written as the same text. So no
//!   topic can be read in two ways; templates that would allow it are refused.
//! - The filter of a template, whichever of its fields are bound, matches each topic that is written for the same
//!   values, by [`matches`](crate::topic::matches()). It may match more, such as levels that are no numbers: what
//!   arrives has to be parsed.
//!
//! # The text of a template
//!
//! `{name}` or `{name:kind}` is a field; the kinds are those of [`Kind`]. A name is a lower-case letter and then
//! lower-case letters, digits and `_`. All else is literal, empty levels too, but never `+`, `#`, NUL or a brace.
//! A level may have literal text around a field, and several fields when each but the last ends where a byte follows
//! that it cannot hold, as in `{major:u16}.{minor:u16}`. `{x:rest}` is the end of a template, behind a `/`. It may be
//! empty: `a/{x:rest}` takes `a/`, but not `a`, which its filter `a/#` also matches. A level that begins with `$` in
//! front of the first `/` has no field, because no wildcard would match it ([MQTT-4.7.2-1]).
//!
//! A template refers to MQTT 3.1.1 and 5.0, section 4.7.

mod check;
mod kind;
mod macros;
mod parse;
mod pieces;
mod value;
mod write;

use core::fmt;

pub use kind::Kind;
#[doc(hidden)]
pub use macros::{checked, plain};
pub use parse::{FieldError, MatchError, Values};
pub use pieces::Field;
pub use value::{FieldValue, Value};
pub use write::WriteError;

use pieces::{Piece, Pieces};
use write::{Unbound, compose};

/// The longest topic, filter and template in bytes (MQTT 3.1.1 and 5.0, 4.7.3).
pub const MAX_BYTES: usize = 65_535;

/// What is wrong with a template, and where.
///
/// ```
/// use iot_transport::topic::template::{Template, TemplateError, TemplateFault};
/// let error = Template::new("plant/{line}{machine}").unwrap_err();
/// assert_eq!((error.at, error.fault), (12, TemplateFault::Ambiguous));
/// assert!(error.to_string().starts_with("byte 12 of the template: "));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("byte {at} of the template: {}", fault.remedy())]
#[non_exhaustive]
pub struct TemplateError {
    /// The byte at which it shows, from 0.
    pub at: usize,
    /// What it is.
    pub fault: TemplateFault,
}

/// What can be wrong with a template.
///
/// ```
/// use iot_transport::topic::template::TemplateFault;
/// assert!(TemplateFault::Kind.remedy().contains("text, name, u16"));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum TemplateFault {
    /// There is no text.
    Empty,
    /// There are more than [`MAX_BYTES`].
    TooLong,
    /// A wildcard or NUL stands in literal text.
    Character,
    /// A brace has no partner.
    Brace,
    /// The name of a field is none.
    Name,
    /// There is no such kind.
    Kind,
    /// Two fields have the same name.
    Twice,
    /// A field follows where the one before it may not have ended.
    Ambiguous,
    /// A field of the kind `rest` does not stand at the end behind a `/`.
    Rest,
    /// A field stands in a first level that begins with `$`.
    Dollar,
}

impl TemplateFault {
    /// What helps, in words; the compiler says the same of a [`template!`](crate::template!).
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Empty => "a template has at least one byte",
            Self::TooLong => "a template has at most 65535 bytes",
            Self::Character => "no topic holds '+', '#' or NUL: write a field, such as {name}",
            Self::Brace => "a field is {name} or {name:kind}, and braces stand for nothing else",
            Self::Name => "name the field with lower-case letters, digits and '_', a letter first",
            Self::Kind => "the kinds are text, name, u16, u32, u64, channel, direction and rest",
            Self::Twice => "an earlier field has that name: give each field its own",
            Self::Ambiguous => {
                "the field before this one may hold what stands between them: put a '/' there, or choose another kind"
            }
            Self::Rest => "a field of the kind rest stands at the end, behind a '/'",
            Self::Dollar => "no wildcard matches a first level that begins with '$': write it out",
        }
    }
}

/// A topic with fields, checked. The [module](self) has the laws and the form of its text.
///
/// It is as small as a `&str`; each call walks over its text.
///
/// ```
/// use iot_transport::topic::Template;
/// let template = Template::new("te/device/{device}///cmd/{operation}/{id}")?;
/// let values = template.parse("te/device/main///cmd/restart/c8y-1")?;
/// assert_eq!(values.get("operation"), Ok("restart"));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Template<'t> {
    text: &'t str,
}

impl<'t> Template<'t> {
    /// Checks a template. For constants there is [`template!`](crate::template!), with which a fault does not compile.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] with the first byte that is wrong and what helps.
    ///
    /// ```
    /// use iot_transport::topic::template::{Template, TemplateFault};
    /// assert!(Template::new("te/device/{device}///m/{kind}").is_ok());
    /// let error = Template::new("te/device/+///m/{kind}").unwrap_err();
    /// assert_eq!((error.at, error.fault), (10, TemplateFault::Character));
    /// ```
    pub const fn new(text: &'t str) -> Result<Self, TemplateError> {
        match check::check(text) {
            Ok(()) => Ok(Self { text }),
            Err(error) => Err(error),
        }
    }

    /// The text it was made of.
    ///
    /// ```
    /// use iot_transport::topic::Template;
    /// assert_eq!(Template::new("plant/{line}").unwrap().as_str(), "plant/{line}");
    /// ```
    #[must_use]
    pub const fn as_str(&self) -> &'t str {
        self.text
    }

    /// Its fields, in their order.
    ///
    /// ```
    /// use iot_transport::topic::Template;
    /// let template = Template::new("plant/{line}/{machine:u16}").unwrap();
    /// assert!(template.fields().map(|field| field.name).eq(["line", "machine"]));
    /// ```
    pub fn fields(&self) -> impl Iterator<Item = Field<'t>> + use<'t> {
        Pieces::new(self.text).filter_map(|piece| match piece {
            Piece::Field(field) => Some(field),
            Piece::Literal(_) => None,
        })
    }

    /// Reads a topic where it stands.
    ///
    /// # Errors
    ///
    /// [`MatchError`] for anything that [`write`](Self::write) does not write.
    ///
    /// ```
    /// use iot_transport::topic::template::{Kind, MatchError, Template};
    /// let template = Template::new("plant/{line}/{machine:u16}")?;
    /// assert_eq!(template.parse("plant/a/7")?.get("machine"), Ok(7_u16));
    /// let error = template.parse("plant/a/07").unwrap_err();
    /// assert_eq!(error, MatchError::Value { at: 8, kind: Kind::U16 });
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn parse<'a>(&self, topic: &'a str) -> Result<Values<'t, 'a>, MatchError> {
        Values::new(*self, topic)
    }

    /// Writes the topic for these values, each with the name of its field, in any order, to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when a field has no value, not the kind of value, or not one that it may have; when a value has
    /// no field; when `buffer` is too small; and above [`MAX_BYTES`].
    ///
    /// ```
    /// use iot_transport::topic::template::{Template, WriteError};
    /// let template = Template::new("plant/{line}/{machine:u16}")?;
    /// let values = [("machine", 7_u16.into()), ("line", "a".into())];
    /// assert_eq!(template.write(&mut [0; 16], &values)?, "plant/a/7");
    /// assert_eq!(template.write(&mut [0; 8], &values), Err(WriteError::Buffer { needed: 9 }));
    /// assert_eq!(template.write(&mut [0; 16], &values[..1]), Err(WriteError::Missing { field: 0 }));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn write<'b>(
        &self,
        buffer: &'b mut [u8],
        values: &[(&str, Value<'_>)],
    ) -> Result<&'b str, WriteError> {
        compose(*self, buffer, values, Unbound::Refused)
    }

    /// Writes the filter for topics with these values to the front of `buffer`; other fields may be anything.
    ///
    /// A level with a field without a value becomes `+` as a whole, whatever else it holds, and a field of the kind
    /// `rest` becomes `#`.
    ///
    /// # Errors
    ///
    /// [`WriteError`], as [`write`](Self::write) does, but for fields without a value.
    ///
    /// ```
    /// use iot_transport::topic::Template;
    /// let template = Template::new("plant/{line}/m{machine:u16}/{what:rest}")?;
    /// assert_eq!(template.filter(&mut [0; 32], &[("line", "a".into())])?, "plant/a/+/#");
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn filter<'b>(
        &self,
        buffer: &'b mut [u8],
        values: &[(&str, Value<'_>)],
    ) -> Result<&'b str, WriteError> {
        compose(*self, buffer, values, Unbound::Wildcard)
    }
}

impl fmt::Display for Template<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text)
    }
}

#[cfg(test)]
mod tests;
