//! Changes that depend on what they change, and several that belong together.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::reader::fit::fit;
use super::{DesireError, TwinService};
use crate::schema::FieldId;
use crate::sync::slot::Version;
use crate::value::Value;

/// One field that a writer wants changed, and on what condition.
///
/// ```
/// # #[cfg(feature = "derive")] {
/// use iot_twin::sync::{Edit, EditError};
/// use iot_twin::{Twin, TwinService};
///
/// #[derive(Twin)]
/// struct Room {
///     #[twin(desired, range = 5.0..=30.0)]
///     setpoint: f32,
///     #[twin(desired)]
///     lit: bool,
/// }
///
/// let mut twin = TwinService::of::<Room>();
/// let seen = twin.edit(&Edit::set("setpoint", 21.0))?;
/// // Two writers saw 21 degrees; the second is told that it is late.
/// twin.edit(&Edit::set("setpoint", 22.0).if_version(seen))?;
/// let late = Edit::set("setpoint", 19.0).if_version(seen);
/// assert_eq!(twin.edit(&late), Err(EditError::Version));
/// // All or nothing: the light stays as it is.
/// let both = [Edit::set("lit", true), late];
/// assert_eq!(twin.edit_all(&both), Err((1, EditError::Version)));
/// assert_eq!(twin.desired("lit"), None);
/// # }
/// # Ok::<(), iot_twin::sync::EditError>(())
/// ```
#[derive(Clone, PartialEq)]
pub struct Edit {
    name: String,
    value: Option<Value>,
    condition: Option<Condition>,
}

#[derive(Clone, PartialEq)]
enum Condition {
    Version(Option<Version>),
    Value(Value),
}

/// Why an edit was not made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EditError {
    /// The field cannot be desired so.
    #[error(transparent)]
    Desire(#[from] DesireError),
    /// The field is desired under another version than the edit expects.
    #[error("the field was desired anew since: read it again")]
    Version,
    /// Another value is desired than the edit expects.
    #[error("another value is desired than expected: read it again")]
    Value,
    /// The batch names the field twice.
    #[error("the batch names a field twice: leave one of both out")]
    Repeated,
}

impl Edit {
    /// Desires a value for a field of the schema; null is that an optional one shall have none.
    #[must_use]
    pub fn set(name: &str, value: impl Into<Value>) -> Self {
        Self {
            name: name.to_owned(),
            value: Some(value.into()),
            condition: None,
        }
    }

    /// Withdraws the desire for a field of the schema.
    #[must_use]
    pub fn withdraw(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            value: None,
            condition: None,
        }
    }

    /// Only if the field is still desired under this version.
    ///
    /// A service that lost its memory states everything under new versions: then nobody's version is right.
    #[must_use]
    pub fn if_version(mut self, version: Version) -> Self {
        self.condition = Some(Condition::Version(Some(version)));
        self
    }

    /// Only if nothing is desired of the field.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.condition = Some(Condition::Version(None));
        self
    }

    /// Only if this value is desired of the field.
    #[must_use]
    pub fn if_value(mut self, value: impl Into<Value>) -> Self {
        self.condition = Some(Condition::Value(value.into()));
        self
    }
}

// No values: some are not for logs.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl TwinService {
    /// Makes one edit; says which version the field is desired under now.
    ///
    /// # Errors
    ///
    /// [`EditError`] when the condition does not hold or the value is none of the field's; nothing has changed.
    pub fn edit(&mut self, edit: &Edit) -> Result<Version, EditError> {
        let (id, value) = self.judge(edit)?;
        Ok(self.make(id, value))
    }

    /// Makes all edits or none; says the twin's version afterwards.
    ///
    /// Every condition is held against the twin as it was before the batch.
    ///
    /// # Errors
    ///
    /// The place of the first edit that cannot be made, and why; nothing has changed.
    pub fn edit_all(&mut self, edits: &[Edit]) -> Result<Version, (usize, EditError)> {
        let mut seen = BTreeSet::new();
        let judged = edits.iter().enumerate().map(|(at, edit)| {
            let (id, value) = self.judge(edit).map_err(|why| (at, why))?;
            if seen.insert(id) {
                Ok((id, value))
            } else {
                Err((at, EditError::Repeated))
            }
        });
        let judged = judged.collect::<Result<Vec<_>, _>>()?;
        for (id, value) in judged {
            self.wish(id, value);
        }
        Ok(self.version())
    }

    /// Makes every edit that can be made, one after the other; says of each what [`edit`](Self::edit) does.
    pub fn edit_each(&mut self, edits: &[Edit]) -> Vec<Result<Version, EditError>> {
        edits.iter().map(|edit| self.edit(edit)).collect()
    }

    fn judge(&self, edit: &Edit) -> Result<(FieldId, Option<Value>), EditError> {
        let schema = self.schema(&edit.name)?;
        let id = schema.field.id;
        let desired = self.desired.get(&id).filter(|wish| wish.value.is_some());
        match &edit.condition {
            None => {}
            Some(Condition::Version(version)) => {
                let current = desired.map(|wish| Version::new(self.epoch, wish.version));
                if current != *version {
                    return Err(EditError::Version);
                }
            }
            Some(Condition::Value(value)) => {
                let expected = fit(schema, value.clone())?;
                if desired.is_none_or(|wish| wish.value.as_ref() != Some(&expected)) {
                    return Err(EditError::Value);
                }
            }
        }
        let value = match &edit.value {
            Some(value) => Some(fit(schema, value.clone())?),
            None => None,
        };
        Ok((id, value))
    }

    fn make(&mut self, id: FieldId, value: Option<Value>) -> Version {
        self.wish(id, value);
        let number = self.desired.get(&id).map_or(0, |wish| wish.version);
        Version::new(self.epoch, number)
    }
}
