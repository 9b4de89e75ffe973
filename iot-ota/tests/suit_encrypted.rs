//! Encrypted payloads, as libcsuit writes them, and as ring encrypts them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/forge.rs"]
mod forge;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/sealed.rs"]
mod sealed;
#[path = "support/vectors.rs"]
mod vectors;

use std::convert::Infallible;

use forge::{array, int, map, uint, wrapped};
use iot_ota::decrypt::{AgreementKey, DecryptError, Decryptor, KeyUnwrap, SharedKey};
use iot_ota::manifest::{EncryptionInfo, SignedManifest};
use iot_ota::process::{
    Capabilities, Component, Details, Effect, Identity, Procedure, Process, Step,
};
use proptest::prelude::*;
use sealed::{Open, info, sealed};

fn shared() -> SharedKey {
    SharedKey::new(&[0x61; 16])
}

fn device() -> AgreementKey {
    let scalar: u128 = 0x60fe_6dd6_d85d_5740_a534_9b6f_9126_7eea;
    let rest: u128 = 0xc5ba_81b8_cb53_ee24_9e4b_4eb1_02c4_76b3;
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&scalar.to_be_bytes());
    bytes[16..].copy_from_slice(&rest.to_be_bytes());
    AgreementKey::new(&bytes).unwrap()
}

/// Pushes pieces of that length and returns the plaintext.
fn decrypt(
    info: &[u8],
    key: &dyn KeyUnwrap,
    ciphertext: &[u8],
    piece: usize,
) -> Result<Vec<u8>, DecryptError<Infallible>> {
    let info = EncryptionInfo::decode(info).expect("an encryption info");
    let mut decryptor = Decryptor::new(&info, &[key])?;
    let mut plain = Vec::new();
    let mut write = |offset: u64, bytes: &[u8]| {
        assert_eq!(offset, plain.len() as u64);
        plain.extend(bytes);
        Ok::<(), Infallible>(())
    };
    for chunk in ciphertext.chunks(piece) {
        decryptor.push(chunk, &mut write)?;
    }
    let len = decryptor.finish(&mut write)?;
    assert_eq!(len, plain.len() as u64);
    Ok(plain)
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn the_four_encrypted_payloads_decrypt_with_the_keys_that_are_named_for_them() {
    let folder = vectors::folder().join("libcsuit");
    let read = |name: &str| vectors::read(&folder.join(name));
    let (shared, device) = (shared(), device());
    for (kind, key, other) in [
        ("aes", &shared as &dyn KeyUnwrap, &device as &dyn KeyUnwrap),
        ("esdh", &device, &shared),
    ] {
        for (info, ciphertext, plain) in [
            (
                format!("encryption_info_{kind}.cose"),
                format!("encrypted_image_{kind}.bin"),
                "raw_image.bin",
            ),
            (
                format!("encryption_info_config_{kind}.cose"),
                format!("encrypted_config_{kind}.bin"),
                "config.json",
            ),
        ] {
            let (info, ciphertext, plain) = (read(&info), read(&ciphertext), read(plain));
            for piece in [1, 7, 16, 1_000] {
                assert_eq!(
                    decrypt(&info, key, &ciphertext, piece),
                    Ok(plain.clone()),
                    "{kind}"
                );
            }
            assert_eq!(
                decrypt(&info, other, &ciphertext, 16),
                Err(DecryptError::Key)
            );
            for at in 0..ciphertext.len() {
                let mut bad = ciphertext.clone();
                bad[at] ^= 1;
                assert_eq!(
                    decrypt(&info, key, &bad, 16),
                    Err(DecryptError::Tampered),
                    "byte {at}"
                );
            }
        }
    }
}

/// What a manifest has a device decrypt, found by following it.
fn encrypted_write(name: &str) -> (Vec<u8>, Vec<u8>) {
    const COMPONENTS: &[Component<'static>] = &[
        Component::new(&[b"plaintext-firmware"]),
        Component::new(&[b"decrypted-firmware"]),
    ];
    let envelope = vectors::libcsuit(name);
    let keys = vectors::keys_of(name);
    let signed = SignedManifest::decode(&envelope, vectors::tagged(name), Default::default());
    let manifest = signed
        .unwrap()
        .verify(&*keys, &mut keys::Sha256::default(), 0)
        .unwrap();
    let device = Capabilities::new(Identity::new([0; 16], [0; 16]), COMPONENTS);
    let mut process = Process::<16>::new(manifest, Procedure::Update, &device).unwrap();
    let Ok(Step::Perform {
        effect: Effect::Write(content),
        details: Details {
            encryption: Some(info),
            ..
        },
        ..
    }) = process.step()
    else {
        panic!("{:?}", process.step());
    };
    (info.to_vec(), content.to_vec())
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn encrypted_content_within_a_manifest_decrypts() {
    let (info, content) = encrypted_write("AW");
    let plain = b"This is a real firmware image.".to_vec();
    assert_eq!(decrypt(&info, &shared(), &content, 16), Ok(plain.clone()));
    let (info, content) = encrypted_write("EW");
    assert_eq!(decrypt(&info, &device(), &content, 16), Ok(plain));
}

proptest! {
    #[test]
    fn what_ring_encrypts_decrypts_in_pieces_of_any_length(
        plain in proptest::collection::vec(any::<u8>(), 0..300),
        piece in 1..200_usize,
        chacha: bool,
        flip in any::<prop::sample::Index>(),
    ) {
        let (algorithm, key) = if chacha { (24, vec![5; 32]) } else { (1, vec![5; 16]) };
        let mut ciphertext = sealed(algorithm, &key, &plain);
        let (info, key) = (info(algorithm, &[9; 12]), Open(key));
        prop_assert_eq!(decrypt(&info, &key, &ciphertext, piece), Ok(plain));
        let at = flip.index(ciphertext.len());
        ciphertext[at] ^= 4;
        prop_assert_eq!(decrypt(&info, &key, &ciphertext, piece), Err(DecryptError::Tampered));
    }

    #[test]
    fn counter_mode_goes_on_wherever_it_was_interrupted(
        plain in proptest::collection::vec(any::<u8>(), 1..300),
        at in any::<prop::sample::Index>(),
    ) {
        // Counter mode is its own inverse.
        let (info, key) = (info(-65_534, &[0xff; 16]), Open(vec![3; 16]));
        let ciphertext = decrypt(&info, &key, &plain, 64).unwrap();
        prop_assert_ne!(&ciphertext, &plain);
        let at = at.index(plain.len());
        let parsed = EncryptionInfo::decode(&info).unwrap();
        let mut decryptor = Decryptor::new(&parsed, &[&key]).unwrap().at(at as u64).unwrap();
        let mut rest: Vec<u8> = Vec::new();
        let mut write = |_, bytes: &[u8]| { rest.extend(bytes); Ok::<(), Infallible>(()) };
        decryptor.push(&ciphertext[at..], &mut write).unwrap();
        decryptor.finish(&mut write).unwrap();
        prop_assert_eq!(&rest, &plain[at..]);
    }

    #[test]
    fn arbitrary_bytes_are_no_encryption_info_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = EncryptionInfo::decode(&bytes);
        let mut tagged = vec![0xd8, 96, 0x84];
        tagged.extend(bytes);
        let _ = EncryptionInfo::decode(&tagged);
    }
}

#[test]
fn aes_counter_mode_agrees_with_the_standards_own_example() {
    // SP 800-38A, F.5.1, the first two blocks.
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .map(|n| u8::from_str_radix(&text[2 * n..][..2], 16).unwrap())
            .collect()
    };
    let key = Open(hex("2b7e151628aed2a6abf7158809cf4f3c"));
    let info = info(-65_534, &hex("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"));
    let ciphertext = hex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
    let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    assert_eq!(decrypt(&info, &key, &ciphertext, 5), Ok(plain));
}

#[test]
fn an_encryption_info_with_anything_unexpected_is_none() {
    let good = info(1, &[9; 12]);
    assert!(EncryptionInfo::decode(&good).is_some());
    assert!(
        EncryptionInfo::decode(&info(1, &[9; 11])).is_none(),
        "a short nonce"
    );
    assert!(
        EncryptionInfo::decode(&info(3, &[9; 12])).is_none(),
        "an unknown cipher"
    );
    assert!(EncryptionInfo::decode(&good[2..]).is_none(), "no tag");
    // An AEAD whose algorithm nobody authenticates.
    let recipient = array(&[wrapped(&[]), map(&[(1, int(-3))]), wrapped(&[0; 24])]);
    let header = map(&[(1, uint(1)), (5, wrapped(&[9; 12]))]);
    let mut bytes = vec![0xd8, 96];
    bytes.extend(array(&[
        wrapped(&[]),
        header,
        vec![0xf6],
        array(&[recipient]),
    ]));
    assert!(EncryptionInfo::decode(&bytes).is_none());
}

#[test]
fn a_number_of_recipients_is_not_believed() {
    let good = info(1, &[9; 12]);
    let one = EncryptionInfo::decode(&good).unwrap();
    assert_eq!(one.recipients().count(), 1);
    // The head of the array stands before its only recipient, and says that there are four billion.
    let recipient = array(&[wrapped(&[]), map(&[(1, int(-3))]), wrapped(&[0; 24])]);
    let at = good.len() - recipient.len() - 1;
    assert_eq!(good[at], 0x81);
    let mut bytes = good[..at].to_vec();
    bytes.extend([0x9a, 0xff, 0xff, 0xff, 0xff]);
    bytes.extend(&good[at + 1..]);
    assert!(EncryptionInfo::decode(&bytes).is_none());
    // Nor is anything taken for a part of it that stands behind it.
    let longer = [&good[..], &[0x00]].concat();
    assert!(EncryptionInfo::decode(&longer).is_none());
}
