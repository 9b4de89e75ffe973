//! Heatshrink, byte by byte: LZSS with a window small enough for a chip.
//!
//! A 1 and eight bits are a byte; a 0, a distance and a length are a copy of what came before. Bits go from the
//! highest to the lowest. The widths of distance and length are in the stream's first byte, less 4 and 3.

use super::error::PatchError;

/// Takes compressed bytes in and gives bytes out, one at a time.
#[derive(Clone, Debug)]
pub(super) struct Heatshrink<const WINDOW: usize> {
    pub(super) window: [u8; WINDOW],
    pub(super) head: u32,
    pub(super) window_bits: u8,
    pub(super) count_bits: u8,
    // What was taken in and not used yet: `held` bits, at the lower end.
    pub(super) bits: u32,
    pub(super) held: u8,
    pub(super) stage: Stage,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Stage {
    Widths,
    Tag,
    Literal,
    Distance,
    Count { distance: u32 },
    Copy { distance: u32, left: u32 },
}

impl<const WINDOW: usize> Heatshrink<WINDOW> {
    pub(super) const fn new() -> Self {
        Self {
            // Before its first byte a window reads as zeroes.
            window: [0; WINDOW],
            head: 0,
            window_bits: 0,
            count_bits: 0,
            bits: 0,
            held: 0,
            stage: Stage::Widths,
        }
    }

    /// The next byte; `None` when more has to come in first.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<u8>, PatchError> {
        loop {
            self.stage = match self.stage {
                Stage::Widths => {
                    let Some(widths) = self.take(8, input) else {
                        return Ok(None);
                    };
                    self.set_widths(widths)?;
                    Stage::Tag
                }
                Stage::Tag => match self.take(1, input) {
                    None => return Ok(None),
                    Some(0) => Stage::Distance,
                    Some(_) => Stage::Literal,
                },
                Stage::Literal => {
                    let byte = self.take(8, input).and_then(|bits| u8::try_from(bits).ok());
                    let Some(byte) = byte else { return Ok(None) };
                    self.stage = Stage::Tag;
                    return Ok(Some(self.put(byte)));
                }
                Stage::Distance => match self.take(self.window_bits, input) {
                    None => return Ok(None),
                    Some(less_one) => Stage::Count {
                        distance: less_one + 1,
                    },
                },
                Stage::Count { distance } => match self.take(self.count_bits, input) {
                    None => return Ok(None),
                    Some(left) => Stage::Copy { distance, left },
                },
                Stage::Copy { distance, left } => {
                    self.stage = match left.checked_sub(1) {
                        Some(left) => Stage::Copy { distance, left },
                        None => Stage::Tag,
                    };
                    let from = self.head.wrapping_sub(distance) & self.mask();
                    let byte = usize::try_from(from)
                        .ok()
                        .and_then(|from| self.window.get(from));
                    let byte = byte.copied().unwrap_or(0);
                    return Ok(Some(self.put(byte)));
                }
            };
        }
    }

    /// Whether a byte can come without anything coming in.
    pub(super) const fn has_more(&self) -> bool {
        matches!(self.stage, Stage::Copy { .. })
    }

    /// Whether nothing but padding is left of what came in.
    pub(super) const fn is_at_end(&self) -> bool {
        matches!(self.stage, Stage::Widths | Stage::Tag) && self.bits == 0
    }

    pub(super) fn set_widths(&mut self, widths: u32) -> Result<(), PatchError> {
        let bits = u8::try_from(widths >> 4).unwrap_or(u8::MAX) + 4;
        let count = u8::try_from(widths & 0xf).unwrap_or(u8::MAX) + 3;
        if bits > 15 || 1_usize << bits > WINDOW {
            let bytes = WINDOW;
            return Err(PatchError::Window { bits, bytes });
        }
        if count >= bits {
            return Err(PatchError::Compressed);
        }
        (self.window_bits, self.count_bits) = (bits, count);
        Ok(())
    }

    pub(super) const fn mask(&self) -> u32 {
        (1 << self.window_bits) - 1
    }

    fn put(&mut self, byte: u8) -> u8 {
        let at = usize::try_from(self.head).unwrap_or(usize::MAX);
        if let Some(place) = self.window.get_mut(at) {
            *place = byte;
        }
        self.head = (self.head + 1) & self.mask();
        byte
    }

    fn take(&mut self, bits: u8, input: &mut &[u8]) -> Option<u32> {
        while self.held < bits {
            let (&byte, rest) = input.split_first()?;
            *input = rest;
            self.bits = self.bits << 8 | u32::from(byte);
            self.held += 8;
        }
        self.held -= bits;
        let taken = self.bits >> self.held;
        self.bits &= (1 << self.held) - 1;
        Some(taken)
    }
}
