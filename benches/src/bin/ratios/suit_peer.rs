//! What a manifest costs here and with the crate `suit_validator`, on the third-party envelopes that both take.

use core::error::Error;
use core::hint::black_box;
use std::fs;
use std::path::{Path, PathBuf};

use cose_minicbor::cose_keys::{CoseAlg, CoseKey, CoseKeySetBuilder, Curve, KeyType};
use iot_benches::{Goal, Ratio};
use iot_core::cose::Tagged;
use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_ota::manifest::{Limits, Manifest, ManifestKeys, SignedManifest, SigningKey};
use iot_ota::process::{Capabilities, Component, Identity, Procedure, Process, Step};
use suit_validator::SuitError;
use suit_validator::crypto::{CoseCrypto, SuitCrypto};
use suit_validator::handler::{
    PairView, SuitCommandHandler, SuitSharedSequenceHandler, SuitStartHandler,
};
use suit_validator::suit_manifest::{
    CommandCustomValue, DigestOrCbor, SuitCondition, SuitDirective, SuitEnvelope, SuitManifest,
    SuitSharedCommand,
};

use crate::Missing;

type Measured = Result<Ratio, Box<dyn Error>>;

/// Signed envelopes from bytes to the last step, each side with the signatures that it comes with. The peer decodes
/// every command and executes none.
pub(crate) fn suit_whole() -> Measured {
    let vectors = Vectors::read()?;
    let anchor = PublicKey::from_spki(&vectors.anchor).ok_or("no key")?;
    let keys = SigningKey::new(SoftwareVerifier::new(anchor));
    let key_set = vectors.key_set()?;
    let crypto = || CoseCrypto::new(key_set.as_ref());
    vectors.compare("suit_whole", 18, &keys, crypto)
}

/// The same when both sides are told that every proof holds: reading, hashing and following, without the signature.
pub(crate) fn suit_overhead() -> Measured {
    Vectors::read()?.compare("suit_overhead", 18, &SigningKey::new(Believer), || Believer)
}

/// Signed envelopes, and the key that they are signed with, as DER.
struct Vectors {
    anchor: Vec<u8>,
    envelopes: Vec<Vec<u8>>,
}

impl Vectors {
    fn read() -> Result<Self, Box<dyn Error>> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
        let root = std::env::var_os("IOT_VECTORS").map_or(default, PathBuf::from);
        let folder = root.join("suit");
        let public = folder.join("libcsuit/keys/trust_anchor_secp256r1_pub.der");
        let anchor = fs::read(public).map_err(|_| Missing("the folder IOT_VECTORS"))?;
        let mut envelopes = Vec::new();
        for part in ["libcsuit", "draft37"] {
            let mut paths = Vec::new();
            for entry in fs::read_dir(folder.join(part))? {
                paths.push(entry?.path());
            }
            paths.sort();
            for path in paths {
                if path
                    .extension()
                    .is_some_and(|extension| extension == "suit")
                {
                    envelopes.push(fs::read(path)?);
                }
            }
        }
        Ok(Self { anchor, envelopes })
    }

    /// The anchor as the peer wants it.
    fn key_set(&self) -> Result<impl AsRef<[u8]> + use<>, Box<dyn Error>> {
        // What its DER ends with.
        let point = self.anchor.last_chunk::<64>().ok_or("no point")?;
        let (x, y) = point.split_at(32);
        let mut key = CoseKey::new(KeyType::Ec2);
        key.alg(CoseAlg::ES256);
        let built = key.crv(Curve::P256).is_ok() && key.x(x).is_ok() && key.y(y).is_ok();
        let mut set: CoseKeySetBuilder<200> =
            CoseKeySetBuilder::try_new().map_err(|_| "no key set")?;
        let pushed = built && set.push_key(key).is_ok();
        let set = set.into_bytes().ok().filter(|_| pushed);
        set.ok_or_else(|| "the peer takes no key".into())
    }

    /// Both sides over every envelope that both take, of which there are at least `least`.
    fn compare<C: SuitCrypto>(
        &self,
        name: &'static str,
        least: usize,
        keys: &dyn ManifestKeys,
        crypto: impl Fn() -> C,
    ) -> Measured {
        let mut taken = Vec::new();
        for envelope in &self.envelopes {
            if theirs(envelope, crypto()).is_ok()
                && let Some(device) = Device::of(envelope, keys)
            {
                taken.push((envelope, device));
            }
        }
        if taken.len() < least {
            return Err(format!("only {} envelopes are taken by both", taken.len()).into());
        }
        let ours = || {
            let mut steps = 0;
            for (envelope, device) in &taken {
                steps += device.follow(black_box(envelope), keys).unwrap_or(0);
            }
            steps
        };
        let peer = || {
            let mut commands = 0;
            for (envelope, _) in &taken {
                commands += theirs(black_box(envelope), crypto()).unwrap_or(0);
            }
            commands
        };
        if ours() < least || peer() < least {
            return Err("nothing was followed".into());
        }
        Ok(Ratio::of_times(name, Goal::AtMost(0.25), ours, peer))
    }
}

/// A device that an envelope is for: it has the components that the manifest names, for as long as this runs.
struct Device(Capabilities<'static>);

impl Device {
    fn of(envelope: &[u8], keys: &dyn ManifestKeys) -> Option<Self> {
        const VENDOR: [u8; 16] = [
            0xfa, 0x6b, 0x4a, 0x53, 0xd5, 0xad, 0x5f, 0xdf, 0xbe, 0x9d, 0xe6, 0x63, 0xe4, 0xd4,
            0x1f, 0xfe,
        ];
        const CLASS: [u8; 16] = [
            0x14, 0x92, 0xaf, 0x14, 0x25, 0x69, 0x5e, 0x48, 0xbf, 0x42, 0x9b, 0x2d, 0x51, 0xf2,
            0xab, 0x45,
        ];
        let manifest = verify(envelope, keys)?;
        let own = manifest.components().map(|id| {
            let segments = id
                .segments()
                .map(|segment| -> &'static [u8] { segment.to_vec().leak() });
            Component::new(segments.collect::<Vec<_>>().leak())
        });
        let own = own.collect::<Vec<_>>().leak();
        let device = Self(Capabilities::new(Identity::new(VENDOR, CLASS), own));
        device.follow(envelope, keys).map(|_| device)
    }

    /// Decodes, verifies and executes; every condition holds and every effect succeeds. The number of steps.
    fn follow(&self, envelope: &[u8], keys: &dyn ManifestKeys) -> Option<usize> {
        let manifest = verify(envelope, keys)?;
        let mut process = Process::<48>::new(manifest, Procedure::Update, &self.0).ok()?;
        let mut steps = 0;
        // A condition may fail where the device is another one: the end, and not a refusal.
        while process.step().is_ok_and(|step| step != Step::Finished) {
            process.done(true);
            steps += 1;
        }
        Some(steps)
    }
}

fn verify<'e>(envelope: &'e [u8], keys: &dyn ManifestKeys) -> Option<Manifest<'e>> {
    let signed = SignedManifest::decode(envelope, Tagged::Required, Limits::default()).ok()?;
    signed.verify(keys, &mut Sha256::new(), 0).ok()
}

/// How many commands the peer has decoded.
fn theirs(envelope: &[u8], mut crypto: impl SuitCrypto) -> Result<usize, SuitError> {
    let mut reader = Reader(0);
    suit_validator::suit_decode(envelope, &mut reader, &mut crypto)?;
    Ok(reader.0)
}

/// Believes every proof, for either side.
struct Believer;

impl Verifier for Believer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        if black_box(message).is_empty() || black_box(signature).is_empty() {
            return Err(BadSignature::new());
        }
        Ok(())
    }
}

impl SuitCrypto for Believer {
    fn verify_cose(&self, authentication: &[u8], digest: &[u8]) -> Result<(), SuitError> {
        black_box((authentication, digest));
        Ok(())
    }
}

/// Has the peer decode every command of every section.
struct Reader(usize);

impl Reader {
    fn take<T>(
        &mut self,
        commands: impl Iterator<Item = Result<T, SuitError>>,
    ) -> Result<(), SuitError> {
        for command in commands {
            black_box(command?);
            self.0 += 1;
        }
        Ok(())
    }
}

impl SuitStartHandler for Reader {
    fn on_envelope<'a>(&mut self, envelope: SuitEnvelope<'a>) -> Result<(), SuitError> {
        let manifest = envelope.manifest.get()?;
        let common = manifest.common.get()?;
        if let Some(shared) = &common.shared_seq {
            shared.get()?.decode_and_dispatch(self)?;
        }
        let own = [&manifest.validate, &manifest.load, &manifest.invoke];
        for section in own.into_iter().flatten() {
            section.get()?.decode_and_dispatch(self)?;
        }
        let severable = [&manifest.payload_fetch, &manifest.install];
        for section in severable.into_iter().flatten() {
            if let DigestOrCbor::Cbor(section) = section {
                section.get()?.decode_and_dispatch(self)?;
            }
        }
        Ok(())
    }

    fn on_manifest<'a>(&mut self, _: SuitManifest<'a>) -> Result<(), SuitError> {
        Ok(())
    }
}

impl SuitSharedSequenceHandler for Reader {
    fn on_conditions<'a>(
        &mut self,
        conditions: impl Iterator<Item = PairView<'a, SuitCondition>>,
    ) -> Result<(), SuitError> {
        self.take(conditions.map(|one| one.get()))
    }

    fn on_commands<'a>(
        &mut self,
        commands: impl Iterator<Item = PairView<'a, SuitSharedCommand<'a>>>,
    ) -> Result<(), SuitError> {
        self.take(commands.map(|one| one.get()))
    }
}

impl SuitCommandHandler for Reader {
    fn on_conditions<'a>(
        &mut self,
        conditions: impl Iterator<Item = PairView<'a, SuitCondition>>,
    ) -> Result<(), SuitError> {
        self.take(conditions.map(|one| one.get()))
    }

    fn on_directives<'a>(
        &mut self,
        directives: impl Iterator<Item = PairView<'a, SuitDirective<'a>>>,
    ) -> Result<(), SuitError> {
        self.take(directives.map(|one| one.get()))
    }

    fn on_customs<'a>(
        &mut self,
        customs: impl Iterator<Item = PairView<'a, CommandCustomValue<'a>>>,
    ) -> Result<(), SuitError> {
        self.take(customs.map(|one| one.get()))
    }
}
