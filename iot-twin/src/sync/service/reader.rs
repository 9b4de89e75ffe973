//! What a service's user sees of a twin: wishes go in, reports come out.

pub(super) mod fit;

use alloc::collections::BTreeMap;
use core::fmt;

use super::{TwinService, is_writable};
use crate::leaf::LeafReader;
use crate::reflect::Twin;
use crate::schema::{FieldId, Schema, Sensitivity};
use crate::sync::slot::{Code, Version};
use crate::value::Value;
use fit::{changes, fit, value_of};

/// Why a value cannot be desired.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DesireError {
    /// No field of the schema has this name.
    #[error("the twin has no such field: use a name of its schema")]
    Unknown,
    /// Only the device states this field.
    #[error("the field is only reported, so nobody can desire it: give it `desired` in the struct")]
    ReadOnly,
    /// The value is of another kind than the field.
    #[error(
        "the value is of another kind than the field: desire one of the kind that the schema gives it"
    )]
    Kind,
    /// The value is outside the field's range.
    #[error(
        "the value is outside the field's range, or longer than the field: see both in its schema"
    )]
    Range,
}

/// A value as a device reported it.
#[derive(Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Reported<'a> {
    /// The value; null while the device does not know it.
    pub value: &'a Value,
    /// Whether it was reported before the device's last restart, and not since.
    pub stale: bool,
}

/// What a device answered to a desired value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Acknowledgement {
    /// The desired value's version.
    pub version: Version,
    /// The answer.
    pub code: Code,
}

// No value: some are not for logs.
impl fmt::Debug for Reported<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reported")
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

impl TwinService {
    /// Desires what `edit` changes of the desired fields; says how many fields that were.
    ///
    /// `edit` is called twice, with different values in the fields that were never desired, or whose desire the device
    /// has overridden or refused: so a field that it sets is told from one that it leaves alone. It must do the same
    /// both times. To set such a field to what it was is a new intent, as with [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// [`DesireError`] when a field that was set is outside its range; then nothing is desired.
    pub fn desire<T: Twin>(
        &mut self,
        edit: impl Fn(&mut T::Desired),
    ) -> Result<usize, DesireError> {
        let (mut one, mut two) = (T::INITIAL, T::INITIAL);
        for (index, field) in (0..).zip(T::FIELDS) {
            let wish = self
                .desired
                .get(&field.id)
                .filter(|wish| wish.value.is_some());
            let held = wish.is_some_and(|wish| {
                let read = |into: &mut T| {
                    let mut input = LeafReader::new(&wish.encoded);
                    into.decode(index, &mut input).is_ok()
                };
                read(&mut one) && read(&mut two)
            });
            if !held || wish.is_some_and(|wish| !wish.is_open()) {
                two.disturb(index);
            }
        }
        let changed_one = changes(&mut one, &edit);
        let changed_two = changes(&mut two, &edit);
        let mut news = BTreeMap::new();
        for (index, schema) in (0..)
            .zip(T::SCHEMA)
            .filter(|(_, schema)| is_writable(schema))
        {
            let set = changed_one.contains(&index) || changed_two.contains(&index);
            if !set {
                continue;
            }
            if !one.accepts(index) {
                return Err(DesireError::Range);
            }
            news.insert(
                schema.field.id,
                value_of(&one, index).ok_or(DesireError::Kind)?,
            );
        }
        let count = news.len();
        news.into_iter()
            .for_each(|(id, value)| self.wish(id, Some(value)));
        Ok(count)
    }

    /// Desires a value for a field of the schema; null is that an optional one shall have none.
    ///
    /// # Errors
    ///
    /// [`DesireError`] when the field is not one, cannot be desired, or cannot have the value.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), DesireError> {
        let value = value.into();
        let schema = self.schema(name)?;
        let value = fit(schema, value)?;
        let id = schema.field.id;
        self.wish(id, Some(value));
        Ok(())
    }

    /// Withdraws the desire for a field of the schema: the device keeps the value it has.
    ///
    /// # Errors
    ///
    /// [`DesireError`] when the field is not one, or cannot be desired.
    pub fn withdraw(&mut self, name: &str) -> Result<(), DesireError> {
        let id = self.schema(name)?.field.id;
        self.withdraw_field(id);
        Ok(())
    }

    /// Desires a value for the field with a number; whether the field can have it, the device will say.
    ///
    /// # Errors
    ///
    /// [`DesireError::Kind`] when it is none that any field has: a scalar, a text, a list of scalars, or null; and
    /// [`DesireError::Range`] when it is more than 1,024 bytes long, encoded, or a list of more than 64. Nothing
    /// has changed.
    pub fn set_field(&mut self, id: FieldId, value: impl Into<Value>) -> Result<(), DesireError> {
        let value = value.into();
        fit::check(&value)?;
        self.wish(id, Some(value));
        Ok(())
    }

    /// Withdraws the desire for the field with a number: the device keeps the value it has.
    pub fn withdraw_field(&mut self, id: FieldId) {
        if self.desired.contains_key(&id) {
            self.wish(id, None);
        }
    }

    /// Whether the device has answered for everything desired, finally, and no report is known to be missing.
    ///
    /// An answer can be a refusal: see [`acknowledgement`](Self::acknowledgement).
    #[must_use]
    pub fn is_converged(&self) -> bool {
        self.contiguous >= self.version && !self.want && self.unanswered() == 0
    }

    /// How many desired fields the device has not answered for, or is still working on.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        let open = |code: Option<Code>| code.is_none_or(Code::is_pending);
        self.desired
            .values()
            .filter(|wish| open(wish.answer))
            .count()
    }

    /// The device's answer to what was last desired of a field; `None` while there is none.
    #[must_use]
    pub fn acknowledgement(&self, name: &str) -> Option<Acknowledgement> {
        self.acknowledgement_of(self.id(name)?)
    }

    /// The same by number.
    #[must_use]
    pub fn acknowledgement_of(&self, id: FieldId) -> Option<Acknowledgement> {
        let wish = self.desired.get(&id)?;
        Some(Acknowledgement {
            version: Version::new(self.epoch, wish.version),
            code: wish.answer?,
        })
    }

    /// What the device reported of a field; `None` while nothing.
    #[must_use]
    pub fn reported(&self, name: &str) -> Option<Reported<'_>> {
        self.reported_of(self.id(name)?)
    }

    /// The same by number.
    #[must_use]
    pub fn reported_of(&self, id: FieldId) -> Option<Reported<'_>> {
        self.reported.get(&id).map(|told| Reported {
            value: &told.value,
            stale: told.version < self.floor,
        })
    }

    /// What the device reported, as the struct it runs with.
    ///
    /// Desired fields that nobody has set yet have their initial values. `None` while the device has not
    /// reported every other field that cannot be without a value, or has reported one as what this struct cannot hold,
    /// such as a measurement outside the range: [`reported`](Self::reported) tells the fields one by one.
    #[must_use]
    pub fn state<T: Twin>(&self) -> Option<T> {
        let mut state = T::INITIAL;
        for (index, field) in (0..).zip(T::FIELDS) {
            let told = self
                .reported
                .get(&field.id)
                .filter(|told| !told.value.is_null());
            match told {
                Some(told) => {
                    let bytes = told.value.to_cbor();
                    state.decode(index, &mut LeafReader::new(&bytes)).ok()?;
                }
                None if field.optional || field.is_edited() => {}
                None => return None,
            }
        }
        Some(state)
    }

    /// What is desired of a field; null when it shall have no value, `None` when nothing is desired.
    #[must_use]
    pub fn desired(&self, name: &str) -> Option<&Value> {
        let wish = self.desired.get(&self.id(name)?)?;
        wish.value.as_ref()
    }

    /// Under which version a field was last desired, or that was withdrawn; `None` when it never was.
    ///
    /// It is what [`Edit::if_version`](super::Edit::if_version) asks for.
    #[must_use]
    pub fn desired_version(&self, name: &str) -> Option<Version> {
        let wish = self.desired.get(&self.id(name)?)?;
        Some(Version::new(self.epoch, wish.version))
    }

    /// Everything public that is desired: by name, groups in groups.
    ///
    /// Of a field that the schema does not have, perhaps one of newer firmware, nobody knows whom it is meant for: it is
    /// taken for a secret, and has its number for a name. A twin without any schema shows all by number.
    #[must_use]
    pub fn desired_document(&self) -> Value {
        self.desired_document_for(Sensitivity::Public)
    }

    /// The same with what is personal, or secret too: for those who may see it, and for no log.
    #[must_use]
    pub fn desired_document_for(&self, reader: Sensitivity) -> Value {
        let entries = self.desired.iter();
        let entries = entries.filter_map(|(&id, wish)| Some((id, wish.value.as_ref()?)));
        self.document(reader, entries)
    }

    /// Everything public that was reported, as in [`desired_document`](Self::desired_document).
    #[must_use]
    pub fn reported_document(&self) -> Value {
        self.reported_document_for(Sensitivity::Public)
    }

    /// The same with what is personal, or secret too: for those who may see it, and for no log.
    #[must_use]
    pub fn reported_document_for(&self, reader: Sensitivity) -> Value {
        let entries = self.reported.iter();
        self.document(reader, entries.map(|(&id, told)| (id, &told.value)))
    }

    /// The newest desired version.
    #[must_use]
    pub const fn version(&self) -> Version {
        Version::new(self.epoch, self.version)
    }

    fn document<'a>(
        &self,
        reader: Sensitivity,
        entries: impl Iterator<Item = (FieldId, &'a Value)>,
    ) -> Value {
        let mut document = Value::map([]);
        for (id, value) in entries.filter(|(_, value)| !value.is_null()) {
            let schema = self.schema.iter().find(|schema| schema.field.id == id);
            let Some(schema) = schema else {
                if !self.schema.is_empty() && reader < Sensitivity::Secret {
                    continue;
                }
                put(&mut document, alloc::format!("{}", id.get()), value.clone());
                continue;
            };
            if schema.sensitivity > reader {
                continue;
            }
            let mut parts = schema.name.parts().peekable();
            let mut place = &mut document;
            while let Some(part) = parts.next() {
                let content = match parts.peek() {
                    Some(_) => None,
                    None => Some(value.clone()),
                };
                place = match place {
                    Value::Map(entries) => entries.entry(part.into()).or_insert(Value::map([])),
                    _ => break,
                };
                if let Some(content) = content {
                    *place = content;
                }
            }
        }
        document
    }

    pub(super) fn id(&self, name: &str) -> Option<FieldId> {
        let schema = self.schema.iter().find(|schema| schema.name == *name)?;
        Some(schema.field.id)
    }

    pub(super) fn schema(&self, name: &str) -> Result<&Schema, DesireError> {
        let schema = self.schema.iter().find(|schema| schema.name == *name);
        let schema = schema.ok_or(DesireError::Unknown)?;
        if is_writable(schema) {
            Ok(schema)
        } else {
            Err(DesireError::ReadOnly)
        }
    }
}

fn put(document: &mut Value, name: alloc::string::String, value: Value) {
    if let Value::Map(entries) = document {
        entries.insert(name, value);
    }
}
