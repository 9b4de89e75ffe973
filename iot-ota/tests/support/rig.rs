//! An in-place patch on simulated flash: does the steps, and keeps what was to be persisted.
//!
//! Its user keeps the journal: beside the flash, as one value that changes as a whole, or in records on the same flash.
#![allow(dead_code, reason = "each user needs a part")]

use embedded_storage_async::nor_flash::{NorFlash, ReadNorFlash};
use iot_core::node::block_on;
use iot_core::sim::SimFlash;
use iot_core::sim::flash::{FlashImage, Mode, SimFlashError};
use iot_ota::delta::{Declared, DecodeError, InPlace, InPlaceStep, Rehearsal, Rehearsed};

/// What a rig was doing when it did not get on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stopped {
    Flash(SimFlashError),
    /// The patch, or what was persisted, is not what it was.
    Broken(&'static str),
}

impl From<SimFlashError> for Stopped {
    fn from(error: SimFlashError) -> Self {
        Self::Flash(error)
    }
}

impl core::fmt::Display for Stopped {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A flash with `image` at its front.
pub(crate) fn flash_with<const W: usize, const E: usize>(
    pages: u16,
    mode: Mode,
    image: &[u8],
) -> SimFlash<W, E> {
    let mut flash = SimFlash::from_image(FlashImage::<W, E>::new(pages, mode));
    write_padded(&mut flash, 0, image).expect("a fresh flash");
    flash
}

pub(crate) fn write_padded<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
    at: u32,
    bytes: &[u8],
) -> Result<(), SimFlashError> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(W), 0xff);
    block_on(flash.write(at, &padded))
}

/// Reads any bytes, of whole words.
pub(crate) fn read_any<const W: usize, const E: usize>(
    flash: &mut SimFlash<W, E>,
    at: u32,
    out: &mut [u8],
) -> Result<(), SimFlashError> {
    let word = W as u32;
    let first = at / word * word;
    let end = (at + out.len() as u32).next_multiple_of(word);
    let mut words = vec![0; (end - first) as usize];
    block_on(flash.read(first, &mut words))?;
    let skip = (at - first) as usize;
    out.copy_from_slice(&words[skip..skip + out.len()]);
    Ok(())
}

/// The evidence for a patch, from the old image in memory.
pub(crate) fn rehearse<const WINDOW: usize, D: iot_core::crypto::Digest>(
    old: &[u8],
    new: &[u8],
    patch: &[u8],
    mut digest: D,
    again: D,
) -> Rehearsed {
    let size = |bytes: &[u8]| bytes.len() as u32;
    // A simulated flash says by itself when it is left.
    let declared = Declared::new(size(old), size(new), size(patch)).in_memory(u32::MAX);
    digest.update(new);
    let mut rehearsal = Rehearsal::<WINDOW, D>::new(declared, again);
    rehearsal
        .push(patch, |at, out| {
            out.copy_from_slice(&old[at as usize..][..out.len()]);
            Ok::<(), core::convert::Infallible>(())
        })
        .expect("a good patch");
    rehearsal.finish(&digest.finish()).expect("the image")
}

/// Does the next step on the memory that begins at `base`; true at the end. `persist` is told what to keep.
pub(crate) fn turn<const WINDOW: usize, const PAGE: usize, const W: usize, const E: usize>(
    machine: &mut InPlace<WINDOW, PAGE>,
    flash: &mut SimFlash<W, E>,
    base: u32,
    patch: &[u8],
    piece: usize,
    persist: impl FnOnce(&mut SimFlash<W, E>, &[u8]) -> Result<(), Stopped>,
) -> Result<bool, Stopped> {
    match machine.step() {
        InPlaceStep::Persist => {
            let mut room = [0; 1_024];
            let len = machine.save(&mut room).ok_or(Stopped::Broken("save"))?;
            persist(flash, &room[..len])?;
        }
        InPlaceStep::Erase { at } => {
            let at = base + at;
            block_on(flash.erase(at, at + PAGE as u32))?;
        }
        InPlaceStep::Copy { from, to, bytes } => {
            let mut page = vec![0; bytes as usize];
            read_any(flash, base + from, &mut page)?;
            write_padded(flash, base + to, &page)?;
        }
        InPlaceStep::Write { at, bytes } => write_padded(flash, base + at, bytes)?,
        InPlaceStep::Patch { at } => {
            let from = at as usize;
            let mut next = &patch[from..(from + piece).min(patch.len())];
            machine
                .patch(&mut next, |at, out| read_any(flash, base + at, out))
                .map_err(|error| match error {
                    DecodeError::Old(error) => Stopped::Flash(error),
                    _ => Stopped::Broken("patch"),
                })?;
            return Ok(false);
        }
        InPlaceStep::Finished => return Ok(true),
        _ => return Err(Stopped::Broken("a step that is not known")),
    }
    machine.done();
    Ok(false)
}
