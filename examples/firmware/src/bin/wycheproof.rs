//! Signatures and tags that others made, from a file of the host, judged by the chip's own cryptography.
//!
//! `.ci/wycheproof` writes the file `vectors.bin` from Wycheproof's and holds the counts that are printed here against
//! it. A record is the operation, the expected verdict, and the lengths of key, message and proof, big-endian in two
//! bytes each; then these three.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::crypto::{Mac, Verifier};
use iot_firmware::board::{Board, File, exit};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{ALGORITHMS, Ed25519Verifier, HmacSha256, P256Verifier};

const HEAD_BYTES: usize = 8;
const ROOM_BYTES: usize = 8_192;

/// The operations, by their number in the file.
const NAMES: [&str; 5] = ["p256-fixed", "p256-der", "ed25519", "ed25519-x509", "hmac"];

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let Some(file) = File::open(c"vectors.bin") else {
        board.finish(Err("no-file"))
    };
    let mut room = [0; ROOM_BYTES];
    match run(file, &mut room) {
        Ok(([fixed, der, ed, x509, hmac], mismatches)) => {
            let facts = [
                (NAMES[0], fixed),
                (NAMES[1], der),
                (NAMES[2], ed),
                (NAMES[3], x509),
                (NAMES[4], hmac),
                ("tests", fixed + der + ed + x509 + hmac),
                ("mismatches", mismatches),
            ];
            if mismatches > 0 {
                board.finish(Err("mismatch"));
            }
            board.finish(Ok(&facts))
        }
        Err(stage) => board.finish(Err(stage)),
    }
}

/// How many tests of each operation ran, and how many had another verdict than expected.
fn run(mut file: File, room: &mut [u8]) -> Result<([usize; NAMES.len()], usize), &'static str> {
    let (mut at, mut counts, mut mismatches) = (0, [0; NAMES.len()], 0);
    let mut head = [0; HEAD_BYTES];
    while file.read(at, &mut head) {
        let [operation, expected, k1, k0, m1, m0, p1, p0] = head;
        let lengths = [[k1, k0], [m1, m0], [p1, p0]].map(u16::from_be_bytes);
        let [key, message, proof] = lengths.map(usize::from);
        let body = room.get_mut(..key + message + proof).ok_or("too-long")?;
        if !body.is_empty() && !file.read(at + HEAD_BYTES, body) {
            return Err("cut-short");
        }
        at += HEAD_BYTES + body.len();
        let (key, rest) = body.split_at(key);
        let (message, proof) = rest.split_at(message);
        let verdict = judge(operation, key, message, proof).ok_or("unusable")?;
        *counts.get_mut(usize::from(operation)).ok_or("operation")? += 1;
        mismatches += usize::from(verdict != (expected == 1));
    }
    Ok((counts, mismatches))
}

/// `None` for a key that no test should have.
fn judge(operation: u8, key: &[u8], message: &[u8], proof: &[u8]) -> Option<bool> {
    let public = || PublicKey::from_spki(key);
    Some(match operation {
        0 => P256Verifier::new(&public()?)?
            .verify(&[message], proof)
            .is_ok(),
        2 => Ed25519Verifier::new(&public()?)?
            .verify(&[message], proof)
            .is_ok(),
        1 | 3 => {
            let algorithm = ALGORITHMS.get(usize::from(operation == 3))?;
            let found = algorithm.verify_signature(public()?.as_bytes(), message, proof);
            found.is_ok()
        }
        4 => HmacSha256::new(key).ok()?.verify(&[message], proof).is_ok(),
        _ => return None,
    })
}
