//! Values as deterministic CBOR (RFC 8949 §4.2.1), written one after the other into a buffer.

use super::HOST;

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;

const FALSE: u8 = 7 << 5 | 20;
const NULL: u8 = 7 << 5 | 22;
const SINGLE: u8 = 7 << 5 | 26;
const DOUBLE: u8 = 7 << 5 | 27;

/// Writes values into a buffer, each in its shortest form; no float is shorter than 32 bits.
///
/// It is *sticky*: what did not fit is asked for once, at the end.
///
/// ```
/// use iot_twin::leaf::LeafWriter;
///
/// let mut buffer = [0; 8];
/// let mut out = LeafWriter::new(&mut buffer);
/// out.unsigned(300);
/// out.text("on");
/// assert_eq!(out.finish(), Some(&b"\x19\x01\x2c\x62on"[..]));
/// ```
#[derive(Debug)]
pub struct LeafWriter<'b> {
    buffer: &'b mut [u8],
    /// How long it became; more than the buffer when it did not fit.
    used: usize,
}

impl<'b> LeafWriter<'b> {
    /// Writes from the start of `buffer`.
    #[must_use]
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, used: 0 }
    }

    /// Writes that there is no value.
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn null(&mut self) {
        self.raw(&[NULL]);
    }

    /// Writes a truth value.
    pub fn bool(&mut self, value: bool) {
        self.raw(&[FALSE + u8::from(value)]);
    }

    /// Writes a whole number without a sign.
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn unsigned(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// Writes a whole number.
    pub fn signed(&mut self, value: i64) {
        // -1 is 0, -2 is 1 (RFC 8949 §3.1): the complement.
        if value < 0 {
            self.head(NEGATIVE, (!value).unsigned_abs());
        } else {
            self.head(UNSIGNED, value.unsigned_abs());
        }
    }

    /// Writes a number in single precision.
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn f32(&mut self, value: f32) {
        let [a, b, c, d] = value.to_bits().to_be_bytes();
        self.put(&[SINGLE, a, b, c, d]);
    }

    /// Writes a number in single precision if that keeps its value, else in double precision.
    pub fn f64(&mut self, value: f64) {
        if let Some(narrow) = narrow(value) {
            self.f32(narrow);
        } else {
            let [a, b, c, d, e, f, g, h] = value.to_bits().to_be_bytes();
            self.raw(&[DOUBLE, a, b, c, d, e, f, g, h]);
        }
    }

    /// Writes a text.
    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.raw(text.as_bytes());
    }

    /// Writes the head of a list; as many values follow.
    pub fn array(&mut self, len: usize) {
        self.head(ARRAY, len as u64);
    }

    /// Writes what is encoded already.
    #[cfg_attr(target_pointer_width = "32", inline(never))]
    #[cfg_attr(not(target_pointer_width = "32"), inline)]
    pub fn raw(&mut self, bytes: &[u8]) {
        if HOST {
            return self.put(bytes);
        }
        let room = self.buffer.get_mut(self.used..).unwrap_or(&mut []);
        // Byte by byte: most are one to nine, and a chip's memcpy alone takes 300 bytes.
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
        self.used = self.used.saturating_add(bytes.len());
    }

    /// The head of a number below 2^32 or of a list, where there is room for the longest.
    #[inline]
    fn short(&mut self, major: u8, argument: u64) -> bool {
        let room = self.buffer.get_mut(self.used..);
        let Some([first, more @ ..]) = room.and_then(<[u8]>::first_chunk_mut::<5>) else {
            return false;
        };
        let bytes = argument.to_be_bytes();
        let [_, _, _, _, a, b, c, low] = bytes;
        let (info, len) = match argument {
            0..24 => (low, 1),
            24..0x100 => {
                let [place, ..] = more;
                *place = low;
                (24, 2)
            }
            0x100..0x1_0000 => {
                let [high, place, ..] = more;
                (*high, *place) = (c, low);
                (25, 3)
            }
            0x1_0000..0x1_0000_0000 => {
                *more = [a, b, c, low];
                (26, 5)
            }
            _ => return false,
        };
        *first = major | info;
        self.used += len;
        true
    }

    /// The same as `raw` for so few bytes that they are known when it is compiled.
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        if !HOST {
            return self.raw(bytes);
        }
        let room = self.buffer.get_mut(self.used..).unwrap_or(&mut []);
        if let Some(place) = room.get_mut(..bytes.len()) {
            place.copy_from_slice(bytes);
        }
        self.used = self.used.saturating_add(bytes.len());
    }

    /// How many bytes were written, or would have been.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.used
    }

    /// Whether nothing was written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// What was written; `None` when it did not fit.
    #[must_use]
    pub fn finish(self) -> Option<&'b [u8]> {
        self.buffer.get(..self.used)
    }

    /// The bytes that are left; `None` when something did not fit.
    pub(crate) const fn room(&self) -> Option<usize> {
        self.buffer.len().checked_sub(self.used)
    }

    // What a rolled-back writer left behind is overwritten by the next write.
    pub(crate) const fn truncate(&mut self, len: usize) {
        self.used = len;
    }

    pub(crate) fn patch(&mut self, at: usize, byte: u8) {
        if let Some(place) = self.buffer.get_mut(at) {
            *place = byte;
        }
    }

    #[inline]
    fn head(&mut self, major: u8, argument: u64) {
        if !(HOST && self.short(major, argument)) {
            self.long(major, argument);
        }
    }

    #[inline(never)]
    fn long(&mut self, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let [.., low] = bytes;
        let (info, skip) = match argument {
            0..24 => (low, 8),
            24..0x100 => (24, 7),
            0x100..0x1_0000 => (25, 6),
            0x1_0000..0x1_0000_0000 => (26, 4),
            _ => (27, 0),
        };
        self.raw(&[major | info]);
        self.raw(bytes.get(skip..).unwrap_or(&[]));
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
