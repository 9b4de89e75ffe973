//! Pieces of a patch in, pieces of the new image out.

use super::error::{DecodeError, PatchError};
use super::expand::{Expand, take};
use super::layout::{Declared, Layout};
use super::number::Number;

/// So much of the old image is read at a time.
const PIECE: usize = 64;
/// So many rounds in a row may write nothing: a few bytes, repeated by compression, must not keep a chip busy for hours.
pub(super) const IDLE: u32 = 16;

/// Applies a patch piece by piece, in bounded memory: `WINDOW` bytes for the compression, and about a hundred more.
///
/// `WINDOW` is the largest window of a compressed patch that it takes: 256 for what `detools` makes unless it is told
/// otherwise.
///
/// ```
/// use iot_ota::delta::{Declared, Decoder};
///
/// // An uncompressed patch from "blink" to "blank!": keep two bytes, say "an", keep one, say "!".
/// let patch = [0x00, 0x06, 0x00, 0x02, 0, 0, 0x02, b'a', b'n', 0x02, 0x01, 0, 0x01, b'!', 0x00];
/// let old = b"blink";
/// let read = |at: u32, out: &mut [u8]| {
///     out.copy_from_slice(&old[at as usize..][..out.len()]);
///     Ok::<(), core::convert::Infallible>(())
/// };
/// let mut decoder = Decoder::<256>::new(Declared::new(5, 6, 15));
/// let (mut new, mut filled) = ([0; 6], 0);
/// for piece in patch.chunks(4) {
///     let mut piece = piece;
///     filled += decoder.decode(&mut piece, &mut new[filled..], read)?;
/// }
/// decoder.finish()?;
/// assert_eq!(&new, b"blank!");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder<const WINDOW: usize> {
    pub(super) declared: Declared,
    pub(super) consumed: u32,
    pub(super) written: u32,
    // Where the image, or the segment of it, ends.
    pub(super) end: u32,
    pub(super) field: Field,
    pub(super) number: Number,
    // Where in the old image the next difference is, and how much of a run is left; in between runs, how many rounds
    // have written nothing.
    pub(super) at: u32,
    pub(super) left: u32,
    pub(super) in_place: bool,
    pub(super) layout: Layout,
    pub(super) expand: Expand<WINDOW>,
}

/// What comes next in the patch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Field {
    Head,
    Memory,
    Segment,
    Shift,
    OldSize,
    NewSize,
    Format,
    DiffSize,
    Diff,
    ExtraSize,
    Extra,
    Move,
    End,
    Broken(PatchError),
}

impl<const WINDOW: usize> Decoder<WINDOW> {
    /// Begins with the head of a patch.
    #[must_use]
    pub const fn new(declared: Declared) -> Self {
        Self {
            declared,
            consumed: 0,
            written: 0,
            end: 0,
            field: Field::Head,
            number: Number {
                magnitude: 0,
                bits: 0,
                negative: false,
            },
            at: 0,
            left: 0,
            in_place: false,
            layout: Layout {
                memory: 0,
                segment: 0,
                shift: 0,
            },
            expand: Expand::Plain,
        }
    }

    /// Takes the next piece of the patch in, fills `out` from its front, and returns how many bytes it gave.
    ///
    /// `patch` is shortened by what was taken. `old` reads the old image: so many bytes from an offset in bytes, both
    /// of them checked before. Call again until `patch` is empty and less than `out.len()` bytes were given; an empty
    /// piece is allowed.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Patch`]: what was given must not be used, and the same error comes from then on.
    /// [`DecodeError::Old`]: the old image was not read, and what was given in this call is lost. When that was anything,
    /// [`PatchError::Unread`] comes from then on: [restore](Self::restore) what was saved before.
    pub fn decode<E>(
        &mut self,
        patch: &mut &[u8],
        out: &mut [u8],
        mut old: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<usize, DecodeError<E>> {
        self.advance(patch, out, &mut old, false)
    }

    /// The same, but it stops between two segments of an in-place patch if it is told to.
    pub(super) fn advance<E>(
        &mut self,
        patch: &mut &[u8],
        out: &mut [u8],
        old: &mut impl FnMut(u32, &mut [u8]) -> Result<(), E>,
        stops: bool,
    ) -> Result<usize, DecodeError<E>> {
        let (before, written) = (patch.len(), self.written);
        let room = self.declared.patch - self.consumed;
        let result = if usize::try_from(room).is_ok_and(|room| before > room) {
            Err(PatchError::Trailing.into())
        } else {
            self.run(patch, out, old, stops)
        };
        // No more than was declared, so it fits.
        let taken = u32::try_from(before - patch.len()).unwrap_or(0);
        self.consumed = self.consumed.saturating_add(taken);
        match &result {
            Ok(_) => {}
            Err(DecodeError::Patch(error)) => self.field = Field::Broken(*error),
            // Without what is lost, whatever came after it would be called whole.
            Err(DecodeError::Old(_)) if self.written > written => {
                self.field = Field::Broken(PatchError::Unread);
            }
            Err(DecodeError::Old(_)) => {}
        }
        result
    }

    /// Says whether all of the patch was there, and nothing else.
    ///
    /// # Errors
    ///
    /// [`PatchError`]: of what went wrong first, else [`PatchError::Incomplete`] or [`PatchError::Trailing`]; what was
    /// given must not be used.
    pub fn finish(&self) -> Result<(), PatchError> {
        match self.field {
            Field::Broken(error) => Err(error),
            Field::End if self.consumed != self.declared.patch => Err(PatchError::Incomplete),
            Field::End if !self.expand.is_at_end() => Err(PatchError::Trailing),
            Field::End => Ok(()),
            _ => Err(PatchError::Incomplete),
        }
    }

    /// How many bytes of the patch were taken: where its next piece begins.
    #[must_use]
    pub const fn consumed(&self) -> u32 {
        self.consumed
    }

    /// How many bytes of the new image were given.
    #[must_use]
    pub const fn written(&self) -> u32 {
        self.written
    }

    /// Whether the whole image was given; only [`finish`](Self::finish) says whether the patch was whole.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        matches!(self.field, Field::End)
    }

    /// Whether a segment of an in-place patch has just ended, or the first is about to begin.
    pub(super) fn is_between_segments(&self) -> bool {
        let fresh = self.number == Number::default();
        self.in_place && (self.field == Field::End || (self.field == Field::Format && fresh))
    }

    /// The sizes that it holds the patch against.
    #[must_use]
    pub const fn declared(&self) -> Declared {
        self.declared
    }

    /// How an in-place patch lays out the memory; `None` for a sequential one, and before its head was read.
    #[must_use]
    pub const fn layout(&self) -> Option<Layout> {
        match self.field {
            Field::Head
            | Field::Memory
            | Field::Segment
            | Field::Shift
            | Field::OldSize
            | Field::NewSize => None,
            _ if self.in_place => Some(self.layout),
            _ => None,
        }
    }

    fn run<E>(
        &mut self,
        patch: &mut &[u8],
        out: &mut [u8],
        old: &mut impl FnMut(u32, &mut [u8]) -> Result<(), E>,
        stops: bool,
    ) -> Result<usize, DecodeError<E>> {
        let mut filled = 0;
        loop {
            let out = out.get_mut(filled..).unwrap_or(&mut []);
            let given = match self.field {
                Field::Diff | Field::Extra => {
                    let given = self.give(patch, out, old)?;
                    (given > 0).then_some(given)
                }
                Field::End if patch.is_empty() => None,
                _ => self.field(patch)?.then_some(0),
            };
            let Some(given) = given else {
                return Ok(filled);
            };
            filled += given;
            // What a segment wrote must be where it belongs before the next one reads anything.
            if stops && given == 0 && self.is_between_segments() {
                return Ok(filled);
            }
        }
    }

    /// Gives bytes of a run, at least one unless `out` is full or the patch used up.
    fn give<E>(
        &mut self,
        patch: &mut &[u8],
        out: &mut [u8],
        old: &mut impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<usize, DecodeError<E>> {
        if patch.is_empty() && !self.expand.has_more() {
            return Ok(0);
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let len = out.len().min(left).min(PIECE);
        let piece = out.get_mut(..len).unwrap_or(&mut []);
        let differs = self.field == Field::Diff;
        if differs && len > 0 {
            old(self.at, piece).map_err(DecodeError::Old)?;
        }
        let mut given = 0;
        for byte in piece {
            let Some(next) = self.expand.next(patch)? else {
                break;
            };
            *byte = if differs {
                byte.wrapping_add(next)
            } else {
                next
            };
            given += 1;
        }
        // At most a piece, and checked against the sizes when the run began.
        let bytes = u32::try_from(given).unwrap_or(0);
        self.written += bytes;
        self.left -= bytes;
        if differs {
            self.at += bytes;
        }
        if self.left == 0 {
            self.field = if differs {
                Field::ExtraSize
            } else {
                Field::Move
            };
        }
        Ok(given)
    }

    /// Reads on in a field that is no run; false when the patch is used up.
    fn field(&mut self, patch: &mut &[u8]) -> Result<bool, PatchError> {
        let raw = matches!(
            self.field,
            Field::Head
                | Field::Memory
                | Field::Segment
                | Field::Shift
                | Field::OldSize
                | Field::NewSize
        );
        match self.field {
            Field::Broken(error) => return Err(error),
            Field::End => return Err(PatchError::Trailing),
            _ => {}
        }
        let byte = if raw {
            take(patch)
        } else {
            self.expand.next(patch)?
        };
        let Some(byte) = byte else { return Ok(false) };
        if self.field == Field::Head {
            self.head(byte)?;
        } else if let Some(number) = self.number.push(byte)? {
            self.number(number)?;
        }
        Ok(true)
    }

    fn head(&mut self, byte: u8) -> Result<(), PatchError> {
        self.field = match byte >> 4 {
            0 => Field::NewSize,
            1 => Field::Memory,
            found => return Err(PatchError::Type { found }),
        };
        self.in_place = self.field == Field::Memory;
        self.expand = Expand::of(byte & 0xf)?;
        Ok(())
    }

    fn number(&mut self, number: i64) -> Result<(), PatchError> {
        let size = u32::try_from(number).map_err(|_| PatchError::Number);
        self.field = match self.field {
            Field::Memory => {
                self.layout.memory = size?;
                Field::Segment
            }
            Field::Segment => {
                self.layout.segment = size?;
                Field::Shift
            }
            Field::Shift => {
                self.layout.shift = size?;
                Field::OldSize
            }
            Field::OldSize if size? == self.declared.old => Field::NewSize,
            Field::NewSize if size? == self.declared.new => {
                if self.in_place {
                    self.layout.checked(self.declared)?;
                }
                self.segment()
            }
            Field::OldSize | Field::NewSize => return Err(PatchError::Sizes),
            Field::Format if number == 0 => Field::DiffSize,
            Field::Format => return Err(PatchError::DataFormat),
            Field::DiffSize => {
                let run = self.fitting(size?)?;
                let past = self.at.checked_add(run);
                if past.is_none_or(|past| past > self.limit()) {
                    return Err(PatchError::Old);
                }
                if run == 0 {
                    Field::ExtraSize
                } else {
                    self.left = run;
                    Field::Diff
                }
            }
            Field::ExtraSize => {
                let run = self.fitting(size?)?;
                if run == 0 {
                    self.left += 1;
                    if self.left > IDLE {
                        return Err(PatchError::Idle);
                    }
                    Field::Move
                } else {
                    self.left = run;
                    Field::Extra
                }
            }
            Field::Move => {
                let at = u32::try_from(i64::from(self.at) + number).ok();
                let readable = self.floor()..=self.limit();
                self.at = at
                    .filter(|at| readable.contains(at))
                    .ok_or(PatchError::Old)?;
                if self.written == self.end {
                    self.segment()
                } else {
                    Field::DiffSize
                }
            }
            // A head is no number, runs are none, and nothing comes after the end.
            field => field,
        };
        Ok(())
    }

    /// Begins the image, or its next segment.
    fn segment(&mut self) -> Field {
        if self.written == self.declared.new {
            return Field::End;
        }
        self.end = if self.in_place {
            let end = self.written.saturating_add(self.layout.segment);
            end.min(self.declared.new)
        } else {
            self.declared.new
        };
        self.at = self.floor();
        Field::Format
    }

    /// The length of a run that does not go past the end.
    fn fitting(&self, bytes: u32) -> Result<u32, PatchError> {
        let end = self.written.checked_add(bytes);
        match end {
            Some(end) if end <= self.end => Ok(bytes),
            _ => Err(PatchError::TooLong),
        }
    }

    /// Below this the old image is overwritten already, or about to be.
    pub(super) fn floor(&self) -> u32 {
        if !self.in_place {
            return 0;
        }
        let segment = self.layout.segment;
        // Within a segment, and at its very end, its start is what counts.
        let start = self.end.saturating_sub(1) / segment.max(1) * segment;
        self.layout.floor(start).min(self.limit())
    }

    fn limit(&self) -> u32 {
        if self.in_place {
            self.layout.kept(self.declared.old)
        } else {
            self.declared.old
        }
    }
}
