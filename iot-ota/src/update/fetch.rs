//! One download: what was asked for, what came, and where to go on after a power cut.

use core::time::Duration;

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::crypto::Digest;
use iot_core::time::Instant;

use super::wire::Request;
use crate::image::{FinishError, PushError, Pushed, Stream};
use crate::slot::{Banks, Release};

const VERSION: u8 = 2;
/// Doubling stops after so many silent attempts.
const MAX_DOUBLINGS: u32 = 5;

/// The durable trace of a download.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Checkpoint {
    pub(super) release: Release,
    /// So many bytes are in the bank.
    pub(super) offset: u32,
    /// Whether it goes back, by the right of a signer.
    pub(super) back: bool,
}

impl Checkpoint {
    pub(super) const fn start(release: Release, back: bool) -> Self {
        Self {
            release,
            offset: 0,
            back,
        }
    }

    pub(super) fn encode(self, out: &mut [u8]) -> Option<usize> {
        let mut writer = FlatWriter::new(out);
        writer.array(7, VERSION);
        writer.uint(self.release.sequence);
        writer.uint(self.release.size.into());
        writer.bytes(&self.release.digest);
        writer.uint(self.offset.into());
        writer.uint(self.release.counter);
        writer.uint(self.back.into());
        writer.finish()
    }

    /// `None` for anything but a whole checkpoint of this version: the download then starts afresh.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let mut reader = FlatReader::new(value);
        reader.array(7, VERSION);
        let (sequence, size) = (reader.uint(), reader.u32());
        let digest = reader.bytes().try_into().ok()?;
        let (offset, counter, back) = (reader.u32(), reader.uint(), reader.uint());
        (reader.is_empty() && offset <= size && back <= 1).then_some(Self {
            release: Release::new(sequence, digest, size).with_counter(counter),
            offset,
            back: back == 1,
        })
    }
}

/// One download.
#[derive(Clone, Debug)]
pub(super) struct Fetch<D> {
    release: Release,
    stream: Stream<D>,
    // When to ask for the next block; `None` for at once.
    ask_at: Option<Instant>,
    attempts: u32,
    back: bool,
}

impl<D: Digest> Fetch<D> {
    /// Goes on where the spare bank can be written again, at or below the checkpoint; clears it to begin.
    pub(super) fn resume<B: Banks>(
        banks: &mut B,
        digest: D,
        checkpoint: Checkpoint,
    ) -> Result<Self, B::Error> {
        let Checkpoint {
            release,
            offset,
            back,
        } = checkpoint;
        let spare = banks.running().other();
        // Bytes above the checkpoint may have been written before the power failed: they are erased, since
        // no word of flash may be programmed twice.
        let offset = banks.clear(spare, offset)?;
        let mut stream = Stream::new(digest, release.size, release.digest);
        crate::slot::read_through(banks, spare, offset, |bytes| {
            // Cannot fail: a checkpoint never lies past the size.
            let _ = stream.resume(bytes);
        })?;
        Ok(Self {
            release,
            stream,
            ask_at: None,
            attempts: 0,
            back,
        })
    }

    pub(super) const fn release(&self) -> Release {
        self.release
    }

    pub(super) const fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            release: self.release,
            offset: self.stream.offset(),
            back: self.back,
        }
    }

    /// The request that is due now, if one is.
    pub(super) fn request(&self, now: Instant, block_bytes: u32) -> Option<Request> {
        let due = self.ask_at.is_none_or(|at| now >= at) && !self.stream.is_complete();
        due.then(|| {
            let (offset, length) = self.wanted(block_bytes);
            Request::new(self.release.sequence, offset, length)
        })
    }

    /// The request was sent, or could not be: it is repeated after `timeout`, later each time.
    pub(super) fn asked(&mut self, now: Instant, timeout: Duration) {
        let factor = 1_u32 << self.attempts.min(MAX_DOUBLINGS);
        self.attempts = self.attempts.saturating_add(1);
        self.ask_at = Some(now + timeout.saturating_mul(factor));
    }

    /// The link is up: no reason to wait any longer.
    pub(super) const fn ask_again(&mut self) {
        self.ask_at = None;
        self.attempts = 0;
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Takes the block that was asked for, and no other: true when it was written.
    pub(super) fn block<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        bytes: &[u8],
        block_bytes: u32,
    ) -> Result<bool, B::Error> {
        // A block of another length would leave the bank between two words of flash.
        if (offset, u32::try_from(bytes.len())) != {
            let (offset, length) = self.wanted(block_bytes);
            (offset, Ok(length))
        } {
            return Ok(false);
        }
        let spare = banks.running().other();
        let pushed = self.stream.push(offset, bytes, |offset, bytes| {
            banks.write(spare, offset, bytes)
        });
        match pushed {
            Ok(Pushed::Written) => {
                self.ask_again();
                Ok(true)
            }
            Err(PushError::Bank(error)) => Err(error),
            Ok(Pushed::Duplicate) | Err(_) => Ok(false),
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.stream.is_complete()
    }

    /// Says whether the image is the one that was signed for.
    pub(super) fn finish(self) -> Result<Release, FinishError> {
        self.stream.finish().map(|()| self.release)
    }

    fn wanted(&self, block_bytes: u32) -> (u32, u32) {
        let offset = self.stream.offset();
        // Blocks keep to their grid even when a resumed download begins between two of them.
        let to_grid = block_bytes - offset % block_bytes;
        (offset, to_grid.min(self.release.size - offset))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_checkpoint_is_read_as_it_was_written(sequence: u64, digest: [u8; 32], size: u32, counter: u64, back: bool, part: prop::sample::Index) {
            let offset = u32::try_from(part.index(usize::try_from(size).unwrap() + 1)).unwrap();
            let release = Release::new(sequence, digest, size).with_counter(counter);
            let checkpoint = Checkpoint { release, offset, back };
            let mut out = [0; 80];
            let len = checkpoint.encode(&mut out).unwrap();
            prop_assert_eq!(Checkpoint::decode(&out[..len]), Some(checkpoint));
            prop_assert_eq!(Checkpoint::decode(&out[..len - 1]), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Checkpoint::decode(&value);
        }
    }
}
