//! A payload that is decrypted as it arrives.

use core::fmt;

use super::engine::{Engine, STEP, TAG};
use super::key::KeyUnwrap;
use crate::manifest::EncryptionInfo;

/// The step that is decrypted at a time, and what may turn out to be the tag.
const HELD: usize = STEP + TAG;

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
        if !self.engine.seek(offset) {
            return Err(DecryptError::Resume);
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
