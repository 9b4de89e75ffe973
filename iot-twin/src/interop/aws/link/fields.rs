//! A twin's fields in a shadow's tree: the field `climate/setpoint` is `setpoint` in the map `climate`.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::sync::TwinService;
use crate::value::Value;

/// The tree of some fields; null stays, to remove.
pub(super) fn nest(fields: &BTreeMap<String, Value>) -> Value {
    let mut tree = Value::map([]);
    for (name, value) in fields {
        insert(&mut tree, name, value.clone());
    }
    tree
}

fn insert(tree: &mut Value, name: &str, value: Value) {
    let Value::Map(entries) = tree else {
        return;
    };
    match name.split_once('/') {
        None => {
            entries.insert(name.into(), value);
        }
        Some((first, rest)) => {
            let inner = entries
                .entry(first.into())
                .or_insert_with(|| Value::map([]));
            if inner.as_map().is_none() {
                *inner = Value::map([]);
            }
            insert(inner, rest, value);
        }
    }
}

/// The fields of the twin that a tree has; of a twin without a schema, whatever is in it.
pub(super) fn own(twin: &TwinService, tree: &Value) -> BTreeMap<String, Value> {
    if twin.schema_fields().is_empty() {
        return tree.as_map().cloned().unwrap_or_default();
    }
    let mut found = BTreeMap::new();
    for schema in twin.schema_fields() {
        let value = schema
            .name
            .parts()
            .try_fold(tree, |value, step| value.get(step));
        if let Some(value) = value {
            // As the twin itself would say it, so that 21 and 21.0 are one value.
            let name = format!("{}", schema.name);
            let value = as_reported(twin, &name, value);
            found.insert(name, value);
        }
    }
    found
}

/// What the device reports, by the fields' names, as far as JSON can say it.
pub(super) fn said(twin: &TwinService) -> BTreeMap<String, Value> {
    let reported = twin.reported_document();
    let mut all = Vec::new();
    leaves(twin, "", &reported, &Value::Null, &mut all);
    let said = all.into_iter().filter(|(_, value, _)| is_finite(value));
    said.map(|(name, value, _)| (name, value)).collect()
}

fn is_finite(value: &Value) -> bool {
    match value {
        Value::Float(number) => number.is_finite(),
        Value::Array(items) => items.iter().all(is_finite),
        _ => true,
    }
}

fn as_reported(twin: &TwinService, name: &str, value: &Value) -> Value {
    let told = twin.reported(name).map(|told| told.value);
    match told {
        Some(told) if told.is_same(value) => told.clone(),
        _ => value.clone(),
    }
}

/// Every field in a tree by its name, with its time; whatever is no field is a field without a schema.
pub(super) fn leaves(
    twin: &TwinService,
    prefix: &str,
    tree: &Value,
    times: &Value,
    found: &mut Vec<(String, Value, u64)>,
) {
    let Some(entries) = tree.as_map() else {
        return;
    };
    let none = Value::Null;
    for (name, value) in entries {
        let name_here = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}/{name}")
        };
        let time = times.get(name).unwrap_or(&none);
        let is_field = twin
            .schema_fields()
            .iter()
            .any(|schema| schema.name == *name_here);
        if is_field || value.as_map().is_none() {
            let at = newest(time);
            found.push((name_here, value.clone(), at));
        } else {
            leaves(twin, &name_here, value, time, found);
        }
    }
}

/// The newest time in a tree of times.
fn newest(times: &Value) -> u64 {
    match times {
        Value::Map(entries) => match entries.get("timestamp") {
            Some(Value::Int(second)) => u64::try_from(*second).unwrap_or(0),
            _ => entries.values().map(newest).max().unwrap_or(0),
        },
        Value::Array(items) => items.iter().map(newest).max().unwrap_or(0),
        _ => 0,
    }
}
