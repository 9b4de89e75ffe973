//! From a topic to the values of its fields.

use super::kind::Kind;
use super::pieces::{Field, Follows, Piece, Pieces};
use super::value::{FieldValue, Value};
use super::{MAX_BYTES, Template};

/// Why a topic does not follow a template.
///
/// ```
/// use iot_transport::topic::template::{MatchError, Template};
/// let template = Template::new("$iothub/twin/res/{status:u16}/?$rid={rid:u64}").unwrap();
/// let error = template.parse("$iothub/methods/POST/stop/?$rid=1").unwrap_err();
/// assert_eq!(error, MatchError::Layout { at: 0 });
/// let error = template.parse("$iothub/twin/res/ok/?$rid=1").unwrap_err();
/// let told = "at byte 17, the template needs a number from 0 to 65535 without sign and leading zero";
/// assert_eq!(error.to_string(), told);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum MatchError {
    /// Its text is another one.
    #[error("from byte {at} on, the topic is not what the template says")]
    Layout {
        /// From this byte of the topic on.
        at: usize,
    },
    /// There is no value of the field's kind.
    #[error("at byte {at}, the template needs {}", kind.rule())]
    Value {
        /// The byte of the topic where the value begins.
        at: usize,
        /// The kind of the field.
        kind: Kind,
    },
    /// No topic is that long.
    #[error("the topic is longer than {MAX_BYTES} bytes")]
    TooLong,
}

/// A field was asked for that is not there.
///
/// ```
/// use iot_transport::topic::template::{FieldError, Kind, Template};
/// let template = Template::new("plant/{machine:u16}").unwrap();
/// let values = template.parse("plant/7").unwrap();
/// assert_eq!(values.get::<u16>("engine"), Err(FieldError::Unknown));
/// assert_eq!(values.get::<u32>("machine"), Err(FieldError::Kind { kind: Kind::U16 }));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum FieldError {
    /// The template has no field of that name.
    #[error("the template has no field of that name: it was misspelt here or there")]
    Unknown,
    /// The field has another type.
    #[error("the field is of the kind {kind}, which this type does not hold")]
    Kind {
        /// The kind of the field.
        kind: Kind,
    },
}

/// The values that a topic has for the fields of a template, borrowed from it.
///
/// ```
/// use iot_transport::topic::template::{Template, Value};
///
/// let template = Template::new("te/device/{device}/service/{service}/m/{kind}")?;
/// let values = template.parse("te/device/main/service/boiler/m/temperature")?;
/// let service: &str = values.get("service")?;
/// assert_eq!(service, "boiler");
/// assert!(values.get::<u16>("service").is_err(), "a text is no number");
/// let (field, value) = values.iter().next().unwrap();
/// assert_eq!((field.name, value), ("device", Value::Text("main")));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Values<'t, 'a> {
    template: Template<'t>,
    topic: &'a str,
}

impl<'t, 'a> Values<'t, 'a> {
    pub(super) fn new(template: Template<'t>, topic: &'a str) -> Result<Self, MatchError> {
        if topic.len() > MAX_BYTES {
            return Err(MatchError::TooLong);
        }
        let mut scan = Scan::new(template, topic);
        while scan.step()?.is_some() {}
        if !scan.left.is_empty() {
            return Err(MatchError::Layout { at: scan.at() });
        }
        Ok(Self { template, topic })
    }

    /// The value of the field of that name, as one of the types in the table of [`Kind`].
    ///
    /// # Errors
    ///
    /// [`FieldError`] when there is no such field, or when it is not of that type.
    pub fn get<V: FieldValue<'a>>(&self, name: &str) -> Result<V, FieldError> {
        let mut found = self.iter().filter(|(field, _)| field.name == name);
        let (Field { kind, .. }, value) = found.next().ok_or(FieldError::Unknown)?;
        let value = V::of(value).filter(|_| V::KINDS.contains(&kind));
        value.ok_or(FieldError::Kind { kind })
    }

    /// The fields and their values, in the order of the template.
    pub fn iter(&self) -> impl Iterator<Item = (Field<'t>, Value<'a>)> + use<'t, 'a> {
        let mut scan = Scan::new(self.template, self.topic);
        // The topic was read once: no step fails.
        core::iter::from_fn(move || scan.step().ok().flatten())
    }
}

/// A topic on its way past a template.
struct Scan<'t, 'a> {
    pieces: Pieces<'t>,
    topic: &'a str,
    left: &'a str,
}

impl<'t, 'a> Scan<'t, 'a> {
    const fn new(template: Template<'t>, topic: &'a str) -> Self {
        let (pieces, left) = (Pieces::new(template.text), topic);
        Self {
            pieces,
            topic,
            left,
        }
    }

    fn at(&self) -> usize {
        self.topic.len().saturating_sub(self.left.len())
    }

    /// The next field; `None` behind the last piece.
    fn step(&mut self) -> Result<Option<(Field<'t>, Value<'a>)>, MatchError> {
        while let Some(piece) = self.pieces.next() {
            let wrong = MatchError::Layout { at: self.at() };
            match piece {
                Piece::Literal(text) => self.left = self.left.strip_prefix(text).ok_or(wrong)?,
                Piece::Field(field) => return self.value(field).map(|value| Some((field, value))),
            }
        }
        Ok(None)
    }

    fn value(&mut self, field: Field<'t>) -> Result<Value<'a>, MatchError> {
        let (at, kind) = (self.at(), field.kind);
        let (text, left) = self.cut(kind).ok_or(MatchError::Layout { at })?;
        let fits = at > 0 || !text.starts_with('$');
        let value = Value::read(kind, text).filter(|_| fits);
        self.left = left;
        value.ok_or(MatchError::Value { at, kind })
    }

    /// Where the value ends. Each template that passed the check leaves one answer.
    fn cut(&self, kind: Kind) -> Option<(&'a str, &'a str)> {
        let level = match kind {
            Kind::Rest => self.left,
            _ => self.left.split('/').next()?,
        };
        let end = match self.pieces.follows() {
            Follows::Literal(literal) => level.strip_suffix(literal)?.len(),
            Follows::Field => {
                let mut bytes = level.bytes();
                let stop = bytes.position(|byte| !kind.may_hold(byte));
                stop.unwrap_or(level.len())
            }
        };
        self.left.split_at_checked(end)
    }
}
