//! The values a twin's field can hold, and how they travel.

mod cbor;

pub use cbor::{LeafReader, LeafWriter, Number};
pub(crate) use cbor::{half_in, narrow};

/// What kind of value a field holds.
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
}

/// Why a value cannot become a field's value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LeafError {
    /// It is of another kind than the field.
    #[error("the value is of another kind than the field")]
    Kind,
    /// It lies outside the field's range, or the field's type cannot hold it.
    #[error("the value is outside the field's range")]
    Range,
    /// The field does not exist.
    #[error("the twin has no such field")]
    Unknown,
}

/// A type that a twin's field can have.
///
/// Implemented for `bool`, the integers up to 64 bits, `f32`, `f64`, and an `Option` of these: `None` is a value
/// not known yet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a twin's field",
    label = "not a twin value",
    note = "use bool, an integer up to 64 bits, f32, f64, or an Option of one of these"
)]
pub trait Leaf: Sized + Clone {
    /// What kind of value it is.
    const KIND: Kind;
    /// Its value before anything is known.
    const INITIAL: Self;
    /// Whether having no value is one of its values.
    const OPTIONAL: bool = false;

    /// Writes it; `None` when it does not fit.
    fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()>;

    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`LeafError::Kind`] or [`LeafError::Range`] when the input is not a value of this type.
    fn decode(input: &mut LeafReader<'_>) -> Result<Self, LeafError>;

    /// Whether both are the same value; not-a-number is the same as itself.
    fn same(&self, other: &Self) -> bool;

    /// Some value that is not this one.
    #[must_use]
    fn other(&self) -> Self;
}

/// A [`Leaf`] whose distance can be measured, so that it can have a deadband.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot have a deadband",
    note = "a deadband needs a number: an integer, f32, f64 or an Option of one"
)]
pub trait Measure: Leaf {
    /// The type of a distance.
    type Step;

    /// Whether it is at least `step` away from `told`, or cannot be compared with it.
    fn moved(&self, told: &Self, step: Self::Step) -> bool;
}

/// A [`Leaf`] that can be held against a range; no value is within every range.
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot have this range",
    note = "a range needs a number, with bounds of the field's own type: 5.0..=30.0 for f32, 0..=100 for u8"
)]
pub trait Bounded<B>: Leaf {
    /// Whether it lies between both bounds, or on one.
    fn within(&self, least: &B, greatest: &B) -> bool;
}

/// Whether `value` lies between both bounds, or on one.
pub fn within<B, L: Bounded<B>>(value: &L, least: &B, greatest: &B) -> bool {
    value.within(least, greatest)
}

impl<L: Bounded<L>> Bounded<L> for Option<L> {
    fn within(&self, least: &L, greatest: &L) -> bool {
        self.as_ref()
            .is_none_or(|value| value.within(least, greatest))
    }
}

macro_rules! bounded {
    ($($name:ident)+) => {$(
        impl Bounded<$name> for $name {
            fn within(&self, least: &$name, greatest: &$name) -> bool {
                (least..=greatest).contains(&self)
            }
        }
    )+};
}
bounded!(u8 u16 u32 u64 i8 i16 i32 i64 f32 f64);

impl Leaf for bool {
    const KIND: Kind = Kind::Bool;
    const INITIAL: Self = false;
    fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()> {
        out.bool(*self)
    }
    fn decode(input: &mut LeafReader<'_>) -> Result<Self, LeafError> {
        input.bool().ok_or(LeafError::Kind)
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn other(&self) -> Self {
        !self
    }
}

macro_rules! integer {
    ($($kind:ident $read:ident $write:ident: $($name:ident)+;)+) => {$($(
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0;
            fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()> {
                out.$write((*self).into())
            }
            fn decode(input: &mut LeafReader<'_>) -> Result<Self, LeafError> {
                $read(input)?.try_into().map_err(|_| LeafError::Range)
            }
            fn same(&self, other: &Self) -> bool {
                self == other
            }
            fn other(&self) -> Self {
                self.wrapping_add(1)
            }
        }
        impl Measure for $name {
            type Step = $name;
            fn moved(&self, told: &Self, step: $name) -> bool {
                // A negative step is met by every distance.
                self != told && i128::from(self.abs_diff(*told)) >= i128::from(step)
            }
        }
    )+)+};
}
integer! {
    Unsigned unsigned unsigned: u8 u16 u32 u64;
    Signed signed signed: i8 i16 i32 i64;
}

fn unsigned(input: &mut LeafReader<'_>) -> Result<u64, LeafError> {
    match input.whole() {
        Some((false, value)) => Ok(value),
        Some((true, _)) => Err(LeafError::Range),
        None => Err(LeafError::Kind),
    }
}

fn signed(input: &mut LeafReader<'_>) -> Result<i64, LeafError> {
    let (negative, value) = input.whole().ok_or(LeafError::Kind)?;
    let value = i64::try_from(value).map_err(|_| LeafError::Range)?;
    Ok(if negative { !value } else { value })
}

macro_rules! float {
    ($name:ident $kind:ident $write:ident) => {
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0.0;
            fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()> {
                out.$write(*self)
            }
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_lossless,
                trivial_numeric_casts,
                reason = "rounding to the field's precision is what reading a number means"
            )]
            fn decode(input: &mut LeafReader<'_>) -> Result<Self, LeafError> {
                // A whole number is a number too: services in other languages write 21 for 21.0.
                let value = match input.number().ok_or(LeafError::Kind)? {
                    Number::Whole(false, value) => value as $name,
                    Number::Whole(true, value) => -1.0 - value as $name,
                    Number::Single(value) => value as $name,
                    Number::Double(value) => value as $name,
                };
                if value.is_finite() {
                    Ok(value)
                } else {
                    Err(LeafError::Range)
                }
            }
            fn same(&self, other: &Self) -> bool {
                self.to_bits() == other.to_bits() || self == other
            }
            fn other(&self) -> Self {
                if *self == 1.0 { 0.0 } else { 1.0 }
            }
        }
        impl Measure for $name {
            type Step = $name;
            fn moved(&self, told: &Self, step: $name) -> bool {
                if self.is_nan() || told.is_nan() {
                    return !self.same(told);
                }
                self != told && (*self - *told).abs() >= step
            }
        }
    };
}
float!(f32 F32 f32);
float!(f64 F64 f64);

impl<L: Leaf> Leaf for Option<L> {
    const KIND: Kind = L::KIND;
    const INITIAL: Self = None;
    const OPTIONAL: bool = true;
    fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()> {
        match self {
            Some(value) => value.encode(out),
            None => out.null(),
        }
    }
    fn decode(input: &mut LeafReader<'_>) -> Result<Self, LeafError> {
        if input.null() {
            return Ok(None);
        }
        L::decode(input).map(Some)
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

impl<L: Measure> Measure for Option<L> {
    type Step = L::Step;
    fn moved(&self, told: &Self, step: L::Step) -> bool {
        match (self, told) {
            (Some(one), Some(two)) => one.moved(two, step),
            (one, two) => !one.same(two),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn there_and_back<L: Leaf>(value: &L) -> L {
        let mut buffer = [0; 16];
        let mut out = LeafWriter::new(&mut buffer);
        value.encode(&mut out).unwrap();
        L::decode(&mut LeafReader::new(out.finish())).unwrap()
    }

    #[test]
    fn half_precision_is_read_as_the_standards_table_says() {
        // RFC 8949, appendix A.
        for (bytes, value) in [
            ([0xf9, 0x00, 0x00], 0.0),
            ([0xf9, 0x3c, 0x00], 1.0),
            ([0xf9, 0x3e, 0x00], 1.5),
            ([0xf9, 0x7b, 0xff], 65_504.0),
            ([0xf9, 0x00, 0x01], 5.960_464_477_539_063e-8),
            ([0xf9, 0x04, 0x00], 0.000_061_035_156_25),
            ([0xf9, 0xc4, 0x00], -4.0),
        ] {
            assert_eq!(f64::decode(&mut LeafReader::new(&bytes)), Ok(value));
        }
        let infinite = [0xf9, 0x7c, 0x00];
        assert_eq!(
            f32::decode(&mut LeafReader::new(&infinite)),
            Err(LeafError::Range)
        );
    }

    #[test]
    fn a_whole_number_is_a_number_and_a_text_is_none() {
        assert_eq!(f32::decode(&mut LeafReader::new(&[0x15])), Ok(21.0));
        assert_eq!(
            f32::decode(&mut LeafReader::new(b"\x61a")),
            Err(LeafError::Kind)
        );
        assert_eq!(
            u8::decode(&mut LeafReader::new(&[0x19, 1, 0])),
            Err(LeafError::Range)
        );
        assert_eq!(
            u8::decode(&mut LeafReader::new(&[0x20])),
            Err(LeafError::Range)
        );
    }

    #[test]
    fn a_value_that_cannot_be_compared_counts_as_moved_once() {
        assert!(f32::NAN.moved(&1.0, 0.5));
        assert!(!f32::NAN.moved(&f32::NAN, 0.5));
        assert!(1.0_f32.moved(&f32::NAN, 0.5));
    }

    proptest! {
        #[test]
        fn every_leaf_comes_back(a: bool, b: u64, c: i64, d: i8, e in proptest::num::f64::NORMAL, f in proptest::num::f32::NORMAL, g: Option<u16>) {
            prop_assert_eq!(there_and_back(&a), a);
            prop_assert_eq!(there_and_back(&b), b);
            prop_assert_eq!(there_and_back(&c), c);
            prop_assert_eq!(there_and_back(&d), d);
            prop_assert!(there_and_back(&e).same(&e));
            prop_assert!(there_and_back(&f).same(&f));
            prop_assert_eq!(there_and_back(&g), g);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
            let _ = Option::<f32>::decode(&mut LeafReader::new(&bytes));
            let _ = i16::decode(&mut LeafReader::new(&bytes));
            let _ = bool::decode(&mut LeafReader::new(&bytes));
        }

        #[test]
        fn another_value_is_another(a: f32, b: i32) {
            prop_assert!(!a.other().same(&a));
            prop_assert!(!b.other().same(&b));
        }
    }
}
