//! How a payload is encrypted (firmware encryption for SUIT): a `COSE_Encrypt` without its ciphertext.

use iot_core::codec::{self, FlatReader};

const TAG: u64 = 96;
const ALGORITHM: i32 = 1;
const KEY_ID: i32 = 4;
const IV: i32 = 5;
const EPHEMERAL: i32 = -1;
const A128KW: i32 = -3;
const ECDH_ES_A128KW: i32 = -29;
const MAX_BYTES: usize = 4_096;

/// What a payload is encrypted with.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum PayloadCipher {
    /// AES-128 in Galois/counter mode (COSE 1, RFC 9053 §4.1): a 12-byte nonce, a 16-byte tag at the end.
    A128Gcm,
    /// ChaCha20 and Poly1305 (COSE 24, RFC 9053 §4.3): a 12-byte nonce, a 16-byte tag at the end.
    ChaCha20Poly1305,
    /// AES-128 in counter mode (COSE -65534, RFC 9459 §4): a 16-byte first counter, and no tag: only the image's
    /// digest says whether it is what was encrypted.
    A128Ctr,
}

impl PayloadCipher {
    /// The number in the IANA COSE registry.
    #[must_use]
    pub const fn number(self) -> i32 {
        match self {
            Self::A128Gcm => 1,
            Self::ChaCha20Poly1305 => 24,
            Self::A128Ctr => -65_534,
        }
    }

    /// The length of a content key in bytes.
    #[must_use]
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::A128Gcm | Self::A128Ctr => 16,
            Self::ChaCha20Poly1305 => 32,
        }
    }

    /// The length of a nonce in bytes.
    #[must_use]
    pub const fn nonce_bytes(self) -> usize {
        match self {
            Self::A128Gcm | Self::ChaCha20Poly1305 => 12,
            Self::A128Ctr => 16,
        }
    }

    /// The length of the tag behind the ciphertext in bytes.
    #[must_use]
    pub const fn tag_bytes(self) -> usize {
        match self {
            Self::A128Gcm | Self::ChaCha20Poly1305 => 16,
            Self::A128Ctr => 0,
        }
    }

    fn of(number: i32) -> Option<Self> {
        [Self::A128Gcm, Self::ChaCha20Poly1305, Self::A128Ctr]
            .into_iter()
            .find(|cipher| cipher.number() == number)
    }
}

/// How a payload is encrypted: the `SUIT_Encryption_Info` of [`Details`](crate::process::Details).
///
/// It comes from a manifest that was verified, so it is what the author wrote; the ciphertext may be anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct EncryptionInfo<'a> {
    /// With what.
    pub cipher: PayloadCipher,
    /// The nonce, of [`PayloadCipher::nonce_bytes`].
    pub nonce: &'a [u8],
    /// The protected header, which an AEAD covers: see [`aad`](Self::aad).
    pub protected: &'a [u8],
    // What follows the head of the array of recipients.
    recipients: &'a [u8],
    count: u32,
}

/// For whom the content key was wrapped, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Recipient<'a> {
    /// Which key of the device is meant, where the author said so.
    pub key_id: Option<&'a [u8]>,
    /// The content key, wrapped with AES-128 key wrap (RFC 3394).
    pub wrapped: &'a [u8],
    /// How the key that wraps it comes about; `None` where both sides have it (A128KW).
    pub agreement: Option<Agreement<'a>>,
}

/// ECDH-ES + A128KW on P-256 (RFC 9053 §6.4): the author's one-time public key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Agreement<'a> {
    /// The point's x coordinate.
    pub x: &'a [u8; 32],
    /// The point's y coordinate.
    pub y: &'a [u8; 32],
    /// The recipient's protected header, which goes into the derivation.
    pub protected: &'a [u8],
}

impl<'a> EncryptionInfo<'a> {
    /// Reads one; `None` unless it is one tagged `COSE_Encrypt` of at most 4 KiB, with a detached ciphertext and a
    /// cipher that is known.
    ///
    /// Its maps may be in any order: COSE asks for none, and authors write others.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = FlatReader::found(Some(bytes).filter(|bytes| bytes.len() <= MAX_BYTES));
        let known = reader.tag() == TAG && reader.array_len() == 4;
        let (protected, unprotected) = (reader.bytes(), reader.item());
        let detached = reader.null();
        let count = reader.array_len();
        let recipients = reader.rest().filter(|_| known && detached)?;
        // Its number is not believed: each of them takes a byte at least, and the last is the end.
        reader.require(usize::try_from(count).is_ok_and(|count| count <= recipients.len()));
        reader.rest()?;
        for _ in 0..count {
            reader.item();
        }
        reader.is_empty().then_some(())?;
        // Only an AEAD covers its header; counter mode must not pretend to (RFC 9459 §4).
        let header = if protected.is_empty() {
            unprotected
        } else {
            protected
        };
        let cipher = PayloadCipher::of(FlatReader::found(value(header, ALGORITHM)).i32())?;
        let nonce = FlatReader::found(value(unprotected, IV)).bytes();
        let covered = (cipher.tag_bytes() > 0) != protected.is_empty();
        (covered && nonce.len() == cipher.nonce_bytes()).then_some(Self {
            cipher,
            nonce,
            protected,
            recipients,
            count,
        })
    }

    /// What an AEAD authenticates besides the ciphertext: the `Enc_structure` (RFC 9052 §5.3), to the front of
    /// `room`. `None` when it does not fit: a header is at most a few bytes long.
    pub fn aad<'r>(&self, room: &'r mut [u8]) -> Option<&'r [u8]> {
        let written = codec::encode_into(room, |writer| {
            writer
                .array(3)?
                .str("Encrypt")?
                .bytes(self.protected)?
                .bytes(&[])?
                .ok()
        });
        written.ok()
    }

    /// For whom it is; `None` for a recipient whose way of wrapping is unknown.
    pub fn recipients(&self) -> impl Iterator<Item = Option<Recipient<'a>>> + use<'a> {
        let mut reader = FlatReader::new(self.recipients);
        (0..self.count).map(move |_| recipient(reader.item()))
    }
}

fn recipient(bytes: &[u8]) -> Option<Recipient<'_>> {
    let mut reader = FlatReader::new(bytes);
    let items = reader.array_len();
    let (protected, unprotected, wrapped) = (reader.bytes(), reader.item(), reader.bytes());
    reader.rest().filter(|rest| items == 3 && rest.is_empty())?;
    let key_id = value(unprotected, KEY_ID).map(|id| FlatReader::new(id).bytes());
    let agreement = if protected.is_empty() {
        let algorithm = FlatReader::found(value(unprotected, ALGORITHM)).i32();
        (algorithm == A128KW).then_some(None)?
    } else {
        let algorithm = FlatReader::found(value(protected, ALGORITHM)).i32();
        let key = value(unprotected, EPHEMERAL).filter(|_| algorithm == ECDH_ES_A128KW)?;
        // A key on the curve P-256 (RFC 9053 §7.1).
        let is = |label, number| FlatReader::found(value(key, label)).i32() == number;
        let coordinate = |label| FlatReader::found(value(key, label)).bytes().try_into().ok();
        let (x, y) = (coordinate(-2)?, coordinate(-3)?);
        (is(1, 2) && is(-1, 1)).then_some(Some(Agreement { x, y, protected }))?
    };
    Some(Recipient {
        key_id,
        wrapped,
        agreement,
    })
}

/// The value under an integer label; texts are labels too (RFC 9052 §1.4), and are stepped over.
fn value(map: &[u8], label: i32) -> Option<&[u8]> {
    let mut reader = FlatReader::new(map);
    for _ in 0..reader.map_len() {
        let found = match reader.peek() {
            Some(0 | 1) => reader.i32() == label,
            _ => reader.item().is_empty(),
        };
        let value = reader.item();
        reader.rest()?;
        if found {
            return Some(value);
        }
    }
    None
}
