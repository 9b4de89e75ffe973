//! Merging a patch into a value, as RFC 7396 says.

mod patch;

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;

pub(crate) use patch::{Change, Patch};

use crate::value::Value;

/// Merges `patch` into `target`: maps member by member, null removes, everything else replaces.
///
/// ```
/// use iot_twin::{merge::merge, value::Value};
/// let mut room = Value::map([("setpoint", 20.0.into()), ("lit", true.into())]);
/// merge(&mut room, &Value::map([("setpoint", 21.0.into()), ("lit", Value::Null)]));
/// assert_eq!(room, Value::map([("setpoint", 21.0.into())]));
/// ```
pub fn merge(target: &mut Value, patch: &Value) {
    apply(target, patch);
}

/// Merges what a tree or its encoding says.
pub(crate) fn apply<C: Change>(target: &mut Value, change: &C) {
    if let Some(value) = change.value() {
        target.clone_from(value);
        return;
    }
    if !matches!(target, Value::Map(_)) {
        *target = Value::Map(BTreeMap::new());
    }
    let Value::Map(entries) = target else {
        return;
    };
    for (name, value) in change.members() {
        if value.is_null() {
            entries.remove(name);
        } else if let Some(entry) = entries.get_mut(name) {
            apply(entry, value);
        } else {
            apply(entries.entry(name.to_owned()).or_default(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn merging_twice_is_merging_once(target in any_value(), patch in any_value()) {
            let mut once = target;
            merge(&mut once, &patch);
            let mut twice = once.clone();
            merge(&mut twice, &patch);
            prop_assert_eq!(twice, once);
        }

        #[test]
        fn an_empty_patch_changes_nothing_in_a_map(target in any_value()) {
            prop_assume!(target.as_map().is_some());
            let mut merged = target.clone();
            merge(&mut merged, &Value::map([]));
            prop_assert_eq!(merged, target);
        }
    }
}
