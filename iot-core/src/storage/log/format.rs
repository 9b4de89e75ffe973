//! What stands in the words of a page: checksums, marks, page headers and record heads.

pub(super) use super::crc::crc32;

/// The longest word of any flash in bytes.
pub(super) const MAX_WORD: usize = 32;

/// A word of the flash; only the first bytes count, as many as the flash's words have.
pub(super) type Word = [u8; MAX_WORD];

/// How many bytes are read or written in one go.
pub(super) const CHUNK: usize = 64;
pub(super) type Buffer = [u8; CHUNK];
const _: () = assert!(CHUNK.is_multiple_of(MAX_WORD) && CHUNK >= 2 * MAX_WORD);

/// The version of the layout, in every page header.
pub(super) const VERSION: u8 = 1;

const MAGIC: [u8; 2] = *b"iL";
/// What a header holds besides the copy of a word: fields in front and a checksum behind.
pub(super) const HEADER_FIELDS: usize = 16;
pub(super) const CHECKSUM: usize = 4;

/// What stands before the value of a record: head and key.
pub(super) const RECORD_FRONT: usize = 8;
/// What a record holds besides its value: head, key and checksum.
pub(super) const RECORD_EXTRA: usize = RECORD_FRONT + CHECKSUM;

/// The longest value of a record in bytes: its length has twelve bits.
pub(super) const MAX_VALUE: usize = 0xFFF;

/// Where a checksum starts: what is read at another place than it was written for is refused.
#[inline(never)]
pub(super) fn seed(page: u32, word: u32) -> u32 {
    crc32(0x1234_5678, &(page << 16 | word).to_le_bytes())
}

/// The mark at a place: evidence that everything before it was written completely.
///
/// It is no record head: its lowest byte would be a removal with a value.
pub(super) fn mark(page: u32, word: u32, out: &mut [u8]) {
    let mut bits = seed(page, word) & !0xFF | 0x5A;
    for part in out.as_chunks_mut().0 {
        *part = bits.to_le_bytes();
        bits = !bits;
    }
}

/// The last part of `bytes`, where a checksum belongs, gets that of everything before it.
pub(super) fn put_sum(sum: u32, bytes: &mut [u8]) {
    if let Some((summed, place)) = bytes.split_last_chunk_mut() {
        *place = crc32(sum, summed).to_le_bytes();
    }
}

/// The first four bytes of a record, without their checksum.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head(u32);

impl Head {
    pub(super) const NONE: Self = Self(0);
    /// A value for a key.
    const PUT: u32 = 1;
    /// The removal of a key.
    const REMOVE: u32 = 2;
    /// Only so many of the newest pages count from here on.
    const RETIRE: u32 = 3;
    const KIND: u32 = 7;
    /// Another record of the same batch follows.
    const MORE: u32 = 8;

    pub(super) const RETIREMENT: Self = Self(Self::RETIRE);

    /// A value of `len` bytes for a key, or its removal.
    pub(super) const fn new(value: Option<usize>, more: bool) -> Self {
        let bits = match value {
            Some(len) => Self::PUT | (len as u32) << 4,
            None => Self::REMOVE,
        };
        Self(if more { bits | Self::MORE } else { bits })
    }

    pub(super) fn encode(self, seed: u32) -> u32 {
        let [a, b, ..] = self.0.to_le_bytes();
        self.0 | crc32(seed, &[a, b]) << 16
    }

    /// What begins like a head; only a value has a length.
    pub(super) const fn decode(bits: u32) -> Option<Self> {
        let bits = bits & 0xFFFF;
        match bits & Self::KIND {
            Self::PUT => Some(Self(bits)),
            Self::REMOVE | Self::RETIRE if bits <= Self::KIND + Self::MORE => Some(Self(bits)),
            _ => None,
        }
    }

    pub(super) const fn is_removal(self) -> bool {
        self.0 & Self::KIND == Self::REMOVE
    }

    pub(super) const fn is_retirement(self) -> bool {
        self.0 & Self::KIND == Self::RETIRE
    }

    /// Another record of the same batch follows.
    pub(super) const fn more(self) -> bool {
        self.0 & Self::MORE != 0
    }

    /// The length of the value in bytes.
    pub(super) const fn len(self) -> usize {
        (self.0 >> 4) as usize
    }
}

/// The first bytes of a page, but for the copy of the last word of the page before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Higher than that of every page seen when it was opened.
    pub(super) generation: u32,
    /// The page before it; itself when it is the first.
    pub(super) previous: u32,
    /// How many pages count, with this one.
    pub(super) keep: u32,
    /// Where the accepted part of the page before it ends.
    pub(super) end: u32,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoHeader {
    /// Nothing that was ever a header of a log.
    Unreadable,
    /// It begins like a header: one that was torn, or that was written for another place or other words, whose
    /// length has this logarithm.
    Begun(u8),
    /// A header of another version.
    Version(u8),
}

impl Header {
    /// Writes it around the copied word that `out` holds already; a header has `len` bytes.
    pub(super) fn encode(&self, page: u32, word_bytes: usize, len: usize, out: &mut Buffer) {
        let [a, b] = MAGIC;
        let size = word_bytes.trailing_zeros() as u8;
        put(out, 0, u32::from_le_bytes([a, b, VERSION, size]));
        put(out, 4, self.generation);
        put(out, 8, self.previous | self.keep << 16);
        put(out, 12, self.end);
        put_sum(seed(page, 0), out.get_mut(..len).unwrap_or_default());
    }

    pub(super) fn decode(page: u32, len: usize, bytes: &Buffer) -> Result<Self, NoHeader> {
        let [a, b, version, size] = take(bytes, 0).to_le_bytes();
        if [a, b] != MAGIC {
            return Err(NoHeader::Unreadable);
        }
        let summed = bytes.get(..len).unwrap_or_default();
        if crc32(seed(page, 0), summed) != 0 {
            return Err(NoHeader::Begun(size));
        }
        if version != VERSION {
            return Err(NoHeader::Version(version));
        }
        let (pages, end) = (take(bytes, 8), take(bytes, 12));
        Ok(Self {
            generation: take(bytes, 4),
            previous: pages & 0xFFFF,
            keep: pages >> 16,
            end: end & 0xFFFF,
        })
    }
}

fn put(out: &mut Buffer, at: usize, number: u32) {
    if let Some(to) = out.get_mut(at..at + 4) {
        to.copy_from_slice(&number.to_le_bytes());
    }
}

fn take(bytes: &Buffer, at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
