//! From the device's own key to the key of one payload.

use aes_kw::KwAes128;
use aes_kw::cipher::KeyInit;
use core::fmt;
use hkdf::Hkdf;
use iot_core::codec;
use p256::{PublicKey, SecretKey};
use sha2::Sha256;
use zeroize::Zeroize;

use crate::manifest::Recipient;

const MAX_KEY_BYTES: usize = 32;
/// Room for the derivation's context: its protected header is a few bytes long.
const CONTEXT_BYTES: usize = 96;
const A128KW: i32 = -3;
const KEK_BITS: u8 = 128;
const PURPOSE: &[u8] = b"SUIT Payload Encryption";

/// The key of one payload; gone when it is dropped.
#[derive(Clone)]
pub struct ContentKey {
    bytes: [u8; MAX_KEY_BYTES],
    len: usize,
}

impl ContentKey {
    /// Copies a key of at most 32 bytes; `None` when it is longer.
    #[must_use]
    pub fn new(key: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_KEY_BYTES];
        bytes.get_mut(..key.len())?.copy_from_slice(key);
        Some(Self {
            bytes,
            len: key.len(),
        })
    }

    /// The key, for a cipher.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&[])
    }
}

impl Drop for ContentKey {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentKey({} bytes)", self.len)
    }
}

/// A key of the device that other keys are wrapped with. It may lie in hardware: only what it unwraps comes out.
pub trait KeyUnwrap {
    /// Unwraps the content key that a recipient holds; `None` when it is not for this key. It says nothing more, on
    /// purpose.
    fn unwrap(&self, recipient: &Recipient<'_>) -> Option<ContentKey>;
}

impl<K: KeyUnwrap + ?Sized> KeyUnwrap for &K {
    fn unwrap(&self, recipient: &Recipient<'_>) -> Option<ContentKey> {
        (**self).unwrap(recipient)
    }
}

/// A key-encryption key that author and device share (A128KW, RFC 3394; COSE -3).
pub struct SharedKey(KwAes128);

impl SharedKey {
    /// Takes the 16 bytes of the key.
    #[must_use]
    pub fn new(key: &[u8; 16]) -> Self {
        Self(KwAes128::new(key.into()))
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey")
    }
}

impl KeyUnwrap for SharedKey {
    fn unwrap(&self, recipient: &Recipient<'_>) -> Option<ContentKey> {
        recipient.agreement.is_none().then_some(())?;
        unwrap(&self.0, recipient.wrapped)
    }
}

/// A private key on P-256, for keys that authors agree on with its public half (ECDH-ES + A128KW, RFC 9053 §6.4).
pub struct AgreementKey(SecretKey);

impl AgreementKey {
    /// Takes the private scalar, big-endian; `None` when it is none of the curve's.
    #[must_use]
    pub fn new(scalar: &[u8; 32]) -> Option<Self> {
        SecretKey::from_slice(scalar).ok().map(Self)
    }
}

impl fmt::Debug for AgreementKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementKey")
    }
}

impl KeyUnwrap for AgreementKey {
    fn unwrap(&self, recipient: &Recipient<'_>) -> Option<ContentKey> {
        let agreement = recipient.agreement?;
        let mut point = [4; 65];
        let (x, y) = point.get_mut(1..)?.split_at_mut(32);
        x.copy_from_slice(agreement.x);
        y.copy_from_slice(agreement.y);
        let public = PublicKey::from_sec1_bytes(&point).ok()?;
        let secret = p256::ecdh::diffie_hellman(self.0.to_nonzero_scalar(), public.as_affine());

        let kek = agreed(secret.raw_secret_bytes(), agreement.protected)?;
        unwrap(&kek, recipient.wrapped)
    }
}

/// The key-encryption key that both sides derive from what they agreed on; `protected` is the recipient's header.
pub(crate) fn agreed(secret: &[u8], protected: &[u8]) -> Option<KwAes128> {
    // COSE_KDF_Context (RFC 9053 §5.2): algorithm, nobody, nobody, [bits, protected, purpose].
    let mut room = [0; CONTEXT_BYTES];
    let context = codec::encode_into(&mut room, |writer| {
        writer.array(4)?.i32(A128KW)?;
        for _ in 0..2 {
            writer.array(3)?.null()?.null()?.null()?;
        }
        writer.array(3)?.u8(KEK_BITS)?;
        writer.bytes(protected)?.bytes(PURPOSE)?.ok()
    });
    let mut kek = [0; 16];
    let derive = Hkdf::<Sha256>::new(None, secret);
    derive.expand(context.ok()?, &mut kek).ok()?;
    let key = KwAes128::new((&kek).into());
    kek.zeroize();
    Some(key)
}

fn unwrap(kek: &KwAes128, wrapped: &[u8]) -> Option<ContentKey> {
    let mut room = [0; MAX_KEY_BYTES];
    let key = kek
        .unwrap_key(wrapped, &mut room)
        .ok()
        .and_then(ContentKey::new);
    room.zeroize();
    key
}
