//! One shadow as the service keeps it.

use alloc::collections::BTreeMap;
use core::fmt;

use super::limit::MAX_STATE_BYTES;
use super::rejection::Rejection;
use super::request::{Section, Update};
use crate::diff::delta;
use crate::merge::merge;
use crate::value::Value;

/// Desired and reported state with their times, and a version.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Shadow {
    /// Desired, then reported.
    state: [Value; 2],
    metadata: [Value; 2],
    pub(super) version: u64,
}

// No values: some are not for logs.
impl fmt::Debug for Shadow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shadow")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

const NAMES: [&str; 2] = ["desired", "reported"];

impl Shadow {
    pub(super) const fn of_version(version: u64) -> Self {
        Self {
            state: [Value::Null, Value::Null],
            metadata: [Value::Null, Value::Null],
            version,
        }
    }

    /// The shadow after an update at `second`.
    pub(super) fn updated(&self, update: &Update, second: u64) -> Result<Self, Rejection> {
        if update
            .version
            .is_some_and(|version| version != self.version)
        {
            return Err(Rejection::VersionConflict);
        }
        let mut next = self.clone();
        next.version = next.version.saturating_add(1);
        match &update.sections {
            None => next = Self::of_version(next.version),
            Some(sections) => {
                let halves = next.state.iter_mut().zip(&mut next.metadata);
                for ((state, metadata), section) in halves.zip(sections) {
                    match section {
                        Section::Keep => {}
                        Section::Remove => (*state, *metadata) = (Value::Null, Value::Null),
                        Section::Merge(patch) => {
                            merge(state, patch);
                            merge(metadata, &stamped_patch(patch, second));
                            tidy(metadata, state);
                        }
                    }
                }
            }
        }
        if next.state_bytes() > MAX_STATE_BYTES {
            return Err(Rejection::TooLarge);
        }
        Ok(next)
    }

    /// How long the state is.
    fn state_bytes(&self) -> usize {
        self.state
            .iter()
            .filter(|state| !is_empty(state))
            .map(|state| state.to_json().len())
            .sum()
    }

    /// What desired and reported state differ in, with the times of the desired leaves.
    pub(super) fn delta(&self) -> Option<(Value, Value)> {
        let [desired, reported] = &self.state;
        let empty = Value::map([]);
        let half = |value: &Value| {
            if value.is_null() {
                empty.clone()
            } else {
                value.clone()
            }
        };
        let state = delta(&half(desired), &half(reported))?;
        let [times, _] = &self.metadata;
        let metadata = masked(times, &state);
        Some((state, metadata))
    }

    /// `state`, with the delta when `all`, and `metadata`; empty sections vanish.
    pub(super) fn show(&self, all: bool) -> [(&'static str, Value); 2] {
        let sections = |halves: &[Value; 2]| -> BTreeMap<_, _> {
            let shown = NAMES.into_iter().zip(halves).zip(&self.state);
            let shown = shown.filter(|(_, state)| !is_empty(state));
            shown
                .map(|((name, half), _)| (name.into(), half.clone()))
                .collect()
        };
        let mut state = sections(&self.state);
        if all && let Some((delta, _)) = self.delta() {
            state.insert("delta".into(), delta);
        }
        [
            ("state", Value::Map(state)),
            ("metadata", Value::Map(sections(&self.metadata))),
        ]
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_map().is_some_and(BTreeMap::is_empty)
}

/// The same tree with the time in place of each leaf.
pub(super) fn stamped(value: &Value, second: u64) -> Value {
    match value {
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), stamped(value, second)))
                .collect(),
        ),
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| stamped(item, second)).collect())
        }
        _ => Value::map([("timestamp", second.into())]),
    }
}

/// The patch of the times: what is removed has none.
fn stamped_patch(patch: &Value, second: u64) -> Value {
    match patch {
        Value::Null => Value::Null,
        Value::Map(entries) => Value::Map(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), stamped_patch(value, second)))
                .collect(),
        ),
        other => stamped(other, second),
    }
}

/// Where a map became a value or a value a map, what was merged of the times is taken out again.
fn tidy(metadata: &mut Value, state: &Value) {
    let (Value::Map(times), Value::Map(values)) = (&mut *metadata, state) else {
        return;
    };
    times.retain(|name, _| values.contains_key(name));
    for (name, value) in values {
        let Some(time) = times.get_mut(name) else {
            continue;
        };
        match value {
            Value::Map(inner) => {
                if let Value::Map(entries) = time {
                    entries.retain(|name, _| inner.contains_key(name));
                }
                tidy(time, value);
            }
            Value::Array(_) => {}
            _ => {
                if let Value::Map(entries) = time {
                    entries.retain(|name, value| name == "timestamp" && value.as_map().is_none());
                }
            }
        }
    }
}

/// The part of the times that belongs to these leaves.
fn masked(times: &Value, leaves: &Value) -> Value {
    match (times, leaves) {
        (Value::Map(times), Value::Map(leaves)) => {
            let shown = leaves
                .iter()
                .filter_map(|(name, leaf)| Some((name.clone(), masked(times.get(name)?, leaf))));
            Value::Map(shown.collect())
        }
        (times, _) => times.clone(),
    }
}
