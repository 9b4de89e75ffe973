//! The manifest that most releases need.

use alloc::vec::Vec;

use iot_core::crypto::{Digest, Sha256Digest, Signer};

use super::super::plan::Device;
use super::builder::Author;
use super::envelope::AuthorError;
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
        }
    }

    /// Under that security counter: where it was confirmed, releases with a lower one never run again.
    #[must_use]
    pub const fn with_counter(self, counter: u64) -> Self {
        Self { counter, ..self }
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
        let author = Author::new(self.sequence, &[self.device.component])
            .compatibility_check(0, self.device.vendor, self.device.class, Some(&image))
            .fetch_and_install(0, self.uri);
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
