//! What differs between two values: as a patch, and as a shadow's delta.

use alloc::collections::BTreeMap;

use crate::value::Value;

/// The patch that [`merge`](crate::merge::merge) needs to make `to` out of `from`; `None` when they are equal.
///
/// A patch cannot put a null into a map (RFC 7396 §1): nulls of `to` come out as absent.
///
/// ```
/// use iot_twin::{diff::diff, value::Value};
/// let from = Value::map([("a", 1.into()), ("b", 2.into())]);
/// let to = Value::map([("a", 1.into()), ("c", 3.into())]);
/// assert_eq!(diff(&from, &to), Some(Value::map([("b", Value::Null), ("c", 3.into())])));
/// ```
#[must_use]
pub fn diff(from: &Value, to: &Value) -> Option<Value> {
    if from == to {
        return None;
    }
    let (Value::Map(old), Value::Map(new)) = (from, to) else {
        return Some(to.clone());
    };
    let mut patch = BTreeMap::new();
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, value) in new {
        let change = match old.get(name) {
            Some(before) => diff(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(name.clone(), change);
        }
    }
    Some(Value::Map(patch))
}

/// The delta of a device shadow, as AWS computes it; `None` when it is empty.
///
/// Every desired leaf that is absent from `reported` or differs there, under its path; arrays are one value,
/// and what only `reported` has never enters. Numbers are compared by their value, so 21 and 21.0 are the same.
///
/// ```
/// use iot_twin::{diff::delta, value::Value};
/// let desired = Value::map([("lit", true.into()), ("setpoint", 21.into())]);
/// let reported = Value::map([("lit", false.into()), ("setpoint", 21.into()), ("up", 7.into())]);
/// assert_eq!(delta(&desired, &reported), Some(Value::map([("lit", true.into())])));
/// ```
#[must_use]
pub fn delta(desired: &Value, reported: &Value) -> Option<Value> {
    let (Value::Map(wanted), Value::Map(known)) = (desired, reported) else {
        return (!desired.is_same(reported)).then(|| desired.clone());
    };
    let mut all = BTreeMap::new();
    for (name, value) in wanted {
        let part = match known.get(name) {
            Some(reported) => delta(value, reported),
            None => Some(value.clone()),
        };
        if let Some(part) = part {
            all.insert(name.clone(), part);
        }
    }
    (!all.is_empty()).then_some(Value::Map(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::merge;
    use crate::value::tests::any_value;
    use proptest::prelude::*;

    /// Takes out what a patch cannot express.
    fn without_nulls(value: &mut Value) {
        if let Value::Map(entries) = value {
            entries.retain(|_, value| !value.is_null());
            entries.values_mut().for_each(without_nulls);
        }
    }

    proptest! {
        #[test]
        fn merging_the_difference_makes_the_other(from in any_value(), to in any_value()) {
            let (mut from, mut to) = (from, to);
            without_nulls(&mut from);
            without_nulls(&mut to);
            match diff(&from, &to) {
                Some(patch) => {
                    merge(&mut from, &patch);
                    prop_assert_eq!(from, to);
                }
                None => prop_assert_eq!(from, to),
            }
        }

        #[test]
        fn merging_the_delta_leaves_no_delta(desired in any_value(), reported in any_value()) {
            let (mut desired, mut reported) = (desired, reported);
            without_nulls(&mut desired);
            without_nulls(&mut reported);
            if let Some(delta) = delta(&desired, &reported) {
                merge(&mut reported, &delta);
            }
            prop_assert_eq!(delta(&desired, &reported), None);
        }
    }
}
