//! The curve alone: one P-256 signature over one message is checked.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::crypto::{SignatureAlgorithm, Verifier};
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{RELEASE_KEY, SIGNATURE, SIGNED};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::P256Verifier;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    board.finish(match verify() {
        Some(true) => Ok(&[("signatures", 1)]),
        _ => Err("p256"),
    })
}

fn verify() -> Option<bool> {
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, opaque(RELEASE_KEY))?;
    let verifier = P256Verifier::new(&key)?;
    Some(
        verifier
            .verify(&[opaque(SIGNED)], opaque(SIGNATURE))
            .is_ok(),
    )
}
