//! Twins whose fields are known at run time only: of a gateway that reads what is attached to it from a file.
//!
//! A [`Shape`] says which fields there are, a [`Dynamic`] holds their values, and
//! [`TwinDevice`](crate::TwinDevice) keeps it equal to the service's copy: the engine is the one that runs with a struct
//! on a chip, with the same messages, records and promises. Everything is bounded when the shape is made: how many fields
//! there are, how long their names, and how long each value may be.

mod shape;
mod spec;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use crate::document::Document;
use crate::leaf::{LeafError, LeafReader, LeafWriter};
use crate::path::Path;
use crate::reflect::{Desired, Twin};
use crate::schema::{Field, FieldId, Node, Schema};
use crate::sync::Slot;
use crate::value::{LimitError, Limits, Value};

pub use shape::{Shape, ShapeError};
pub use spec::Spec;

/// The values of the fields of a [`Shape`].
///
/// ```
/// use iot_twin::dynamic::{Dynamic, Shape, Spec};
/// use iot_twin::leaf::Kind;
/// use iot_twin::schema::Access;
/// use iot_twin::{TwinDevice, Value};
///
/// // As it was read from a file.
/// let shape = Shape::new([
///     Spec::new(1, "/pump/speed", Kind::Unsigned, Access::Desired).with_range(0.0, 100.0),
///     Spec::new(2, "/pump/flow", Kind::F32, Access::Reported).with_deadband(0.5),
/// ])?;
/// let mut device = TwinDevice::<Dynamic, 8>::of(Dynamic::new(&shape));
/// let mut refused = None;
/// device.report(|pump| {
///     pump.set("/pump/flow", 12.5).unwrap();
///     refused = pump.set("/pump/speed", 101).err();
/// });
/// assert!(refused.is_some());
/// assert_eq!(device.state().get("/pump/flow"), Some(&Value::Float(12.5)));
/// # Ok::<(), iot_twin::dynamic::ShapeError>(())
/// ```
#[derive(Clone)]
pub struct Dynamic {
    /// None of a twin without fields.
    shape: Option<Arc<Shape>>,
    values: Vec<Value>,
}

/// The fields of a [`Dynamic`].
#[derive(Clone, Debug)]
pub struct Fields(Option<Arc<Shape>>);

impl Dynamic {
    /// The fields of a shape, before anything is known: false, zero, an empty text, the first name of an enum, and no
    /// value where there may be none.
    #[must_use]
    pub fn new(shape: &Arc<Shape>) -> Self {
        Self {
            values: shape.specs().iter().map(Spec::initial).collect(),
            shape: Some(Arc::clone(shape)),
        }
    }

    /// Gives the field at a path a value; a name of an enum becomes its number.
    ///
    /// # Errors
    ///
    /// [`LeafError`] when there is no such field or it cannot have the value; nothing has changed.
    pub fn set(&mut self, path: &str, value: impl Into<Value>) -> Result<(), LeafError> {
        let index = self.place(path).ok_or(LeafError::Unknown)?;
        let spec = self.spec(index).ok_or(LeafError::Unknown)?;
        let value = spec.fit(value.into())?;
        self.hold(index, value);
        Ok(())
    }

    /// The value of the field at a path; null while an optional one has none.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.values.get(self.place(path)?)
    }

    /// All fields as a tree, those without a value left out.
    ///
    /// # Errors
    ///
    /// [`LimitError`] when they are more than that allows.
    pub fn document(&self, limits: Limits) -> Result<Document, LimitError> {
        let mut document = Document::new(limits);
        for (spec, value) in self.specs().iter().zip(&self.values) {
            if let Ok(path) = Path::parse(spec.path()) {
                document.set(path, value.clone())?;
            }
        }
        Ok(document)
    }

    /// Merges a patch in (RFC 7396): each of its leaves is a field's new value, and null takes an optional field's value.
    ///
    /// # Errors
    ///
    /// [`LeafError`] with the first leaf that is no field's or not one of its values; nothing has changed.
    pub fn merge(&mut self, patch: &Value) -> Result<(), LeafError> {
        let mut merged = self.clone();
        let fields: Vec<_> = (0..).zip(self.specs()).collect();
        let mut left = patch.clone();
        for (index, spec) in fields {
            let Ok(path) = Path::parse(spec.path()) else {
                continue;
            };
            if let Some(value) = path.find(patch) {
                merged.hold(index, spec.fit(value.clone())?);
                crate::merge::merge(&mut left, &path.patch(Value::Null));
            }
        }
        // What is not a map of maps by now was no field's.
        if !is_hollow(&left) {
            return Err(LeafError::Unknown);
        }
        *self = merged;
        Ok(())
    }

    fn place(&self, path: &str) -> Option<usize> {
        self.shape.as_ref()?.place(path)
    }

    fn specs(&self) -> &[Spec] {
        self.shape.as_ref().map_or(&[], |shape| shape.specs())
    }

    fn spec(&self, index: usize) -> Option<&Spec> {
        self.specs().get(index)
    }

    fn hold(&mut self, index: usize, value: Value) {
        if let Some(place) = self.values.get_mut(index) {
            *place = value;
        }
    }
}

fn is_hollow(value: &Value) -> bool {
    let entries = value.as_map();
    entries.is_some_and(|entries| entries.values().all(is_hollow))
}

impl Twin for Dynamic {
    type Desired = Self;
    type Slots = Vec<Slot>;
    type Fields = Fields;
    const COUNT: usize = 0;
    const SPAN: u32 = 0;
    const FIELDS: &'static [Field] = &[];
    const SCHEMA: &'static [Schema] = &[];
    const TREE: &'static [Node] = &[];
    const INITIAL: Self = Self {
        shape: None,
        values: Vec::new(),
    };
    const SLOTS: Self::Slots = Vec::new();

    fn index(_: u16) -> Option<usize> {
        None
    }

    fn fields(&self) -> Fields {
        Fields(self.shape.clone())
    }

    fn find(&self, id: u16) -> Option<usize> {
        self.shape.as_ref()?.index(FieldId::new(id))
    }

    fn fingerprint(&self) -> u32 {
        self.shape.as_ref().map_or(0, |shape| shape.fingerprint())
    }

    fn blank(&self) -> Self {
        self.shape.as_ref().map_or(Self::INITIAL, Self::new)
    }

    fn blank_slots(&self) -> Vec<Slot> {
        vec![Slot::EMPTY; self.values.len()]
    }

    fn encode(&self, index: usize, out: &mut LeafWriter<'_>) {
        if let Some(value) = self.values.get(index) {
            out.raw(&value.to_cbor());
        }
    }

    fn decode(&mut self, index: usize, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
        let spec = self.spec(index).ok_or(LeafError::Unknown)?;
        let value = spec.read(input)?;
        self.hold(index, value);
        Ok(())
    }

    fn accepts(&self, index: usize) -> bool {
        let value = self.values.get(index).cloned();
        let spec = self.spec(index);
        spec.zip(value)
            .is_some_and(|(spec, value)| spec.fit(value).is_ok())
    }

    fn copy(&mut self, index: usize, other: &Self) {
        if let Some(value) = other.values.get(index) {
            self.hold(index, value.clone());
        }
    }

    fn moved(&self, index: usize, told: &Self) -> bool {
        let values = self.values.get(index).zip(told.values.get(index));
        let spec = self.spec(index).zip(values);
        spec.is_some_and(|(spec, (value, told))| spec.moved(value, told))
    }

    fn reaches(&self, index: usize, other: &Self) -> bool {
        let values = self.values.get(index).zip(other.values.get(index));
        let spec = self.spec(index).zip(values);
        spec.is_some_and(|(spec, (value, other))| spec.reaches(value, other))
    }

    fn disturb(&mut self, index: usize) {
        let other = self.spec(index).zip(self.values.get(index));
        if let Some(other) = other.map(|(spec, value)| spec.other(value)) {
            self.hold(index, other);
        }
    }
}

/// All fields, desired or not: a description at run time makes no second type.
impl Desired for Dynamic {
    type Twin = Self;

    fn of(twin: &Self) -> Self {
        twin.clone()
    }

    fn put(&self, twin: &mut Self) {
        twin.clone_from(self);
    }
}

impl Deref for Fields {
    type Target = [Field];
    fn deref(&self) -> &[Field] {
        self.0.as_ref().map_or(&[], |shape| shape.fields())
    }
}

// No values: some are not for logs.
impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dynamic")
            .field("fields", &self.values.len())
            .finish_non_exhaustive()
    }
}
