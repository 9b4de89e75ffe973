//! `COSE_Mac` (RFC 9052 §6.1): a shared key, and several recipients who hold it.

use super::CoseError;
use super::header::{self, Algorithm, Header};
use super::structure::{self, Signed, Tagged};
use crate::codec::{self, FlatReader};
use crate::crypto;

const TAG: u64 = 97;

/// An authenticated message for several recipients that nobody has verified yet.
///
/// Only recipients who hold the key itself are understood (RFC 9052 §8.5.1, direct): a key that travels with the
/// message would have to be unwrapped first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Mac<'a> {
    protected: &'a [u8],
    payload: Option<&'a [u8]>,
    tag: &'a [u8],
    // What follows the array's head.
    recipients: &'a [u8],
    count: u32,
}

impl<'a> Mac<'a> {
    /// Reads a message without believing it.
    ///
    /// # Errors
    ///
    /// [`CoseError`] unless it is one deterministic `COSE_Mac` of at most 1 MiB with HMAC 256/256.
    pub fn decode(input: &'a [u8], tagged: Tagged) -> Result<Self, CoseError> {
        codec::check(input, structure::LIMITS)?;
        let mut reader = FlatReader::new(input);
        structure::open(&mut reader, TAG, tagged, 5);
        let protected = reader.bytes();
        let unprotected = reader.item();
        let payload = structure::payload(&mut reader);
        let tag = reader.bytes();
        let count = reader.array_len();
        let recipients = reader.rest().ok_or(CoseError::Structure)?;
        match Header::decode(protected, unprotected)?.algorithm {
            Algorithm::Hmac256 => Ok(Self {
                protected,
                payload,
                tag,
                recipients,
                count,
            }),
            _ => Err(CoseError::Algorithm),
        }
    }

    /// For each recipient the header to choose its key by; nothing in it is verified.
    pub fn recipients(&self) -> impl Iterator<Item = Result<Header<'a>, CoseError>> + use<'a> {
        let mut reader = FlatReader::new(self.recipients);
        (0..self.count).map(move |_| {
            let mut recipient = FlatReader::new(reader.item());
            structure::open(&mut recipient, 0, Tagged::Absent, 3);
            let (protected, unprotected) = (recipient.bytes(), recipient.item());
            recipient.rest().ok_or(CoseError::Structure)?;
            Ok(Header {
                algorithm: Algorithm::Hmac256,
                key_id: header::direct(protected, unprotected)?,
            })
        })
    }

    /// Checks the tag and returns the payload it covers; see [`Sign1::verify`](super::Sign1::verify).
    ///
    /// # Errors
    ///
    /// [`CoseError::Payload`] when there is no payload or two, [`CoseError::Unverified`] when the tag is not
    /// this key's.
    pub fn verify(
        &self,
        detached: Option<&'a [u8]>,
        external: &[u8],
        key: &dyn crypto::Mac,
    ) -> Result<&'a [u8], CoseError> {
        let payload = structure::one_payload(self.payload, detached)?;
        let signed = Signed {
            context: structure::MAC,
            protected: self.protected,
            signer: None,
            external,
            payload,
        };
        signed.holds(&mut |parts| key.verify(parts, self.tag))?;
        Ok(payload)
    }
}
