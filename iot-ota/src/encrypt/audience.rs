//! For whom a payload is encrypted.

use alloc::vec::Vec;
use core::fmt;

use aes_kw::KwAes128;
use aes_kw::cipher::KeyInit;
use iot_core::entropy::{Entropy, EntropyError};
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::{PublicKey, SecretKey};
use zeroize::{Zeroize, Zeroizing};

use super::stream::EncryptError;
use crate::decrypt::{ContentKey, agreed};
use crate::manifest::cbor;

const A128KW: i64 = -3;
const ECDH_ES_A128KW: i64 = -29;
/// A wrapped key is eight bytes longer than the key (RFC 3394 §2.2.1).
const MAX_WRAPPED: usize = 40;
/// One scalar in 2^32 is none of the curve's; a source that gives several of them is broken.
const TRIES: u8 = 4;

/// A device, or all devices that share a key, that a payload is encrypted for.
///
/// ```
/// use iot_ota::encrypt::Audience;
/// let fleet = Audience::shared(b"fleet", &[7; 16]);
/// assert_eq!(fleet.key_id(), b"fleet");
/// assert!(Audience::agreed(b"device", &[4; 65]).is_none(), "this is no point of the curve");
/// ```
#[derive(Clone)]
pub struct Audience<'k> {
    key_id: &'k [u8],
    key: Key,
}

#[derive(Clone)]
enum Key {
    Shared(Zeroizing<[u8; 16]>),
    Agreed(PublicKey),
}

impl<'k> Audience<'k> {
    /// Whoever shares this key with the author (A128KW, RFC 3394; COSE -3).
    #[must_use]
    pub fn shared(key_id: &'k [u8], key: &[u8; 16]) -> Self {
        Self {
            key_id,
            key: Key::Shared(Zeroizing::new(*key)),
        }
    }

    /// Whoever has the private half of this key on P-256 (ECDH-ES + A128KW, RFC 9053 §6.4; COSE -29), given as an
    /// uncompressed point; `None` when it is none of the curve's.
    #[must_use]
    pub fn agreed(key_id: &'k [u8], public: &[u8; 65]) -> Option<Self> {
        let key = Key::Agreed(PublicKey::from_sec1_bytes(public).ok()?);
        Some(Self { key_id, key })
    }

    /// By what name the device will look for its key.
    #[must_use]
    pub const fn key_id(&self) -> &'k [u8] {
        self.key_id
    }

    /// The key of a payload, wrapped: a `COSE_recipient` (RFC 9052 §5.1).
    pub(super) fn recipient(
        &self,
        key: &ContentKey,
        entropy: &mut dyn Entropy,
    ) -> Result<Vec<u8>, EncryptError> {
        let named = (cbor::uint(4), cbor::bytes(self.key_id));
        Ok(match &self.key {
            Key::Shared(kek) => {
                let header = cbor::map([(cbor::uint(1), cbor::int(A128KW)), named]);
                cbor::array(&[
                    cbor::bytes(&[]),
                    header,
                    wrap(&KwAes128::new((&**kek).into()), key)?,
                ])
            }
            Key::Agreed(public) => {
                let own = one_time_key(entropy)?;
                let protected = cbor::map([(cbor::uint(1), cbor::int(ECDH_ES_A128KW))]);
                let secret =
                    p256::ecdh::diffie_hellman(own.to_nonzero_scalar(), public.as_affine());
                let kek = agreed(secret.raw_secret_bytes(), &protected).ok_or(EncryptError::Key)?;
                let ephemeral = (cbor::int(-1), cose_key(&own.public_key())?);
                let header = cbor::map([named, ephemeral]);
                cbor::array(&[cbor::bytes(&protected), header, wrap(&kek, key)?])
            }
        })
    }
}

impl fmt::Debug for Audience<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = match self.key {
            Key::Shared(_) => "A128KW",
            Key::Agreed(_) => "ECDH-ES+A128KW",
        };
        write!(f, "Audience({way}, {:02x?})", self.key_id)
    }
}

fn wrap(kek: &KwAes128, key: &ContentKey) -> Result<Vec<u8>, EncryptError> {
    let mut room = [0; MAX_WRAPPED];
    let wrapped = kek.wrap_key(key.expose(), &mut room);
    wrapped.map(cbor::bytes).map_err(|_| EncryptError::Key)
}

fn one_time_key(entropy: &mut dyn Entropy) -> Result<SecretKey, EncryptError> {
    let mut scalar = [0; 32];
    for _ in 0..TRIES {
        let drawn = entropy.fill(&mut scalar);
        let key = SecretKey::from_slice(&scalar);
        scalar.zeroize();
        drawn?;
        if let Ok(key) = key {
            return Ok(key);
        }
    }
    Err(EntropyError::new().into())
}

/// A key on the curve P-256 (RFC 9053 §7.1.1).
fn cose_key(public: &PublicKey) -> Result<Vec<u8>, EncryptError> {
    let point = public.to_sec1_point(false);
    let (x, y) = point.x().zip(point.y()).ok_or(EncryptError::Key)?;
    Ok(cbor::map([
        (cbor::uint(1), cbor::uint(2)),
        (cbor::int(-1), cbor::uint(1)),
        (cbor::int(-2), cbor::bytes(x)),
        (cbor::int(-3), cbor::bytes(y)),
    ]))
}
