//! Payloads that are images.

use iot_core::codec::{FlatReader, FlatWriter};
use iot_core::crypto::Digest;

use super::{Download, Payload, PayloadError, Payloads};
use crate::image::{PushError, Stream, spare};
use crate::manifest::Plan;
use crate::slot::{Bank, Banks, read_through};

/// Takes images as they are, and nothing else: blocks go to the bank without a page of RAM in between.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Images;

/// An image on its way.
#[derive(Clone, Debug)]
pub struct ImageDownload<D> {
    stream: Stream<D>,
    spare: Bank,
    // The bank is erased up to here.
    cleared: u32,
}

impl<D: Digest> Payloads<D> for Images {
    type Download = ImageDownload<D>;
    /// The form of an image is empty, and how far it is takes five bytes; their head takes one.
    type Room = [u8; 8];
    const ROOM: Self::Room = [0; 8];

    fn describe(&self, plan: &Plan<'_>, _: &mut [u8]) -> Result<(u32, usize), PayloadError> {
        if plan.encryption.is_some() || plan.patch {
            return Err(PayloadError::Unsupported);
        }
        Ok((plan.content_bytes, 0))
    }

    fn open<B: Banks>(
        &self,
        payload: &Payload<'_>,
        digest: D,
        banks: &mut B,
        progress: &[u8],
    ) -> Result<Self::Download, PayloadError> {
        let mut reader = FlatReader::new(progress);
        let there = reader.u32();
        let there = reader.rest().map_or(0, |_| there).min(payload.bytes);
        let spare = spare(banks).ok().flatten().ok_or(PayloadError::Banks)?;
        // Bytes above that may have been written before the power failed: they are erased, since no word of flash may be
        // programmed twice.
        let part = banks.clear(spare, there).map_err(|_| PayloadError::Banks)?;
        let mut stream = Stream::new(digest, payload.bytes, payload.image.digest);
        read_through(banks, spare, part.start, |bytes| {
            // Cannot fail: there is no more than the size.
            let _ = stream.resume(bytes);
        })
        .map_err(|_| PayloadError::Banks)?;
        Ok(ImageDownload {
            stream,
            spare,
            cleared: part.end,
        })
    }
}

impl<D: Digest> Download for ImageDownload<D> {
    fn received(&self) -> u32 {
        self.stream.offset()
    }

    fn push<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), PayloadError> {
        let end = u32::try_from(bytes.len()).map(|bytes| offset.saturating_add(bytes));
        // A block of no image comes to nothing below.
        let end = end.unwrap_or(0).min(self.stream.size());
        while self.cleared < end {
            self.clear_next(banks)?;
        }
        let spare = self.spare;
        let write = |offset, bytes: &[u8]| banks.write(spare, offset, bytes);
        match self.stream.push(offset, bytes, write) {
            Ok(_) => Ok(()),
            Err(PushError::Bank(_)) => Err(PayloadError::Banks),
            Err(_) => Err(PayloadError::Payload),
        }
    }

    fn progress(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = FlatWriter::new(out);
        writer.uint(self.stream.offset().into());
        writer.finish()
    }

    fn clear_next<B: Banks>(&mut self, banks: &mut B) -> Result<bool, PayloadError> {
        if self.cleared < banks.capacity() {
            let part = banks.clear(self.spare, self.cleared);
            let part = part.map_err(|_| PayloadError::Banks)?;
            // Banks that erase nothing would be asked for ever.
            if part.end <= self.cleared {
                return Err(PayloadError::Banks);
            }
            self.cleared = part.end;
        }
        Ok(self.cleared >= banks.capacity())
    }

    fn finish<B: Banks>(self, _: &mut B) -> Result<(), PayloadError> {
        self.stream.finish().map_err(|_| PayloadError::Image)
    }
}
