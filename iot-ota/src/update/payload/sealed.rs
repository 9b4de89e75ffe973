//! Payloads that are images or patches, and may be encrypted.

use core::fmt;

use iot_core::crypto::Digest;

use super::patched::{IMAGE, ImageOrPatch, PATCH, intake};
use super::{Payload, PayloadError, Payloads};
use crate::decrypt::{Decrypted, Decryptor, KeyUnwrap};
use crate::image::{BadPayload, Intake, ReadOld, Transform, TransformError};
use crate::manifest::{EncryptionInfo, Plan};
use crate::slot::Banks;

/// What stands around a form and what was saved, in bytes.
const HEADS: usize = 28;

/// Takes images and patches, as they are or encrypted for one of the device's keys (see [`decrypt`](crate::decrypt)).
///
/// The sizes are those of [`Patched`](super::Patched), but `ROOM` holds the longest encryption info besides: about 180
/// bytes for each recipient. Where it has no room, the release is refused as unsupported.
#[derive(Clone, Copy)]
pub struct Sealed<'k, const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>
{
    keys: &'k [&'k dyn KeyUnwrap],
}

impl<'k, const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>
    Sealed<'k, PAGE, WINDOW, SAVED, ROOM>
{
    /// What is encrypted for one of `keys`.
    #[must_use]
    pub const fn new(keys: &'k [&'k dyn KeyUnwrap]) -> Self {
        const { assert!(PAGE > 0 && SAVED >= WINDOW + 128 && ROOM >= SAVED + 32) }
        Self { keys }
    }
}

impl<const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize> fmt::Debug
    for Sealed<'_, PAGE, WINDOW, SAVED, ROOM>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} keys)", self.keys.len())
    }
}

impl<D: Digest, const PAGE: usize, const WINDOW: usize, const SAVED: usize, const ROOM: usize>
    Payloads<D> for Sealed<'_, PAGE, WINDOW, SAVED, ROOM>
{
    type Download = Intake<SealedPayload<WINDOW>, D, PAGE, SAVED>;
    type Room = [u8; ROOM];
    const ROOM: Self::Room = [0; ROOM];

    fn describe(&self, plan: &Plan<'_>, form: &mut [u8]) -> Result<(u32, usize), PayloadError> {
        described::<SAVED>(plan, form).ok_or(PayloadError::Unsupported)
    }

    fn open<B: Banks>(
        &self,
        payload: &Payload<'_>,
        digest: D,
        banks: &mut B,
        progress: &[u8],
    ) -> Result<Self::Download, PayloadError> {
        let info = payload.form.get(1..).filter(|info| !info.is_empty());
        let transform = match info {
            None => SealedPayload::Open(ImageOrPatch::new(payload, payload.bytes)?),
            Some(info) => {
                let info = EncryptionInfo::decode(info).ok_or(PayloadError::Unsupported)?;
                let tag = u32::try_from(info.cipher.tag_bytes()).unwrap_or(0);
                let inner = ImageOrPatch::new(payload, payload.bytes.saturating_sub(tag))?;
                let decryptor = Decryptor::new(&info, self.keys).map_err(|_| PayloadError::Key)?;
                SealedPayload::Sealed(Decrypted::new(decryptor, inner))
            }
        };
        intake(transform, payload, digest, banks, progress)
    }
}

/// Writes the form: what is encrypted, and how.
fn described<const SAVED: usize>(plan: &Plan<'_>, form: &mut [u8]) -> Option<(u32, usize)> {
    let info = plan.encryption.unwrap_or(&[]);
    let used = info.len().checked_add(1)?;
    // Behind it there must be room for what was saved, or the download could not go on.
    form.len().checked_sub(used)?.checked_sub(SAVED + HEADS)?;
    let (own, room) = form.split_first_mut()?;
    *own = if plan.patch { PATCH } else { IMAGE };
    room.get_mut(..info.len())?.copy_from_slice(info);
    let tag = match plan.encryption {
        Some(info) => EncryptionInfo::decode(info)?.cipher.tag_bytes(),
        None => 0,
    };
    let bytes = plan.content_bytes.checked_add(u32::try_from(tag).ok()?)?;
    Some((bytes, used))
}

/// A payload that may be encrypted.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    clippy::exhaustive_enums,
    reason = "there is one of it, where no heap is; and it is one of the two"
)]
pub enum SealedPayload<const WINDOW: usize> {
    /// It is not.
    Open(ImageOrPatch<WINDOW>),
    /// It is.
    Sealed(Decrypted<ImageOrPatch<WINDOW>>),
}

impl<const WINDOW: usize> Transform for SealedPayload<WINDOW> {
    fn pull<E>(
        &mut self,
        payload: &mut &[u8],
        out: &mut [u8],
        old: &mut ReadOld<'_, E>,
    ) -> Result<usize, TransformError<E>> {
        match self {
            Self::Open(content) => content.pull(payload, out, old),
            Self::Sealed(content) => content.pull(payload, out, old),
        }
    }

    fn end(&mut self) -> Result<(), BadPayload> {
        match self {
            Self::Open(content) => content.end(),
            Self::Sealed(content) => content.end(),
        }
    }

    fn is_whole(&self) -> bool {
        match self {
            Self::Open(content) => content.is_whole(),
            Self::Sealed(content) => content.is_whole(),
        }
    }

    fn consumed(&self) -> u32 {
        match self {
            Self::Open(content) => content.consumed(),
            Self::Sealed(content) => content.consumed(),
        }
    }

    fn save(&self, out: &mut [u8]) -> Option<usize> {
        match self {
            Self::Open(content) => content.save(out),
            Self::Sealed(content) => content.save(out),
        }
    }

    fn restore(&mut self, saved: &[u8]) -> bool {
        match self {
            Self::Open(content) => content.restore(saved),
            Self::Sealed(content) => content.restore(saved),
        }
    }
}
