//! A payload that is encrypted as it is read.

use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;

use iot_core::entropy::{Entropy, EntropyError};
use zeroize::Zeroize;

use super::audience::Audience;
use crate::decrypt::{ContentKey, Engine, STEP};
use crate::manifest::{EncryptionInfo, PayloadCipher, cbor};

const COSE_ENCRYPT: u64 = 96;

/// Why a payload is not encrypted. Nothing was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// There is no randomness for keys.
    #[error("{0}: without it there is no key for the payload")]
    Entropy(#[from] EntropyError),
    /// Nobody could decrypt it.
    #[error("the payload is for nobody: name at least one audience")]
    Nobody,
    /// A key of the audience cannot wrap.
    #[error("a key of the audience cannot wrap the payload's key")]
    Key,
    /// Devices read so much of an encryption info, and no more.
    #[error(
        "{bytes} bytes of encryption info are more than devices read: encrypt for fewer at once"
    )]
    TooMany {
        /// How long it would be.
        bytes: usize,
    },
}

/// Encrypts one payload piece by piece; it holds back 64 bytes at most.
///
/// Key, nonce and one-time keys are drawn from the source of randomness in this order: the content key, the nonce, then
/// 32 bytes for each audience that agrees on a key. The same bytes from the source give the same ciphertext and the same
/// info, so **a source that repeats itself gives the plaintext of both payloads away**.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// # use iot_core::sim::SimEntropy;
/// # let mut random = SimEntropy::new(1);
/// use core::convert::Infallible;
/// use iot_ota::decrypt::{Decryptor, SharedKey};
/// use iot_ota::encrypt::{Audience, Encryptor};
/// use iot_ota::manifest::{EncryptionInfo, PayloadCipher};
///
/// let fleet = Audience::shared(b"fleet", &[7; 16]);
/// let encryptor = Encryptor::new(PayloadCipher::A128Gcm, &[fleet], &mut random)?;
/// let info = encryptor.info().to_vec();
/// let ciphertext = encryptor.seal(b"a new firmware");
///
/// let key = SharedKey::new(&[7; 16]);
/// let mut decryptor = Decryptor::new(&EncryptionInfo::decode(&info).ok_or("an info")?, &[&key])?;
/// let mut plain: Vec<u8> = Vec::new();
/// let mut write = |_, bytes: &[u8]| { plain.extend(bytes); Ok::<_, Infallible>(()) };
/// decryptor.push(&ciphertext, &mut write)?;
/// decryptor.finish(&mut write)?;
/// assert_eq!(plain, b"a new firmware");
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Encryptor {
    engine: Engine,
    info: Vec<u8>,
    held: [u8; STEP],
    used: usize,
}

impl Encryptor {
    /// Draws a key and a nonce for one payload, and wraps the key for each audience.
    ///
    /// # Errors
    ///
    /// [`EncryptError`].
    pub fn new(
        cipher: PayloadCipher,
        audience: &[Audience<'_>],
        entropy: &mut dyn Entropy,
    ) -> Result<Self, EncryptError> {
        if audience.is_empty() {
            return Err(EncryptError::Nobody);
        }
        let key = content_key(cipher, entropy)?;
        let mut nonce = alloc::vec![0; cipher.nonce_bytes()];
        entropy.fill(&mut nonce)?;
        let mut recipients = Vec::new();
        for one in audience {
            recipients.push(one.recipient(&key, entropy)?);
        }
        let info = encode(cipher, &nonce, &recipients);
        let parsed =
            EncryptionInfo::decode(&info).ok_or(EncryptError::TooMany { bytes: info.len() })?;
        let engine = Engine::new(&parsed, key.expose()).ok_or(EncryptError::Key)?;
        Ok(Self {
            engine,
            info,
            held: [0; STEP],
            used: 0,
        })
    }

    /// How it is encrypted, for the manifest: a tagged `COSE_Encrypt` (RFC 9052 §5.1) with its ciphertext detached,
    /// deterministic CBOR. It is the same before and after the payload.
    #[must_use]
    pub fn info(&self) -> &[u8] {
        &self.info
    }

    /// Takes plaintext in and hands ciphertext on, in steps of 64 bytes.
    ///
    /// # Errors
    ///
    /// What `write` failed with; what comes after it is lost: begin again with a new encryptor.
    pub fn push<E>(
        &mut self,
        mut chunk: &[u8],
        mut write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            let free = self.held.get_mut(self.used..).unwrap_or(&mut []);
            let taken = chunk.len().min(free.len());
            let (now, later) = chunk.split_at_checked(taken).unwrap_or((chunk, &[]));
            for (to, from) in free.iter_mut().zip(now) {
                *to = *from;
            }
            self.used += taken;
            chunk = later;
            if self.used < STEP {
                return Ok(());
            }
            self.engine.encrypt(&mut self.held);
            self.used = 0;
            write(&self.held)?;
        }
    }

    /// Hands the rest on, and the tag behind it where the cipher has one.
    ///
    /// # Errors
    ///
    /// What `write` failed with.
    pub fn finish<E>(mut self, mut write: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let rest = self.held.get_mut(..self.used).unwrap_or(&mut []);
        if !rest.is_empty() {
            self.engine.encrypt(rest);
            write(rest)?;
        }
        match self.engine.tag() {
            Some(tag) => write(&tag),
            None => Ok(()),
        }
    }

    /// Encrypts a payload that is in memory, whole.
    #[must_use]
    pub fn seal(mut self, payload: &[u8]) -> Vec<u8> {
        let mut ciphertext = Vec::new();
        let mut write = |bytes: &[u8]| {
            ciphertext.extend_from_slice(bytes);
            Ok::<(), Infallible>(())
        };
        let Ok(()) = self.push(payload, &mut write);
        let Ok(()) = self.finish(&mut write);
        ciphertext
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encryptor")
    }
}

fn content_key(
    cipher: PayloadCipher,
    entropy: &mut dyn Entropy,
) -> Result<ContentKey, EncryptError> {
    let mut bytes = [0; 32];
    let room = bytes.get_mut(..cipher.key_bytes()).unwrap_or(&mut []);
    let drawn = entropy.fill(room);
    let key = ContentKey::new(room);
    bytes.zeroize();
    drawn?;
    key.ok_or(EncryptError::Key)
}

fn encode(cipher: PayloadCipher, nonce: &[u8], recipients: &[Vec<u8>]) -> Vec<u8> {
    let algorithm = (cbor::uint(1), cbor::int(cipher.number().into()));
    let nonce = (cbor::uint(5), cbor::bytes(nonce));
    // Only an AEAD covers its header; counter mode must not pretend to (RFC 9459 §4).
    let (protected, unprotected) = if cipher.tag_bytes() > 0 {
        (cbor::map([algorithm]), cbor::map([nonce]))
    } else {
        (Vec::new(), cbor::map([algorithm, nonce]))
    };
    let message = cbor::array(&[
        cbor::bytes(&protected),
        unprotected,
        cbor::null(),
        cbor::array(recipients),
    ]);
    [cbor::head(6, COSE_ENCRYPT), message].concat()
}
