//! Which twins are meant: by labels, groups and values.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::cell::OnceCell;

use iot_core::TenantId;
use iot_core::fleet::{Member, Selector};

use super::key::TwinKey;
use super::record::{Half, Leaf, Record, is_same_path};
use crate::value::Value;

/// Which twins of a registry are meant.
///
/// A [`Selector`] sees labels and groups, and the twin's values as labels whose names begin with `desired.` or
/// `reported.`: truth values are `'true'` and `'false'`, numbers are in their shortest decimal form. Numbers are
/// compared by [`and`](Self::and). A value that is absent, withdrawn or unknown is an absent label, and so is one that
/// is personal or secret, or of a field that the service's schema does not have: whoever may ask who is meant could
/// guess it otherwise. A twin that was kept without any schema shows all of its values, by number.
///
/// ```
/// use iot_twin::iot_core::TenantId;
/// use iot_twin::iot_core::fleet::Selector;
/// use iot_twin::registry::{Draft, Half, Is, Query};
/// use iot_twin::{FieldId, TwinService};
///
/// let mut twin = TwinService::new();
/// twin.set_field(FieldId::new(3), 21.5)?;
/// let mut draft = Draft::of(&twin);
/// draft.set_label("site", "north").unwrap();
/// let (record, key) = (draft.finish().unwrap(), "acme/boiler-7".parse().unwrap());
///
/// let acme = TenantId::new("acme").unwrap();
/// let query = Query::new(acme, Selector::parse("site == 'north' && desired.3 == '21.5'")?);
/// assert!(query.matches(&key, &record));
/// assert!(!query.and(Half::Desired, "3", Is::Above(22.0)).matches(&key, &record));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    tenant: Option<TenantId>,
    selector: Selector,
    tests: Vec<(Half, String, Is)>,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Is {
    /// This value; whole numbers equal others of the same size.
    Equal(Value),
    /// A number above this one.
    Above(f64),
    /// A number below this one.
    Below(f64),
    /// Any value.
    Present,
    /// No value.
    Absent,
}

impl Query {
    /// Twins of one tenant.
    #[must_use]
    pub const fn new(tenant: TenantId, selector: Selector) -> Self {
        Self {
            tenant: Some(tenant),
            selector,
            tests: Vec::new(),
        }
    }

    /// Twins of every tenant: for whoever runs the service, never for a tenant.
    #[must_use]
    pub const fn of_every_tenant(selector: Selector) -> Self {
        Self {
            tenant: None,
            selector,
            tests: Vec::new(),
        }
    }

    /// Also asks for a value, by the path that [`Record::value`] takes.
    #[must_use]
    pub fn and(mut self, half: Half, path: &str, is: Is) -> Self {
        self.tests.push((half, path.to_owned(), is));
        self
    }

    /// The tenant, unless all are meant.
    #[must_use]
    pub const fn tenant(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// What labels, groups and values must be.
    #[must_use]
    pub const fn selector(&self) -> &Selector {
        &self.selector
    }

    /// What values must be, beside the selector.
    pub fn tests(&self) -> impl Iterator<Item = (Half, &str, &Is)> {
        let tests = self.tests.iter();
        tests.map(|(half, path, is)| (*half, path.as_str(), is))
    }

    /// Whether a twin is meant.
    #[must_use]
    pub fn matches(&self, key: &TwinKey, record: &Record) -> bool {
        let own = self.tenant.as_ref();
        if own.is_some_and(|tenant| tenant.as_str() != key.tenant()) {
            return false;
        }
        let row = Row::new(record);
        self.selector.matches(&row)
            && self
                .tests
                .iter()
                .all(|(half, path, is)| is.holds(row.value(*half, path)))
    }
}

impl Is {
    fn holds(&self, value: Option<&Value>) -> bool {
        match self {
            Self::Equal(wanted) => value.is_some_and(|value| value.is_same(wanted)),
            Self::Above(limit) => value
                .and_then(Value::as_f64)
                .is_some_and(|value| value > *limit),
            Self::Below(limit) => value
                .and_then(Value::as_f64)
                .is_some_and(|value| value < *limit),
            Self::Present => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

/// A record as a selector sees it. Values are read only when they are asked for.
struct Row<'a> {
    record: &'a Record,
    leaves: OnceCell<Vec<(Leaf, OnceCell<String>)>>,
}

impl<'a> Row<'a> {
    const fn new(record: &'a Record) -> Self {
        Self {
            record,
            leaves: OnceCell::new(),
        }
    }

    fn leaf(&self, half: Half, path: &str) -> Option<&(Leaf, OnceCell<String>)> {
        let read = || {
            let leaves = self.record.leaves().into_iter();
            leaves.map(|leaf| (leaf, OnceCell::new())).collect()
        };
        let leaves = self.leaves.get_or_init(read);
        leaves
            .iter()
            .find(|(leaf, _)| leaf.half == half && is_same_path(&leaf.path, path))
    }

    fn value(&self, half: Half, path: &str) -> Option<&Value> {
        self.leaf(half, path).map(|(leaf, _)| &leaf.value)
    }
}

impl Member for Row<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        for half in [Half::Desired, Half::Reported] {
            if let Some(path) = name.strip_prefix(half.prefix()) {
                let (leaf, text) = self.leaf(half, path)?;
                return Some(text.get_or_init(|| show(&leaf.value)));
            }
        }
        self.record.label(name)
    }

    fn is_in(&self, group: &str) -> bool {
        self.record.is_in(group)
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        // Nothing that a selector could name.
        _ => String::new(),
    }
}
