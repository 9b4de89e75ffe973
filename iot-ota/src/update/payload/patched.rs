//! Payloads that are images, or patches to the image that runs.

use iot_core::crypto::Digest;

use super::{Payload, PayloadError, Payloads};
use crate::delta::{Declared, Decoder};
use crate::image::{Either, Expected, Intake, Plain, Transform};
use crate::manifest::Plan;
use crate::slot::Banks;

/// The form of an image, and that of a patch, in one byte.
pub(super) const IMAGE: u8 = 0;
pub(super) const PATCH: u8 = 1;

/// Takes images and patches (see [`delta`](crate::delta)).
///
/// `PAGE` is what the banks erase at a time in bytes, which this takes of RAM; `WINDOW` is the longest window of a
/// compressed patch. `SAVED` is `WINDOW` and 128 bytes, and `ROOM` that and 32 more; less does not compile.
///
/// ```
/// use iot_ota::update::Patched;
/// const PATCHED: Patched<4096, 256, 384, 416> = Patched::new();
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Patched<const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>(
    (),
);

impl<const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>
    Patched<PAGE, WINDOW, SAVED, ROOM>
{
    /// Of these sizes.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(PAGE > 0 && SAVED >= WINDOW + 128 && ROOM >= SAVED + 32) }
        Self(())
    }
}

impl<D: Digest, const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>
    Payloads<D> for Patched<PAGE, WINDOW, SAVED, ROOM>
{
    type Download = Intake<ImageOrPatch<WINDOW>, D, PAGE, SAVED>;
    type Room = [u8; ROOM];
    const ROOM: Self::Room = [0; ROOM];

    fn describe(&self, plan: &Plan<'_>, form: &mut [u8]) -> Result<(u32, usize), PayloadError> {
        if plan.encryption.is_some() {
            return Err(PayloadError::Unsupported);
        }
        let own = form.first_mut().ok_or(PayloadError::Unsupported)?;
        *own = if plan.patch { PATCH } else { IMAGE };
        Ok((plan.content_bytes, 1))
    }

    fn open<B: Banks>(
        &self,
        payload: &Payload<'_>,
        digest: D,
        banks: &mut B,
        progress: &[u8],
    ) -> Result<Self::Download, PayloadError> {
        let transform = content(payload, payload.bytes)?;
        intake(transform, payload, digest, banks, progress)
    }
}

/// Goes on with an intake, or begins it.
pub(super) fn intake<T, D, B, const PAGE: usize, const SAVED: usize>(
    transform: T,
    payload: &Payload<'_>,
    digest: D,
    banks: &mut B,
    progress: &[u8],
) -> Result<Intake<T, D, PAGE, SAVED>, PayloadError>
where
    T: Transform,
    D: Digest,
    B: Banks,
{
    let Payload { bytes, image, .. } = *payload;
    let expected = Expected::new(bytes, image.size, image.digest);
    Ok(Intake::resume(
        transform, digest, expected, banks, progress,
    )?)
}

/// A payload that is not encrypted: an image, or a patch to the image that runs.
pub type ImageOrPatch<const WINDOW: usize> = Either<Plain, Decoder<WINDOW>>;

/// By the first byte of its form; of so many bytes once it is decrypted.
pub(super) fn content<const WINDOW: usize>(
    payload: &Payload<'_>,
    content_bytes: u32,
) -> Result<ImageOrPatch<WINDOW>, PayloadError> {
    match payload.form.first() {
        Some(&IMAGE) => Ok(Either::One(Plain::new())),
        Some(&PATCH) => Ok(Either::Other(Decoder::new(Declared::new(
            payload.running.size,
            payload.image.size,
            content_bytes,
        )))),
        _ => Err(PayloadError::Unsupported),
    }
}
