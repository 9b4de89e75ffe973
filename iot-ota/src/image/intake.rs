//! Payload in, image into the spare bank, page by page.

mod error;
mod expected;

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::crypto::Digest;

pub use error::IntakeError;
pub use expected::Expected;

use super::spare::spare;
use super::stream::digests_equal;
use super::transform::{Transform, TransformError};
use crate::slot::{Bank, Banks, read_through};

const VERSION: u8 = 2;
/// So much of an image's digest tells its checkpoints from another's, in bytes.
const TAG_BYTES: usize = 8;

/// Takes a payload in piece by piece and writes what it becomes to the spare bank, in bounded memory.
///
/// It holds a page of `PAGE` bytes, what the banks erase at a time or a multiple, and `SAVED` bytes for what its transform saves (4
/// for [`Plain`](super::Plain), [`Decoder::SAVED_BYTES`](crate::delta::Decoder::SAVED_BYTES) for a patch). Each page is
/// held against the declared size before it is written, and hashed when it was.
///
/// **After an interruption** it goes on from the last state of it that was persisted: [`checkpoint`](Self::checkpoint)
/// after each piece is enough for the loss of what came since, and at most a page. With pieces of a page or more that is
/// one piece.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Clone, Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_add(*b) } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let sha256 = Sum::default();
/// # let digest = |bytes: &[u8]| { let mut d = Sum::default(); d.update(bytes); d.finish() };
/// use iot_ota::image::{Expected, Intake, Plain};
/// use iot_ota::sim::MemoryBanks;
/// use iot_ota::slot::{Bank, Release};
///
/// let mut banks = MemoryBanks::factory(1024, 8, b"one", Release::new(1, digest(b"one"), 3));
/// let expected = Expected::new(11, 11, digest(b"release two"));
/// let mut intake = Intake::<_, _, 8, 4>::begin(Plain::new(), sha256, expected, &mut banks)?;
/// intake.push(&mut banks, 0, b"release ")?;
/// intake.push(&mut banks, 8, b"two")?;
/// intake.finish(&mut banks)?;
/// assert_eq!(banks.bytes(Bank::B), b"release two");
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Intake<T, D, const PAGE: usize, const SAVED: usize> {
    transform: T,
    digest: D,
    expected: Expected,
    spare: Bank,
    received: u32,
    written: u32,
    // The bank is erased from `written` to here.
    cleared: u32,
    page: [u8; PAGE],
    filled: usize,
    // What the transform was when the last page was written.
    saved: [u8; SAVED],
    saved_bytes: usize,
}

impl<T: Transform, D: Digest, const PAGE: usize, const SAVED: usize> Intake<T, D, PAGE, SAVED> {
    /// Begins; `digest` is a SHA-256 that has absorbed nothing. The spare bank is erased as pages are written.
    ///
    /// # Errors
    ///
    /// [`IntakeError::TooLong`] when the image does not fit the bank, [`IntakeError::NotSpare`], and
    /// [`IntakeError::Banks`]. Nothing was changed.
    pub fn begin<B: Banks>(
        transform: T,
        digest: D,
        expected: Expected,
        banks: &mut B,
    ) -> Result<Self, IntakeError<B::Error>> {
        if expected.image_bytes > banks.capacity() {
            return Err(IntakeError::TooLong);
        }
        let spare = spare_of(banks)?;
        Ok(Self {
            transform,
            digest,
            expected,
            spare,
            received: 0,
            written: 0,
            cleared: 0,
            page: [0; PAGE],
            filled: 0,
            saved: [0; SAVED],
            saved_bytes: 0,
        })
    }

    /// Goes on from a [checkpoint](Self::checkpoint) that was persisted; from the beginning when it is none of this image
    /// and this payload.
    ///
    /// What the bank holds below it is read and hashed again. The firmware that runs after a reboot may be on trial: then
    /// this is refused until it is confirmed.
    ///
    /// # Errors
    ///
    /// As for [`begin`](Self::begin); also [`IntakeError::Page`], [`IntakeError::Banks`], and [`IntakeError::TooLong`] for the
    /// checkpoint of a longer payload. Nothing can be gone on from then: begin.
    pub fn resume<B: Banks>(
        mut transform: T,
        digest: D,
        expected: Expected,
        banks: &mut B,
        checkpoint: &[u8],
    ) -> Result<Self, IntakeError<B::Error>> {
        let mut reader = FlatReader::new(checkpoint);
        reader.array(5, VERSION);
        let (tag, payload_bytes) = (reader.bytes(), reader.u32());
        let (written, saved) = (reader.u32(), reader.bytes());
        let page = u32::try_from(PAGE).unwrap_or(u32::MAX);
        // The bytes of another image's checkpoint may have been erased since.
        let possible = reader.is_empty()
            && tag == tag_of(&expected)
            && payload_bytes == expected.payload_bytes
            && written <= expected.image_bytes.min(banks.capacity())
            && written.checked_rem(page) == Some(0)
            && saved.len() <= SAVED;
        if !possible || !transform.restore(saved) {
            return Self::begin(transform, digest, expected, banks);
        }
        if transform.consumed() > expected.payload_bytes {
            return Err(IntakeError::TooLong);
        }
        let spare = spare_of(banks)?;
        let part = banks.clear(spare, written).map_err(IntakeError::Banks)?;
        if part.start != written {
            return Err(IntakeError::Page);
        }
        let mut intake = Self {
            received: transform.consumed(),
            transform,
            digest,
            expected,
            spare,
            written,
            cleared: part.end,
            page: [0; PAGE],
            filled: 0,
            saved: [0; SAVED],
            saved_bytes: saved.len(),
        };
        for (to, from) in intake.saved.iter_mut().zip(saved) {
            *to = *from;
        }
        let digest = &mut intake.digest;
        read_through(banks, spare, written, |bytes| digest.update(bytes))
            .map_err(IntakeError::Banks)?;
        Ok(intake)
    }

    /// Takes the piece of the payload that begins at `offset`, and writes the pages that it fills.
    ///
    /// A piece that was there already is nothing new.
    ///
    /// # Errors
    ///
    /// [`IntakeError`]. After [`IntakeError::Banks`], resume; after [`IntakeError::Payload`] or
    /// [`IntakeError::TooLong`], begin again with another payload.
    pub fn push<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        piece: &[u8],
    ) -> Result<(), IntakeError<B::Error>> {
        let end = u32::try_from(piece.len())
            .ok()
            .and_then(|bytes| offset.checked_add(bytes))
            .filter(|&end| end <= self.expected.payload_bytes)
            .ok_or(IntakeError::TooLong)?;
        if end <= self.received {
            return Ok(());
        }
        if offset != self.received {
            return Err(IntakeError::Gap {
                expected: self.received,
            });
        }
        self.take(banks, piece)?;
        self.received = end;
        Ok(())
    }

    /// Erases the next page of the bank, and says whether all of them are.
    ///
    /// An image that is moved to where it runs is moved with all of its bank, so [`finish`](Self::finish) erases what is
    /// left behind it, in one call. Where that takes too long, call this before, when all has arrived: what is erased
    /// earlier is erased again after a reboot.
    ///
    /// # Errors
    ///
    /// [`IntakeError::Banks`] and [`IntakeError::Page`].
    pub fn clear_next<B: Banks>(&mut self, banks: &mut B) -> Result<bool, IntakeError<B::Error>> {
        if self.cleared < banks.capacity() {
            self.clear(banks)?;
        }
        Ok(self.cleared >= banks.capacity())
    }

    /// Ends it: writes what is held back, erases what is left of the bank behind it, and says whether the image is the
    /// declared one. The digest is compared in constant time.
    ///
    /// # Errors
    ///
    /// [`IntakeError`]: the image must not be used.
    pub fn finish<B: Banks>(mut self, banks: &mut B) -> Result<(), IntakeError<B::Error>> {
        if self.received != self.expected.payload_bytes {
            return Err(IntakeError::Incomplete);
        }
        self.transform.end().map_err(|_| IntakeError::Payload)?;
        self.take(banks, &[])?;
        while !self.clear_next(banks)? {}
        if self.written != self.expected.image_bytes || !self.transform.is_whole() {
            return Err(IntakeError::Incomplete);
        }
        if digests_equal(&self.digest.finish(), &self.expected.digest) {
            Ok(())
        } else {
            Err(IntakeError::Digest)
        }
    }

    /// Writes down what has to be persisted to go on here, and returns how many bytes that takes; `None` when `out` is
    /// too small, or nothing is there to go on from: begin again then.
    ///
    /// They are CBOR: an array of a version, the first 8 bytes of the image's digest, the size of the payload, the bytes
    /// that are in the bank, and the transform's state. They change with each page that is written, and are up to
    /// 24 bytes longer than that state.
    #[must_use]
    pub fn checkpoint(&self, out: &mut [u8]) -> Option<usize> {
        let there = self.goes_on_from()?;
        let saved = self.saved.get(..self.saved_bytes)?;
        let mut writer = FlatWriter::new(out);
        writer.array(5, VERSION);
        writer.bytes(tag_of(&self.expected));
        writer.uint(self.expected.payload_bytes.into());
        writer.uint(there.into());
        writer.bytes(saved);
        writer.finish()
    }

    /// How many bytes of the image its checkpoint counts; `None` while there is nothing to go on from.
    pub(super) fn goes_on_from(&self) -> Option<u32> {
        let page = u32::try_from(PAGE).ok()?;
        let there = self.written - self.written.checked_rem(page)?;
        (self.saved_bytes > 0).then_some(there)
    }

    /// Whether there is something to go on from.
    pub(crate) const fn can_resume(&self) -> bool {
        self.saved_bytes > 0
    }

    /// Where the next piece of the payload begins, in bytes.
    #[must_use]
    pub const fn received(&self) -> u32 {
        self.received
    }

    /// How many bytes of the image are in the bank.
    #[must_use]
    pub const fn written(&self) -> u32 {
        self.written
    }

    /// What it was told to expect.
    #[must_use]
    pub const fn expected(&self) -> Expected {
        self.expected
    }

    fn take<B: Banks>(
        &mut self,
        banks: &mut B,
        mut piece: &[u8],
    ) -> Result<(), IntakeError<B::Error>> {
        loop {
            // The size cap: no room is left behind the end of the image, so nothing can be written there.
            let left = self.expected.image_bytes - self.written;
            let left = usize::try_from(left).unwrap_or(usize::MAX);
            let room = self.page.get_mut(..PAGE.min(left)).unwrap_or(&mut []);
            let room = room.get_mut(self.filled..).unwrap_or(&mut []);
            let full = room.len();
            let mut beyond = [0];
            let out = if full == 0 { &mut beyond } else { room };
            let running = banks.running();
            let mut old = |at: u32, out: &mut [u8]| banks.read(running, at, out);
            let given = self.transform.pull(&mut piece, out, &mut old);
            let given = given.map_err(|error| match error {
                TransformError::Payload => IntakeError::Payload,
                TransformError::Old(error) => IntakeError::Banks(error),
            })?;
            if full == 0 {
                return match (given, piece) {
                    (0, []) => Ok(()),
                    _ => Err(IntakeError::TooLong),
                };
            }
            self.filled += given;
            if given < full {
                return Ok(());
            }
            self.write(banks)?;
        }
    }

    fn clear<B: Banks>(&mut self, banks: &mut B) -> Result<(), IntakeError<B::Error>> {
        let part = banks
            .clear(self.spare, self.cleared)
            .map_err(IntakeError::Banks)?;
        // Banks that erase nothing would be asked for ever.
        if part.start != self.cleared || part.end <= self.cleared {
            return Err(IntakeError::Page);
        }
        self.cleared = part.end;
        Ok(())
    }

    fn write<B: Banks>(&mut self, banks: &mut B) -> Result<(), IntakeError<B::Error>> {
        // Erased as it is written, so that no call takes long, and a reboot costs one page of wear and not a bank.
        let end = self
            .written
            .saturating_add(u32::try_from(self.filled).unwrap_or(u32::MAX));
        while self.cleared < end {
            self.clear(banks)?;
        }
        let page = self.page.get(..self.filled).unwrap_or(&[]);
        banks
            .write(self.spare, self.written, page)
            .map_err(IntakeError::Banks)?;
        self.digest.update(page);
        let bytes = u32::try_from(page.len()).unwrap_or(0);
        self.written = self.written.saturating_add(bytes);
        // The last page may be a part of one; there is nothing to go on to from it.
        if self.filled == PAGE {
            self.saved_bytes = self.transform.save(&mut self.saved).unwrap_or(0);
        }
        self.filled = 0;
        Ok(())
    }
}

fn spare_of<B: Banks>(banks: &mut B) -> Result<Bank, IntakeError<B::Error>> {
    let spare = spare(banks).map_err(IntakeError::Banks)?;
    spare.ok_or(IntakeError::NotSpare)
}

fn tag_of(expected: &Expected) -> &[u8] {
    expected.digest.get(..TAG_BYTES).unwrap_or(&[])
}
