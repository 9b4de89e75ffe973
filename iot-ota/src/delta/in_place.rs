//! An in-place patch, applied so that it may be interrupted anywhere.

#[cfg(feature = "sim")]
mod meaning;

use iot_core::codec::{FlatReader, FlatWriter};

use super::decoder::Decoder;
use super::error::{DecodeError, PatchError};
use super::layout::{Declared, Layout};
use super::rehearsal::Rehearsed;

const VERSION: u8 = 1;

/// Applies a rehearsed in-place patch: says which page to erase, what to copy and what to write, one step at a time.
///
/// It has `WINDOW` bytes for the compression and `PAGE` bytes of the new image, the size of a page of the memory:
/// what is erased at a time. It never reads or writes anything itself. A step is done when its driver says so with
/// [`done`](Self::done); after an interruption, [`resume`](Self::resume) with what was last persisted at
/// [`InPlaceStep::Persist`]. Steps after that are done again. No step reads what a step after the last persisted state
/// has overwritten, and no page is written that was not erased after it was touched.
///
/// The driver lets nothing else boot than this until it is [finished](InPlaceStep::Finished), and compares the
/// digest of the whole image then.
#[derive(Clone, Debug)]
pub struct InPlace<const WINDOW: usize, const PAGE: usize> {
    decoder: Decoder<WINDOW>,
    layout: Layout,
    // So many pages of the old image are still to be moved, from the highest.
    pages: u32,
    // Moved since the last persisted state.
    moved: u32,
    stage: Stage,
    // Where the segment begins that is being written.
    begun: u32,
    page: [u8; PAGE],
    filled: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    Persist,
    EraseMoved,
    Copy,
    Erase { at: u32 },
    Fill,
    Write,
    Finished,
}

/// What is to be done next; all numbers are bytes from the start of the memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InPlaceStep<'a> {
    /// Persist what [`InPlace::save`] writes, durably, in the place of what was there.
    Persist,
    /// Erase the page that begins there.
    Erase {
        /// Where it begins.
        at: u32,
    },
    /// Copy so many bytes to a page that was just erased; the two do not overlap.
    Copy {
        /// From where.
        from: u32,
        /// To where.
        to: u32,
        /// How many bytes: a page, or what is left of the old image.
        bytes: u32,
    },
    /// Write to a page that was just erased, from its beginning.
    Write {
        /// Where it begins.
        at: u32,
        /// What belongs there; fill up to what the memory writes at once as you like.
        bytes: &'a [u8],
    },
    /// Call [`InPlace::patch`] with bytes of the patch from there.
    Patch {
        /// Where in the patch they begin.
        at: u32,
    },
    /// The new image is there.
    Finished,
}

impl<const WINDOW: usize, const PAGE: usize> InPlace<WINDOW, PAGE> {
    /// Bytes that [`save`](Self::save) needs at most.
    pub const SAVED_BYTES: usize = Decoder::<WINDOW>::SAVED_BYTES + 32;

    /// Begins with a patch that was rehearsed.
    ///
    /// # Errors
    ///
    /// [`PatchError::Layout`] when its segments are no whole pages; nothing was changed. That it stays within the
    /// [memory](Declared::in_memory), the rehearsal has seen.
    pub fn new(rehearsed: Rehearsed) -> Result<Self, PatchError> {
        let Rehearsed { declared, layout } = rehearsed;
        let pages = pages::<PAGE>(layout, declared)?;
        Ok(Self::at(Decoder::new(declared), layout, pages))
    }

    /// Goes on with what was persisted last, or `None` when that is nothing that [`save`](Self::save) wrote for images
    /// of these sizes within a memory of that size.
    #[must_use]
    pub fn resume(declared: Declared, saved: &[u8]) -> Option<Self> {
        let mut reader = FlatReader::new(saved);
        reader.array(6, VERSION);
        let layout = Layout {
            memory: reader.u32(),
            segment: reader.u32(),
            shift: reader.u32(),
        };
        let left = reader.u32();
        let decoder = Decoder::restore(declared, reader.item())?;
        let layout = layout.checked(declared).ok()?;
        let possible = left <= pages::<PAGE>(layout, declared).ok()?
            && (left == 0 || decoder.consumed() == 0)
            && decoder.layout().is_none_or(|its| its == layout)
            && (decoder.is_between_segments() || decoder.consumed() == 0)
            // Pages are erased from where it stands.
            && match decoder.is_complete() {
                true => decoder.written() == declared.new,
                false => decoder.written().checked_rem(layout.segment) == Some(0),
            };
        (reader.is_empty() && possible).then(|| Self::at(decoder, layout, left))
    }

    const fn at(decoder: Decoder<WINDOW>, layout: Layout, pages: u32) -> Self {
        Self {
            begun: decoder.written(),
            decoder,
            layout,
            pages,
            moved: 0,
            // A state that was read may be one that is not durable yet: it is made sure of first.
            stage: Stage::Persist,
            page: [0; PAGE],
            filled: 0,
        }
    }

    /// Writes down where it is, and returns how many bytes that takes; `None` when `out` is too small.
    ///
    /// Only meant for [`InPlaceStep::Persist`]; `delta.cddl` says what the bytes are.
    #[must_use]
    pub fn save(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = FlatWriter::new(out);
        writer.array(6, VERSION);
        let Layout {
            memory,
            segment,
            shift,
        } = self.layout;
        for number in [memory, segment, shift, self.pages] {
            writer.uint(number.into());
        }
        let head = writer.finish()?;
        let rest = self.decoder.save(out.get_mut(head..)?)?;
        Some(head + rest)
    }

    /// What is to be done next; the same until it is [done](Self::done).
    #[must_use]
    pub fn step(&self) -> InPlaceStep<'_> {
        match self.stage {
            Stage::Persist => InPlaceStep::Persist,
            Stage::EraseMoved => InPlaceStep::Erase {
                at: self.moving().saturating_add(self.layout.shift),
            },
            Stage::Copy => {
                let from = self.moving();
                let kept = self.layout.kept(self.decoder.declared().old);
                InPlaceStep::Copy {
                    from,
                    to: from.saturating_add(self.layout.shift),
                    bytes: kept.saturating_sub(from).min(page::<PAGE>()),
                }
            }
            Stage::Erase { at } => InPlaceStep::Erase { at },
            Stage::Fill => InPlaceStep::Patch {
                at: self.decoder.consumed(),
            },
            Stage::Write => {
                let bytes = self.page.get(..self.filled).unwrap_or(&[]);
                let filled = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                InPlaceStep::Write {
                    at: self.decoder.written().saturating_sub(filled),
                    bytes,
                }
            }
            Stage::Finished => InPlaceStep::Finished,
        }
    }

    /// Takes the piece of the patch in that was asked for, as much of it as it needs now, and leaves the rest.
    ///
    /// `read` reads the memory: so many bytes from an offset in bytes. At the patch's end the piece may be empty. Without
    /// such a step nothing happens.
    ///
    /// # Errors
    ///
    /// [`DecodeError`]; after [`DecodeError::Old`], resume from what was persisted. [`DecodeError::Patch`] means that
    /// it is not the patch that was rehearsed.
    pub fn patch<E>(
        &mut self,
        patch: &mut &[u8],
        mut read: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), DecodeError<E>> {
        if self.stage != Stage::Fill {
            return Ok(());
        }
        let shift = self.layout.shift;
        let room = self.page.get_mut(self.filled..).unwrap_or(&mut []);
        let mut read = |at: u32, out: &mut [u8]| read(at.saturating_add(shift), out);
        let ended = self.decoder.consumed() == self.decoder.declared().patch;
        let given = self.decoder.advance(patch, room, &mut read, true)?;
        self.filled += given;
        if ended && given == 0 && !self.segment_is_over() {
            return Err(PatchError::Incomplete.into());
        }
        self.stage = if self.filled == PAGE || (self.filled > 0 && self.segment_is_over()) {
            Stage::Write
        } else if self.segment_is_over() {
            Stage::Persist
        } else {
            Stage::Fill
        };
        Ok(())
    }

    /// The step was done, durably where it writes. A step that failed is asked for again, or resumed before.
    pub fn done(&mut self) {
        self.stage = match self.stage {
            Stage::Persist => {
                (self.moved, self.begun) = (0, self.decoder.written());
                if self.pages > 0 {
                    Stage::EraseMoved
                } else if self.decoder.is_complete() {
                    Stage::Finished
                } else {
                    Stage::Erase { at: self.begun }
                }
            }
            Stage::EraseMoved => Stage::Copy,
            Stage::Copy => {
                self.pages = self.pages.saturating_sub(1);
                self.moved = self.moved.saturating_add(page::<PAGE>());
                // The next page would go where one came from that a resumed move reads again.
                if self.pages == 0 || self.moved >= self.layout.shift {
                    Stage::Persist
                } else {
                    Stage::EraseMoved
                }
            }
            Stage::Erase { at } => {
                let next = at.saturating_add(page::<PAGE>());
                if next < self.begun.saturating_add(self.layout.segment) {
                    Stage::Erase { at: next }
                } else {
                    Stage::Fill
                }
            }
            Stage::Write => {
                self.filled = 0;
                match self.segment_is_over() {
                    true => Stage::Persist,
                    false => Stage::Fill,
                }
            }
            stage @ (Stage::Fill | Stage::Finished) => stage,
        };
    }

    fn segment_is_over(&self) -> bool {
        self.decoder.is_between_segments() && self.decoder.written() > self.begun
            || self.decoder.is_complete()
    }

    /// Where the page is that is moved next.
    fn moving(&self) -> u32 {
        self.pages.saturating_sub(1).saturating_mul(page::<PAGE>())
    }
}

/// The size of a page; none has more than 32 bits.
fn page<const PAGE: usize>() -> u32 {
    u32::try_from(PAGE).unwrap_or(u32::MAX)
}

/// How many pages the old image is moved in.
fn pages<const PAGE: usize>(layout: Layout, declared: Declared) -> Result<u32, PatchError> {
    match layout.segment.checked_rem(page::<PAGE>()) {
        Some(0) => Ok(layout.kept(declared.old).div_ceil(page::<PAGE>())),
        _ => Err(PatchError::Layout),
    }
}
