//! The values a twin's field can hold, and how they travel.

mod float;
mod list;
mod number;
mod reader;
mod text;
mod writer;

pub use list::Element;
pub use reader::LeafReader;
pub use text::{Text, TextError};
pub use writer::LeafWriter;

pub(crate) use reader::{HOST, half_in};
pub(crate) use writer::narrow;

/// What kind of value a field holds, or each value of its list.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Kind {
    /// True or false.
    Bool,
    /// A whole number without a sign.
    Unsigned,
    /// A whole number.
    Signed,
    /// A number in single precision.
    F32,
    /// A number in double precision.
    F64,
    /// A text of a bounded length.
    Text,
    /// One of some numbered names; its number travels.
    Enum,
}

/// One of the names that a field of [`Kind::Enum`] can have.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Variant {
    /// Its name in the source.
    pub name: &'static str,
    /// Its number, which travels.
    pub number: u16,
}

impl Variant {
    /// Puts a variant together.
    #[must_use]
    pub const fn new(name: &'static str, number: u16) -> Self {
        Self { name, number }
    }
}

/// Why a value cannot become a field's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LeafError {
    /// It is of another kind than the field, or a list of another length.
    #[error(
        "the value is of another kind than the field: give it one of the schema's kind and length"
    )]
    Kind,
    /// It lies outside the field's range, or the field's type cannot hold it: a text may be too long.
    #[error("the value is outside the field's range or too long for it: see both in its schema")]
    Range,
    /// It names no variant of the field's enum; perhaps one that a newer version has.
    #[error("the field's enum has no variant of this number: see those in its schema")]
    Variant,
    /// The field does not exist.
    #[error("the twin has no such field: use the path of one in its schema")]
    Unknown,
}

/// A type that a twin's field can have.
///
/// Implemented for `bool`, the integers up to 64 bits, `f32`, `f64`, [`Text`], lists `[L; N]` of an [`Element`], enums
/// with `#[derive(TwinEnum)]`, and an `Option` of each of these: `None` is a value not known yet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a twin's field",
    label = "not a twin value",
    note = "use bool, an integer up to 64 bits, f32, f64, Text<N>, a list [T; N] of numbers, or an Option of one of these",
    note = "for an enum without fields write #[derive(TwinEnum)], for a struct #[derive(Twin)] and #[twin(group, id = …)] here"
)]
pub trait Leaf: Sized + Clone {
    /// What kind of value it is.
    const KIND: Kind;
    /// Its value before anything is known.
    const INITIAL: Self;
    /// Whether having no value is one of its values.
    const OPTIONAL: bool = false;
    /// How many values a list has, or how many bytes a text at most; 0 for all others.
    const LEN: u16 = 0;
    /// The longest encoding, in bytes.
    const MAX_BYTES: usize;
    /// The names of an enum.
    const VARIANTS: &'static [Variant] = &[];

    /// Writes it.
    fn encode(&self, out: &mut LeafWriter<'_>);

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`LeafError`] when the input is not a value of this type; then it is as it was.
    fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError>;

    /// Whether both are the same value; not-a-number is the same as itself.
    fn same(&self, other: &Self) -> bool;

    /// Some value that is not this one.
    #[must_use]
    fn other(&self) -> Self;
}

/// A [`Leaf`] whose distance can be measured, so that it can have a deadband.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot have a deadband",
    note = "a deadband needs a number: an integer, f32, f64, a list or an Option of one"
)]
pub trait Measure: Leaf {
    /// The type of a distance.
    type Step: Copy;

    /// Whether it is at least `step` away from `told`, or cannot be compared with it.
    fn moved(&self, told: &Self, step: Self::Step) -> bool;
}

/// A [`Leaf`] that can be held against a range; no value is within every range.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot have this range",
    note = "a range needs a number, with bounds of the field's own type: 5.0..=30.0 for f32, 0..=100 for u8"
)]
pub trait Bounded<B>: Leaf {
    /// Whether it lies between both bounds, or on one; of a list, whether each value does.
    fn within(&self, least: &B, greatest: &B) -> bool;
}

/// A [`Leaf`] of which the greater of two values can win over the other.
#[diagnostic::on_unimplemented(
    message = "of two values of type `{Self}` neither is the greater one",
    note = "`local = Max` needs a number, `local = Or` a bool"
)]
pub trait Ranked: Leaf {
    /// Whether it is at least as great as `other`; no value is less than each value.
    fn reaches(&self, other: &Self) -> bool;
}

/// Whether `value` lies between both bounds, or on one.
pub fn within<B, L: Bounded<B>>(value: &L, least: &B, greatest: &B) -> bool {
    value.within(least, greatest)
}

/// Reads a value into a field with a range.
///
/// # Errors
///
/// As [`Leaf::decode`], and [`LeafError::Range`] when the value lies outside; the field is as it was.
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub fn decode_within<B, L: Bounded<B>>(
    field: &mut L,
    input: &mut LeafReader<'_>,
    least: &B,
    greatest: &B,
) -> Result<(), LeafError> {
    let mut value = L::INITIAL;
    value.decode(input)?;
    if !value.within(least, greatest) {
        return Err(LeafError::Range);
    }
    *field = value;
    Ok(())
}

impl Leaf for bool {
    const KIND: Kind = Kind::Bool;
    const INITIAL: Self = false;
    const MAX_BYTES: usize = 1;
    fn encode(&self, out: &mut LeafWriter<'_>) {
        out.bool(*self);
    }
    fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
        *self = match input.head() {
            0xf4 => false,
            0xf5 => true,
            _ => return Err(LeafError::Kind),
        };
        Ok(())
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn other(&self) -> Self {
        !self
    }
}

impl Ranked for bool {
    fn reaches(&self, other: &Self) -> bool {
        self >= other
    }
}

impl<L: Leaf> Leaf for Option<L> {
    const KIND: Kind = L::KIND;
    const INITIAL: Self = None;
    const OPTIONAL: bool = true;
    const LEN: u16 = L::LEN;
    const MAX_BYTES: usize = L::MAX_BYTES;
    const VARIANTS: &'static [Variant] = L::VARIANTS;
    fn encode(&self, out: &mut LeafWriter<'_>) {
        match self {
            Some(value) => value.encode(out),
            None => out.null(),
        }
    }
    fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
        if input.none() {
            *self = None;
            return Ok(());
        }
        let mut value = L::INITIAL;
        value.decode(input)?;
        *self = Some(value);
        Ok(())
    }
    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Some(one), Some(two)) => one.same(two),
            (None, None) => true,
            _ => false,
        }
    }
    fn other(&self) -> Self {
        match self {
            Some(_) => None,
            None => Some(L::INITIAL),
        }
    }
}

impl<B, L: Bounded<B>> Bounded<B> for Option<L> {
    fn within(&self, least: &B, greatest: &B) -> bool {
        self.as_ref()
            .is_none_or(|value| value.within(least, greatest))
    }
}

impl<L: Measure> Measure for Option<L> {
    type Step = L::Step;
    fn moved(&self, told: &Self, step: L::Step) -> bool {
        match (self, told) {
            (Some(one), Some(two)) => one.moved(two, step),
            (one, two) => !one.same(two),
        }
    }
}

impl<L: Ranked> Ranked for Option<L> {
    fn reaches(&self, other: &Self) -> bool {
        match (self, other) {
            (Some(one), Some(two)) => one.reaches(two),
            (_, None) => true,
            (None, Some(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests;
