//! Releases: real bytes, signed, and one of them sick.

use std::sync::Arc;

use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm;
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey};
use iot_ota::manifest::{Device, Template};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Banks, Release as Image, load, running_release};

use crate::desk::Release;
use crate::pki::Fallible;

/// What the manifests of this building are for.
pub const DEVICE: Device<'static> =
    Device::new(*b"acme-building-co", *b"room-sensor-rev1", &[b"firmware"]);

/// An image that ends with this fails its self-test.
const SICK: &[u8] = b"the self-test of this release fails";
const FACTORY: &[u8] = b"what the factory put in";
const SECTOR_BYTES: u32 = 4_096;

/// What a campaign needs: who signs, the bad release and the good one.
pub struct Releases {
    pub key: PublicKey,
    pub bad: Release,
    pub good: Release,
    capacity: u32,
}

impl Releases {
    /// Signs `image` as release 3, and the same with a sick end as release 2.
    pub fn sign(image: &[u8]) -> Fallible<Self> {
        let signer = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
        let sick = [image, SICK].concat();
        let capacity = u32::try_from(sick.len())?.next_multiple_of(SECTOR_BYTES);
        Ok(Self {
            key: PublicKey::of(&signer)?,
            bad: release(2, &sick, &signer)?,
            good: release(3, image, &signer)?,
            capacity,
        })
    }

    /// The memory of a device fresh from the factory.
    pub fn factory(&self) -> Fallible<MemoryBanks> {
        let image = Image::new(1, digest(FACTORY), u32::try_from(FACTORY.len())?);
        Ok(MemoryBanks::factory(
            self.capacity,
            SECTOR_BYTES,
            FACTORY,
            image,
        ))
    }
}

fn release(sequence: u64, image: &[u8], signer: &SoftwareKey) -> Fallible<Release> {
    let size = u32::try_from(image.len())?;
    let template = Template::new(sequence, DEVICE, digest(image), size, "iot:firmware");
    let envelope = template.sign(signer, None, &mut Sha256::new())?;
    Ok(Release {
        sequence,
        envelope: envelope.into(),
        image: Arc::from(image),
    })
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let mut sha256 = Sha256::new();
    sha256.update(bytes);
    sha256.finish()
}

/// Whether the image that runs is well; what a real device finds out by looking at its sensors.
pub fn self_test(banks: &mut MemoryBanks) -> bool {
    let mut end = [0; SICK.len()];
    let Ok(Some(record)) = load(banks) else {
        return false;
    };
    let Some(release) = running_release(banks, &record) else {
        return false;
    };
    let bank = banks.running();
    let from_end = u32::try_from(SICK.len()).unwrap_or(u32::MAX);
    match release.size.checked_sub(from_end) {
        Some(offset) => banks.read(bank, offset, &mut end).is_ok() && end != *SICK,
        None => true,
    }
}
