//! What a twin's fields are: numbers, names, units, ranges.

use crate::leaf::Kind;

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
    /// The service states what it should be, the device what it is.
    Desired,
    /// Only the device states it.
    Reported,
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
}

impl Field {
    /// Describes a field of type `L`.
    #[must_use]
    pub const fn of<L: crate::Leaf>(number: u16, access: Access) -> Self {
        Self {
            id: FieldId::new(number),
            access,
            kind: L::KIND,
            optional: L::OPTIONAL,
        }
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
    pub name: &'static str,
    /// Its unit, from the SenML registry (RFC 8428 §12.1); empty for none.
    pub unit: &'static str,
    /// The least and the greatest value, both allowed.
    pub range: Option<(f64, f64)>,
    /// Changes smaller than this are not reported.
    pub deadband: Option<f64>,
}

impl Schema {
    /// A field without unit, range and deadband.
    #[must_use]
    pub const fn new(field: Field, name: &'static str) -> Self {
        Self {
            field,
            name,
            unit: "",
            range: None,
            deadband: None,
        }
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
}

// FNV-1a: small, and enough to notice that two firmwares disagree about the fields.
pub(crate) const FNV_START: u32 = 0x811c_9dc5;

pub(crate) const fn fnv(mut hash: u32, bytes: &[u8]) -> u32 {
    let mut rest = bytes;
    while let [byte, tail @ ..] = rest {
        hash = (hash ^ *byte as u32).wrapping_mul(0x0100_0193);
        rest = tail;
    }
    hash
}

/// Names a set of fields: differs when a field is added, removed or changes its kind.
pub(crate) const fn fingerprint(fields: &[Field]) -> u32 {
    let mut hash = FNV_START;
    let mut rest = fields;
    while let [field, tail @ ..] = rest {
        hash = fnv(hash, &field.id.get().to_be_bytes());
        hash = fnv(
            hash,
            &[field.kind as u8, field.optional as u8, field.access as u8],
        );
        rest = tail;
    }
    hash
}
