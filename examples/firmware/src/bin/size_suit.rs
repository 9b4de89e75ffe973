//! A SUIT manifest without the curve: decoded, its digest checked with SHA-256, and planned.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::cose::Tagged;
use iot_core::crypto::{BadSignature, SignatureAlgorithm, Verifier};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{DEVICE, MANIFEST, SEQUENCE};
use iot_identity::rustcrypto::Sha256;
use iot_ota::manifest::{Limits, SignedManifest, SigningKey};

/// Believes whatever memory says, so that only the curve is missing.
struct Believer;

impl Verifier for Believer {
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::EcdsaP256Sha256
    }
    fn verify(&self, message: &[&[u8]], signature: &[u8]) -> Result<(), BadSignature> {
        match opaque(message.len() + signature.len()) {
            0 => Err(BadSignature::new()),
            _ => Ok(()),
        }
    }
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match size_of_image() {
        Some(bytes) => board.finish(Ok(&[("image", bytes)])),
        None => board.finish(Err("suit")),
    }
}

fn size_of_image() -> Option<usize> {
    let signed =
        SignedManifest::decode(opaque(MANIFEST), Tagged::Required, Limits::default()).ok()?;
    let keys = SigningKey::new(Believer);
    let manifest = signed
        .verify(&keys, &mut Sha256::new(), opaque(SEQUENCE))
        .ok()?;
    let plan = manifest.plan(&DEVICE).ok()?;
    Some(plan.release.size as usize)
}
