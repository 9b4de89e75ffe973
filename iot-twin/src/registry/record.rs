//! What is stored of one twin.

mod draft;
mod walk;

use alloc::sync::Arc;
use core::fmt;

use iot_core::id::NameError;

use self::walk::Walk;
use crate::sync::{StateError, TwinState};
use crate::value::Value;

pub use draft::Draft;

/// The longest record in bytes.
pub const MAX_RECORD_BYTES: usize = 64 << 10;
/// The most labels, and the most groups, of one twin.
pub const MAX_LABELS: usize = 64;

/// One of a twin's two halves.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Half {
    /// What the service desires.
    Desired,
    /// What the device reported.
    Reported,
}

impl Half {
    /// How names of its values begin in a selector.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Desired => "desired.",
            Self::Reported => "reported.",
        }
    }
}

/// A twin as it is stored: labels, groups, and both halves with their versions, epoch and answers.
///
/// It is one piece of encoded bytes (`registry/record.cddl`) that was checked as a whole and never changes; copies
/// share it. [`Draft`] makes one.
///
/// ```
/// use iot_twin::registry::{Draft, Half, Record};
/// use iot_twin::{FieldId, TwinService, Value};
///
/// let mut twin = TwinService::new();
/// twin.set_field(FieldId::new(3), 21.5)?;
/// let mut draft = Draft::of(&twin);
/// draft.set_label("site", "north")?;
/// let record = draft.finish()?;
///
/// assert_eq!(record.label("site"), Some("north"));
/// assert_eq!(record.value(Half::Desired, "3"), Some(Value::from(21.5)));
/// assert_eq!(Record::from_cbor(record.as_cbor())?, record);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Record(Arc<[u8]>);

/// Why something is no record, or a draft cannot become one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is of another format.
    #[error("the record has a format that this version cannot read: use the version that wrote it")]
    Format,
    /// It is cut, damaged, or not in the one form that such a record has.
    #[error("the bytes at {position} are no record: restore an undamaged copy")]
    Malformed {
        /// Where, in bytes.
        position: usize,
    },
    /// The state in it is none.
    #[error("the record's state: {0}")]
    State(StateError),
    /// It is too long.
    #[error(
        "the record has {bytes} bytes, more than {MAX_RECORD_BYTES}: split it into named twins"
    )]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// There are too many labels or groups.
    #[error("a twin has at most {MAX_LABELS} labels and as many groups: remove some")]
    TooMany,
    /// A label's or group's name, or a label's value, is none.
    #[error("the label or group: {0}")]
    Name(NameError),
    /// The label's name is one of those by which selectors find values.
    #[error(
        "labels do not begin with `desired.` or `reported.`: selectors find the twin's values there"
    )]
    Reserved,
}

impl Record {
    /// Checks and copies encoded bytes.
    ///
    /// # Errors
    ///
    /// [`RecordError`] when they are no record, or not encoded as [`Draft::finish`] would.
    pub fn from_cbor(bytes: &[u8]) -> Result<Self, RecordError> {
        let draft = Draft::decode(bytes)?;
        // One record has one encoding, so that equal twins are equal bytes in every store.
        let record = draft.finish()?;
        if *record.0 == *bytes {
            Ok(record)
        } else {
            let position = record
                .0
                .iter()
                .zip(bytes)
                .take_while(|(ours, given)| ours == given)
                .count();
            Err(RecordError::Malformed { position })
        }
    }

    /// What [`from_cbor`](Self::from_cbor) accepted before, from a store that checks its bytes itself.
    #[cfg(feature = "redb")]
    pub(in crate::registry) fn trusted(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The encoded bytes.
    #[must_use]
    pub fn as_cbor(&self) -> &[u8] {
        &self.0
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        let found = self.labels().find(|(own, _)| *own == name);
        found.map(|(_, value)| value)
    }

    /// Every label, in the order of their encodings.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        Walk::new(&self.0).labels()
    }

    /// Whether the twin belongs to a group.
    #[must_use]
    pub fn is_in(&self, group: &str) -> bool {
        self.groups().any(|own| own == group)
    }

    /// Every group, in order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        Walk::new(&self.0).groups()
    }

    /// Both halves as a service goes on from them.
    ///
    /// # Errors
    ///
    /// [`StateError`] never for a record that was checked; it is here because a store may have been damaged.
    pub fn state(&self) -> Result<TwinState, StateError> {
        Walk::new(&self.0).state()
    }

    /// A value by the name of its field, and the names of the maps in it: `climate/setpoint`, or with dots.
    ///
    /// `None` when there is none, it was withdrawn, the device does not know it, or it is not public: what is personal or
    /// secret is in the [`state`](Self::state), for those who may see it.
    #[must_use]
    pub fn value(&self, half: Half, path: &str) -> Option<Value> {
        let leaves = Walk::new(&self.0).leaves();
        let leaf = leaves
            .into_iter()
            .find(|leaf| leaf.half == half && is_same_path(&leaf.path, path))?;
        Some(leaf.value)
    }

    /// Every value that is no map by the path to it, with dots.
    pub(in crate::registry) fn leaves(&self) -> alloc::vec::Vec<Leaf> {
        Walk::new(&self.0).leaves()
    }

    /// A draft of the next record.
    ///
    /// # Errors
    ///
    /// [`RecordError`] never for a record that was checked; it is here because a store may have been damaged.
    pub fn edit(&self) -> Result<Draft, RecordError> {
        Draft::decode(&self.0)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("bytes", &self.0.len())
            .finish_non_exhaustive()
    }
}

/// One value in a record.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::registry) struct Leaf {
    pub(in crate::registry) half: Half,
    pub(in crate::registry) path: alloc::string::String,
    pub(in crate::registry) value: Value,
}

/// Whether both name the same value; a dot and a slash are the same, because selectors know dots only.
pub(in crate::registry) fn is_same_path(one: &str, two: &str) -> bool {
    let plain = |byte| if byte == b'/' { b'.' } else { byte };
    one.len() == two.len() && one.bytes().map(plain).eq(two.bytes().map(plain))
}

#[cfg(test)]
mod tests;
