//! Encrypted payloads on their way into a bank: images, and patches.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, and its numbers are small"
)]

use core::convert::Infallible;
use std::sync::OnceLock;

use iot_ota::decrypt::{Decrypted, Decryptor};
use iot_ota::delta::{Declared, Decoder, DeltaAuthor};
use iot_ota::image::{Expected, Intake, IntakeError, Plain, Transform};
use iot_ota::manifest::EncryptionInfo;
use iot_ota::sim::{MemoryBanks, SimError};
use iot_ota::slot::{Bank, Release};
use proptest::prelude::*;

#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/sealed.rs"]
mod sealed;

use keys::{Sha256, sha256};
use sealed::{Open, info, sealed};

const COUNTER: i64 = -65_534;
const GCM: i64 = 1;
const CHACHA: i64 = 24;
const NONCE: [u8; 12] = [9; 12];

struct Sent {
    old: Vec<u8>,
    new: Vec<u8>,
    payload: Vec<u8>,
    info: Vec<u8>,
    key: Open,
}

impl Sent {
    fn new(algorithm: i64, old: Vec<u8>, new: Vec<u8>, plain: &[u8]) -> Self {
        let key = Open(vec![5; if algorithm == CHACHA { 32 } else { 16 }]);
        let (info, payload) = if algorithm == COUNTER {
            // Counter mode is its own inverse.
            let info = info(COUNTER, &[0xf0; 16]);
            let parsed = EncryptionInfo::decode(&info).unwrap();
            let mut decryptor = Decryptor::new(&parsed, &[&key]).unwrap();
            let mut payload = Vec::new();
            let mut write = |_, bytes: &[u8]| {
                payload.extend_from_slice(bytes);
                Ok::<(), Infallible>(())
            };
            decryptor.push(plain, &mut write).unwrap();
            decryptor.finish(&mut write).unwrap();
            (info, payload)
        } else {
            (info(algorithm, &NONCE), sealed(algorithm, &key.0, plain))
        };
        Self {
            old,
            new,
            payload,
            info,
            key,
        }
    }

    fn decrypted<T: Transform>(&self, inner: T) -> Decrypted<T> {
        let parsed = EncryptionInfo::decode(&self.info).unwrap();
        Decrypted::new(Decryptor::new(&parsed, &[&self.key]).unwrap(), inner)
    }

    fn banks(&self) -> MemoryBanks {
        let release = Release::new(1, sha256(&self.old), self.old.len() as u32);
        MemoryBanks::factory(8_192, 64, &self.old, release)
    }

    /// Pushes pieces, with an interruption before the one of that number; returns what is in the bank, and where it went on.
    fn take<T: Transform>(
        &self,
        inner: impl Fn() -> T,
        piece: usize,
        interrupted: usize,
    ) -> Result<(Vec<u8>, u32), IntakeError<SimError>> {
        let expected = Expected::new(
            self.payload.len() as u32,
            self.new.len() as u32,
            sha256(&self.new),
        );
        let mut banks = self.banks();
        let begin = self.decrypted(inner());
        let mut intake: Intake<_, _, 64, 400> =
            Intake::begin(begin, Sha256::default(), expected, &mut banks)?;
        let (mut pieces, mut resumed) = (0, 0);
        while (intake.received() as usize) < self.payload.len() {
            if pieces == interrupted {
                let mut room = [0; 512];
                let len = intake.checkpoint(&mut room).unwrap_or(0);
                let begin = self.decrypted(inner());
                intake =
                    Intake::resume(begin, Sha256::default(), expected, &mut banks, &room[..len])?;
                resumed = intake.received();
            }
            pieces += 1;
            let from = intake.received() as usize;
            let to = (from + piece).min(self.payload.len());
            intake.push(&mut banks, from as u32, &self.payload[from..to])?;
        }
        intake.finish(&mut banks)?;
        Ok((banks.bytes(Bank::B).to_vec(), resumed))
    }
}

fn images() -> (Vec<u8>, Vec<u8>) {
    let old: Vec<u8> = (0..900_u32).map(|at| (at * at / 9) as u8).collect();
    let mut new = [&old[300..], &old[..200], &[3; 77]].concat();
    new[100] ^= 1;
    (old, new)
}

fn patch() -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    static MADE: OnceLock<(Vec<u8>, Vec<u8>, Vec<u8>)> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let (old, new) = images();
        let patch = DeltaAuthor::new(&old, &new).sequential().unwrap();
        (old, new, patch)
    });
    made.clone()
}

proptest! {
    #[test]
    fn an_encrypted_image_or_patch_becomes_the_image(
        algorithm in prop_oneof![Just(COUNTER), Just(GCM), Just(CHACHA)],
        piece in 1_usize..400,
        interrupted in 0_usize..60,
    ) {
        let (old, new, patch) = patch();
        let image = Sent::new(algorithm, old.clone(), new.clone(), &new);
        prop_assert_eq!(&image.take(Plain::new, piece, interrupted).unwrap().0, &new);
        let declared = Declared::new(old.len() as u32, new.len() as u32, patch.len() as u32);
        let sent = Sent::new(algorithm, old, new.clone(), &patch);
        let inner = || Decoder::<256>::new(declared);
        prop_assert_eq!(&sent.take(inner, piece, interrupted).unwrap().0, &new);
    }
}

#[test]
fn counter_mode_goes_on_and_ciphers_with_a_tag_begin_again() {
    let (old, new, _) = patch();
    for (algorithm, goes_on) in [(COUNTER, true), (GCM, false), (CHACHA, false)] {
        let sent = Sent::new(algorithm, old.clone(), new.clone(), &new);
        let (_, resumed) = sent.take(Plain::new, 100, 5).unwrap();
        assert_eq!(resumed > 300, goes_on, "{algorithm}");
        assert_eq!(resumed == 0, !goes_on, "{algorithm}");
    }
}

#[test]
fn a_payload_that_was_changed_is_never_finished() {
    let (old, new, _) = patch();
    for algorithm in [COUNTER, GCM, CHACHA] {
        let mut sent = Sent::new(algorithm, old.clone(), new.clone(), &new);
        for at in (0..sent.payload.len()).step_by(13) {
            sent.payload[at] ^= 2;
            let error = sent.take(Plain::new, 100, usize::MAX).unwrap_err();
            match algorithm {
                // Nothing but the image's digest tells.
                COUNTER => assert_eq!(error, IntakeError::Digest),
                _ => assert_eq!(error, IntakeError::Payload),
            }
            sent.payload[at] ^= 2;
        }
    }
}
