//! Values in the form that a field has, or not.

use alloc::vec;
use alloc::vec::Vec;

use super::DesireError;
use crate::leaf::{Kind, LeafWriter, narrow};
use crate::reflect::{Desired, Twin};
use crate::schema::Schema;
use crate::value::{Limits, Value};

/// Applies `edit` and says which desired fields it changed.
pub(super) fn changes<T: Twin>(twin: &mut T, edit: impl Fn(&mut T::Desired)) -> Vec<usize> {
    let mut before = T::INITIAL;
    (0..T::FIELDS.len()).for_each(|index| before.copy(index, twin));
    let mut view = <T::Desired as Desired>::of(twin);
    edit(&mut view);
    view.put(twin);
    (0..T::FIELDS.len())
        .filter(|&index| encoded(twin, index) != encoded(&before, index))
        .collect()
}

pub(super) fn value_of<T: Twin>(twin: &T, index: usize) -> Option<Value> {
    Value::from_cbor(&encoded(twin, index)?, Limits::DEFAULT).ok()
}

fn encoded<T: Twin>(twin: &T, index: usize) -> Option<Vec<u8>> {
    let mut buffer = vec![0; T::FIELDS.get(index)?.max_bytes.into()];
    let mut out = LeafWriter::new(&mut buffer);
    twin.encode(index, &mut out);
    let len = out.finish()?.len();
    buffer.truncate(len);
    Some(buffer)
}

/// The value in the form that the field has.
pub(in crate::sync::service) fn fit(schema: &Schema, value: Value) -> Result<Value, DesireError> {
    let field = &schema.field;
    let value = match value {
        Value::Null if field.optional => Ok(value),
        Value::Array(values) if field.is_list() => {
            if values.len() != usize::from(field.len) {
                return Err(DesireError::Kind);
            }
            let values = values.into_iter().map(|value| fit_one(schema, value));
            values.collect::<Result<_, _>>().map(Value::Array)
        }
        value if !field.is_list() => fit_one(schema, value),
        _ => Err(DesireError::Kind),
    }?;
    check(&value).map(|()| value)
}

/// The longest value of a field, encoded; and how many values a list may have.
const MAX_BYTES: usize = 1_024;
const MAX_ITEMS: usize = 64;

/// Whether a message can carry it as the value of some field: a scalar, a text, or a list of scalars.
pub(in crate::sync::service) fn check(value: &Value) -> Result<(), DesireError> {
    let whole = -(1_i128 << 64)..(1_i128 << 64);
    let is_scalar = |value: &Value| match value {
        Value::Bool(_) | Value::Float(_) => true,
        Value::Int(number) => whole.contains(number),
        _ => false,
    };
    match value {
        Value::Null | Value::Text(_) => {}
        Value::Array(values) if !values.is_empty() && values.iter().all(is_scalar) => {
            if values.len() > MAX_ITEMS {
                return Err(DesireError::Range);
            }
        }
        value if is_scalar(value) => {}
        _ => return Err(DesireError::Kind),
    }
    if value.to_cbor().len() > MAX_BYTES {
        return Err(DesireError::Range);
    }
    Ok(())
}

fn fit_one(schema: &Schema, value: Value) -> Result<Value, DesireError> {
    let value = match (schema.field.kind, value) {
        (Kind::Bool, value @ Value::Bool(_)) => value,
        (Kind::Unsigned, Value::Int(number)) => u64::try_from(number)
            .map_err(|_| DesireError::Range)?
            .into(),
        (Kind::Signed, Value::Int(number)) => i64::try_from(number)
            .map_err(|_| DesireError::Range)?
            .into(),
        (kind @ (Kind::F32 | Kind::F64), value @ (Value::Int(_) | Value::Float(_))) => {
            let number = value.as_f64().ok_or(DesireError::Kind)?;
            let number = if kind == Kind::F32 {
                round(number)
            } else {
                number
            };
            if !number.is_finite() {
                return Err(DesireError::Range);
            }
            Value::Float(number)
        }
        (Kind::Text, Value::Text(text)) => {
            if text.len() > schema.field.len.into() {
                return Err(DesireError::Range);
            }
            Value::Text(text)
        }
        (Kind::Enum, value) => Value::from(u64::from(variant(schema, &value)?)),
        _ => return Err(DesireError::Kind),
    };
    match (schema.range, value.as_f64()) {
        (Some((least, greatest)), Some(number)) if !(least..=greatest).contains(&number) => {
            Err(DesireError::Range)
        }
        _ => Ok(value),
    }
}

/// The number of the variant that a value names, or is the number of.
fn variant(schema: &Schema, value: &Value) -> Result<u16, DesireError> {
    let mut variants = schema.variants.iter();
    let variant = match value {
        Value::Text(name) => variants.find(|variant| variant.name == name),
        Value::Int(number) => variants.find(|variant| i128::from(variant.number) == *number),
        _ => return Err(DesireError::Kind),
    };
    Ok(variant.ok_or(DesireError::Range)?.number)
}

/// The nearest number in single precision, which is what the device would make of it.
fn round(number: f64) -> f64 {
    if narrow(number).is_some() {
        return number;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding to the field's precision is the purpose"
    )]
    let rounded = number as f32;
    f64::from(rounded)
}
