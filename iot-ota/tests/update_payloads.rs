//! Updates whose payload is a patch, or encrypted, or both.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host, and its numbers are small"
)]

#[path = "support/device.rs"]
mod device;
#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/sealed.rs"]
mod sealed;

use device::{BLOCK, KIND, PowerCut, Rig, SECTOR, encode, offer_of};
use iot_ota::decrypt::{Decryptor, KeyUnwrap};
use iot_ota::delta::DeltaAuthor;
use iot_ota::manifest::{
    Device, EncryptionInfo, Image, Origin, PatchFrom, PayloadCipher, Role, Template,
};
use iot_ota::slot::{Banks, Release};
use iot_ota::update::{Outcome, Patched, Payloads, Sealed, Source, Want};
use keys::{P256Key, Sha256, sha256};
use sealed::{Open, info, sealed};

const CAPACITY: u32 = 2_048;
const WITH_PATCHES: Device<'static> = KIND.with_patches(&[b"patch"]);
const CIPHERS: [PayloadCipher; 3] = [
    PayloadCipher::A128Gcm,
    PayloadCipher::ChaCha20Poly1305,
    PayloadCipher::A128Ctr,
];

type OnlyPatched = Patched<64, 256, 384, 416>;
type AllKinds = Sealed<'static, 64, 256, 384, 700>;

fn images() -> (Vec<u8>, Vec<u8>) {
    let old: Vec<u8> = (0..900_u32).map(|at| (at * at / 9) as u8).collect();
    let fresh: Vec<u8> = (0..200_u32).map(|at| (at * at * 7 / 3) as u8).collect();
    let mut new = [&old[300..], &old[..200], &fresh].concat();
    new[100] ^= 1;
    (old, new)
}

fn key_of(cipher: PayloadCipher) -> Vec<u8> {
    vec![5; cipher.key_bytes()]
}

/// A device that takes all kinds, with that key.
fn all_kinds(key: Vec<u8>) -> AllKinds {
    let key: &dyn KeyUnwrap = Box::leak(Box::new(Open(key)));
    Sealed::new(Vec::leak(vec![key]))
}

/// What is offered and what is fetched, for a device that runs `old`.
struct Shipped {
    signer: P256Key,
    old: Vec<u8>,
    new: Vec<u8>,
    offer: Vec<u8>,
    payload: Vec<u8>,
}

/// Encrypts for whoever has the usual key; the info, and the payload.
fn encrypted(cipher: PayloadCipher, plain: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let number = cipher.number().into();
    if cipher != PayloadCipher::A128Ctr {
        let nonce = [9; 12];
        return (info(number, &nonce), sealed(number, &key_of(cipher), plain));
    }
    // Counter mode is its own inverse.
    let info = info(number, &[0xf0; 16]);
    let parsed = EncryptionInfo::decode(&info).unwrap();
    let key = Open(key_of(cipher));
    let mut decryptor = Decryptor::new(&parsed, &[&key]).unwrap();
    let mut payload = Vec::new();
    let mut write = |_, bytes: &[u8]| {
        payload.extend_from_slice(bytes);
        Ok::<(), core::convert::Infallible>(())
    };
    decryptor.push(plain, &mut write).unwrap();
    decryptor.finish(&mut write).unwrap();
    (info, payload)
}

impl Shipped {
    /// The image, as it is or encrypted.
    fn image(cipher: Option<PayloadCipher>) -> Self {
        let (old, new) = images();
        let signer = P256Key::generate();
        let (info, payload) = match cipher {
            Some(cipher) => encrypted(cipher, &new),
            None => (Vec::new(), new.clone()),
        };
        let size = new.len() as u32;
        let mut template = Template::new(2, KIND, sha256(&new), size, "iot:image");
        if cipher.is_some() {
            template = template.encrypted(&info);
        }
        let offer = offer_of(&signer, &template);
        Self {
            signer,
            old,
            new,
            offer,
            payload,
        }
    }

    /// A patch, as it is or encrypted, for devices that run the old image; it is made from `made_from`.
    fn patch_from(cipher: Option<PayloadCipher>, made_from: &[u8]) -> Self {
        let (old, new) = images();
        let signer = P256Key::generate();
        let patch = DeltaAuthor::new(made_from, &new).sequential().unwrap();
        let (info, payload) = match cipher {
            Some(cipher) => encrypted(cipher, &patch),
            None => (Vec::new(), patch.clone()),
        };
        let image = |bytes: &[u8]| Image::new(sha256(bytes), bytes.len() as u64);
        let origin = Origin::new("iot:patch");
        let origin = match cipher {
            Some(_) => origin.encrypted(&info),
            None => origin,
        };
        let patches = [PatchFrom::new(image(&old), image(&patch), origin)];
        let size = new.len() as u32;
        let template =
            Template::new(2, WITH_PATCHES, sha256(&new), size, "iot:image").with_patches(&patches);
        let offer = offer_of(&signer, &template);
        Self {
            signer,
            old,
            new,
            offer,
            payload,
        }
    }

    fn patch(cipher: Option<PayloadCipher>) -> Self {
        Self::patch_from(cipher, &images().0)
    }

    fn rig<P: Payloads<Sha256> + Clone>(&self, payloads: P) -> Rig<P> {
        self.rig_that_runs(&self.old, payloads)
    }

    fn rig_that_runs<P: Payloads<Sha256> + Clone>(&self, old: &[u8], payloads: P) -> Rig<P> {
        let release = Release::new(1, [0; 32], 0);
        let role = Role::new(1, 0b1);
        let trusted = self.signer.public();
        let mut rig = Rig::running(trusted, role, CAPACITY, release, old, payloads);
        rig.kind = WITH_PATCHES;
        rig.reboot();
        rig
    }

    /// Goes on from wherever the device is until it rests; how that ended, and whether the new image runs.
    fn install<P: Payloads<Sha256> + Clone>(
        &self,
        rig: &mut Rig<P>,
    ) -> Result<(Outcome, bool), PowerCut> {
        loop {
            match rig.talk(&self.offer, &Source::new(2, &self.payload))? {
                Want::Reboot => rig.reboot_on_what_power_is_left()?,
                Want::Confirm => {
                    rig.confirm(true);
                    rig.run()?;
                }
                _ => break,
            }
        }
        let outcome = rig.reports.last().unwrap().outcome;
        Ok((outcome, self.new_one_runs(rig)))
    }

    /// Whichever image runs is whole.
    fn new_one_runs<P: Payloads<Sha256> + Clone>(&self, rig: &mut Rig<P>) -> bool {
        let running = rig.updater().status().running.unwrap();
        let bytes = rig.banks().bytes(rig.banks().running());
        let is_new = running.sequence == 2;
        let expected = if is_new { &self.new } else { &self.old };
        assert_eq!(bytes, expected, "and not a byte more");
        is_new
    }

    fn fetched<P: Payloads<Sha256>>(rig: &Rig<P>) -> u32 {
        rig.requests.iter().map(|request| request.length).sum()
    }
}

const INSTALLED: Result<(Outcome, bool), PowerCut> = Ok((Outcome::Confirmed, true));

fn refused(outcome: Outcome) -> Result<(Outcome, bool), PowerCut> {
    Ok((outcome, false))
}

#[test]
fn images_and_patches_are_installed_as_they_are_and_encrypted() {
    let ciphers = CIPHERS.map(Some);
    for cipher in ciphers.into_iter().chain([None]) {
        for shipped in [Shipped::image(cipher), Shipped::patch(cipher)] {
            let key = cipher.map_or(Vec::new(), key_of);
            let mut rig = shipped.rig(all_kinds(key));
            assert_eq!(shipped.install(&mut rig), INSTALLED, "{cipher:?}");
            let fetched = Shipped::fetched(&rig) as usize;
            assert_eq!(fetched, shipped.payload.len(), "each byte once");
        }
    }
    let patch = Shipped::patch(None);
    assert!(patch.payload.len() * 2 < patch.new.len());
    assert_eq!(patch.install(&mut patch.rig(OnlyPatched::new())), INSTALLED);
}

#[test]
fn a_device_that_runs_another_image_than_the_patch_is_for_fetches_the_image() {
    let mut shipped = Shipped::patch(None);
    shipped.old[7] ^= 1;
    shipped.payload.clone_from(&shipped.new);
    let mut rig = shipped.rig(OnlyPatched::new());
    assert_eq!(shipped.install(&mut rig), INSTALLED);
    assert_eq!(Shipped::fetched(&rig) as usize, shipped.new.len());
}

#[test]
fn a_power_cut_at_any_commit_costs_a_block_and_what_became_less_than_a_page() {
    // A cipher with a tag begins again: that is what it says.
    for (shipped, key) in [
        (Shipped::image(None), Vec::new()),
        (Shipped::patch(None), Vec::new()),
        (
            Shipped::image(Some(PayloadCipher::A128Ctr)),
            key_of(PayloadCipher::A128Ctr),
        ),
        (
            Shipped::patch(Some(PayloadCipher::A128Ctr)),
            key_of(PayloadCipher::A128Ctr),
        ),
    ] {
        let payloads = all_kinds(key);
        let (mut cuts, mut resumed) = (0, 0);
        for commits in 1.. {
            let mut rig = shipped.rig(payloads);
            rig.commits_left = Some(commits);
            let cut = shipped.install(&mut rig);
            rig.commits_left = None;
            if cut.is_ok() {
                break;
            }
            rig.reboot();
            shipped.new_one_runs(&mut rig);
            assert_eq!(shipped.install(&mut rig), INSTALLED, "{commits}");
            let size = shipped.payload.len() as u32;
            let fetched = Shipped::fetched(&rig);
            // What was lost was asked for once before, and the one block that was under way.
            assert!(
                fetched <= size + 2 * BLOCK + SECTOR,
                "{commits}: {fetched} of {size}"
            );
            resumed += u32::from(fetched > size);
            cuts += 1;
        }
        assert!(cuts > 3 && resumed > 1, "{cuts} cuts, {resumed} resumed");
    }
}

#[test]
fn a_power_cut_at_any_byte_leaves_a_whole_image_and_the_update_ends() {
    let gcm = Some(PayloadCipher::A128Gcm);
    let key = key_of(PayloadCipher::A128Gcm);
    for shipped in [
        Shipped::patch(None),
        Shipped::image(gcm),
        Shipped::patch(gcm),
    ] {
        let payloads = all_kinds(key.clone());
        let whole = {
            let mut rig = shipped.rig(payloads);
            assert_eq!(shipped.install(&mut rig), INSTALLED);
            rig.banks().written()
        };
        let mut ends = [0, 0];
        for cut in (0..whole).step_by(7) {
            let mut rig = shipped.rig(payloads);
            rig.cut_power_after(cut);
            assert_eq!(shipped.install(&mut rig), Err(PowerCut), "{cut}");
            rig.reboot();
            ends[usize::from(shipped.new_one_runs(&mut rig))] += 1;
            assert_eq!(shipped.install(&mut rig), INSTALLED, "{cut}");
        }
        assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
    }
}

#[test]
fn what_cannot_become_the_image_is_told_as_what_it_is() {
    // Of another image; the manifest says that it is for this one.
    let (mut other, _) = images();
    other[400] ^= 0x5a;
    let wrong = Shipped::patch_from(None, &other);
    let mut rig = wrong.rig(OnlyPatched::new());
    assert_eq!(wrong.install(&mut rig), refused(Outcome::BadImage));

    let mut torn = Shipped::patch(None);
    // The kind of patch, and its compression.
    torn.payload[0] = 0x7f;
    let mut rig = torn.rig(OnlyPatched::new());
    assert_eq!(torn.install(&mut rig), refused(Outcome::BadPayload));

    for cipher in CIPHERS {
        let mut changed = Shipped::image(Some(cipher));
        let at = changed.payload.len() / 2;
        changed.payload[at] ^= 1;
        let mut rig = changed.rig(all_kinds(key_of(cipher)));
        let expected = match cipher {
            // Nothing but the image's digest tells.
            PayloadCipher::A128Ctr => Outcome::BadImage,
            _ => Outcome::BadPayload,
        };
        assert_eq!(changed.install(&mut rig), refused(expected));
    }
}

/// Has none of anybody's keys.
struct Nobody;

impl KeyUnwrap for Nobody {
    fn unwrap(&self, _: &iot_ota::manifest::Recipient<'_>) -> Option<iot_ota::decrypt::ContentKey> {
        None
    }
}

#[test]
fn what_a_device_has_no_key_or_no_means_for_is_refused_before_a_byte_is_fetched() {
    let cipher = Some(PayloadCipher::A128Gcm);
    let (image, patch) = (Shipped::image(cipher), Shipped::patch(None));
    let mut rig = image.rig(Sealed::<64, 256, 384, 700>::new(&[&Nobody]));
    assert_eq!(image.install(&mut rig), refused(Outcome::NoKey));
    assert_eq!(rig.requests, []);
    let unsupported = refused(Outcome::Unsupported);
    let mut rig = image.rig(OnlyPatched::new());
    assert_eq!(image.install(&mut rig), unsupported);
    // No room for how it is encrypted.
    let mut rig = image.rig(Sealed::<64, 256, 384, 416>::new(&[&Nobody]));
    assert_eq!(image.install(&mut rig), unsupported);
    for shipped in [&image, &patch] {
        let mut rig = shipped.rig(iot_ota::update::Images::default());
        assert_eq!(shipped.install(&mut rig), unsupported);
        assert_eq!(rig.requests, []);
    }
}

#[test]
fn an_offer_that_is_refused_leaves_the_download_that_is_under_way() {
    let cipher = PayloadCipher::A128Ctr;
    let shipped = Shipped::image(Some(cipher));
    let mut rig = shipped.rig(all_kinds(key_of(cipher)));
    rig.deliver(&shipped.offer);
    let asked = rig.run().unwrap();
    let source = Source::new(2, &shipped.payload);
    rig.deliver(&encode(&source.answer(&asked[0]).unwrap()));
    // Newer, and encrypted in a way that nobody knows.
    let size = shipped.new.len() as u32;
    let newer = Template::new(3, KIND, [3; 32], size, "iot:image").encrypted(b"?");
    rig.deliver(&offer_of(&shipped.signer, &newer));
    let asked = rig.run().unwrap();
    assert_eq!(rig.reports.last().unwrap().outcome, Outcome::Unsupported);
    assert_eq!(asked[0].offset, BLOCK);
    // Its form is still on record, and is so again after it was read from there.
    for _ in 0..2 {
        rig.reboot();
        let asked = rig.run().unwrap();
        rig.deliver(&encode(&source.answer(&asked[0]).unwrap()));
        rig.run().unwrap();
    }
    rig.reboot();
    assert_eq!(shipped.install(&mut rig), INSTALLED);
    assert!(Shipped::fetched(&rig) < size + 6 * BLOCK);
}

#[test]
fn a_buffer_that_is_too_small_holds_a_download_up_and_loses_nothing() {
    let shipped = Shipped::patch(None);
    let mut rig = shipped.rig(OnlyPatched::new());
    // What is said to be enough.
    rig.buffer_bytes = 104 + 416;
    assert_eq!(shipped.install(&mut rig), INSTALLED);

    let mut rig = shipped.rig(OnlyPatched::new());
    // Enough for a beginning, and not for what a patch saves.
    rig.buffer_bytes = 200;
    let source = Source::new(2, &shipped.payload);
    assert_eq!(rig.talk(&shipped.offer, &source), Ok(Want::Nothing));
    assert!(Shipped::fetched(&rig) < shipped.payload.len() as u32);
    let asked = rig.requests.len();
    rig.now_ms += 60_000;
    assert_eq!(rig.talk(&shipped.offer, &source), Ok(Want::Nothing));
    assert_eq!(rig.requests.len(), asked);
    rig.buffer_bytes = 1_200;
    rig.now_ms += 60_000;
    assert_eq!(shipped.install(&mut rig), INSTALLED);
    assert_eq!(Shipped::fetched(&rig), shipped.payload.len() as u32);
}
