//! The ciphers, with the authenticators beside them: what decrypts and what encrypts.

use aes::Aes128;
use chacha20::ChaCha20;
use ctr::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};
use ctr::{Ctr32BE, Ctr128BE};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;

use crate::image::digests_equal;
use crate::manifest::{EncryptionInfo, PayloadCipher};

pub(crate) const TAG: usize = 16;
/// How much goes through a cipher at a time: whole blocks of each of them.
pub(crate) const STEP: usize = 64;
const AAD_BYTES: usize = 64;

/// One payload's cipher. Every piece that it is given but the last is [`STEP`] bytes long.
pub(crate) enum Engine {
    Gcm {
        cipher: Ctr32BE<Aes128>,
        hash: Hash<GHash>,
        mask: [u8; TAG],
    },
    ChaCha {
        cipher: ChaCha20,
        hash: Hash<Poly1305>,
    },
    Ctr(Ctr128BE<Aes128>),
}

/// A hash over blocks: the associated data, padded, then the ciphertext, padded, then both lengths.
pub(crate) struct Hash<H> {
    hash: H,
    associated: usize,
    ciphertext: u64,
}

impl<H: UniversalHash> Hash<H> {
    fn new(mut hash: H, associated: &[u8]) -> Self {
        hash.update_padded(associated);
        Self {
            hash,
            associated: associated.len(),
            ciphertext: 0,
        }
    }

    /// Every piece but the last is whole blocks long.
    fn update(&mut self, ciphertext: &[u8]) {
        self.hash.update_padded(ciphertext);
        self.ciphertext += ciphertext.len() as u64;
    }

    fn finish(
        mut self,
        lengths: impl Fn(u64, u64) -> [u8; TAG],
    ) -> ghash::universal_hash::Block<H> {
        self.hash
            .update_padded(&lengths(self.associated as u64, self.ciphertext));
        self.hash.finalize()
    }
}

impl Engine {
    /// `None` when the key is not one of this cipher's.
    pub(crate) fn new(info: &EncryptionInfo<'_>, key: &[u8]) -> Option<Self> {
        let mut room = [0; AAD_BYTES];
        let associated = info.aad(&mut room)?;
        let nonce = info.nonce;
        Some(match info.cipher {
            PayloadCipher::A128Ctr => Self::Ctr(Ctr128BE::new_from_slices(key, nonce).ok()?),
            PayloadCipher::A128Gcm => {
                // The first counter block is kept for the tag, the next ones are for the text (SP 800-38D §7.1).
                let block = |count: u8| {
                    let mut block = [0; TAG];
                    let (front, back) = block.split_at_mut_checked(12)?;
                    front.copy_from_slice(nonce);
                    *back.last_mut()? = count;
                    Some(block)
                };
                let aes = Aes128::new_from_slice(key).ok()?;
                let mut subkey = [0; TAG].into();
                aes.encrypt_block(&mut subkey);
                let mut mask = block(1)?.into();
                aes.encrypt_block(&mut mask);
                Self::Gcm {
                    cipher: Ctr32BE::new_from_slices(key, &block(2)?).ok()?,
                    hash: Hash::new(GHash::new(&subkey), associated),
                    mask: mask.into(),
                }
            }
            PayloadCipher::ChaCha20Poly1305 => {
                let mut cipher = ChaCha20::new_from_slices(key, nonce).ok()?;
                // The first block of the key stream is the authenticator's key (RFC 8439 §2.6).
                let mut first = [0; STEP];
                cipher.apply_keystream(&mut first);
                let key = first.first_chunk::<32>()?;
                Self::ChaCha {
                    hash: Hash::new(Poly1305::new(key.into()), associated),
                    cipher,
                }
            }
        })
    }

    pub(crate) fn decrypt(&mut self, piece: &mut [u8]) {
        match self {
            Self::Gcm { cipher, hash, .. } => {
                hash.update(piece);
                cipher.apply_keystream(piece);
            }
            Self::ChaCha { cipher, hash } => {
                hash.update(piece);
                cipher.apply_keystream(piece);
            }
            Self::Ctr(cipher) => cipher.apply_keystream(piece),
        }
    }

    #[cfg(feature = "encrypt")]
    pub(crate) fn encrypt(&mut self, piece: &mut [u8]) {
        match self {
            Self::Gcm { cipher, hash, .. } => {
                cipher.apply_keystream(piece);
                hash.update(piece);
            }
            Self::ChaCha { cipher, hash } => {
                cipher.apply_keystream(piece);
                hash.update(piece);
            }
            Self::Ctr(cipher) => cipher.apply_keystream(piece),
        }
    }

    /// Goes on at an offset in bytes; false for ciphers with a tag, which covers all that came before.
    pub(crate) fn seek(&mut self, offset: u64) -> bool {
        match self {
            Self::Ctr(cipher) => cipher.try_seek(offset).is_ok(),
            Self::Gcm { .. } | Self::ChaCha { .. } => false,
        }
    }

    /// The tag over everything so far; `None` where the cipher has none.
    pub(crate) fn tag(self) -> Option<[u8; TAG]> {
        match self {
            Self::Ctr(_) => None,
            Self::Gcm { hash, mask, .. } => {
                let bits = |a: u64, c: u64| join((a * 8).to_be_bytes(), (c * 8).to_be_bytes());
                let mut own: [u8; TAG] = hash.finish(bits).into();
                for (to, mask) in own.iter_mut().zip(mask) {
                    *to ^= mask;
                }
                Some(own)
            }
            Self::ChaCha { hash, .. } => {
                let bytes = |a: u64, c: u64| join(a.to_le_bytes(), c.to_le_bytes());
                Some(hash.finish(bytes).into())
            }
        }
    }

    /// Whether the tag is the right one, compared in constant time.
    pub(crate) fn proves(self, tag: &[u8; TAG]) -> bool {
        let own = self.tag();
        own.is_none_or(|own| digests_equal(&double(&own), &double(tag)))
    }
}

fn join(first: [u8; 8], second: [u8; 8]) -> [u8; TAG] {
    let mut both = [0; TAG];
    for (to, from) in both.iter_mut().zip(first.into_iter().chain(second)) {
        *to = from;
    }
    both
}

/// As long as a digest, for which there is a comparison in constant time.
fn double(tag: &[u8; TAG]) -> [u8; 32] {
    let mut both = [0; 32];
    for (to, from) in both.iter_mut().zip(tag.iter().chain(tag)) {
        *to = *from;
    }
    both
}
