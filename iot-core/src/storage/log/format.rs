//! What stands in the words of a page: checksums, marks, page headers and record heads.

/// The longest word of any flash in bytes.
pub(super) const MAX_WORD: usize = 32;

/// A word of the flash; only the first bytes count, as many as the flash's words have.
pub(super) type Word = [u8; MAX_WORD];

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

/// CRC-32 (IEEE 802.3), continued from `crc`, four bits at a time: a table of 64 bytes instead of 1,024.
pub(super) fn crc32(crc: u32, bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut at = 0;
        while at < 16 {
            let mut bits = at as u32;
            let mut round = 0;
            while round < 4 {
                bits = if bits & 1 == 0 {
                    bits >> 1
                } else {
                    0xEDB8_8320 ^ (bits >> 1)
                };
                round += 1;
            }
            table[at] = bits;
            at += 1;
        }
        table
    };
    let nibble = |crc: u32| crc >> 4 ^ TABLE.get((crc & 15) as usize).copied().unwrap_or(0);
    bytes
        .iter()
        .fold(crc, |crc, &byte| nibble(nibble(crc ^ u32::from(byte))))
}

/// Where a checksum starts: what is read at another place than it was written for is refused.
pub(super) fn seed(page: u32, word: u32) -> u32 {
    crc32(0x1234_5678, &(page << 16 | word).to_le_bytes())
}

/// The mark at a place: evidence that everything before it was written completely.
///
/// It is no record head: its lowest byte would be a removal with a value.
pub(super) fn mark(page: u32, word: u32, out: &mut [u8]) {
    let mut bits = seed(page, word) & !0xFF | 0x5A;
    for part in out.chunks_exact_mut(4).take(MAX_WORD / 4) {
        part.copy_from_slice(&bits.to_le_bytes());
        bits = !bits;
    }
}

/// What a record does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::storage) enum Kind {
    /// A value for a key.
    Put,
    /// The removal of a key.
    Remove,
    /// Only so many of the newest pages count from here on.
    Retire,
}

/// The first four bytes of a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// Another record of the same batch follows.
    pub(super) more: bool,
    /// The length of the value in bytes.
    pub(super) len: u16,
}

impl Head {
    pub(super) const NONE: Self = Self {
        kind: Kind::Remove,
        more: false,
        len: 0,
    };

    pub(super) fn encode(self, seed: u32) -> [u8; 4] {
        let kind = match self.kind {
            Kind::Put => 1,
            Kind::Remove => 2,
            Kind::Retire => 3,
        };
        let [low, high] = (kind | u16::from(self.more) << 3 | self.len << 4).to_le_bytes();
        let [a, b, ..] = crc32(seed, &[low, high]).to_le_bytes();
        [low, high, a, b]
    }

    /// `None` for anything that was not written as a head for this very place.
    pub(super) fn decode(bytes: [u8; 4], seed: u32) -> Option<Self> {
        let [low, high, ..] = bytes;
        let bits = u16::from_le_bytes([low, high]);
        let head = Self {
            kind: match bits & 7 {
                1 => Kind::Put,
                2 => Kind::Remove,
                3 => Kind::Retire,
                _ => return None,
            },
            more: bits & 8 != 0,
            len: bits >> 4,
        };
        (head.encode(seed) == bytes).then_some(head)
    }
}

/// The first bytes of a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Higher than that of every page seen when it was opened.
    pub(super) generation: u32,
    /// The page before it; itself when it is the first.
    pub(super) previous: u16,
    /// How many pages count, with this one.
    pub(super) keep: u16,
    /// Where the accepted part of the page before it ends.
    pub(super) end: u16,
    /// The last word of that part, as it was read when this page was opened.
    pub(super) last: Word,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoHeader {
    /// Nothing that was ever a header of a log.
    Unreadable,
    /// A header of another version.
    Version(u8),
}

impl Header {
    /// The longest encoding.
    pub(super) const MAX: usize = 2 * MAX_WORD;

    /// Writes it into the front of `out`, the checksum into the last bytes of `len`.
    pub(super) fn encode(
        &self,
        page: u16,
        word_bytes: usize,
        len: usize,
        out: &mut [u8; Self::MAX],
    ) {
        let fields = [
            MAGIC,
            [VERSION, log2(word_bytes)],
            [0; 2],
            [0; 2],
            self.previous.to_le_bytes(),
            self.keep.to_le_bytes(),
            self.end.to_le_bytes(),
            [0; 2],
        ];
        let (front, rest) = out.split_at_mut(HEADER_FIELDS);
        for (to, from) in front.chunks_exact_mut(2).zip(fields) {
            to.copy_from_slice(&from);
        }
        if let Some(to) = front.get_mut(4..8) {
            to.copy_from_slice(&self.generation.to_le_bytes());
        }
        let used = word_bytes.min(rest.len());
        for (to, from) in rest.iter_mut().zip(self.last.iter().take(used)) {
            *to = *from;
        }
        let sum = out
            .get(..len.saturating_sub(CHECKSUM))
            .map_or(0, |bytes| crc32(seed(u32::from(page), 0), bytes));
        if let Some(to) = out.get_mut(len.saturating_sub(CHECKSUM)..len) {
            to.copy_from_slice(&sum.to_le_bytes());
        }
    }

    pub(super) fn decode(
        page: u16,
        word_bytes: usize,
        len: usize,
        bytes: &[u8; Self::MAX],
    ) -> Result<Self, NoHeader> {
        let short = |at: usize| match bytes.get(at..at + 2) {
            Some(&[low, high]) => u16::from_le_bytes([low, high]),
            _ => 0,
        };
        let body = len.saturating_sub(CHECKSUM);
        let (Some(front), Some(sum)) = (bytes.get(..body), bytes.get(body..len)) else {
            return Err(NoHeader::Unreadable);
        };
        if bytes.first_chunk() != Some(&MAGIC)
            || crc32(seed(u32::from(page), 0), front).to_le_bytes() != *sum
        {
            return Err(NoHeader::Unreadable);
        }
        let [version, _] = short(2).to_le_bytes();
        if version != VERSION {
            return Err(NoHeader::Version(version));
        }
        let mut last = [0; MAX_WORD];
        for (to, from) in last
            .iter_mut()
            .zip(bytes.iter().skip(HEADER_FIELDS).take(word_bytes))
        {
            *to = *from;
        }
        Ok(Self {
            generation: u32::from(short(4)) | u32::from(short(6)) << 16,
            previous: short(8),
            keep: short(10),
            end: short(12),
            last,
        })
    }
}

#[allow(clippy::cast_possible_truncation, reason = "of at most 32")]
const fn log2(word_bytes: usize) -> u8 {
    word_bytes.ilog2() as u8
}
