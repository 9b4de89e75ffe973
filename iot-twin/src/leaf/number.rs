//! Numbers as values of a field.

use super::{Bounded, Kind, Leaf, LeafError, LeafReader, LeafWriter, Measure, Number, Ranked};

macro_rules! integer {
    ($($kind:ident $read:ident $write:ident: $($name:ident $bytes:literal)+;)+) => {$($(
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0;
            const MAX_BYTES: usize = $bytes;
            fn encode(&self, out: &mut LeafWriter<'_>) {
                out.$write((*self).into());
            }
            fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
                *self = $read(input)?.try_into().map_err(|_| LeafError::Range)?;
                Ok(())
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
        impl Bounded<$name> for $name {
            fn within(&self, least: &$name, greatest: &$name) -> bool {
                (least..=greatest).contains(&self)
            }
        }
        impl Ranked for $name {
            fn reaches(&self, other: &Self) -> bool {
                self >= other
            }
        }
    )+)+};
}
integer! {
    Unsigned unsigned unsigned: u8 2 u16 3 u32 5 u64 9;
    Signed signed signed: i8 2 i16 3 i32 5 i64 9;
}

#[inline(never)]
pub(super) fn unsigned(input: &mut LeafReader<'_>) -> Result<u64, LeafError> {
    match input.head() >> 5 {
        0 => Ok(input.argument()),
        1 => Err(LeafError::Range),
        _ => Err(LeafError::Kind),
    }
}

#[inline(never)]
fn signed(input: &mut LeafReader<'_>) -> Result<i64, LeafError> {
    let major = input.head() >> 5;
    if major > 1 {
        return Err(LeafError::Kind);
    }
    let value = i64::try_from(input.argument()).map_err(|_| LeafError::Range)?;
    Ok(if major == 0 { value } else { !value })
}

macro_rules! float {
    ($name:ident $kind:ident $write:ident $bytes:literal $signed:ident $read:ident) => {
        impl Leaf for $name {
            const KIND: Kind = Kind::$kind;
            const INITIAL: Self = 0.0;
            const MAX_BYTES: usize = $bytes;
            fn encode(&self, out: &mut LeafWriter<'_>) {
                out.$write(*self);
            }
            #[inline(never)]
            fn decode(&mut self, input: &mut LeafReader<'_>) -> Result<(), LeafError> {
                // A whole number is a number too: services in other languages write 21 for 21.0.
                let value = $read(input.number().ok_or(LeafError::Kind)?);
                if !value.is_finite() {
                    return Err(LeafError::Range);
                }
                *self = value;
                Ok(())
            }
            fn same(&self, other: &Self) -> bool {
                $read::rank(*self) == $read::rank(*other)
            }
            fn other(&self) -> Self {
                if *self == 1.0 { 0.0 } else { 1.0 }
            }
        }
        impl Measure for $name {
            type Step = $name;
            #[inline(never)]
            fn moved(&self, told: &Self, step: $name) -> bool {
                if self.is_nan() || told.is_nan() {
                    return !self.same(told);
                }
                !self.same(told) && (*self - *told).abs() >= step
            }
        }
        impl Bounded<$name> for $name {
            fn within(&self, least: &$name, greatest: &$name) -> bool {
                // Not-a-number ranks beyond the infinities.
                $read::rank(*least) <= $read::rank(*self)
                    && $read::rank(*self) <= $read::rank(*greatest)
            }
        }
        impl Ranked for $name {
            fn reaches(&self, other: &Self) -> bool {
                $read::rank(*self) >= $read::rank(*other)
            }
        }
        mod $read {
            /// Numbers rank as they are ordered, both zeros alike. A processor without a unit for floats compares
            /// these faster, and without code for it.
            pub(super) const fn rank(value: $name) -> $signed {
                let magnitude = value.abs().to_bits().cast_signed();
                if value.is_sign_negative() {
                    -magnitude
                } else {
                    magnitude
                }
            }
        }
    };
}
float!(f32 F32 f32 5 i32 single);
float!(f64 F64 f64 9 i64 double);

#[allow(
    clippy::cast_precision_loss,
    reason = "rounding to the field's precision is what reading a number means"
)]
fn double(number: Number) -> f64 {
    match number {
        Number::Whole(false, value) => value as f64,
        Number::Whole(true, value) => -1.0 - value as f64,
        Number::Double(bits) => f64::from_bits(bits),
        shorter => single(shorter).into(),
    }
}

/// The nearest number in single precision, of two the even one.
///
/// One rounding for every form a number can have: the compiler's own conversions take a chip four functions.
#[inline(never)]
pub(crate) fn single(number: Number) -> f32 {
    let (negative, mantissa, exponent) = match number {
        Number::Single(bits) => return f32::from_bits(bits),
        // The value of a negative one is -1 minus the number.
        Number::Whole(negative, value) => (negative, value.saturating_add(negative.into()), 0),
        Number::Half(bits) => parts(bits.into(), 10, 0x1f),
        Number::Double(bits) => parts(bits, 52, 0x7ff),
    };
    let sign = u32::from(negative) << 31;
    f32::from_bits(sign | magnitude(mantissa, exponent))
}

/// Sign, mantissa and exponent of a binary float (IEEE 754) whose exponent is masked so.
fn parts(bits: u64, fraction: u32, mask: u32) -> (bool, u64, i32) {
    let [.., high, low] = (bits >> fraction).to_be_bytes();
    let top = u32::from(u16::from_be_bytes([high, low]));
    let one = 1 << fraction;
    let (biased, rest) = (top & mask, bits & (one - 1));
    let exponent = match biased {
        0 => return (top > mask, rest, 1 - bias(fraction, mask)),
        // Infinity, and not-a-number beyond it.
        all if all == mask => FAR,
        all => all.cast_signed() - bias(fraction, mask),
    };
    (top > mask, one | rest, exponent)
}

/// A float is a whole number, shifted by the length of its fraction, too.
const fn bias(fraction: u32, mask: u32) -> i32 {
    (fraction + (mask >> 1)).cast_signed()
}

const FAR: i32 = 2_000;

/// The bits of `mantissa` times two to the power of `exponent`.
fn magnitude(mut mantissa: u64, mut exponent: i32) -> u32 {
    const LEAST: i32 = -149 - 2;
    if exponent == FAR && !mantissa.is_power_of_two() {
        return 0x7fc0_0000;
    }
    // 24 bits and two more; the last of them stands for all that fell off.
    while mantissa >= 1 << 26 || (exponent < LEAST && mantissa > 1) {
        mantissa = mantissa >> 1 | mantissa & 1;
        exponent += 1;
    }
    while mantissa < 1 << 25 && exponent > LEAST && mantissa > 0 {
        mantissa <<= 1;
        exponent -= 1;
    }
    let mut bits = u32::try_from(mantissa).unwrap_or(0);
    bits = (bits + 1 + (bits >> 2 & 1)) >> 2;
    if bits == 0 || exponent < LEAST {
        return 0;
    }
    // The first of the 24 bits adds one to the exponent, and so does a carry; a subnormal number has none.
    let exponent = (exponent - LEAST).cast_unsigned();
    if exponent > 253 {
        return 0x7f80_0000;
    }
    (exponent << 23) + bits
}
