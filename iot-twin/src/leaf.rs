//! The values a twin's field can hold, and how they travel.

use minicbor::data::Type;
use minicbor::encode::write::Cursor;
use minicbor::{Decoder, Encoder};

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

/// Writes values as deterministic CBOR into a buffer.
#[derive(Debug)]
pub struct LeafWriter<'b> {
    encoder: Encoder<Cursor<&'b mut [u8]>>,
}

impl<'b> LeafWriter<'b> {
    /// Writes from the start of `buffer`.
    #[must_use]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            encoder: Encoder::new(Cursor::new(buffer)),
        }
    }

    /// How many bytes are written.
    #[must_use]
    pub fn len(&self) -> usize {
        self.encoder.writer().position()
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes no value; `None` when it does not fit, as with every other method.
    pub fn null(&mut self) -> Option<()> {
        self.encoder.null().ok().map(drop)
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> Option<()> {
        self.encoder.bool(value).ok().map(drop)
    }

    /// Writes a whole number without a sign.
    pub fn unsigned(&mut self, value: u64) -> Option<()> {
        self.encoder.u64(value).ok().map(drop)
    }

    /// Writes a whole number.
    pub fn signed(&mut self, value: i64) -> Option<()> {
        self.encoder.i64(value).ok().map(drop)
    }

    /// Writes a number in single precision.
    pub fn f32(&mut self, value: f32) -> Option<()> {
        self.encoder.f32(value).ok().map(drop)
    }

    /// Writes a number in single precision if that keeps its value, else in double precision.
    pub fn f64(&mut self, value: f64) -> Option<()> {
        match narrow(value) {
            Some(narrow) => self.f32(narrow),
            None => self.encoder.f64(value).ok().map(drop),
        }
    }

    pub(crate) fn array(&mut self, len: u64) -> Option<()> {
        self.encoder.array(len).ok().map(drop)
    }

    // What a rolled-back writer left behind is overwritten by the next write.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.encoder.writer_mut().set_position(len);
    }

    pub(crate) fn room(&self) -> usize {
        self.encoder.writer().get_ref().len() - self.len()
    }

    pub(crate) fn patch(&mut self, at: usize, byte: u8) {
        if let Some(slot) = self.encoder.writer_mut().get_mut().get_mut(at) {
            *slot = byte;
        }
    }

    pub(crate) fn finish(self) -> &'b [u8] {
        let used = self.len();
        let buffer: &'b [u8] = self.encoder.into_writer().into_inner();
        buffer.get(..used).unwrap_or(&[])
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Option<()> {
        use minicbor::encode::Write;
        self.encoder.writer_mut().write_all(bytes).ok()
    }
}

/// The single-precision form of `value` if it is the same number; NaN has one.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the cast is undone and compared on the next line"
)]
pub(crate) fn narrow(value: f64) -> Option<f32> {
    let narrow = value as f32;
    (f64::from(narrow).to_bits() == value.to_bits()).then_some(narrow)
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
    fn decode(input: &mut Decoder<'_>) -> Result<Self, LeafError>;

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
    fn decode(input: &mut Decoder<'_>) -> Result<Self, LeafError> {
        input.bool().map_err(|_| LeafError::Kind)
    }
    fn same(&self, other: &Self) -> bool {
        self == other
    }
    fn other(&self) -> Self {
        !self
    }
}

macro_rules! integer {
    ($($kind:ident $write:ident: $($name:ident)+;)+) => {$($(
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0;
            fn encode(&self, out: &mut LeafWriter<'_>) -> Option<()> {
                out.$write((*self).into())
            }
            fn decode(input: &mut Decoder<'_>) -> Result<Self, LeafError> {
                whole(input)?.try_into().map_err(|_| LeafError::Range)
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
    Unsigned unsigned: u8 u16 u32 u64;
    Signed signed: i8 i16 i32 i64;
}

fn whole(input: &mut Decoder<'_>) -> Result<minicbor::data::Int, LeafError> {
    input.int().map_err(|_| LeafError::Kind)
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
                clippy::cast_lossless,
                trivial_numeric_casts,
                reason = "rounding to the field's precision is what reading a number means"
            )]
            fn decode(input: &mut Decoder<'_>) -> Result<Self, LeafError> {
                let value = number(input)? as $name;
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

// A whole number is a number too: services in other languages write 21 for 21.0.
fn number(input: &mut Decoder<'_>) -> Result<f64, LeafError> {
    match input.datatype().map_err(|_| LeafError::Kind)? {
        Type::F16 => half(input).ok_or(LeafError::Kind),
        Type::F32 | Type::F64 => input.f64().map_err(|_| LeafError::Kind),
        _ => {
            let value = i64::try_from(whole(input)?).map_err(|_| LeafError::Range)?;
            #[expect(
                clippy::cast_precision_loss,
                reason = "rounding to the nearest number is what reading a number means"
            )]
            Ok(value as f64)
        }
    }
}

/// Reads a half-precision number (RFC 8949 §3.3), which minicbor does only with another crate's help.
pub(crate) fn half(input: &mut Decoder<'_>) -> Option<f64> {
    let at = input.position();
    let bits = match input.input().get(at..)? {
        [0xf9, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => return None,
    };
    input.set_position(at + 3);
    let fraction = u32::from(bits & 0x3ff);
    let (exponent, sign) = (u32::from(bits >> 10 & 0x1f), u32::from(bits >> 15) << 31);
    Some(f64::from(match exponent {
        // Subnormal: the fraction counts units of 2^-24, which single precision holds exactly.
        0 => {
            let unit = f32::from_bits(103 << 23);
            f32::from_bits((f32::from(bits & 0x3ff) * unit).to_bits() | sign)
        }
        0x1f => f32::from_bits(sign | 0xff << 23 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }))
}

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
    fn decode(input: &mut Decoder<'_>) -> Result<Self, LeafError> {
        if matches!(input.datatype(), Ok(Type::Null)) {
            return input.null().map(|()| None).map_err(|_| LeafError::Kind);
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
        L::decode(&mut Decoder::new(out.finish())).unwrap()
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
            assert_eq!(f64::decode(&mut Decoder::new(&bytes)), Ok(value));
        }
        let infinite = [0xf9, 0x7c, 0x00];
        assert_eq!(
            f32::decode(&mut Decoder::new(&infinite)),
            Err(LeafError::Range)
        );
    }

    #[test]
    fn a_whole_number_is_a_number_and_a_text_is_none() {
        assert_eq!(f32::decode(&mut Decoder::new(&[0x15])), Ok(21.0));
        assert_eq!(
            f32::decode(&mut Decoder::new(b"\x61a")),
            Err(LeafError::Kind)
        );
        assert_eq!(
            u8::decode(&mut Decoder::new(&[0x19, 1, 0])),
            Err(LeafError::Range)
        );
        assert_eq!(
            u8::decode(&mut Decoder::new(&[0x20])),
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
            let _ = Option::<f32>::decode(&mut Decoder::new(&bytes));
            let _ = i16::decode(&mut Decoder::new(&bytes));
            let _ = bool::decode(&mut Decoder::new(&bytes));
        }

        #[test]
        fn another_value_is_another(a: f32, b: i32) {
            prop_assert!(!a.other().same(&a));
            prop_assert!(!b.other().same(&b));
        }
    }
}
