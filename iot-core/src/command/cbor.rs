//! The little CBOR that the formats of this module need (RFC 8949): integers, byte strings, flat arrays.
//!
//! A general decoder costs a chip as much flash as the whole engine. Both halves here are *sticky*: a failure
//! is remembered, and asked for once, at the end.

use core::convert::Infallible;

use minicbor::decode::Decoder;
use minicbor::encode::Write;

use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

const UNSIGNED: u8 = 0 << 5;
const BYTES: u8 = 2 << 5;
const ARRAY: u8 = 4 << 5;
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
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'b> {
    rest: &'b [u8],
    failed: bool,
}

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self {
            rest: bytes,
            failed: false,
        }
    }

    #[inline(never)]
    pub(super) fn uint(&mut self) -> u64 {
        self.head(UNSIGNED)
    }

    #[inline(never)]
    pub(super) fn u32(&mut self) -> u32 {
        let value = u32::try_from(self.uint());
        self.failed |= value.is_err();
        value.unwrap_or(0)
    }

    pub(super) fn bytes(&mut self) -> &'b [u8] {
        let len = self.head(BYTES);
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub(super) fn id(&mut self, id: &mut CommandId) {
        id.issuer = IssuerId::new(self.u32());
        id.epoch = self.u32();
        id.sequence = self.u32();
    }

    /// Reads a moment; 0 stands for none.
    pub(super) fn timestamp(&mut self) -> Timestamp {
        Timestamp::from_millis(self.uint())
    }

    /// Reads an array's head and the number in front, which tells versions and kinds apart.
    pub(super) fn array(&mut self, items: u8, first: u8) {
        let found = self.take(2) == [ARRAY | items, first];
        self.require(found);
    }

    /// Fails unless `holds`.
    pub(super) const fn require(&mut self, holds: bool) {
        self.failed |= !holds;
    }

    /// Whether everything was as it must be, to the end.
    pub(super) fn is_empty(&self) -> bool {
        self.rest() == Some(&[])
    }

    /// What was not read; `None` when something before it was not as it must be.
    pub(super) fn rest(&self) -> Option<&'b [u8]> {
        (!self.failed).then_some(self.rest)
    }

    fn head(&mut self, major: u8) -> u64 {
        // Another major type leaves a bit above the argument.
        let info = self.take(1).first().map_or(u8::MAX, |first| first ^ major);
        if info < 24 {
            return info.into();
        }
        // 24, 25, 26 and 27 stand for 1, 2, 4 and 8 bytes; nothing else passes what follows.
        let bytes = 1 << (info % 8);
        let followers = self.take(bytes).iter();
        let argument = followers.fold(0, |value, &byte| value << 8 | u64::from(byte));
        self.failed |= info > 27 || following(argument) != bytes;
        argument
    }

    fn take(&mut self, len: usize) -> &'b [u8] {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            self.failed = true;
            return &[];
        };
        self.rest = rest;
        taken
    }
}

/// Fills a buffer.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    room: &'b mut [u8],
    /// How long it became; more than the room when it did not fit.
    used: usize,
}

impl<'b> Writer<'b> {
    pub(super) const fn new(room: &'b mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    #[inline(never)]
    pub(super) fn uint(&mut self, value: u64) {
        self.head(UNSIGNED, value);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.head(BYTES, bytes.len() as u64);
        self.put(bytes);
    }

    pub(super) fn id(&mut self, id: &CommandId) {
        self.uint(id.issuer.get().into());
        self.uint(id.epoch.into());
        self.uint(id.sequence.into());
    }

    /// Writes a moment, or 0 for none: 1970 itself is told as a millisecond later.
    pub(super) fn moment(&mut self, moment: Option<Timestamp>) {
        self.uint(moment.map_or(0, |moment| moment.as_millis().max(1)));
    }

    /// Writes an array's head and the number in front.
    pub(super) fn array(&mut self, items: u8, first: u8) {
        self.put(&[ARRAY | items, first]);
    }

    /// Writes a value as its own type encodes it.
    pub(super) fn value(&mut self, value: &impl minicbor::Encode<()>) {
        if minicbor::encode(value, &mut *self).is_err() {
            self.used = usize::MAX;
        }
    }

    pub(super) fn null(&mut self) {
        self.put(&[NULL]);
    }

    /// How many bytes were written; `None` when they did not fit.
    pub(super) fn finish(self) -> Option<usize> {
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

impl Write for Writer<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.put(bytes);
        Ok(())
    }
}

/// Decodes exactly one value that fills `bytes`.
pub(super) fn whole<T: for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().ok()?;
    (decoder.position() == bytes.len()).then_some(value)
}
