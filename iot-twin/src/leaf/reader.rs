//! Values read from CBOR one after the other: all that a device's twin needs of it.
//!
//! A general decoder carries error texts, positions and nesting; on a chip that is a third of the engine.

use super::float;

const ARRAY: u8 = 4;

const FALSE: u8 = 7 << 5 | 20;
const TRUE: u8 = 7 << 5 | 21;
const NULL: u8 = 7 << 5 | 22;
/// A list of nothing.
const EMPTY: u8 = ARRAY << 5;
/// No value begins with a break (RFC 8949 §3.2.1).
const NOTHING: u8 = 0xff;

/// Where the commonest encodings are looked for first: a chip has them once, in `head`.
pub(crate) const HOST: bool = cfg!(not(target_pointer_width = "32"));

/// Reads values of stated lengths.
///
/// It is *sticky*: once something was not as it had to be, [`failed`](Self::failed) says so for ever, and what is
/// read means nothing.
///
/// ```
/// use iot_twin::leaf::LeafReader;
///
/// let mut input = LeafReader::new(b"\x19\x01\x2c\x62on");
/// assert_eq!((input.unsigned(), input.text()), (300, Some("on")));
/// assert!(input.is_at_end());
/// ```
#[derive(Clone, Debug)]
pub struct LeafReader<'a> {
    rest: &'a [u8],
    /// Of the last head; the bits of a float are its argument.
    argument: u64,
    failed: bool,
}

impl<'a> LeafReader<'a> {
    /// Reads from the start of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            argument: 0,
            failed: false,
        }
    }

    /// Reads a truth value.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn bool(&mut self) -> bool {
        let first = self.head();
        self.failed |= first & !1 != FALSE;
        first == TRUE
    }

    /// Reads a whole number without a sign.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn unsigned(&mut self) -> u64 {
        self.failed |= self.head() >> 5 != 0;
        self.argument
    }

    /// Reads a number of any form, and rounds it to single precision; `None` when the next value is none.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn f32(&mut self) -> Option<f32> {
        match self.single() {
            Some(value) => Some(value),
            None => self.f32_of_any_form(),
        }
    }

    /// The next number, if it is at hand in single precision.
    #[inline]
    pub(crate) fn single(&mut self) -> Option<f32> {
        if HOST && let [0xfa, a, b, c, d, rest @ ..] = self.rest {
            self.rest = rest;
            return Some(f32::from_be_bytes([*a, *b, *c, *d]));
        }
        None
    }

    #[cfg_attr(target_pointer_width = "32", inline)]
    #[cfg_attr(not(target_pointer_width = "32"), inline(never))]
    pub(crate) fn f32_of_any_form(&mut self) -> Option<f32> {
        let first = self.head();
        float::single(first, self.argument)
    }

    /// Reads a number of any form, and rounds it to double precision; `None` when the next value is none.
    pub fn f64(&mut self) -> Option<f64> {
        let first = self.head();
        float::double(first, self.argument)
    }

    /// Reads a text; `None` when the next value is none.
    pub fn text(&mut self) -> Option<&'a str> {
        if self.head() >> 5 != 3 {
            return None;
        }
        let bytes = self.take(usize::try_from(self.argument).unwrap_or(usize::MAX));
        core::str::from_utf8(bytes).ok().filter(|_| !self.failed)
    }

    /// Reads the head of a list; as many values follow. `None` when the next value is no list.
    pub fn array(&mut self) -> Option<u64> {
        (self.head() >> 5 == ARRAY).then_some(self.argument)
    }

    /// Whether the next value is null; then it is read.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn null(&mut self) -> bool {
        let null = self.rest.first() == Some(&NULL);
        if null {
            self.head();
        }
        null
    }

    /// Whether the next value says that there is none, null or an empty list; then it is read.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn none(&mut self) -> bool {
        let none = matches!(self.rest.first(), Some(&(NULL | EMPTY)));
        if none {
            self.head();
        }
        none
    }

    /// Whether something was not as it had to be.
    #[must_use]
    pub const fn failed(&self) -> bool {
        self.failed
    }

    /// Whether everything was as it had to be, to the end.
    #[must_use]
    pub const fn is_at_end(&self) -> bool {
        self.rest.is_empty() && !self.failed
    }

    /// The encoding of the next value: a number, a text, a truth value, null, or a list of these.
    #[inline(never)]
    pub(crate) fn value(&mut self) -> &'a [u8] {
        let start = self.rest;
        let mut items = 1_u32;
        let mut list = true;
        while items > 0 && !self.failed {
            match self.head() >> 5 {
                0 | 1 | 7 => {}
                3 => drop(self.take(usize::try_from(self.argument).unwrap_or(usize::MAX))),
                ARRAY if list => {
                    items = u32::try_from(self.argument)
                        .unwrap_or(u32::MAX)
                        .saturating_add(1);
                }
                _ => self.failed = true,
            }
            list = false;
            items -= 1;
        }
        let len = start.len() - self.rest.len();
        start.get(..len).unwrap_or(&[])
    }

    /// The same as `unsigned`, at hand for the commonest encodings.
    #[inline]
    pub(crate) fn u64(&mut self) -> u64 {
        if HOST && let Some((value, rest)) = short(self.rest) {
            self.rest = rest;
            return value.into();
        }
        self.unsigned()
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn u32(&mut self) -> u32 {
        if HOST && let Some((value, rest)) = short(self.rest) {
            self.rest = rest;
            return value;
        }
        let value = self.unsigned();
        self.failed |= value > u32::MAX.into();
        low(value)
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn u16(&mut self) -> u16 {
        if HOST
            && let Some((value, rest)) = short(self.rest)
            && let Ok(value) = value.try_into()
        {
            self.rest = rest;
            return value;
        }
        let value = self.u32();
        self.failed |= value > u16::MAX.into();
        low(value)
    }

    /// Reads the head of a list of at most 23 values.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub(crate) fn fields(&mut self) -> u8 {
        let first = self.head();
        self.failed |= !(0x80..0x98).contains(&first);
        first & 0x1f
    }

    /// What is left to read.
    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Goes on with what was left, after something that was read elsewhere.
    pub(crate) const fn go_on(&mut self, rest: &'a [u8]) {
        self.rest = rest;
    }

    /// What was read since `start` was left.
    #[inline]
    pub(crate) fn since(&self, start: &'a [u8]) -> &'a [u8] {
        let len = start.len() - self.rest.len();
        start.get(..len).unwrap_or(&[])
    }

    pub(crate) const fn require(&mut self, holds: bool) {
        self.failed |= !holds;
    }

    pub(crate) const fn argument(&self) -> u64 {
        self.argument
    }

    /// The first byte of the next head.
    #[inline(never)]
    pub(crate) fn head(&mut self) -> u8 {
        let Some((&first, rest)) = self.rest.split_first() else {
            self.failed = true;
            return NOTHING;
        };
        self.rest = rest;
        let info = first & 0x1f;
        self.argument = info.into();
        if info < 24 {
            return first;
        }
        // 24, 25, 26 and 27 stand for 1, 2, 4 and 8 bytes.
        if info > 27 {
            self.failed = true;
        } else if HOST {
            self.argument = u64::from_be_bytes(match info {
                24 => self.padded::<1>(),
                25 => self.padded::<2>(),
                26 => self.padded::<4>(),
                _ => self.padded::<8>(),
            });
        } else {
            let followers = self.take(1 << (info - 24)).iter();
            self.argument = followers.fold(0, |value, &byte| value << 8 | u64::from(byte));
        }
        if self.failed { NOTHING } else { first }
    }

    fn padded<const N: usize>(&mut self) -> [u8; 8] {
        let mut all = [0; 8];
        match (
            self.rest.split_first_chunk::<N>(),
            all.last_chunk_mut::<N>(),
        ) {
            (Some((taken, rest)), Some(place)) => {
                *place = *taken;
                self.rest = rest;
            }
            _ => self.failed = true,
        }
        all
    }

    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    fn take(&mut self, len: usize) -> &'a [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            self.failed = true;
            return &[];
        };
        self.rest = rest;
        taken
    }
}

/// The number in one to five bytes that lies in front, without the detour through `head`, and what follows it.
#[inline]
fn short(bytes: &[u8]) -> Option<(u32, &[u8])> {
    Some(match bytes {
        [value @ 0..=0x17, rest @ ..] | [0x18, value, rest @ ..] => ((*value).into(), rest),
        [0x19, a, b, rest @ ..] => (u16::from_be_bytes([*a, *b]).into(), rest),
        [0x1a, a, b, c, d, rest @ ..] => (u32::from_be_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    })
}

/// The low bits of a number.
fn low<V, N: TryFrom<V> + Default>(value: V) -> N {
    N::try_from(value).unwrap_or_default()
}

/// The half-precision number that a general decoder is at, which it reads only with another crate's help.
pub(crate) fn half_in(input: &mut minicbor::Decoder<'_>) -> Option<f64> {
    let at = input.position();
    let bits = match input.input().get(at..)? {
        [0xf9, high, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => return None,
    };
    input.set_position(at + 3);
    float::double(0xf9, bits.into())
}
