//! One download: what was asked for, what came, and where to go on after a power cut.

use core::num::NonZeroU32;

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::time::Instant;

use crate::slot::Release;

const VERSION: u8 = 3;
/// Doubling stops after so many silent attempts.
const MAX_DOUBLINGS: u8 = 5;

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
    /// In place of one, where there is no download.
    pub(super) const NONE: Self = Self {
        release: Release::new(0, [0; 32], 0),
        back: false,
        bytes: 0,
    };

    pub(super) fn encode(
        &self,
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

    /// Takes a record in, and returns form and progress as they stand; `None` for anything but a checkpoint of this
    /// version: the download then starts afresh.
    pub(super) fn read<'v>(&mut self, value: &'v [u8]) -> Option<&'v [u8]> {
        let mut reader = FlatReader::new(value);
        reader.array(9, VERSION);
        self.release.sequence = reader.uint();
        self.release.size = reader.u32();
        self.release.digest = reader.bytes().try_into().ok()?;
        self.release.counter = reader.uint();
        let back = reader.uint();
        self.back = back == 1;
        self.bytes = reader.u32();
        let behind = reader.rest().filter(|_| back <= 1)?;
        let mut whole = FlatReader::new(behind);
        whole.bytes();
        whole.item();
        whole.is_empty().then_some(behind)
    }
}

/// How far the download is that a checkpoint names.
#[derive(Clone, Debug)]
pub(super) enum Course<W> {
    /// There is none.
    Nothing,
    /// It stands in the records, with so many bytes of form and progress in the room.
    OnRecord { behind: usize },
    /// It was taken up, and begins when the record that names it is durable.
    Pending,
    /// It is on its way.
    Fetching(W),
}

/// When the next block is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    // Zero for at once.
    at: Instant,
    attempts: u8,
}

impl Asking {
    pub(super) const AT_ONCE: Self = Self {
        at: Instant::ZERO,
        attempts: 0,
    };

    pub(super) fn is_due(&self, now: Instant) -> bool {
        now >= self.at
    }

    /// It was asked for, or could not be: that is repeated after `timeout_ms`, later each time.
    #[inline(never)]
    pub(super) fn asked(&mut self, now: Instant, timeout_ms: u32) {
        let span = u64::from(timeout_ms) * u64::from(1_u32 << self.attempts);
        self.at = Instant::from_millis(now.as_millis().saturating_add(span));
        self.attempts = MAX_DOUBLINGS.min(self.attempts + 1);
    }

    pub(super) const fn deadline(&self) -> Instant {
        self.at
    }
}

impl Checkpoint {
    /// Where the next block begins when so much of the payload is there, and how long it is.
    #[inline(never)]
    pub(super) fn wanted(&self, received: u32, block_bytes: NonZeroU32) -> (u32, u32) {
        // Blocks keep to their grid even when a resumed download begins between two of them.
        let to_grid = block_bytes.get() - received % block_bytes;
        (received, to_grid.min(self.bytes.saturating_sub(received)))
    }

    /// The block to ask for; where all is there and no offer has vouched for it yet, that is the last one again: an
    /// offer comes in front of it.
    pub(super) fn asked_for(&self, received: u32, block_bytes: NonZeroU32) -> (u32, u32) {
        if received < self.bytes {
            return self.wanted(received, block_bytes);
        }
        let last = self.bytes.saturating_sub(1);
        self.wanted(last - last % block_bytes, block_bytes)
    }
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
            let mut read = Checkpoint::NONE;
            let behind = read.read(&out[..len]).unwrap();
            prop_assert_eq!(read, checkpoint);
            let mut reader = FlatReader::new(behind);
            prop_assert_eq!(reader.bytes(), form);
            match there {
                Some(there) => prop_assert_eq!(reader.u32(), there),
                None => prop_assert!(reader.null()),
            }
            prop_assert_eq!(read.read(&out[..len - 1]), None);
        }

        #[test]
        fn arbitrary_bytes_never_panic(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Checkpoint::NONE.clone().read(&value);
            let mut same: Vec<u8> = [0x89, VERSION].to_vec();
            same.extend(value);
            let _ = Checkpoint::NONE.clone().read(&same);
        }
    }
}
