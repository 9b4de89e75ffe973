//! The manifest that most releases need.

use alloc::vec::Vec;

use iot_core::crypto::{Digest, Sha256Digest, Signer};

use super::super::plan::Device;
use super::builder::Author;
use super::envelope::AuthorError;
use super::patch::{Origin, PatchFrom};
use super::templates::Image;

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
    /// Its security counter; 0 unless changed.
    pub counter: u64,
    /// How what is at `uri` is encrypted, as CBOR: a `SUIT_Encryption_Info`. `None` where it is not.
    pub encryption: Option<&'a [u8]>,
    /// Patches to it, for devices that have a component for them; none unless changed.
    pub patches: &'a [PatchFrom<'a>],
}

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
            counter: 0,
            encryption: None,
            patches: &[],
        }
    }

    /// Under that security counter: where it was confirmed, releases with a lower one never run again.
    #[must_use]
    pub const fn with_counter(self, counter: u64) -> Self {
        Self { counter, ..self }
    }

    /// What is at its URI is encrypted in that way.
    #[must_use]
    pub const fn encrypted(self, info: &'a [u8]) -> Self {
        Self {
            encryption: Some(info),
            ..self
        }
    }

    /// Devices that run one of the old images of `patches` fetch that patch in its place: those with a
    /// [component for patches](Device::with_patches), which the manifest then names.
    #[must_use]
    pub const fn with_patches(self, patches: &'a [PatchFrom<'a>]) -> Self {
        Self { patches, ..self }
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
        let mut envelope = self.author().build(digest);
        envelope.sign(signer, key_id)?;
        Ok(envelope.encode())
    }

    /// The manifest in the making, for what the template does not have.
    #[must_use]
    pub fn author(&self) -> Author {
        let image = Image::new(self.digest, self.size.into());
        let Device {
            vendor,
            class,
            component,
            ..
        } = self.device;
        let origin = Origin {
            uri: self.uri,
            encryption: self.encryption,
        };
        let (components, patches) = match self.device.patch {
            Some(patch) if !self.patches.is_empty() => (&[component, patch][..], self.patches),
            _ => (&[component][..], &[][..]),
        };
        let author = Author::new(self.sequence, components)
            .compatibility_check(0, vendor, class, Some(&image))
            .patched_or_whole(0, 1, &image, patches, &origin);
        let author = match self.counter {
            0 => author,
            counter => author.security_counter(counter),
        };
        if self.invoke {
            author.trusted_invocation(0)
        } else {
            author.matched(0)
        }
    }
}
