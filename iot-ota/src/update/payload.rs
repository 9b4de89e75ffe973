//! What a device makes of the payloads that it fetches.

use iot_core::codec::FlatWriter;
use iot_core::crypto::Digest;

use crate::image::{Intake, IntakeError, Transform};
use crate::manifest::Plan;
use crate::slot::{Banks, Release};
use crate::update::report::Outcome;

mod images;
mod patched;
#[cfg(feature = "decrypt")]
mod sealed;

pub use images::{ImageDownload, Images};
pub use patched::{ImageOrPatch, Patched};
#[cfg(feature = "decrypt")]
pub use sealed::{Sealed, SealedPayload};

/// What is to arrive, and what it is to become; all of it from a manifest that was verified.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Payload<'a> {
    /// How many bytes arrive.
    pub bytes: u32,
    /// What [`describe`](Payloads::describe) has written down of it.
    pub form: &'a [u8],
    /// The image that it becomes.
    pub image: Release,
    /// The image that runs.
    pub running: Release,
}

/// Which payloads a device takes, and how each becomes an image in the spare bank.
///
/// [`Images`] takes images as they are, [`Patched`] patches too, and with feature `decrypt` `Sealed` either of them
/// encrypted. A device pays for what it names: [`Updater::with_payloads`](super::Updater::with_payloads).
pub trait Payloads<D: Digest> {
    /// A payload on its way.
    type Download: Download;
    /// Room for a form, and for what a [`Download`] needs to go on.
    type Room: AsRef<[u8]> + AsMut<[u8]> + Clone;
    /// Room with nothing in it: zeros.
    const ROOM: Self::Room;

    /// Writes down to the front of `form` what has to be known of the planned payload after a reboot. Returns how many
    /// bytes will arrive, and how many it has written.
    ///
    /// # Errors
    ///
    /// [`PayloadError::Unsupported`] for a payload that this device does not take.
    fn describe(&self, plan: &Plan<'_>, form: &mut [u8]) -> Result<(u32, usize), PayloadError>;

    /// Begins, or goes on from what [`Download::progress`] has written down; what is no such thing is a beginning.
    ///
    /// `digest` is a SHA-256 that has absorbed nothing.
    ///
    /// # Errors
    ///
    /// [`PayloadError`].
    fn open<B: Banks>(
        &self,
        payload: &Payload<'_>,
        digest: D,
        banks: &mut B,
        progress: &[u8],
    ) -> Result<Self::Download, PayloadError>;
}

/// A payload on its way into the spare bank.
pub trait Download {
    /// Where the next piece of the payload begins, in bytes.
    fn received(&self) -> u32;

    /// Takes the piece that begins at `offset`, which is where the last one ended.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]: the download is over.
    fn push<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), PayloadError>;

    /// Writes down what it needs to go on after a power cut, as one item of CBOR, which is null where it would begin again;
    /// `None` when `out` is too small.
    fn progress(&self, out: &mut [u8]) -> Option<usize>;

    /// Erases the next page of the bank behind what is there, and says whether all of them are. When all has arrived it is
    /// called until they are: an image may be moved with all of its bank.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]: the download is over.
    fn clear_next<B: Banks>(&mut self, banks: &mut B) -> Result<bool, PayloadError>;

    /// Says whether the image in the bank is the one that was signed for.
    ///
    /// # Errors
    ///
    /// [`PayloadError`]: it must not be used.
    fn finish<B: Banks>(self, banks: &mut B) -> Result<(), PayloadError>;
}

/// Why a payload does not become an image.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PayloadError {
    /// This device does not take such payloads.
    #[error("this device takes no such payload")]
    Unsupported,
    /// It is encrypted for another key.
    #[error("the payload is encrypted for none of this device's keys")]
    Key,
    /// It is no patch to the image that runs, or not what was encrypted.
    #[error("the payload cannot become an image")]
    Payload,
    /// What it became is not what was signed for.
    #[error("the image is not the one that was signed for")]
    Image,
    /// The memory for images failed.
    #[error("the memory for images failed")]
    Banks,
}

impl PayloadError {
    pub(super) const fn outcome(self) -> Outcome {
        match self {
            Self::Unsupported => Outcome::Unsupported,
            Self::Key => Outcome::NoKey,
            Self::Payload => Outcome::BadPayload,
            Self::Image => Outcome::BadImage,
            Self::Banks => Outcome::Memory,
        }
    }
}

/// The progress of a download that would begin again: null.
pub(super) fn nothing(out: &mut [u8]) -> Option<usize> {
    let mut writer = FlatWriter::new(out);
    writer.null();
    writer.finish()
}

impl<E> From<IntakeError<E>> for PayloadError {
    fn from(error: IntakeError<E>) -> Self {
        match error {
            IntakeError::Banks(_) | IntakeError::NotSpare => Self::Banks,
            IntakeError::Digest => Self::Image,
            _ => Self::Payload,
        }
    }
}

impl<T: Transform, D: Digest, const PAGE: usize, const SAVED: usize> Download
    for Intake<T, D, PAGE, SAVED>
{
    fn received(&self) -> u32 {
        self.received()
    }

    fn push<B: Banks>(
        &mut self,
        banks: &mut B,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), PayloadError> {
        Ok(self.push(banks, offset, bytes)?)
    }

    fn progress(&self, out: &mut [u8]) -> Option<usize> {
        if self.can_resume() {
            self.checkpoint(out)
        } else {
            nothing(out)
        }
    }

    fn clear_next<B: Banks>(&mut self, banks: &mut B) -> Result<bool, PayloadError> {
        Ok(self.clear_next(banks)?)
    }

    fn finish<B: Banks>(self, banks: &mut B) -> Result<(), PayloadError> {
        Ok(self.finish(banks)?)
    }
}
