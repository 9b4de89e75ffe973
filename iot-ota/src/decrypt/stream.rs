//! A payload that is decrypted as it arrives.

use core::fmt;

use aes::Aes128;
use chacha20::ChaCha20;
use ctr::cipher::{BlockCipherEncrypt, KeyInit, KeyIvInit, StreamCipher, StreamCipherSeek};
use ctr::{Ctr32BE, Ctr128BE};
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use poly1305::Poly1305;

use super::key::KeyUnwrap;
use crate::image::digests_equal;
use crate::manifest::{EncryptionInfo, PayloadCipher};

const TAG: usize = 16;
const STEP: usize = 64;
/// The step that is decrypted at a time, and what may turn out to be the tag.
const HELD: usize = STEP + TAG;
const AAD_BYTES: usize = 64;

/// Why a payload is not decrypted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum DecryptError<E> {
    /// None of the recipients is this device's key.
    #[error("the payload's key is wrapped for none of this device's keys")]
    Key,
    /// A cipher with a tag cannot begin in the middle.
    #[error("this cipher cannot begin in the middle: begin again at 0")]
    Resume,
    /// The tag is missing or wrong: what was handed on must not be used.
    #[error("the payload is not what was encrypted")]
    Tampered,
    /// What takes the plaintext failed.
    #[error("the plaintext could not be written")]
    Write(E),
}

/// Decrypts a payload chunk by chunk.
///
/// It holds back 80 bytes at most. With a tag (AES-GCM, ChaCha20-Poly1305) the tag is the end of what is pushed. Counter
/// mode has none, and may begin anywhere.
pub struct Decryptor {
    engine: Engine,
    held: [u8; HELD],
    used: usize,
    offset: u64,
}

enum Engine {
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
struct Hash<H> {
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

impl Decryptor {
    /// Unwraps the payload's key with the first of `keys` that it is wrapped for.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Key`] when there is none, or the key is not one of this cipher's.
    pub fn new(
        info: &EncryptionInfo<'_>,
        keys: &[&dyn KeyUnwrap],
    ) -> Result<Self, DecryptError<core::convert::Infallible>> {
        let mut recipients = info.recipients().flatten();
        let key = recipients
            .find_map(|recipient| keys.iter().find_map(|key| key.unwrap(&recipient)))
            .ok_or(DecryptError::Key)?;
        let engine = Engine::new(info, key.expose()).ok_or(DecryptError::Key)?;
        Ok(Self {
            engine,
            held: [0; HELD],
            used: 0,
            offset: 0,
        })
    }

    /// Goes on at an offset in bytes, after an interruption: what is pushed next is the ciphertext from there.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Resume`] for ciphers with a tag, which covers all that came before.
    pub fn at(mut self, offset: u64) -> Result<Self, DecryptError<core::convert::Infallible>> {
        match &mut self.engine {
            Engine::Ctr(cipher) => cipher.try_seek(offset).map_err(|_| DecryptError::Resume)?,
            Engine::Gcm { .. } | Engine::ChaCha { .. } => return Err(DecryptError::Resume),
        }
        self.offset = offset;
        Ok(self)
    }

    /// Whether it may begin in the middle: only a cipher without a tag.
    pub(super) const fn can_seek(&self) -> bool {
        matches!(self.engine, Engine::Ctr(_))
    }

    /// Takes ciphertext in and hands plaintext on, with its offset, in steps of 64 bytes.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Write`]; what was handed on before may have been written, and the rest is lost: begin again.
    pub fn push<E>(
        &mut self,
        mut chunk: &[u8],
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), DecryptError<E>> {
        loop {
            let free = self.held.get_mut(self.used..).unwrap_or(&mut []);
            let taken = chunk.len().min(free.len());
            let (now, later) = chunk.split_at_checked(taken).unwrap_or((chunk, &[]));
            for (to, from) in free.iter_mut().zip(now) {
                *to = *from;
            }
            self.used += taken;
            chunk = later;
            if self.used < HELD {
                return Ok(());
            }
            self.hand_on(STEP, &mut write)?;
            self.held.copy_within(STEP.., 0);
            self.used = TAG;
        }
    }

    /// Hands the rest on and checks the tag; returns how long the plaintext was, counted from the very beginning.
    ///
    /// # Errors
    ///
    /// [`DecryptError::Tampered`]: nothing of what was handed on may be used.
    pub fn finish<E>(
        mut self,
        mut write: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<u64, DecryptError<E>> {
        let tag_bytes = match self.engine {
            Engine::Ctr(_) => 0,
            Engine::Gcm { .. } | Engine::ChaCha { .. } => TAG,
        };
        let rest = self
            .used
            .checked_sub(tag_bytes)
            .ok_or(DecryptError::Tampered)?;
        let mut tag = [0; TAG];
        for (to, from) in tag.iter_mut().zip(self.held.get(rest..).unwrap_or(&[])) {
            *to = *from;
        }
        // A tag behind whole steps leaves nothing else.
        for part in [rest.min(STEP), rest.saturating_sub(STEP)] {
            if part > 0 {
                self.hand_on(part, &mut write)?;
                self.held.copy_within(part.., 0);
            }
        }
        if self.engine.proves(&tag) {
            Ok(self.offset)
        } else {
            Err(DecryptError::Tampered)
        }
    }

    fn hand_on<E>(
        &mut self,
        len: usize,
        write: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<(), DecryptError<E>> {
        let piece = self.held.get_mut(..len).unwrap_or(&mut []);
        self.engine.decrypt(piece);
        write(self.offset, piece).map_err(DecryptError::Write)?;
        self.offset += len as u64;
        Ok(())
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decryptor(at {})", self.offset)
    }
}

impl Engine {
    fn new(info: &EncryptionInfo<'_>, key: &[u8]) -> Option<Self> {
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

    fn decrypt(&mut self, piece: &mut [u8]) {
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

    /// Whether the tag is the right one, compared in constant time.
    fn proves(self, tag: &[u8; TAG]) -> bool {
        let own: [u8; TAG] = match self {
            Self::Ctr(_) => return true,
            Self::Gcm { hash, mask, .. } => {
                let bits = |a: u64, c: u64| join((a * 8).to_be_bytes(), (c * 8).to_be_bytes());
                let mut own: [u8; TAG] = hash.finish(bits).into();
                for (to, mask) in own.iter_mut().zip(mask) {
                    *to ^= mask;
                }
                own
            }
            Self::ChaCha { hash, .. } => hash
                .finish(|a, c| join(a.to_le_bytes(), c.to_le_bytes()))
                .into(),
        };
        digests_equal(&double(&own), &double(tag))
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
