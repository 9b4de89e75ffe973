//! Payloads that are encrypted for whoever has the key, by ring.

use iot_ota::decrypt::{ContentKey, KeyUnwrap};
use iot_ota::manifest::Recipient;
use ring::aead::{AES_128_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::forge::{array, cbor, int, map, wrapped};

/// Hands out a key as it is.
pub(crate) struct Open(pub(crate) Vec<u8>);

impl KeyUnwrap for Open {
    fn unwrap(&self, _: &Recipient<'_>) -> Option<ContentKey> {
        ContentKey::new(&self.0)
    }
}

/// An encryption info for anybody.
pub(crate) fn info(algorithm: i64, nonce: &[u8]) -> Vec<u8> {
    let aead = algorithm > 0;
    let (protected, unprotected) = if aead {
        (map(&[(1, int(algorithm))]), map(&[(5, wrapped(nonce))]))
    } else {
        (Vec::new(), map(&[(1, int(algorithm)), (5, wrapped(nonce))]))
    };
    let recipient = array(&[wrapped(&[]), map(&[(1, int(-3))]), wrapped(&[0; 24])]);
    let mut bytes = cbor(|w| w.tag(minicbor::data::Tag::new(96))?.ok());
    bytes.extend(array(&[
        wrapped(&protected),
        unprotected,
        vec![0xf6],
        array(&[recipient]),
    ]));
    bytes
}

pub(crate) fn sealed(algorithm: i64, key: &[u8], plain: &[u8]) -> Vec<u8> {
    let method = if algorithm == 1 {
        &AES_128_GCM
    } else {
        &CHACHA20_POLY1305
    };
    let key = LessSafeKey::new(UnboundKey::new(method, key).unwrap());
    let protected = map(&[(1, int(algorithm))]);
    let aad = [&[0x83, 0x67][..], b"Encrypt", &wrapped(&protected), &[0x40]].concat();
    let mut bytes = plain.to_vec();
    let nonce = Nonce::assume_unique_for_key([9; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(aad), &mut bytes)
        .unwrap();
    bytes
}
