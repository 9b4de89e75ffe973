//! Releases: real bytes, signed, and all but one of them bad in a way of its own.

use std::sync::Arc;

use iot_core::crypto::{Digest, Sha256Digest, SignatureAlgorithm};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey};
use iot_ota::manifest::{Device, Template};
use iot_ota::slot::{Release as Image, RollBackReason};
use iot_ota::update::Outcome;

use crate::board::{Board, Mode};
use crate::chip::Stock;
use crate::pki::Fallible;
use crate::power::Power;

/// What the manifests of this building are for.
pub const DEVICE: Device<'static> =
    Device::new(*b"acme-building-co", *b"room-sensor-rev1", &[b"firmware"]);
/// So many boots has a new firmware to confirm itself.
pub const TRIALS: u8 = 2;

/// What the factory put in, and the release that everybody has in the end.
pub const FACTORY: u64 = 1;
pub const GOOD: u64 = 6;
/// The security counter of all releases: who confirms one never runs again what the factory put in.
const NEXT: u64 = 2;
/// Images end with what they do: it is all the code that they have.
const CRASHES: &[u8] = b"this release crashes when it boots";
const SICK: &[u8] = b"the self-test of this release fails";
const PLAIN: &[u8] = b"this release is well";

/// What is wrong with a release, or with what happens to it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Fault {
    /// It crashes in each of its trial boots.
    Crash,
    /// It says itself that it is not well.
    Sick,
    /// What is served are other bytes than those that were signed for.
    OtherBytes,
    /// The power fails in the middle of each download, and in the middle of each trial.
    PowerCuts,
    /// Nothing; the power fails here and there.
    None,
}

impl Fault {
    pub const BAD: [Self; 4] = [Self::Crash, Self::Sick, Self::OtherBytes, Self::PowerCuts];

    pub const fn sequence(self) -> u64 {
        match self {
            Self::Crash => 2,
            Self::Sick => 3,
            Self::OtherBytes => 4,
            Self::PowerCuts => 5,
            Self::None => GOOD,
        }
    }

    pub const fn words(self) -> &'static str {
        match self {
            Self::Crash => "crashes at trial",
            Self::Sick => "fails its health probe",
            Self::OtherBytes => "not the bytes that were signed",
            Self::PowerCuts => "power fails in download and trials",
            Self::None => "good",
        }
    }

    /// What every device has to report that was offered the release.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Crash | Self::PowerCuts => Outcome::RolledBack(RollBackReason::Unconfirmed),
            Self::Sick => Outcome::RolledBack(RollBackReason::SelfTest),
            Self::OtherBytes => Outcome::BadImage,
            Self::None => Outcome::Confirmed,
        }
    }
}

/// What the code of an image does when it runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conduct {
    Well,
    Crashes,
    Sick,
}

/// A signed release, and the image that is served for it.
#[derive(Clone, Debug)]
pub struct Release {
    pub fault: Fault,
    pub sequence: u64,
    pub envelope: Arc<[u8]>,
    pub served: Arc<[u8]>,
}

/// An image that may run, as it was signed for.
#[derive(Clone, Debug)]
pub struct Known {
    pub release: Image,
    pub bytes: Arc<[u8]>,
}

impl Known {
    fn new(sequence: u64, bytes: &[u8], counter: u64) -> Fallible<Self> {
        let size = u32::try_from(bytes.len())?;
        Ok(Self {
            release: Image::new(sequence, digest(bytes), size).with_counter(counter),
            bytes: bytes.into(),
        })
    }

    pub fn conduct(&self) -> Conduct {
        match &*self.bytes {
            bytes if bytes.ends_with(CRASHES) => Conduct::Crashes,
            bytes if bytes.ends_with(SICK) => Conduct::Sick,
            _ => Conduct::Well,
        }
    }
}

/// What a campaign needs: who signs, the bad releases and the good one.
pub struct Releases {
    pub key: PublicKey,
    /// Images that end with something come before those that they begin with.
    pub known: Arc<[Known]>,
    releases: Vec<Release>,
    factory: Known,
    /// The pages of all flash that holds them.
    pub stock: Stock,
}

impl Releases {
    /// Signs `image` as the good release, and the same with another end as each of the bad ones.
    pub fn sign(image: &[u8]) -> Fallible<Self> {
        let signer = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
        let factory = Known::new(FACTORY, b"what the factory put in.", 1)?;
        let (mut known, mut releases) = (Vec::new(), Vec::new());
        for fault in Fault::BAD.into_iter().chain([Fault::None]) {
            let end = match fault {
                Fault::Crash => CRASHES,
                Fault::Sick => SICK,
                Fault::OtherBytes | Fault::PowerCuts => PLAIN,
                Fault::None => b"",
            };
            let of_its_own = if end == PLAIN { fault.words() } else { "" };
            let bytes = [image, of_its_own.as_bytes(), end].concat();
            let signed = Known::new(fault.sequence(), &bytes, NEXT)?;
            releases.push(release(fault, &signed, &signer)?);
            known.push(signed);
        }
        known.push(factory.clone());
        Ok(Self {
            key: PublicKey::of(&signer)?,
            known: known.into(),
            releases,
            factory,
            stock: Stock::default(),
        })
    }

    pub fn of(&self, fault: Fault) -> Fallible<Release> {
        let found = self.releases.iter().find(|release| release.fault == fault);
        Ok(found.ok_or("a release that nobody made")?.clone())
    }

    /// The flash of a device fresh from the factory.
    pub fn board(&self, index: usize, power: Power) -> Fallible<Board> {
        let sizes = self.known.iter().map(|known| known.release.size);
        let capacity = sizes.max().unwrap_or(0);
        let image = (&*self.factory.bytes, self.factory.release);
        Board::factory(Mode::of(index), capacity, image, self.stock.clone(), power)
    }
}

fn release(fault: Fault, signed: &Known, signer: &SoftwareKey) -> Fallible<Release> {
    let Image {
        sequence,
        digest,
        size,
        counter,
        ..
    } = signed.release;
    let template = Template::new(sequence, DEVICE, digest, size, "iot:firmware");
    let template = template.with_counter(counter);
    let envelope = template.sign(signer, None, &mut Sha256::new())?;
    let mut served = signed.bytes.to_vec();
    if fault == Fault::OtherBytes
        && let Some(byte) = served.get_mut(signed.bytes.len() / 2)
    {
        *byte ^= 1;
    }
    Ok(Release {
        fault,
        sequence,
        envelope: envelope.into(),
        served: served.into(),
    })
}

fn digest(bytes: &[u8]) -> Sha256Digest {
    let mut sha256 = Sha256::new();
    sha256.update(bytes);
    sha256.finish()
}
