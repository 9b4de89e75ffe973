//! One field that is described at run time.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::leaf::{Kind, Leaf, LeafError, LeafReader};
use crate::schema::{Access, Field, FieldId, LocalEdit, Schema, fingerprint};
use crate::value::Value;

/// The longest text, and the most values of a list and names of an enum.
const MAX_TEXT: u16 = 1_000;
const MAX_LIST: u16 = 64;
const MAX_NAMES: usize = 256;

/// What a field of a [`Shape`](super::Shape) is: its number, path, kind, and who states it.
#[derive(Clone, Debug)]
pub struct Spec {
    id: FieldId,
    path: String,
    kind: Kind,
    access: Access,
    optional: bool,
    local: LocalEdit,
    len: u16,
    range: Option<(f64, f64)>,
    deadband: Option<f64>,
    variants: Vec<(String, u16)>,
}

impl Spec {
    /// A field; `path` is a JSON Pointer (RFC 6901).
    #[must_use]
    pub fn new(id: u16, path: &str, kind: Kind, access: Access) -> Self {
        Self {
            id: FieldId::new(id),
            path: path.to_owned(),
            kind,
            access,
            optional: false,
            local: LocalEdit::LastIntent,
            len: 0,
            range: None,
            deadband: None,
            variants: Vec::new(),
        }
    }

    /// May have no value.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Is a list of so many values, or a text of at most so many bytes.
    #[must_use]
    pub const fn with_len(mut self, len: u16) -> Self {
        self.len = len;
        self
    }

    /// Has a least and a greatest value, both allowed; of a list, each value has.
    #[must_use]
    pub const fn with_range(mut self, least: f64, greatest: f64) -> Self {
        self.range = Some((least, greatest));
        self
    }

    /// Changes smaller than this are not reported.
    #[must_use]
    pub const fn with_deadband(mut self, step: f64) -> Self {
        self.deadband = Some(step);
        self
    }

    /// Says what an edit made at the device means.
    #[must_use]
    pub const fn with_local(mut self, policy: LocalEdit) -> Self {
        self.local = policy;
        self
    }

    /// Has these names, with the numbers that travel; for [`Kind::Enum`].
    #[must_use]
    pub fn with_names<'a>(mut self, names: impl IntoIterator<Item = (&'a str, u16)>) -> Self {
        let names = names.into_iter().take(MAX_NAMES + 1);
        self.variants = names
            .map(|(name, number)| (name.to_owned(), number))
            .collect();
        self
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> FieldId {
        self.id
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What the engine must know of it; `None` when it contradicts itself.
    pub(super) fn field(&self) -> Option<Field> {
        let is_list = self.len > 0 && !matches!(self.kind, Kind::Text);
        let one = match self.kind {
            Kind::Bool => 1,
            Kind::Enum => 3,
            Kind::F32 => 5,
            Kind::Text => self.len + 3,
            _ => 9,
        };
        let is_sound = match self.kind {
            Kind::Text => (1..=MAX_TEXT).contains(&self.len),
            Kind::Enum => (1..=MAX_NAMES).contains(&self.variants.len()) && self.are_names_unique(),
            _ => true,
        } && (!is_list || self.len <= MAX_LIST)
            && self.range.is_none_or(|(least, greatest)| least <= greatest)
            && self.deadband.is_none_or(|step| step >= 0.0);
        let mut field = Field::of::<bool>(self.id.get(), self.access);
        (field.kind, field.optional, field.local) = (self.kind, self.optional, self.local);
        field.len = self.len;
        field.max_bytes = if is_list { 2 + self.len * one } else { one };
        is_sound.then_some(field)
    }

    fn are_names_unique(&self) -> bool {
        let mut names: Vec<_> = self.variants.iter().collect();
        names.sort_unstable_by_key(|(_, number)| *number);
        let numbers = names.windows(2).all(|pair| match pair {
            [(_, one), (_, two)] => one != two,
            _ => true,
        });
        names.sort_unstable();
        numbers
            && names.windows(2).all(|pair| match pair {
                [(one, _), (two, _)] => one != two,
                _ => true,
            })
    }

    /// The value in the form that the field has.
    pub(super) fn fit(&self, value: Value) -> Result<Value, LeafError> {
        match value {
            Value::Null if self.optional => Ok(Value::Null),
            Value::Array(values) if self.is_list() => {
                if values.len() != usize::from(self.len) {
                    return Err(LeafError::Kind);
                }
                // As in a struct: what one of them is comes before how large another is.
                let values = values.into_iter().map(|value| self.of_kind(value));
                let values = values.collect::<Result<Vec<_>, _>>()?;
                values
                    .iter()
                    .try_for_each(|value| self.check_range(value))?;
                Ok(Value::Array(values))
            }
            value if !self.is_list() => {
                let value = self.of_kind(value)?;
                self.check_range(&value)?;
                Ok(value)
            }
            _ => Err(LeafError::Kind),
        }
    }

    /// Reads what a message or a record says, with what reads the fields of a struct: the same bytes are the same value,
    /// and are refused for the same reason.
    pub(super) fn read(&self, input: &mut LeafReader<'_>) -> Result<Value, LeafError> {
        if self.optional && input.none() {
            return Ok(Value::Null);
        }
        if !self.is_list() {
            let value = self.read_one(input)?;
            self.check_range(&value)?;
            return Ok(value);
        }
        if input.array() != Some(self.len.into()) {
            return Err(LeafError::Kind);
        }
        let values = (0..self.len).map(|_| self.read_one(input));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        values
            .iter()
            .try_for_each(|value| self.check_range(value))?;
        Ok(Value::Array(values))
    }

    fn read_one(&self, input: &mut LeafReader<'_>) -> Result<Value, LeafError> {
        Ok(match self.kind {
            Kind::Bool => leaf::<bool>(input)?.into(),
            Kind::Unsigned => leaf::<u64>(input)?.into(),
            Kind::Signed => leaf::<i64>(input)?.into(),
            Kind::F32 => f64::from(leaf::<f32>(input)?).into(),
            Kind::F64 => leaf::<f64>(input)?.into(),
            Kind::Text => {
                let text = input.text().ok_or(LeafError::Kind)?;
                if text.len() > self.len.into() {
                    return Err(LeafError::Range);
                }
                text.into()
            }
            Kind::Enum => self
                .variant(&Value::Int(leaf::<u16>(input)?.into()))?
                .into(),
        })
    }

    pub(super) fn initial(&self) -> Value {
        let one = match self.kind {
            _ if self.optional => return Value::Null,
            Kind::Bool => Value::Bool(false),
            Kind::F32 | Kind::F64 => Value::Float(0.0),
            Kind::Text => Value::Text(String::new()),
            Kind::Enum => self
                .variants
                .first()
                .map_or(0, |(_, number)| *number)
                .into(),
            Kind::Unsigned | Kind::Signed => Value::Int(0),
        };
        if self.is_list() {
            Value::Array(alloc::vec![one; self.len.into()])
        } else {
            one
        }
    }

    /// Some value that is not this one, in the field's form.
    pub(super) fn other(&self, value: &Value) -> Value {
        match value {
            Value::Null => Self::initial(&Self {
                optional: false,
                ..self.clone()
            }),
            _ if self.optional => Value::Null,
            Value::Bool(value) => Value::Bool(!value),
            Value::Int(number) => Value::Int(number ^ 1),
            Value::Float(number) => Value::Float(if *number == 0.0 { 1.0 } else { 0.0 }),
            Value::Text(text) if text.is_empty() => Value::from("x"),
            Value::Text(_) => Value::from(""),
            Value::Array(values) => {
                let scalar = Self {
                    len: 0,
                    ..self.clone()
                };
                Value::Array(values.iter().map(|value| scalar.other(value)).collect())
            }
            _ => Value::Null,
        }
    }

    /// Whether a value is at least the deadband away from what was told.
    pub(super) fn moved(&self, value: &Value, told: &Value) -> bool {
        match (value, told, self.deadband) {
            (Value::Array(values), Value::Array(told), Some(_)) if values.len() == told.len() => {
                let mut pairs = values.iter().zip(told);
                pairs.any(|(value, told)| self.moved(value, told))
            }
            (value, told, Some(step)) => match (value.as_f64(), told.as_f64()) {
                // Not-a-number cannot be compared.
                (Some(value), Some(told)) if value.is_finite() && told.is_finite() => {
                    value != told && (value - told).abs() >= step
                }
                _ => value.to_cbor() != told.to_cbor(),
            },
            // Not-a-number is the same as itself.
            _ => value.to_cbor() != told.to_cbor(),
        }
    }

    /// Whether a value is at least as great as another one; no value is less than each.
    pub(super) fn reaches(&self, value: &Value, other: &Value) -> bool {
        match (value, other) {
            (_, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one >= two,
            (Value::Int(one), Value::Int(two)) => one >= two,
            (one, two) => {
                let numbers = one.as_f64().zip(two.as_f64());
                numbers.is_some_and(|(one, two)| one >= two)
            }
        }
    }

    /// Mixes what values the field has into a fingerprint, as it is made for a struct.
    pub(super) fn stamp(&self, before: u32) -> u32 {
        let Some(field) = self.field() else {
            return before;
        };
        let mut schema = Schema::new(field, "");
        schema.range = self.range;
        let mut hash = before.rotate_left(5) ^ fingerprint(&[schema]);
        for (_, number) in &self.variants {
            hash = hash.wrapping_mul(0x0100_0193) ^ u32::from(*number);
        }
        hash
    }

    const fn is_list(&self) -> bool {
        self.len > 0 && !matches!(self.kind, Kind::Text)
    }

    fn of_kind(&self, value: Value) -> Result<Value, LeafError> {
        Ok(match (self.kind, value) {
            (Kind::Bool, value @ Value::Bool(_)) => value,
            (Kind::Unsigned, Value::Int(number)) => {
                u64::try_from(number).map_err(|_| LeafError::Range)?.into()
            }
            (Kind::Signed, Value::Int(number)) => {
                i64::try_from(number).map_err(|_| LeafError::Range)?.into()
            }
            (kind @ (Kind::F32 | Kind::F64), value @ (Value::Int(_) | Value::Float(_))) => {
                let number = value.as_f64().ok_or(LeafError::Kind)?;
                Value::Float(if matches!(kind, Kind::F32) {
                    single(number)
                } else {
                    number
                })
            }
            (Kind::Text, Value::Text(text)) if text.len() <= self.len.into() => Value::Text(text),
            (Kind::Text, Value::Text(_)) => return Err(LeafError::Range),
            (Kind::Enum, value) => self.variant(&value)?.into(),
            _ => return Err(LeafError::Kind),
        })
    }

    /// Held against the range in the field's own type, as a struct does: single precision is rounded, and whole numbers are
    /// exact.
    fn check_range(&self, value: &Value) -> Result<(), LeafError> {
        let Some((least, greatest)) = self.range else {
            return Ok(());
        };
        let is_within = match value {
            Value::Int(number) => (ceil(least)..=floor(greatest)).contains(number),
            Value::Float(number) if matches!(self.kind, Kind::F32) => {
                (single(least)..=single(greatest)).contains(number)
            }
            Value::Float(number) => (least..=greatest).contains(number),
            _ => true,
        };
        if is_within {
            Ok(())
        } else {
            Err(LeafError::Range)
        }
    }

    fn variant(&self, value: &Value) -> Result<u16, LeafError> {
        let is_meant = |(name, number): &&(String, u16)| match value {
            Value::Text(text) => text == name,
            Value::Int(wanted) => i128::from(*number) == *wanted,
            _ => false,
        };
        if !matches!(value, Value::Text(_) | Value::Int(_)) {
            return Err(LeafError::Kind);
        }
        let found = self.variants.iter().find(is_meant);
        found.map(|(_, number)| *number).ok_or(LeafError::Variant)
    }
}

fn leaf<L: Leaf>(input: &mut LeafReader<'_>) -> Result<L, LeafError> {
    let mut value = L::INITIAL;
    value.decode(input)?;
    Ok(value)
}

/// The least whole number that is not below; the ends of what there is for what is beyond them.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "what has a fraction is far below either limit"
)]
fn ceil(number: f64) -> i128 {
    let whole = number as i128;
    whole.saturating_add((number > whole as f64).into())
}

/// The greatest that is not above.
fn floor(number: f64) -> i128 {
    ceil(-number).saturating_neg()
}

/// The nearest number in single precision.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to the field's precision is the purpose"
)]
fn single(number: f64) -> f64 {
    f64::from(number as f32)
}
