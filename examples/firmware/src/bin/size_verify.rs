//! A SUIT manifest, whole: decoded, verified with P-256 and SHA-256, and planned.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_core::crypto::SignatureAlgorithm;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{DEVICE, MANIFEST, RELEASE_KEY, SEQUENCE};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{P256Verifier, Sha256};
use iot_ota::manifest::{Limits, SignedManifest, SigningKey};

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match size_of_image() {
        Some(bytes) => board.finish(Ok(&[("image", bytes)])),
        None => board.finish(Err("verify")),
    }
}

fn size_of_image() -> Option<usize> {
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, opaque(RELEASE_KEY))?;
    let keys = SigningKey::new(P256Verifier::new(&key)?);
    let signed =
        SignedManifest::decode(opaque(MANIFEST), Tagged::Required, Limits::default()).ok()?;
    let manifest = signed
        .verify(&keys, &mut Sha256::new(), opaque(SEQUENCE))
        .ok()?;
    let plan = manifest.plan(&DEVICE).ok()?;
    Some(plan.release.size as usize)
}
