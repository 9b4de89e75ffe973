//! Writing manifests (service side).

use alloc::vec::Vec;

use iot_core::cose::{Content, CoseError, sign1};
use iot_core::crypto::{Digest, Sha256Digest, Signer};
use minicbor::Encoder;
use minicbor::data::Tag;
use minicbor::encode::Error;

use super::plan::Device;

/// Room for a `COSE_Sign1` without payload, beside its key id.
const COSE_BYTES: usize = 160;
const RECORD_ALWAYS: u8 = 15;
const RECORD_FAILURE: u8 = 2;

/// One image for one kind of device: the templates for compatibility check, download and secure boot (§7).
///
/// The same template and key always give the same manifest; the signature may differ where the key's
/// signatures do.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::crypto::{Digest, Sha256Digest};
/// # #[derive(Default)] struct Sum(Sha256Digest);
/// # impl Digest for Sum {
/// #     fn update(&mut self, bytes: &[u8]) { for b in bytes { self.0[0] = self.0[0].wrapping_mul(31) ^ *b } }
/// #     fn finish(&mut self) -> Sha256Digest { core::mem::take(&mut self.0) }
/// # }
/// # let mut sha256 = Sum::default();
/// use iot_core::cose::Tagged;
/// use iot_core::sim::ToyKey;
/// use iot_ota::manifest::{Device, Limits, SignedManifest, SigningKey, Template};
///
/// let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
/// let template = Template::new(7, device, [3; 32], 4_096, "iot:firmware");
/// let envelope = template.sign(&ToyKey::new(1), None, &mut sha256)?;
///
/// let received = SignedManifest::decode(&envelope, Tagged::Required, Limits::default())?;
/// let manifest = received.verify(&SigningKey::new(ToyKey::new(1)), &mut sha256, 6)?;
/// assert_eq!(manifest.plan(&device)?.release.size, 4_096);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Template<'a> {
    /// Rises with every release.
    pub sequence: u64,
    /// Which devices it is for, and what it installs there.
    pub device: Device<'a>,
    /// The image's SHA-256.
    pub digest: Sha256Digest,
    /// The image's size in bytes.
    pub size: u32,
    /// Where the image is.
    pub uri: &'a str,
    /// Whether a boot loader is to start it; true unless changed.
    pub invoke: bool,
}

/// Why a manifest could not be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// It could not be signed.
    #[error("the manifest could not be signed: {0}")]
    Cose(#[from] CoseError),
    /// It could not be encoded; does not happen while memory lasts.
    #[error("the manifest could not be encoded")]
    Encode,
}

type Written = Result<(), Error<core::convert::Infallible>>;
type Writer<'v> = Encoder<&'v mut Vec<u8>>;

impl<'a> Template<'a> {
    /// Describes a release.
    #[must_use]
    pub const fn new(
        sequence: u64,
        device: Device<'a>,
        digest: Sha256Digest,
        size: u32,
        uri: &'a str,
    ) -> Self {
        Self {
            sequence,
            device,
            digest,
            size,
            uri,
            invoke: true,
        }
    }

    /// Writes the manifest and signs it; returns the envelope, tagged.
    ///
    /// # Errors
    ///
    /// [`AuthorError::Cose`] when the key cannot sign.
    pub fn sign(
        &self,
        signer: &dyn Signer,
        key_id: Option<&[u8]>,
        digest: &mut (impl Digest + ?Sized),
    ) -> Result<Vec<u8>, AuthorError> {
        let manifest = self.manifest()?;
        let wrapped = encode(|writer| writer.bytes(&manifest)?.ok())?;
        digest.update(&wrapped);
        let signed = suit_digest(&digest.finish())?;
        let mut room = alloc::vec![0; COSE_BYTES + key_id.map_or(0, <[u8]>::len)];
        let signature = sign1(&mut room, signer, key_id, Content::Detached(&signed), &[])?;
        let wrapper = encode(|writer| writer.array(2)?.bytes(&signed)?.bytes(signature)?.ok())?;
        encode(|writer| {
            writer.tag(Tag::new(107))?.map(2)?;
            writer.u8(2)?.bytes(&wrapper)?;
            writer.u8(3)?.bytes(&manifest)?.ok()
        })
    }

    /// The manifest alone, unsigned and unwrapped.
    ///
    /// # Errors
    ///
    /// [`AuthorError::Encode`].
    pub fn manifest(&self) -> Result<Vec<u8>, AuthorError> {
        let image = suit_digest(&self.digest)?;
        let shared = encode(|writer| {
            writer.array(6)?.u8(20)?.map(4)?;
            writer.u8(1)?.bytes(&self.device.vendor)?;
            writer.u8(2)?.bytes(&self.device.class)?;
            writer.u8(3)?.bytes(&image)?;
            writer.u8(14)?.u32(self.size)?;
            command(writer, 1, RECORD_ALWAYS)?;
            command(writer, 2, RECORD_ALWAYS)
        })?;
        let common = encode(|writer| {
            writer.map(2)?.u8(2)?.array(1)?;
            writer.array(self.device.component.len() as u64)?;
            for segment in self.device.component {
                writer.bytes(segment)?;
            }
            writer.u8(4)?.bytes(&shared)?.ok()
        })?;
        let validate = encode(|writer| command(writer.array(2)?, 3, RECORD_ALWAYS))?;
        let invoke = encode(|writer| command(writer.array(2)?, 23, RECORD_FAILURE))?;
        let install = encode(|writer| {
            writer.array(6)?.u8(20)?.map(1)?.u8(21)?.str(self.uri)?;
            command(writer, 21, RECORD_FAILURE)?;
            command(writer, 3, RECORD_ALWAYS)
        })?;
        encode(|writer| {
            writer.map(if self.invoke { 6 } else { 5 })?;
            writer.u8(1)?.u8(1)?.u8(2)?.u64(self.sequence)?;
            writer.u8(3)?.bytes(&common)?.u8(7)?.bytes(&validate)?;
            if self.invoke {
                writer.u8(9)?.bytes(&invoke)?;
            }
            writer.u8(20)?.bytes(&install)?.ok()
        })
    }
}

fn command(writer: &mut Writer<'_>, code: u8, policy: u8) -> Written {
    writer.u8(code)?.u8(policy)?.ok()
}

fn suit_digest(digest: &Sha256Digest) -> Result<Vec<u8>, AuthorError> {
    encode(|writer| writer.array(2)?.i32(super::SHA256)?.bytes(digest)?.ok())
}

fn encode(write: impl FnOnce(&mut Writer<'_>) -> Written) -> Result<Vec<u8>, AuthorError> {
    let mut bytes = Vec::new();
    write(&mut Encoder::new(&mut bytes)).map_err(|_| AuthorError::Encode)?;
    Ok(bytes)
}
