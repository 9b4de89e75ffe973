//! Any of the four messages that prove who wrote a payload.

use super::CoseError;
use super::header::{self, Algorithm, Header};
use super::structure::{self, Signed, Tagged};
use crate::codec::{self, FlatReader};
use crate::crypto::{Mac, Verifier};

const MAC0: u8 = 17;
const SIGN1: u8 = 18;
const MAC: u8 = 97;
const SIGN: u8 = 98;

/// A tagged `COSE_Sign1`, `COSE_Sign`, `COSE_Mac0` or `COSE_Mac` over a detached payload: the proofs in it, one by
/// one.
///
/// For whoever takes all four, on a chip: [`Sign1`](super::Sign1) and its siblings are each for one of them.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::cose::{Content, Proofs, sign1};
/// use iot_core::sim::ToyKey;
///
/// let key = ToyKey::new(7);
/// let mut buffer = [0; 256];
/// let message = sign1(&mut buffer, &key, Some(b"key-1"), Content::Detached(b"open"), &[])?;
/// let mut proofs = Proofs::decode(message)?;
/// let proof = proofs.next().unwrap()?;
/// assert_eq!(proof.header().key_id, Some(&b"key-1"[..]));
/// assert!(proof.verify(b"open", &key).is_ok() && proof.verify(b"shut", &key).is_err());
/// # }
/// # Ok::<(), iot_core::cose::CoseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Proofs<'a> {
    // The one that was read last; at first what all of them share.
    current: Proof<'a>,
    unprotected: &'a [u8],
    // The signers, or the recipients.
    parts: FlatReader<'a>,
    left: u32,
}

/// One of the [`Proofs`] of a message: a signature, or an authentication code for one recipient.
#[derive(Clone, Copy, Debug)]
pub struct Proof<'a> {
    kind: u8,
    body: &'a [u8],
    signer: Option<&'a [u8]>,
    header: Header<'a>,
    proof: &'a [u8],
}

impl<'a> Proofs<'a> {
    /// Reads a message without believing it.
    ///
    /// # Errors
    ///
    /// [`CoseError`] unless it is one deterministic message of the four kinds, of at most 1 MiB, with a detached
    /// payload.
    #[inline(never)]
    pub fn decode(input: &'a [u8]) -> Result<Self, CoseError> {
        codec::check(input, structure::LIMITS)?;
        let mut reader = FlatReader::new(input);
        let kind = u8::try_from(reader.tag()).unwrap_or(0);
        let items = reader.array_len();
        let (body, unprotected) = (reader.bytes(), reader.item());
        let detached = reader.null();
        reader.require(detached);
        let proof = if kind == SIGN { &[] } else { reader.bytes() };
        let several = matches!(kind, SIGN | MAC);
        let left = if several { reader.array_len() } else { 1 };
        let known = matches!((kind, items), (MAC0 | SIGN1 | SIGN, 4) | (MAC, 5));
        reader.require(known);
        reader.rest().ok_or(CoseError::Structure)?;
        if kind == SIGN {
            header::nothing_critical(body, unprotected)?;
        }
        Ok(Self {
            current: Proof {
                kind,
                body,
                signer: None,
                header: Header {
                    algorithm: Algorithm::Hmac256,
                    key_id: None,
                },
                proof,
            },
            unprotected,
            parts: reader,
            left,
        })
    }

    fn part(&mut self) -> Result<(), CoseError> {
        let found = &mut self.current;
        let kind = found.kind;
        if kind != SIGN {
            // Of one with recipients it says with what, and the recipient with which key.
            found.header = Header::decode(found.body, self.unprotected)?;
        }
        if matches!(kind, SIGN | MAC) {
            let mut part = FlatReader::new(self.parts.item());
            structure::open(&mut part, 0, Tagged::Absent, 3);
            let (protected, unprotected, mut proof) = (part.bytes(), part.item(), part);
            if kind == SIGN {
                found.proof = proof.bytes();
                proof.rest().ok_or(CoseError::Structure)?;
                found.signer = Some(protected);
                found.header = Header::decode(protected, unprotected)?;
            } else {
                part.item();
                part.rest().ok_or(CoseError::Structure)?;
                found.header.key_id = header::direct(protected, unprotected)?;
            }
        }
        let mac = matches!(kind, MAC0 | MAC);
        if mac == (found.header.algorithm == Algorithm::Hmac256) {
            Ok(())
        } else {
            Err(CoseError::Algorithm)
        }
    }
}

impl<'a> Iterator for Proofs<'a> {
    type Item = Result<Proof<'a>, CoseError>;

    /// The next proof, or why it is none; a bad one says nothing about the others.
    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.part().map(|()| self.current))
    }
}

impl<'a> Proof<'a> {
    /// The header, for choosing the key: a shared one where the algorithm is HMAC. Nothing in it is verified.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Checks a signature over `payload`.
    ///
    /// # Errors
    ///
    /// [`CoseError::Algorithm`] when key and header disagree, [`CoseError::Unverified`] when it is not this key's.
    pub fn verify(&self, payload: &[u8], key: &dyn Verifier) -> Result<(), CoseError> {
        self.signed(payload).verify(&self.header, self.proof, key)
    }

    /// Checks an authentication code over `payload`.
    ///
    /// # Errors
    ///
    /// [`CoseError::Algorithm`] when it is a signature, [`CoseError::Unverified`] when it is not this key's.
    pub fn verify_mac(&self, payload: &[u8], key: &dyn Mac) -> Result<(), CoseError> {
        if self.header.algorithm != Algorithm::Hmac256 {
            return Err(CoseError::Algorithm);
        }
        let signed = self.signed(payload);
        signed.holds(&mut |parts| key.verify(parts, self.proof))
    }

    const fn signed<'p>(&'p self, payload: &'p [u8]) -> Signed<'p> {
        Signed {
            context: match self.kind {
                SIGN1 => structure::SIGNATURE1,
                SIGN => structure::SIGNATURE,
                MAC0 => structure::MAC0,
                _ => structure::MAC,
            },
            protected: self.body,
            signer: self.signer,
            external: &[],
            payload,
        }
    }
}
