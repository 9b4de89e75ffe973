//! One scalar after the other, in CBOR: all that a device's twin needs of it.
//!
//! A general decoder carries error texts, positions and nesting; on a chip that is a third of the engine.

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const SIMPLE: u8 = 7;

const FALSE: u8 = 20;
const TRUE: u8 = 21;
const NULL: u8 = 22;
const HALF: u8 = 25;
const SINGLE: u8 = 26;
const DOUBLE: u8 = 27;

/// Writes values as deterministic CBOR into a buffer.
#[derive(Debug)]
pub struct LeafWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

impl<'b> LeafWriter<'b> {
    /// Writes from the start of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// How many bytes are written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether nothing is written yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Writes no value; `None` when it does not fit, as with every other method.
    pub fn null(&mut self) -> Option<()> {
        self.raw(&[SIMPLE << 5 | NULL])
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) -> Option<()> {
        self.raw(&[SIMPLE << 5 | if value { TRUE } else { FALSE }])
    }

    /// Writes a whole number without a sign.
    pub fn unsigned(&mut self, value: u64) -> Option<()> {
        self.head(UNSIGNED, value)
    }

    /// Writes a whole number.
    pub fn signed(&mut self, value: i64) -> Option<()> {
        match u64::try_from(value) {
            Ok(value) => self.head(UNSIGNED, value),
            // -1 is 0, -2 is 1 (RFC 8949 §3.1): the complement.
            Err(_) => self.head(NEGATIVE, (!value).unsigned_abs()),
        }
    }

    /// Writes a number in single precision.
    pub fn f32(&mut self, value: f32) -> Option<()> {
        let [a, b, c, d] = value.to_bits().to_be_bytes();
        self.raw(&[SIMPLE << 5 | SINGLE, a, b, c, d])
    }

    /// Writes a number in single precision if that keeps its value, else in double precision.
    pub fn f64(&mut self, value: f64) -> Option<()> {
        if let Some(narrow) = narrow(value) {
            return self.f32(narrow);
        }
        let start = self.used;
        let written = self
            .raw(&[SIMPLE << 5 | DOUBLE])
            .and_then(|()| self.raw(&value.to_bits().to_be_bytes()));
        if written.is_none() {
            self.used = start;
        }
        written
    }

    pub(crate) fn array(&mut self, len: u64) -> Option<()> {
        self.head(ARRAY, len)
    }

    // What a rolled-back writer left behind is overwritten by the next write.
    pub(crate) const fn truncate(&mut self, len: usize) {
        self.used = len;
    }

    pub(crate) const fn room(&self) -> usize {
        self.buffer.len() - self.used
    }

    pub(crate) fn patch(&mut self, at: usize, byte: u8) {
        if let Some(slot) = self.buffer.get_mut(at) {
            *slot = byte;
        }
    }

    pub(crate) fn finish(self) -> &'b [u8] {
        self.buffer.get(..self.used).unwrap_or(&[])
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.used.checked_add(bytes.len())?;
        let room = self.buffer.get_mut(self.used..end)?;
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.used = end;
        Some(())
    }

    fn head(&mut self, major: u8, argument: u64) -> Option<()> {
        let bytes = argument.to_be_bytes();
        let (info, skip) = match argument {
            0..24 => return self.raw(&[major << 5 | bytes.last()?]),
            24..0x100 => (24, 7),
            0x100..0x1_0000 => (25, 6),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 0),
        };
        let start = self.used;
        let written = self
            .raw(&[major << 5 | info])
            .and_then(|()| self.raw(bytes.get(skip..)?));
        if written.is_none() {
            self.used = start;
        }
        written
    }
}

/// Reads values from CBOR; what it does not understand is `None`, and ends the reading.
#[derive(Clone, Debug)]
pub struct LeafReader<'a> {
    rest: &'a [u8],
}

impl<'a> LeafReader<'a> {
    /// Reads from the start of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reads a truth value.
    pub fn bool(&mut self) -> Option<bool> {
        match self.head()? {
            (SIMPLE, FALSE, _) => Some(false),
            (SIMPLE, TRUE, _) => Some(true),
            _ => None,
        }
    }

    /// Reads a whole number without a sign.
    pub fn unsigned(&mut self) -> Option<u64> {
        self.whole()
            .filter(|(negative, _)| !negative)
            .map(|(_, value)| value)
    }

    /// Reads a number in half, single or double precision, or a whole one.
    pub fn number(&mut self) -> Option<Number> {
        Some(match self.head()? {
            (UNSIGNED, _, value) => Number::Whole(false, value),
            (NEGATIVE, _, value) => Number::Whole(true, value),
            (SIMPLE, HALF, bits) => Number::Single(half(u16::try_from(bits).ok()?)),
            (SIMPLE, SINGLE, bits) => Number::Single(f32::from_bits(u32::try_from(bits).ok()?)),
            (SIMPLE, DOUBLE, bits) => Number::Double(f64::from_bits(bits)),
            _ => return None,
        })
    }

    /// Whether the next value is null; then it is read.
    pub fn null(&mut self) -> bool {
        match self.rest.split_first() {
            Some((0xf6, rest)) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// The encoding of one value that does not nest.
    pub(crate) fn scalar(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        match self.head()? {
            (BYTES | TEXT, _, len) => self.rest = self.rest.get(usize::try_from(len).ok()?..)?,
            (UNSIGNED | NEGATIVE | SIMPLE, _, _) => {}
            _ => return None,
        }
        start.get(..start.len() - self.rest.len())
    }

    pub(crate) fn array(&mut self) -> Option<u64> {
        match self.head()? {
            (ARRAY, _, len) => Some(len),
            _ => None,
        }
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.unsigned()?.try_into().ok()
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.unsigned()?.try_into().ok()
    }

    /// A whole number: whether it is negative, and the argument.
    pub(super) fn whole(&mut self) -> Option<(bool, u64)> {
        match self.head()? {
            (UNSIGNED, _, value) => Some((false, value)),
            (NEGATIVE, _, value) => Some((true, value)),
            _ => None,
        }
    }

    /// Major type, additional information and argument; the bits of a float are its argument.
    fn head(&mut self) -> Option<(u8, u8, u64)> {
        let (first, mut rest) = self.rest.split_first()?;
        let (major, info) = (first >> 5, first & 0x1f);
        let len = match info {
            0..24 => 0,
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        let mut argument = if len == 0 { u64::from(info) } else { 0 };
        for _ in 0..len {
            let (byte, tail) = rest.split_first()?;
            argument = argument << 8 | u64::from(*byte);
            rest = tail;
        }
        self.rest = rest;
        Some((major, info, argument))
    }
}

/// A number as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// Whether it is negative, and its value; the value of a negative one is −1 minus the number here.
    Whole(bool, u64),
    /// In single precision, or shorter.
    Single(f32),
    /// In double precision.
    Double(f64),
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

/// A half-precision number (RFC 8949 §3.3) in single precision, which holds each exactly.
pub(crate) fn half(bits: u16) -> f32 {
    let sign = u32::from(bits >> 15) << 31;
    let (exponent, fraction) = (u32::from(bits >> 10 & 0x1f), u32::from(bits & 0x3ff));
    f32::from_bits(match (exponent, fraction) {
        (0, 0) => sign,
        (0, _) => {
            // Subnormal: shift the first one to where single precision leaves it out.
            let shift = fraction.leading_zeros() - 21;
            sign | (113 - shift) << 23 | (fraction << shift & 0x3ff) << 13
        }
        (0x1f, _) => sign | 0xff << 23 | fraction << 13,
        _ => sign | (exponent + 112) << 23 | fraction << 13,
    })
}

/// The half-precision number that a general decoder is at, which it reads only with another crate's help.
pub(crate) fn half_in(input: &mut minicbor::Decoder<'_>) -> Option<f64> {
    let at = input.position();
    let bits = match input.input().get(at..)? {
        [0xf9, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => return None,
    };
    input.set_position(at + 3);
    Some(half(bits).into())
}
