//! What a twin's fields are: numbers, names, units, ranges.

mod build;
mod name;

pub(crate) use build::fingerprint;
pub use build::{fields, place, span, truth};
pub use name::{Name, Node};

use crate::leaf::{Kind, Leaf, Variant};

/// A field's number: stable for the life of the product, and what travels instead of the name.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct FieldId(u16);

impl FieldId {
    /// Wraps a number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Who states a field.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Access {
    /// The service states what it should be; the device tells what became of it, and may edit it.
    Desired,
    /// Only the device states it.
    Reported,
    /// The service states what it should be, and the device measures what it is: a valve that takes a minute.
    Both,
}

/// What an edit made at the device means for what the service desires, and the other way round (rule R9).
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LocalEdit {
    /// An edit stands until the service desires something newer.
    #[default]
    LastIntent,
    /// An edit is undone: what is desired is offered to the application again.
    FollowDesired,
    /// An edit stands, whatever is desired, until the device releases it or the service withdraws its desire.
    LocalSticky,
    /// The greater of the two values stands.
    Max,
    /// True stands if either is true.
    Or,
}

/// Whom a value is meant for.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Sensitivity {
    /// Anybody who may see the twin.
    #[default]
    Public,
    /// It says something of a person: in no log, and in documents only when asked for.
    Personal,
    /// It gives access to something: in no log, and in documents only when asked for.
    Secret,
}

/// What a device must know about a field; the rest is in [`Schema`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Field {
    /// Its number.
    pub id: FieldId,
    /// Who states it.
    pub access: Access,
    /// What kind of value it holds.
    pub kind: Kind,
    /// Whether it may have no value.
    pub optional: bool,
    /// What an edit made at the device means.
    pub local: LocalEdit,
    /// How many values it is a list of, or how many bytes a text has at most; 0 for a single value.
    pub len: u16,
    /// The longest encoding of a value, in bytes.
    pub max_bytes: u16,
}

impl Field {
    const EMPTY: Self = Self::of::<bool>(0, Access::Reported);

    /// Describes a field of type `L`.
    #[must_use]
    #[allow(
        clippy::cast_possible_truncation,
        reason = "the assertion in front of it"
    )]
    pub const fn of<L: Leaf>(number: u16, access: Access) -> Self {
        const { assert!(L::MAX_BYTES <= 1_024, "a value has at most 1,024 bytes") };
        Self {
            id: FieldId::new(number),
            access,
            kind: L::KIND,
            optional: L::OPTIONAL,
            local: LocalEdit::LastIntent,
            len: L::LEN,
            max_bytes: L::MAX_BYTES as u16,
        }
    }

    /// Whether a service can desire it.
    #[must_use]
    pub const fn is_desired(&self) -> bool {
        !matches!(self.access, Access::Reported)
    }

    /// Whether a change of it at the device is an edit, not a measurement.
    #[must_use]
    pub const fn is_edited(&self) -> bool {
        matches!(self.access, Access::Desired)
    }

    /// Whether it holds a list.
    #[must_use]
    pub const fn is_list(&self) -> bool {
        self.len > 0 && !matches!(self.kind, Kind::Text)
    }
}

/// Everything about a field, for services, documents and adapters.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Schema {
    /// What the device knows.
    pub field: Field,
    /// Its name in documents.
    pub name: Name,
    /// Its unit, from the SenML registry (RFC 8428 §12.1); empty for none.
    pub unit: &'static str,
    /// The least and the greatest value, both allowed.
    pub range: Option<(f64, f64)>,
    /// Changes smaller than this are not reported.
    pub deadband: Option<f64>,
    /// Whom it is meant for.
    pub sensitivity: Sensitivity,
    /// The names of an enum.
    pub variants: &'static [Variant],
}

impl Schema {
    /// A field that says nothing: what tables are made of before they are filled.
    pub const EMPTY: Self = Self::new(Field::EMPTY, "");

    /// A field without unit, range and deadband.
    #[must_use]
    pub const fn new(field: Field, name: &'static str) -> Self {
        Self {
            field,
            name: Name::new(name),
            unit: "",
            range: None,
            deadband: None,
            sensitivity: Sensitivity::Public,
            variants: &[],
        }
    }

    /// A field of type `L`.
    #[must_use]
    pub const fn of<L: Leaf>(number: u16, access: Access, name: &'static str) -> Self {
        let mut schema = Self::new(Field::of::<L>(number, access), name);
        schema.variants = L::VARIANTS;
        schema
    }

    /// Gives it a unit.
    #[must_use]
    pub const fn with_unit(mut self, unit: &'static str) -> Self {
        self.unit = unit;
        self
    }

    /// Gives it a range, both ends allowed.
    #[must_use]
    pub const fn with_range(mut self, least: f64, greatest: f64) -> Self {
        self.range = Some((least, greatest));
        self
    }

    /// Gives it a deadband.
    #[must_use]
    pub const fn with_deadband(mut self, step: f64) -> Self {
        self.deadband = Some(step);
        self
    }

    /// Says what an edit made at the device means.
    #[must_use]
    pub const fn with_local(mut self, policy: LocalEdit) -> Self {
        self.field.local = policy;
        self
    }

    /// Says whom it is meant for.
    #[must_use]
    pub const fn with_sensitivity(mut self, sensitivity: Sensitivity) -> Self {
        self.sensitivity = sensitivity;
        self
    }
}
