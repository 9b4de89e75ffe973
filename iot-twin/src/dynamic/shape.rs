//! Which fields there are.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::spec::Spec;
use crate::path::Path;
use crate::schema::{Field, FieldId};

/// How many fields there may be, how long a path, and how many groups around a field.
const MAX_FIELDS: usize = 1_024;
const MAX_PATH_BYTES: usize = 128;
const MAX_DEPTH: usize = 8;

/// The fields of a [`Dynamic`](super::Dynamic) twin: at most 1,024, with paths of at most 128 bytes and eight names.
#[derive(Debug)]
pub struct Shape {
    specs: Vec<Spec>,
    fields: Vec<Field>,
    by_id: BTreeMap<FieldId, usize>,
    by_path: BTreeMap<String, usize>,
    fingerprint: u32,
}

/// Why some fields make no shape.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// There are too many.
    #[error("there are more than {MAX_FIELDS} fields: make several twins of them")]
    TooMany,
    /// A path is none, too long, or leads too deep.
    #[error(
        "the path of field {} is none: write /pump/speed, with at most {MAX_DEPTH} names and {MAX_PATH_BYTES} bytes",
        field.get()
    )]
    Path {
        /// Of which field.
        field: FieldId,
    },
    /// Two fields have one number.
    #[error("there are two fields {}: give each a number of its own", field.get())]
    Repeated {
        /// The number.
        field: FieldId,
    },
    /// Two fields have one path, or one lies where another is a group.
    #[error("the path of field {} is another field's, or lies in one", field.get())]
    Overlap {
        /// Of which field.
        field: FieldId,
    },
    /// A field cannot be what it is said to be.
    #[error(
        "field {} is none: a text has 1 to 1,000 bytes, a list 1 to 64 values and no texts, an enum 1 to 256 names, a range two bounds",
        field.get()
    )]
    Field {
        /// Which field.
        field: FieldId,
    },
}

impl Shape {
    /// Puts fields together.
    ///
    /// # Errors
    ///
    /// [`ShapeError`] with the first field that does not fit in.
    pub fn new(specs: impl IntoIterator<Item = Spec>) -> Result<Arc<Self>, ShapeError> {
        let mut shape = Self {
            specs: Vec::new(),
            fields: Vec::new(),
            by_id: BTreeMap::new(),
            by_path: BTreeMap::new(),
            fingerprint: 0,
        };
        let mut groups = BTreeSet::new();
        for spec in specs {
            let (index, field) = (shape.specs.len(), spec.id());
            if index >= MAX_FIELDS {
                return Err(ShapeError::TooMany);
            }
            check_path(spec.path()).ok_or(ShapeError::Path { field })?;
            let described = spec.field().ok_or(ShapeError::Field { field })?;
            if shape.by_id.insert(field, index).is_some() {
                return Err(ShapeError::Repeated { field });
            }
            let around = || {
                let slashes = spec.path().match_indices('/').skip(1);
                slashes.filter_map(|(at, _)| spec.path().get(..at))
            };
            let is_taken = groups.contains(spec.path())
                || around().any(|group| shape.by_path.contains_key(group))
                || shape
                    .by_path
                    .insert(spec.path().to_owned(), index)
                    .is_some();
            if is_taken {
                return Err(ShapeError::Overlap { field });
            }
            groups.extend(around().map(ToOwned::to_owned));
            shape.fingerprint = spec.stamp(shape.fingerprint);
            shape.fields.push(described);
            shape.specs.push(spec);
        }
        Ok(Arc::new(shape))
    }

    /// The number of the field at a path: what a service desires it by.
    #[must_use]
    pub fn id(&self, path: &str) -> Option<FieldId> {
        self.fields.get(self.place(path)?).map(|field| field.id)
    }

    /// The fields in the order in which they were given.
    #[must_use]
    pub fn specs(&self) -> &[Spec] {
        &self.specs
    }

    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    pub(super) fn place(&self, path: &str) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    pub(super) fn index(&self, id: FieldId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) const fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

fn check_path(path: &str) -> Option<()> {
    let parsed = Path::parse(path).ok()?;
    let depth = parsed.steps().count();
    let is_named = parsed.steps().all(|step| !step.is_empty());
    (is_named && (1..=MAX_DEPTH).contains(&depth) && path.len() <= MAX_PATH_BYTES).then_some(())
}
