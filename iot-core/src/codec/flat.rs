//! The little CBOR that small formats need (RFC 8949): integers, strings, heads of arrays and maps.
//!
//! A general decoder costs a chip as much flash as a whole engine. Both halves here are *sticky*: a failure is
//! remembered, and asked for once, at the end. What is read must be in its shortest form, so there is one spelling of
//! every value, and nothing to [`check`](super::check) first.

use core::convert::Infallible;

use minicbor::encode::Write;

const UNSIGNED: u8 = 0 << 5;
const NEGATIVE: u8 = 1 << 5;
const BYTES: u8 = 2 << 5;
const TEXT: u8 = 3 << 5;
const ARRAY: u8 = 4 << 5;
const MAP: u8 = 5 << 5;
const TAG: u8 = 6 << 5;
const TRUE: u8 = 7 << 5 | 21;
const NULL: u8 = 7 << 5 | 22;

/// How many bytes follow the first of an argument's shortest head (§3).
#[inline(never)]
const fn following(argument: u64) -> usize {
    match argument {
        0..=23 => 0,
        24..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// Reads items that are in their shortest form, and nothing else.
///
/// ```
/// use iot_core::codec::FlatReader;
/// let mut reader = FlatReader::new(&[0x83, 0x01, 0x18, 0x2a, 0x41, 0xff]);
/// reader.array(3, 1);
/// assert_eq!((reader.uint(), reader.bytes()), (42, &[0xff][..]));
/// assert!(reader.is_empty());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct FlatReader<'b> {
    // Nothing once something was not as it must be: two words, which fit into registers.
    rest: Option<&'b [u8]>,
}

impl<'b> FlatReader<'b> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'b [u8]) -> Self {
        Self { rest: Some(bytes) }
    }

    /// Reads what was looked for and may be missing; then it has failed from the beginning.
    #[must_use]
    pub const fn found(bytes: Option<&'b [u8]>) -> Self {
        Self { rest: bytes }
    }

    /// Reads an unsigned integer; 0 when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn uint(&mut self) -> u64 {
        self.head(UNSIGNED)
    }

    /// Reads an unsigned integer of up to 32 bits; 0 when there is none.
    #[inline(never)]
    pub fn u32(&mut self) -> u32 {
        let Ok(value) = u32::try_from(self.uint()) else {
            self.rest = None;
            return 0;
        };
        value
    }

    /// Reads an integer of either sign and up to 63 bits; 0 when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn int(&mut self) -> i64 {
        let negative = self.peek() == Some(1);
        let argument = i64::try_from(self.head(if negative { NEGATIVE } else { UNSIGNED }));
        self.require(argument.is_ok());
        let argument = argument.unwrap_or(0);
        if negative { !argument } else { argument }
    }

    /// Reads a byte string; an empty one when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn bytes(&mut self) -> &'b [u8] {
        let len = self.head(BYTES);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// Reads a text string; an empty one when there is none.
    pub fn text(&mut self) -> &'b str {
        let len = self.head(TEXT);
        let text = core::str::from_utf8(self.take(usize::try_from(len).unwrap_or(usize::MAX)));
        self.require(text.is_ok());
        text.unwrap_or_default()
    }

    /// Reads the head of an array of `items` (at most 23), and the number in front (at most 23), which tells versions
    /// and kinds apart.
    pub fn array(&mut self, items: u8, first: u8) {
        let found = self.take(2) == [ARRAY | items, first];
        self.require(found);
    }

    /// Reads an integer of either sign and up to 31 bits; 0 when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn i32(&mut self) -> i32 {
        let value = i32::try_from(self.int());
        self.require(value.is_ok());
        value.unwrap_or(0)
    }

    /// Reads the head of an array and returns how many items follow; 0 when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn array_len(&mut self) -> u32 {
        self.len(ARRAY)
    }

    /// Reads the head of a map and returns how many pairs follow; 0 when there is none.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn map_len(&mut self) -> u32 {
        self.len(MAP)
    }

    /// Reads a tag and returns its number; the item it is about follows.
    pub fn tag(&mut self) -> u64 {
        self.head(TAG)
    }

    /// Reads `false` or `true`; `false` when there is neither.
    pub fn boolean(&mut self) -> bool {
        let value = self.take(1).first().map(|first| first ^ TRUE);
        self.require(matches!(value, Some(0 | 1)));
        value == Some(0)
    }

    /// Reads a null, if one is next, and says whether it was.
    pub fn null(&mut self) -> bool {
        let found = self.rest.and_then(<[u8]>::first) == Some(&NULL);
        if found {
            self.take(1);
        }
        found
    }

    /// The major type of the next item, 0 to 7; `None` at the end.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest?.first().map(|first| first >> 5)
    }

    /// Steps over one item of any kind and returns its bytes; none when there is no whole one.
    ///
    /// Neither the order of keys nor texts are looked at: that is what [`check`](super::check) is for.
    ///
    /// ```
    /// use iot_core::codec::FlatReader;
    /// let mut reader = FlatReader::new(&[0xa1, 0x01, 0x82, 0x02, 0x03, 0x04]);
    /// assert_eq!(reader.item(), [0xa1, 0x01, 0x82, 0x02, 0x03]);
    /// assert_eq!(reader.uint(), 4);
    /// ```
    #[inline(never)]
    pub fn item(&mut self) -> &'b [u8] {
        let whole = self.rest.unwrap_or(&[]);
        // A chip has room for one way alone, and a host wants the short one.
        if cfg!(target_pointer_width = "64")
            && let Some((item, rest)) = short(whole).and_then(|len| whole.split_at_checked(len))
        {
            self.rest = Some(rest);
            return item;
        }
        self.any_item()
    }

    fn any_item(&mut self) -> &'b [u8] {
        let whole = self.rest.unwrap_or(&[]);
        let mut left = 1_u64;
        while left > 0
            && let Some(rest) = self.rest
        {
            let first = rest.first().copied().unwrap_or(u8::MAX);
            let argument = match first >> 5 {
                // One byte, or a head whose followers are a value of its own: no number is too short here.
                7 => {
                    self.take(match first & 0x1f {
                        0..=23 => 1,
                        24 => 2,
                        25 => 3,
                        26 => 5,
                        27 => 9,
                        _ => usize::MAX,
                    });
                    0
                }
                _ => self.head(first & 0xe0),
            };
            let more = match first >> 5 {
                2 | 3 => {
                    self.take(usize::try_from(argument).unwrap_or(usize::MAX));
                    0
                }
                4 => argument,
                5 => argument.saturating_mul(2),
                6 => 1,
                _ => 0,
            };
            left = (left - 1).saturating_add(more);
        }
        let used = self.rest.map(|rest| whole.len() - rest.len());
        used.and_then(|used| whole.get(..used)).unwrap_or(&[])
    }

    /// Fails unless `holds`.
    pub const fn require(&mut self, holds: bool) {
        if !holds {
            self.rest = None;
        }
    }

    /// Whether everything was as it must be, to the end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest == Some(&[])
    }

    /// What was not read; `None` when something before it was not as it must be.
    #[must_use]
    pub const fn rest(&self) -> Option<&'b [u8]> {
        self.rest
    }

    fn len(&mut self, major: u8) -> u32 {
        let len = u32::try_from(self.head(major));
        self.require(len.is_ok());
        len.unwrap_or(0)
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn head(&mut self, major: u8) -> u64 {
        let Some((first, rest)) = self.rest.and_then(<[u8]>::split_first) else {
            self.rest = None;
            return 0;
        };
        self.rest = Some(rest);
        // Another major type leaves a bit above the argument.
        let info = first ^ major;
        if info < 24 {
            return info.into();
        }
        // 24, 25, 26 and 27 stand for 1, 2, 4 and 8 bytes; nothing else passes what follows.
        let bytes = 1 << (info % 8);
        let followers = self.take(bytes).iter();
        let argument = followers.fold(0, |value, &byte| value << 8 | u64::from(byte));
        // What is refused counts for nothing: somebody may count up to it.
        let shortest = info <= 27 && following(argument) == bytes;
        self.require(shortest);
        if shortest { argument } else { 0 }
    }

    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    fn take(&mut self, len: usize) -> &'b [u8] {
        let split = self.rest.and_then(|rest| rest.split_at_checked(len));
        self.rest = split.map(|(_, rest)| rest);
        split.map_or(&[], |(taken, _)| taken)
    }
}

/// The length of the item in front if its head says it: a small number or a string that is not long.
fn short(bytes: &[u8]) -> Option<usize> {
    let [first, second, ..] = bytes else {
        return None;
    };
    Some(match first {
        0x00..=0x17 | 0x20..=0x37 => 1,
        0x18 | 0x38 if *second >= 24 => 2,
        0x40..=0x57 | 0x60..=0x77 => 1 + usize::from(first & 0x1f),
        0x58 | 0x78 if *second >= 24 => 2 + usize::from(*second),
        _ => return None,
    })
}

/// Fills a buffer.
///
/// ```
/// use iot_core::codec::FlatWriter;
/// let mut buffer = [0; 8];
/// let mut writer = FlatWriter::new(&mut buffer);
/// writer.array(3, 1);
/// writer.uint(42);
/// writer.bytes(&[0xff]);
/// assert_eq!(writer.finish(), Some(6));
/// assert_eq!(buffer[..6], [0x83, 0x01, 0x18, 0x2a, 0x41, 0xff]);
/// ```
#[derive(Debug)]
pub struct FlatWriter<'b> {
    room: &'b mut [u8],
    /// How long it became; more than the room when it did not fit.
    used: usize,
}

impl<'b> FlatWriter<'b> {
    /// Writes to the front of `room`.
    #[must_use]
    pub const fn new(room: &'b mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// Writes an unsigned integer.
    #[cfg_attr(target_pointer_width = "64", inline)]
    #[cfg_attr(not(target_pointer_width = "64"), inline(never))]
    pub fn uint(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    /// Writes a byte string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.put(bytes);
    }

    /// Writes a text string.
    pub fn text(&mut self, text: &str) {
        self.head(TEXT, text.len() as u64);
        self.put(text.as_bytes());
    }

    /// Writes the head of an array of `items` (at most 23), and the number in front (at most 23).
    pub fn array(&mut self, items: u8, first: u8) {
        self.put(&[ARRAY | items, first]);
    }

    /// Writes the head of an array of `items`, alone.
    pub fn array_len(&mut self, items: u32) {
        self.head(ARRAY, items.into());
    }

    /// Writes a value as its own type encodes it.
    pub fn value(&mut self, value: &impl minicbor::Encode<()>) {
        if minicbor::encode(value, Sink(self)).is_err() {
            self.used = usize::MAX;
        }
    }

    /// Writes a null.
    pub fn null(&mut self) {
        self.put(&[NULL]);
    }

    /// How many bytes were written; `None` when they did not fit.
    #[must_use]
    pub fn finish(self) -> Option<usize> {
        (self.used <= self.room.len()).then_some(self.used)
    }

    fn head(&mut self, major: u8, argument: u64) {
        let bytes = argument.to_be_bytes();
        let [.., low] = bytes;
        let following = following(argument);
        let info = match following {
            0 => u32::from(low),
            // 1, 2, 4 and 8 bytes are 24, 25, 26 and 27.
            _ => 24 + following.trailing_zeros(),
        };
        let [.., info] = info.to_be_bytes();
        self.put(&[major | info]);
        self.put(bytes.get(8 - following..).unwrap_or(&[]));
    }

    #[inline(never)]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.room.get_mut(self.used..).unwrap_or(&mut []);
        if let Some(room) = room.get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.used = self.used.saturating_add(bytes.len());
    }
}

/// Takes what a type encodes itself as.
struct Sink<'w, 'b>(&'w mut FlatWriter<'b>);

impl Write for Sink<'_, '_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.put(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_over_an_item_is_the_long_one() {
        for (first, second) in (0..=u16::MAX).map(u16::to_be_bytes).map(<(u8, u8)>::from) {
            let mut bytes = [7; 300];
            bytes[..2].copy_from_slice(&[first, second]);
            for len in [0, 1, 2, 25, 300] {
                let bytes = &bytes[..len];
                let (mut short, mut long) = (FlatReader::new(bytes), FlatReader::new(bytes));
                assert_eq!(
                    short.item(),
                    long.any_item(),
                    "{first:#x} {second:#x} {len}"
                );
                assert_eq!(short.rest(), long.rest(), "{first:#x} {second:#x} {len}");
            }
        }
    }
}
