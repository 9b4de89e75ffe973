//! Payloads that are images or patches, and may be encrypted.

use core::fmt;

use iot_core::crypto::Digest;

use super::patched::{IMAGE, ImageOrPatch, PATCH, content, intake};
use super::{Payload, PayloadError, Payloads};
use crate::decrypt::{Decrypted, Decryptor, KeyUnwrap};
use crate::image::{Either, Intake};
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
            None => Either::One(content(payload, payload.bytes)?),
            Some(info) => {
                let info = EncryptionInfo::decode(info).ok_or(PayloadError::Unsupported)?;
                let tag = u32::try_from(info.cipher.tag_bytes()).unwrap_or(0);
                let inner = content(payload, payload.bytes.saturating_sub(tag))?;
                let decryptor = Decryptor::new(&info, self.keys).map_err(|_| PayloadError::Key)?;
                Either::Other(Decrypted::new(decryptor, inner))
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

/// A payload as it is, or encrypted.
pub type SealedPayload<const WINDOW: usize> =
    Either<ImageOrPatch<WINDOW>, Decrypted<ImageOrPatch<WINDOW>>>;
