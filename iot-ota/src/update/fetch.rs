//! One download: what was asked for, what came, and where to go on after a power cut.

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::time::Instant;

use super::payload::{Download, PayloadError};
use super::wire::Request;
use crate::slot::{Banks, Release};

const VERSION: u8 = 3;
/// Doubling stops after so many silent attempts.
const MAX_DOUBLINGS: u32 = 5;

/// The durable trace of a download: what is to come. What form it has, and how far it is, stands behind it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) release: Release,
    /// Whether it goes back, by the right of a signer.
    pub(super) back: bool,
    /// How many bytes the payload has.
    pub(super) bytes: u32,
}

impl Checkpoint {
    pub(super) fn encode(
        self,
        form: &[u8],
        progress: impl FnOnce(&mut [u8]) -> Option<usize>,
        out: &mut [u8],
    ) -> Option<usize> {
        let mut writer = FlatWriter::new(out);
        writer.array(9, VERSION);
        writer.uint(self.release.sequence);
        writer.uint(self.release.size.into());
        writer.bytes(&self.release.digest);
        writer.uint(self.release.counter);
        writer.uint(self.back.into());
        writer.uint(self.bytes.into());
        writer.bytes(form);
        let head = writer.finish()?;
        let room = out.get_mut(head..)?;
        head.checked_add(progress(room)?)
    }

    /// With the form and the progress, as they stand; `None` for anything but a checkpoint of this version: the
    /// download then starts afresh.
    pub(super) fn decode(value: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = FlatReader::new(value);
        reader.array(9, VERSION);
        let (sequence, size) = (reader.uint(), reader.u32());
        let digest = reader.bytes().try_into().ok()?;
        let (counter, back, bytes) = (reader.uint(), reader.uint(), reader.u32());
        let behind = reader.rest().filter(|_| back <= 1)?;
        let mut whole = FlatReader::new(behind);
        whole.bytes();
        whole.item();
        whole.is_empty().then_some((
            Self {
                release: Release::new(sequence, digest, size).with_counter(counter),
                back: back == 1,
                bytes,
            },
            behind,
        ))
    }
}

/// One download.
#[derive(Clone, Debug)]
pub(super) struct Fetch<W> {
    checkpoint: Checkpoint,
    download: W,
    // When to ask for the next block; `None` for at once.
    ask_at: Option<Instant>,
    attempts: u32,
}

impl<W: Download> Fetch<W> {
    pub(super) const fn new(checkpoint: Checkpoint, download: W) -> Self {
        Self {
            checkpoint,
            download,
            ask_at: None,
            attempts: 0,
        }
    }

    pub(super) const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    pub(super) fn progress(&self, out: &mut [u8]) -> Option<usize> {
        self.download.progress(out)
    }

    pub(super) const fn release(&self) -> Release {
        self.checkpoint.release
    }

    /// How many bytes of the payload are there.
    pub(super) fn received(&self) -> u32 {
        self.download.received()
    }

    pub(super) fn encode(&self, form: &[u8], out: &mut [u8]) -> Option<usize> {
        let progress = |out: &mut [u8]| self.progress(out);
        self.checkpoint.encode(form, progress, out)
    }

    /// The request that is due now, if one is. Where all is there and no offer has vouched for it yet, that is the last
    /// block again: an offer comes in front of it.
    pub(super) fn request(&self, now: Instant, block_bytes: u32) -> Option<Request> {
        let due = self.ask_at.is_none_or(|at| now >= at);
        let (offset, length) = match self.checkpoint.bytes.checked_sub(1) {
            Some(last) if self.is_complete() => {
                let behind = last % block_bytes;
                (last - behind, behind + 1)
            }
            _ => self.wanted(block_bytes),
        };
        (due && length > 0).then(|| Request::new(self.release().sequence, offset, length))
    }

    /// The request was sent, or could not be: it is repeated after `timeout`, later each time.
    pub(super) fn asked(&mut self, now: Instant, timeout_ms: u32) {
        let doublings = self.attempts.min(MAX_DOUBLINGS);
        self.attempts = self.attempts.saturating_add(1);
        self.ask_at = Some(later(now, timeout_ms, doublings));
    }

    /// The link is up: no reason to wait any longer.
    pub(super) const fn ask_again(&mut self) {
        self.ask_at = None;
        self.attempts = 0;
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Takes the block that was asked for, and no other: true when it was taken.
    pub(super) fn block<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        bytes: &[u8],
        block_bytes: u32,
    ) -> Result<bool, PayloadError> {
        // A block of another length would leave the bank between two words of flash.
        let (wanted, length) = self.wanted(block_bytes);
        if (offset, u32::try_from(bytes.len())) != (wanted, Ok(length)) || bytes.is_empty() {
            return Ok(false);
        }
        self.download.push(banks, offset, bytes)?;
        self.ask_again();
        Ok(true)
    }

    pub(super) fn is_complete(&self) -> bool {
        self.received() >= self.checkpoint.bytes
    }

    /// Erases one page behind the image; true when there is none left.
    pub(super) fn clear_next<B: Banks>(&mut self, banks: &mut B) -> Result<bool, PayloadError> {
        self.download.clear_next(banks)
    }

    /// Says whether the image is the one that was signed for.
    pub(super) fn finish<B: Banks>(self, banks: &mut B) -> Result<Release, PayloadError> {
        self.download.finish(banks)?;
        Ok(self.checkpoint.release)
    }

    fn wanted(&self, block_bytes: u32) -> (u32, u32) {
        let offset = self.received();
        // Blocks keep to their grid even when a resumed download begins between two of them.
        let to_grid = block_bytes - offset % block_bytes;
        let left = self.checkpoint.bytes.saturating_sub(offset);
        (offset, to_grid.min(left))
    }
}

/// So many milliseconds after `now`, doubled so often.
pub(super) const fn later(now: Instant, ms: u32, doublings: u32) -> Instant {
    // Fewer than 32 doublings of 32 bits: nothing is lost. Durations cost a chip six times as much.
    let span = (ms as u64) << doublings;
    Instant::from_millis(now.as_millis().saturating_add(span))
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_checkpoint_is_read_as_it_was_written(
            sequence: u64, digest: [u8; 32], size: u32, counter: u64, back: bool, bytes: u32,
            form in proptest::collection::vec(any::<u8>(), 0..300),
            there in proptest::option::of(any::<u32>()),
        ) {
            let release = Release::new(sequence, digest, size).with_counter(counter);
            let checkpoint = Checkpoint { release, back, bytes };
            let progress = |out: &mut [u8]| {
                let mut writer = FlatWriter::new(out);
                match there {
                    Some(there) => writer.uint(there.into()),
                    None => writer.null(),
                }
                writer.finish()
            };
            let mut out = [0; 400];
            let len = checkpoint.encode(&form, progress, &mut out).unwrap();
            let (read, behind) = Checkpoint::decode(&out[..len]).unwrap();
            prop_assert_eq!(read, checkpoint);
            let mut reader = FlatReader::new(behind);
            prop_assert_eq!(reader.bytes(), form);
            match there {
                Some(there) => prop_assert_eq!(reader.u32(), there),
                None => prop_assert!(reader.null()),
            }
            prop_assert_eq!(Checkpoint::decode(&out[..len - 1]), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Checkpoint::decode(&value);
            let mut same: Vec<u8> = [0x89, VERSION].to_vec();
            same.extend(value);
            let _ = Checkpoint::decode(&same);
        }
    }
}
