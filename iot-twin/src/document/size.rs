//! What a tree takes of its limits, and what it will take once a patch is merged in.

use crate::merge::Change;
use crate::value::{LimitError, Limits, Value};

/// How many values there are, and how long names, texts and bytes are together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Size {
    pub(super) values: usize,
    pub(super) bytes: usize,
}

impl Size {
    pub(super) fn of(value: &Value) -> Self {
        let mut size = Self::default();
        size.add(value);
        size
    }

    /// After a patch to a tree of this size; `limits` hold then too.
    pub(super) fn after(
        self,
        root: &Value,
        patch: &impl Change,
        limits: Limits,
    ) -> Result<Self, LimitError> {
        let mut merge = Merge {
            limit: limits.depth,
            gained: self,
            lost: Self::default(),
        };
        merge.put(Some(root), patch, 0)?;
        let Merge { gained, lost, .. } = merge;
        let size = Self {
            values: gained.values - lost.values,
            bytes: gained.bytes - lost.bytes,
        };
        if size.values > limits.values {
            let limit = limits.values;
            return Err(LimitError::Values { limit });
        }
        if size.bytes > limits.bytes {
            let limit = limits.bytes;
            return Err(LimitError::Bytes { limit });
        }
        Ok(size)
    }

    fn add(&mut self, value: &Value) {
        self.values += 1;
        match value {
            Value::Text(text) => self.bytes += text.len(),
            Value::Bytes(bytes) => self.bytes += bytes.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item)),
            Value::Map(entries) => entries.iter().for_each(|(name, value)| {
                self.bytes += name.len();
                self.add(value);
            }),
            _ => {}
        }
    }
}

/// What merging will do, found out without doing it.
struct Merge {
    /// How deep the tree may be.
    limit: usize,
    gained: Size,
    lost: Size,
}

impl Merge {
    /// The value of a patch, which is no null, takes the place of `target` or changes it.
    fn put(
        &mut self,
        target: Option<&Value>,
        change: &impl Change,
        depth: usize,
    ) -> Result<(), LimitError> {
        if let Some(value) = change.value() {
            self.lost_in(target);
            self.gained.add(value);
            return self.fits(value, depth);
        }
        self.level(depth)?;
        let entries = match target {
            Some(Value::Map(entries)) => Some(entries),
            other => {
                self.lost_in(other);
                self.gained.values += 1;
                None
            }
        };
        for (name, value) in change.members() {
            let entry = entries.and_then(|entries| entries.get(name));
            if value.is_null() {
                self.lost_in(entry);
                self.lost.bytes += entry.map_or(0, |_| name.len());
                continue;
            }
            if entry.is_none() {
                self.gained.bytes += name.len();
            }
            self.put(entry, value, depth + 1)?;
        }
        Ok(())
    }

    fn lost_in(&mut self, value: Option<&Value>) {
        if let Some(value) = value {
            self.lost.add(value);
        }
    }

    /// What is taken over as it is may not be too deep either.
    fn fits(&self, value: &Value, depth: usize) -> Result<(), LimitError> {
        match value {
            Value::Array(items) => {
                self.level(depth)?;
                items.iter().try_for_each(|item| self.fits(item, depth + 1))
            }
            Value::Map(entries) => {
                self.level(depth)?;
                let mut values = entries.values();
                values.try_for_each(|value| self.fits(value, depth + 1))
            }
            _ => Ok(()),
        }
    }

    const fn level(&self, depth: usize) -> Result<(), LimitError> {
        let limit = self.limit;
        if depth < limit {
            Ok(())
        } else {
            Err(LimitError::Depth { limit })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::merge;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_size_foreseen_is_the_size_of_what_was_merged(target in any_value(), patch in any_value()) {
            prop_assume!(patch.as_map().is_some());
            let foreseen = Size::of(&target).after(&target, &patch, Limits::DEFAULT);
            let mut merged = target;
            merge(&mut merged, &patch);
            prop_assert_eq!(foreseen, Ok(Size::of(&merged)));
        }

        #[test]
        fn what_is_foreseen_to_fit_is_what_would_pass_the_check(
            target in any_value(), patch in any_value(), depth in 0..5_usize, values in 0..40_usize, bytes in 0..80_usize,
        ) {
            let limits = Limits::new(depth, values, bytes);
            prop_assume!(patch.as_map().is_some() && target.check(limits).is_ok());
            let foreseen = Size::of(&target).after(&target, &patch, limits);
            let mut merged = target;
            merge(&mut merged, &patch);
            prop_assert_eq!(foreseen.is_ok(), merged.check(limits).is_ok());
        }
    }
}
