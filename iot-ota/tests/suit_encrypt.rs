//! Payloads as authors encrypt them: ring opens them, a device decrypts them, and libcsuit wrote the same bytes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

#[path = "support/keys.rs"]
mod keys;
#[path = "support/vectors.rs"]
mod vectors;

use std::collections::VecDeque;
use std::convert::Infallible;

use iot_core::cose::Tagged;
use iot_core::entropy::{Entropy, EntropyError};
use iot_core::sim::SimEntropy;
use iot_ota::decrypt::{AgreementKey, DecryptError, Decryptor, KeyUnwrap, SharedKey};
use iot_ota::encrypt::{Audience, EncryptError, Encryptor};
use iot_ota::manifest::{
    Author, CommandList, Element, EncryptionInfo, Image, Limits, ParameterList, PayloadCipher,
    SignedManifest, SigningKey,
};
use iot_ota::process::{
    Capabilities, Component, Details, Effect, Identity, Procedure, Process, Step,
};
use keys::{P256Key, Sha256, sha256};
use proptest::prelude::*;
use ring::aead::{AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

const CIPHERS: [PayloadCipher; 3] = [
    PayloadCipher::A128Gcm,
    PayloadCipher::ChaCha20Poly1305,
    PayloadCipher::A128Ctr,
];
const SHARED: [u8; 16] = [0x61; 16];

/// The device's own key, as the folder of vectors has it.
fn device() -> (AgreementKey, [u8; 65]) {
    let number = |text: &str| u128::from_str_radix(text, 16).unwrap().to_be_bytes();
    let bytes = |parts: &[&str]| {
        parts
            .iter()
            .flat_map(|part| number(part))
            .collect::<Vec<u8>>()
    };
    let scalar = bytes(&[
        "60fe6dd6d85d5740a5349b6f91267eea",
        "c5ba81b8cb53ee249e4b4eb102c476b3",
    ]);
    let point = bytes(&[
        "5886cd61dd875862e5aaa820e7a15274",
        "c968a9bc96048ddcace32f50c3651ba3",
        "9eed8125e932cd60c0ead3650d0a485c",
        "f726d378d1b016ed4298b2961e258f1b",
    ]);
    let mut public = [4; 65];
    public[1..].copy_from_slice(&point);
    (
        AgreementKey::new(scalar.first_chunk().unwrap()).unwrap(),
        public,
    )
}

/// Gives out what it was filled with, and then nothing.
struct Script(VecDeque<u8>);

impl Entropy for Script {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            *byte = self.0.pop_front().ok_or(EntropyError::new())?;
        }
        Ok(())
    }
}

fn decrypt(
    info: &[u8],
    key: &dyn KeyUnwrap,
    ciphertext: &[u8],
    piece: usize,
) -> Result<Vec<u8>, DecryptError<Infallible>> {
    let info = EncryptionInfo::decode(info).expect("an encryption info");
    let mut decryptor = Decryptor::new(&info, &[key])?;
    let mut plain = Vec::new();
    let mut write = |_, bytes: &[u8]| {
        plain.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    for chunk in ciphertext.chunks(piece) {
        decryptor.push(chunk, &mut write)?;
    }
    decryptor.finish(&mut write)?;
    Ok(plain)
}

/// Encrypts in pieces of that length, and sees that nothing but the last step is held back.
fn encrypt(mut encryptor: Encryptor, plain: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
    let info = encryptor.info().to_vec();
    let (mut ciphertext, mut pushed) = (Vec::new(), 0);
    for chunk in plain.chunks(piece) {
        let write = |bytes: &[u8]| {
            ciphertext.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = encryptor.push(chunk, write);
        pushed += chunk.len();
        assert!(
            pushed - ciphertext.len() < 64,
            "{pushed} in, {} out",
            ciphertext.len()
        );
    }
    let write = |bytes: &[u8]| {
        ciphertext.extend_from_slice(bytes);
        Ok::<(), Infallible>(())
    };
    let Ok(()) = encryptor.finish(write);
    (info, ciphertext)
}

proptest! {
    #[test]
    fn every_one_of_the_audience_decrypts_what_was_encrypted_in_pieces_of_any_length(
        plain in proptest::collection::vec(any::<u8>(), 0..400),
        cipher in prop::sample::select(&CIPHERS[..]),
        (piece, other) in (1..200_usize, 1..200_usize),
        seed: u64,
        flip in any::<prop::sample::Index>(),
    ) {
        let (own, public) = device();
        let audience = [Audience::shared(b"fleet", &SHARED), Audience::agreed(b"one", &public).unwrap()];
        let new = || Encryptor::new(cipher, &audience, &mut SimEntropy::new(seed)).unwrap();
        let (info, mut ciphertext) = encrypt(new(), &plain, piece);
        prop_assert_eq!(ciphertext.len(), plain.len() + cipher.tag_bytes());
        prop_assert_eq!(new().seal(&plain), &ciphertext[..], "pieces make no difference");
        prop_assert_eq!(new().info().to_vec(), info.clone());
        for key in [&SharedKey::new(&SHARED) as &dyn KeyUnwrap, &own] {
            prop_assert_eq!(decrypt(&info, key, &ciphertext, other), Ok(plain.clone()));
        }
        let stranger = SharedKey::new(&[0x62; 16]);
        prop_assert_eq!(decrypt(&info, &stranger, &ciphertext, other), Err(DecryptError::Key));
        if !ciphertext.is_empty() {
            let at = flip.index(ciphertext.len());
            ciphertext[at] ^= 0x20;
            prop_assert_ne!(decrypt(&info, &own, &ciphertext, other), Ok(plain));
        }
    }

    #[test]
    fn ring_opens_what_is_encrypted_with_a_tag(
        plain in proptest::collection::vec(any::<u8>(), 0..400),
        chacha: bool,
    ) {
        let (cipher, method) = if chacha {
            (PayloadCipher::ChaCha20Poly1305, &CHACHA20_POLY1305)
        } else {
            (PayloadCipher::A128Gcm, &AES_128_GCM)
        };
        let (key, nonce) = (vec![5; cipher.key_bytes()], [9; 12]);
        let mut script = Script([&key[..], &nonce].concat().into());
        let audience = [Audience::shared(b"fleet", &SHARED)];
        let mut ciphertext = Encryptor::new(cipher, &audience, &mut script).unwrap().seal(&plain);
        let protected: &[u8] = if chacha { &[0x44, 0xa1, 0x01, 0x18, 24] } else { &[0x43, 0xa1, 0x01, 0x01] };
        let aad = [&[0x83, 0x67][..], b"Encrypt", protected, &[0x40]].concat();
        let key = LessSafeKey::new(UnboundKey::new(method, &key).unwrap());
        let opened = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut ciphertext);
        prop_assert_eq!(opened.unwrap(), &plain[..]);
    }
}

#[test]
fn aes_counter_mode_writes_the_standards_own_example() {
    // SP 800-38A, F.5.1, the first two blocks.
    let hex = |text: &str| -> Vec<u8> {
        (0..text.len() / 2)
            .map(|n| u8::from_str_radix(&text[2 * n..][..2], 16).unwrap())
            .collect()
    };
    let drawn = "2b7e151628aed2a6abf7158809cf4f3cf0f1f2f3f4f5f6f7f8f9fafbfcfdfeff";
    let mut script = Script(hex(drawn).into());
    let audience = [Audience::shared(b"fleet", &SHARED)];
    let encryptor = Encryptor::new(PayloadCipher::A128Ctr, &audience, &mut script).unwrap();
    let plain = hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
    let ciphertext = hex("874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff");
    assert_eq!(encryptor.seal(&plain), ciphertext);
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn the_four_encrypted_payloads_are_written_again_from_their_keys_and_nonces() {
    let folder = vectors::folder().join("libcsuit");
    let read = |name: &str| vectors::read(&folder.join(name));
    let (own, public) = device();
    let shared = SharedKey::new(&SHARED);
    for (kind, key) in [("aes", &shared as &dyn KeyUnwrap), ("esdh", &own)] {
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
            let info = read(&info);
            let parsed = EncryptionInfo::decode(&info).unwrap();
            let recipient = parsed.recipients().next().flatten().unwrap();
            let content_key = key.unwrap(&recipient).unwrap();
            let mut drawn = [content_key.expose(), parsed.nonce].concat();
            let key_id = recipient.key_id.unwrap();
            let audience = match recipient.agreement {
                None => Audience::shared(key_id, &SHARED),
                // The one-time private key of the file is not known: any other gives another wrapping.
                Some(_) => {
                    drawn.extend([0x11; 32]);
                    Audience::agreed(key_id, &public).unwrap()
                }
            };
            let mut script = Script(drawn.into());
            let ours = Encryptor::new(parsed.cipher, &[audience], &mut script).unwrap();
            assert!(script.0.is_empty(), "nothing else is drawn");
            let written = ours.info().to_vec();
            assert_eq!(ours.seal(&read(plain)), read(&ciphertext), "{kind} {plain}");
            if recipient.agreement.is_none() {
                assert_eq!(written, info, "{kind} {plain}");
                continue;
            }
            let own = EncryptionInfo::decode(&written).unwrap();
            let again = own.recipients().next().flatten().unwrap();
            assert_eq!((own.cipher, own.nonce), (parsed.cipher, parsed.nonce));
            assert_eq!(again.key_id, recipient.key_id);
            let protected = |agreement: Option<iot_ota::manifest::Agreement<'_>>| {
                agreement.map(|agreement| agreement.protected.to_vec())
            };
            assert_eq!(protected(again.agreement), protected(recipient.agreement));
            assert_eq!(key.unwrap(&again).unwrap().expose(), content_key.expose());
            assert_eq!(written.len(), info.len());
        }
    }
}

#[test]
fn the_same_randomness_gives_the_same_bytes_and_other_randomness_others() {
    let (_, public) = device();
    let audience = [Audience::agreed(b"one", &public).unwrap()];
    let made = |seed| {
        let mut random = SimEntropy::new(seed);
        let encryptor = Encryptor::new(PayloadCipher::A128Gcm, &audience, &mut random).unwrap();
        (encryptor.info().to_vec(), encryptor.seal(&[7; 100]))
    };
    assert_eq!(made(1), made(1));
    let (one, two) = (made(1), made(2));
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
}

#[test]
fn without_randomness_or_anybody_to_read_it_nothing_is_encrypted() {
    let new = |audience: &[Audience<'_>], drawn: usize| {
        let mut script = Script(vec![7; drawn].into());
        Encryptor::new(PayloadCipher::A128Gcm, audience, &mut script).map(|_| ())
    };
    let (_, public) = device();
    let one = [Audience::agreed(b"one", &public).unwrap()];
    assert_eq!(new(&[], 1_000), Err(EncryptError::Nobody));
    for (audience, needed) in [
        (&one[..], 16 + 12 + 32),
        (&[Audience::shared(b"fleet", &SHARED)], 16 + 12),
    ] {
        assert_eq!(new(audience, needed), Ok(()));
        for drawn in 0..needed {
            let failed = Err(EntropyError::new().into());
            assert_eq!(new(audience, drawn), failed, "{drawn} bytes");
        }
    }
    // A scalar of zero is no key; a source that gives no other has failed.
    let mut zeros = Script(vec![0; 1_000].into());
    let made = Encryptor::new(PayloadCipher::A128Gcm, &one, &mut zeros);
    assert_eq!(made.map(|_| ()), Err(EntropyError::new().into()));
    let many = vec![Audience::shared(&[1; 60], &SHARED); 60];
    assert!(matches!(
        new(&many, 1_000),
        Err(EncryptError::TooMany { bytes: 4_097.. })
    ));
    assert_eq!(new(&many[..30], 1_000), Ok(()), "so many fit");
}

/// Memory in sectors, of which each byte can be written once after an erasure, and whose power fails.
struct Sectors {
    bytes: Vec<Option<u8>>,
    writes_left: usize,
}

const SECTOR: usize = 128;

impl Sectors {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ()> {
        for (place, byte) in (usize::try_from(offset).unwrap()..).zip(bytes) {
            self.writes_left = self.writes_left.checked_sub(1).ok_or(())?;
            assert!(
                self.bytes[place].replace(*byte).is_none(),
                "byte {place} was written twice"
            );
        }
        Ok(())
    }

    /// Where the first sector begins that is not full; it is erased.
    fn resume(&mut self) -> usize {
        let full = |sector: &[Option<u8>]| sector.iter().all(Option::is_some);
        let at = SECTOR
            * self
                .bytes
                .chunks(SECTOR)
                .take_while(|sector| full(sector))
                .count();
        if let Some(sector) = self.bytes.chunks_mut(SECTOR).nth(at / SECTOR) {
            sector.fill(None);
        }
        at
    }
}

#[test]
fn counter_mode_goes_on_at_the_sector_in_which_the_power_failed() {
    let plain: Vec<u8> = (0..1_000_u32)
        .map(|n| n.wrapping_mul(37).to_le_bytes()[0])
        .collect();
    // The counter overflows its lower half under way.
    let drawn = [&[3; 16][..], &[0, 0, 0, 0, 0, 0, 0, 9], &[0xff; 7], &[0xf0]].concat();
    let audience = [Audience::shared(b"fleet", &SHARED)];
    let encryptor =
        Encryptor::new(PayloadCipher::A128Ctr, &audience, &mut Script(drawn.into())).unwrap();
    let info = encryptor.info().to_vec();
    let ciphertext = encryptor.seal(&plain);
    let (parsed, key) = (
        EncryptionInfo::decode(&info).unwrap(),
        SharedKey::new(&SHARED),
    );
    let run = |memory: &mut Sectors| {
        let at = memory.resume();
        let decryptor = Decryptor::new(&parsed, &[&key]).unwrap();
        let mut decryptor = decryptor.at(at as u64).unwrap();
        for chunk in ciphertext[at..].chunks(50) {
            decryptor.push(chunk, |offset, bytes| memory.write(offset, bytes))?;
        }
        decryptor.finish(|offset, bytes| memory.write(offset, bytes))
    };
    for cut in 0..plain.len() {
        let mut memory = Sectors {
            bytes: vec![None; plain.len()],
            writes_left: cut,
        };
        assert_eq!(
            run(&mut memory),
            Err(DecryptError::Write(())),
            "the power failed"
        );
        memory.writes_left = plain.len() - cut + SECTOR;
        assert_eq!(
            run(&mut memory),
            Ok(1_000),
            "at most a sector is decrypted again"
        );
        let found: Option<Vec<u8>> = memory.bytes.into_iter().collect();
        assert_eq!(found, Some(plain.clone()), "cut after {cut} bytes");
    }
}

#[test]
fn what_a_manifest_says_of_an_encrypted_image_leads_a_device_to_the_plaintext() {
    const PLACE: &[&[u8]] = &[b"firmware"];
    const COMPONENTS: &[Component<'static>] = &[Component::new(PLACE)];
    let image: Vec<u8> = (0..5_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let (own, public) = device();
    for cipher in CIPHERS {
        let audience = [Audience::agreed(b"one", &public).unwrap()];
        let encryptor = Encryptor::new(cipher, &audience, &mut SimEntropy::new(4)).unwrap();
        let from = ParameterList::new()
            .uri("#image")
            .encryption(encryptor.info());
        let install = CommandList::new().set(from).fetch().image_match();
        let size = u64::try_from(image.len()).unwrap();
        let mut envelope = Author::new(3, &[PLACE])
            .compatibility_check(0, [1; 16], [2; 16], Some(&Image::new(sha256(&image), size)))
            .section(Element::Install, install)
            .payload("#image", &encryptor.seal(&image))
            .build(&mut Sha256::default());
        let key = P256Key::generate();
        envelope.sign(&key, None).unwrap();
        let bytes = envelope.encode();
        let manifest = SignedManifest::decode(&bytes, Tagged::Required, Limits::default())
            .unwrap()
            .verify(&SigningKey::new(key.public()), &mut Sha256::default(), 3)
            .unwrap();
        let device = Capabilities::new(Identity::new([1; 16], [2; 16]), COMPONENTS);
        let mut process = Process::<16>::new(manifest, Procedure::Update, &device).unwrap();
        let Ok(Step::Perform {
            effect: Effect::Fetch(fetch),
            details:
                Details {
                    encryption: Some(info),
                    ..
                },
            ..
        }) = process.step()
        else {
            panic!("{:?}", process.step());
        };
        let iot_ota::process::Source::Integrated(ciphertext) = fetch.source else {
            panic!("{:?}", fetch.source);
        };
        let plain = decrypt(info, &own, ciphertext, 512).unwrap();
        assert_eq!(Some(&sha256(&plain)), fetch.digest);
        process.done(true);
        assert!(matches!(process.step(), Ok(Step::Check { .. })));
    }
}
