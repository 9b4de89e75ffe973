//! Floats without a unit for floats: compared, rounded and measured as whole numbers.
//!
//! A processor without the unit links a function for each conversion, comparison and sum, and a subtraction alone is 400
//! bytes of flash. On one that has the unit these cost a few instructions more.

const HALF: u8 = 7 << 5 | 25;
const SINGLE: u8 = 7 << 5 | 26;
const DOUBLE: u8 = 7 << 5 | 27;

/// Numbers rank as they are ordered, both zeros alike, and not-a-number beyond the infinities.
pub(super) const fn rank(value: f32) -> i32 {
    let magnitude = value.abs().to_bits().cast_signed();
    if value.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// The same in double precision.
pub(super) const fn rank_wide(value: f64) -> i64 {
    let magnitude = value.abs().to_bits().cast_signed();
    if value.is_sign_negative() {
        -magnitude
    } else {
        magnitude
    }
}

/// Whether two numbers are at least `step` apart, or cannot be compared.
///
/// What is less than a 64th of the last place of the larger one does not count.
#[inline(never)]
pub(super) fn apart(one: f32, two: f32, step: f32) -> bool {
    const INFINITE: u32 = 0xff << 23;
    let bits = |value: f32| value.abs().to_bits();
    let greatest = bits(one).max(bits(two));
    if greatest >= INFINITE {
        return true;
    }
    let top = exponent(greatest);
    let (from, to) = (fixed(bits(one), top), fixed(bits(two), top));
    let distance = if one.is_sign_negative() == two.is_sign_negative() {
        from.abs_diff(to)
    } else {
        from + to
    };
    // The distance is less than twice two to the power of one more than `top`.
    exponent(bits(step)) <= top + 1 && distance >= fixed(bits(step), top)
}

/// The same in double precision, with the processor's or the compiler's own subtraction.
pub(super) fn apart_wide(one: f64, two: f64, step: f64) -> bool {
    one.is_nan() || two.is_nan() || (one - two).abs() >= step
}

/// A subnormal number has the exponent of the least normal one.
fn exponent(bits: u32) -> u32 {
    (bits >> 23).max(1)
}

/// A magnitude in 64ths of the last place that numbers with the exponent `top` have.
#[inline(never)]
fn fixed(bits: u32, top: u32) -> u32 {
    let exponent = exponent(bits);
    let mut mantissa = bits & 0x7f_ffff;
    if bits >> 23 > 0 {
        mantissa |= 1 << 23;
    }
    // Of a step, one place more than `top` is asked for, and there is room for that.
    (mantissa << 7) >> (top + 1).saturating_sub(exponent).min(31)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "rounding to the field's precision is what reading a number means"
)]
pub(super) fn double(first: u8, argument: u64) -> Option<f64> {
    Some(match first >> 5 {
        0 => argument as f64,
        1 => -1.0 - argument as f64,
        _ if first == DOUBLE => f64::from_bits(argument),
        _ => single(first, argument)?.into(),
    })
}

/// The nearest number in single precision, of two the even one: from the first byte of its encoding, and the rest.
///
/// One rounding for every form a number can have: the compiler's own conversions take a chip four functions.
#[cfg_attr(target_pointer_width = "32", inline(never))]
#[cfg_attr(not(target_pointer_width = "32"), inline)]
pub(super) fn single(first: u8, argument: u64) -> Option<f32> {
    let [high, low] = halves(argument);
    // Sign, exponent and fraction (IEEE 754), how long the fraction is, and what masks the exponent. Of a double 25 bits
    // stay; the last of them stands for all that fell off.
    let (negative, biased, rest, length, mask) = match first {
        SINGLE => return Some(f32::from_bits(low)),
        HALF => (low >> 15, low >> 10 & 0x1f, low & 0x3ff, 10, 0x1f),
        DOUBLE => {
            let lost = u32::from(low << 5 != 0);
            let rest = (high & 0xf_ffff) << 5 | low >> 27 | lost;
            (high >> 31, high >> 20 & 0x7ff, rest, 25, 0x7ff)
        }
        0x00..0x40 => {
            // The value of a negative one is -1 minus the number.
            let negative = first >> 5;
            let mut mantissa = argument.saturating_add(negative.into());
            let mut exponent = 0;
            while mantissa >= 1 << 26 {
                mantissa = mantissa >> 1 | mantissa & 1;
                exponent += 1;
            }
            let [_, mantissa] = halves(mantissa);
            return Some(compose(negative.into(), mantissa, exponent));
        }
        _ => return None,
    };
    let one = if biased == 0 { 0 } else { 1 << length };
    let exponent = if biased == mask {
        FAR
    } else {
        biased.max(1).cast_signed() - length - (mask >> 1).cast_signed()
    };
    Some(compose(negative, one | rest, exponent))
}

fn halves(number: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    [
        u32::from_be_bytes([a, b, c, d]),
        u32::from_be_bytes([e, f, g, h]),
    ]
}

/// Of infinity, and of not-a-number, which has more than one bit.
const FAR: i32 = 2_000;

/// A mantissa of at most 26 bits times two to the power of `exponent`, rounded to the nearest, of two the even one.
#[inline(never)]
fn compose(negative: u32, mut mantissa: u32, mut exponent: i32) -> f32 {
    /// Of the least subnormal number, with two bits more.
    const LEAST: i32 = -149 - 2;
    const INFINITE: u32 = 0xff << 23;
    let mut magnitude = INFINITE | 1 << 22;
    if mantissa == 0 {
        magnitude = 0;
    } else if exponent < FAR || mantissa.is_power_of_two() {
        while exponent < LEAST && mantissa > 1 {
            mantissa = mantissa >> 1 | mantissa & 1;
            exponent += 1;
        }
        while mantissa < 1 << 25 && exponent > LEAST {
            mantissa <<= 1;
            exponent -= 1;
        }
        let rounded = (mantissa + 1 + (mantissa >> 2 & 1)) >> 2;
        // The first of the 24 bits adds one to the exponent, and so does a carry; a subnormal number has none.
        magnitude = match exponent - LEAST {
            ..0 => 0,
            all @ 0..254 => (all.cast_unsigned() << 23) + rounded,
            _ => INFINITE,
        };
    }
    f32::from_bits(negative << 31 | magnitude)
}
