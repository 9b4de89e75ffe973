//! What was last desired of each field, and when: a shadow repeats itself, a twin must not.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::{Notice, ShadowLink, fields};
use crate::value::Value;

/// A value and the second in which it was desired.
type Intent = (Value, u64);

/// By the names of the schema's fields only: what a cloud calls otherwise would stay for ever.
#[derive(Clone, Default)]
pub(super) struct Intents(BTreeMap<String, Intent>);

/// What becomes of a value of which no intent is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unknown {
    /// It was just desired, or the device does not have it: it is handed on.
    HandOn,
    /// The device had it when this was said; whoever edited it there since did so later.
    Note,
}

impl Intents {
    fn is_news(&self, name: &str, value: &Value, time: u64) -> Option<bool> {
        let (held, at) = self.0.get(name)?;
        Some(*at < time || !held.is_same(value))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl ShadowLink {
    /// Hands on what has a new value or a new time.
    pub(super) fn desire(
        &mut self,
        state: Option<&Value>,
        times: Option<&Value>,
        unknown: Unknown,
    ) -> Notice {
        let (mut news, mut refused) = (0, 0);
        for (name, value, time) in self.leaves(state, times) {
            if value.is_null() {
                news += self.withdraw_below(&name);
                continue;
            }
            let is_field = self.is_field(&name);
            let is_news = self.intents.is_news(&name, &value, time);
            match is_news.unwrap_or(unknown == Unknown::HandOn) {
                true if !is_field => refused += 1,
                true => match self.twin.set(&name, value.clone()) {
                    Ok(()) => news += 1,
                    Err(_) => refused += 1,
                },
                false => {}
            }
            if is_field && is_news != Some(false) {
                self.intents.0.insert(name, (value, time));
            }
        }
        Notice::Desired { news, refused }
    }

    /// Takes back what a whole desired section no longer has.
    pub(super) fn withdraw_all_but(&mut self, desired: &Value) -> usize {
        let leaves = self.leaves(Some(desired), None);
        let kept: BTreeSet<_> = leaves.into_iter().map(|(name, ..)| name).collect();
        let gone = |name: &String| !kept.contains(name);
        self.withdraw(gone)
    }

    /// A field, or the fields of a group.
    fn withdraw_below(&mut self, name: &str) -> usize {
        self.withdraw(|field| {
            let rest = field.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    fn withdraw(&mut self, is_gone: impl Fn(&String) -> bool) -> usize {
        self.intents.0.retain(|name, _| !is_gone(name));
        let fields = self.twin.schema_fields().iter();
        let names: Vec<String> = fields
            .map(|schema| alloc::format!("{}", schema.name))
            .collect();
        let mut withdrawn = 0;
        for name in names.iter().filter(|name| is_gone(name)) {
            if self.twin.desired(name).is_some() && self.twin.withdraw(name).is_ok() {
                withdrawn += 1;
            }
        }
        withdrawn
    }

    fn leaves(&self, state: Option<&Value>, times: Option<&Value>) -> Vec<(String, Value, u64)> {
        let none = Value::Null;
        let mut leaves = Vec::new();
        let (state, times) = (state.unwrap_or(&none), times.unwrap_or(&none));
        fields::leaves(&self.twin, "", state, times, &mut leaves);
        leaves
    }

    fn is_field(&self, name: &str) -> bool {
        let mut fields = self.twin.schema_fields().iter();
        fields.any(|schema| schema.name == *name)
    }
}
