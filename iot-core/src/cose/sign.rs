//! `COSE_Sign` (RFC 9052 §4.1): one payload, several signers.

use super::CoseError;
use super::header::{self, Algorithm, Header};
use super::structure::{self, Content, Signed, Tagged};
use crate::codec::{self, FlatReader};
use crate::crypto::{Signature, Signer, Verifier};

const TAG: u64 = 98;

/// A message of several signers that nobody has verified yet.
///
/// Which of them have to agree is the caller's to say: verify each of [`signatures`](Self::signatures) whose
/// key is accepted, and count **keys**, never signatures, because one signer may be named twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sign<'a> {
    protected: &'a [u8],
    payload: Option<&'a [u8]>,
    // What follows the array's head.
    signatures: &'a [u8],
    count: u32,
}

/// One signer's part of a [`Sign`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SignerPart<'a> {
    body: &'a [u8],
    payload: Option<&'a [u8]>,
    protected: &'a [u8],
    header: Header<'a>,
    proof: &'a [u8],
}

impl<'a> Sign<'a> {
    /// Reads a message without believing it. Its signers' parts are read one by one, later.
    ///
    /// # Errors
    ///
    /// [`CoseError`] unless it is one deterministic `COSE_Sign` of at most 1 MiB whose body asks for nothing
    /// critical.
    pub fn decode(input: &'a [u8], tagged: Tagged) -> Result<Self, CoseError> {
        codec::check(input, structure::LIMITS)?;
        let mut reader = FlatReader::new(input);
        structure::open(&mut reader, TAG, tagged, 4);
        let protected = reader.bytes();
        let unprotected = reader.item();
        let payload = structure::payload(&mut reader);
        let count = reader.array_len();
        let signatures = reader.rest().ok_or(CoseError::Structure)?;
        header::nothing_critical(protected, unprotected)?;
        Ok(Self {
            protected,
            payload,
            signatures,
            count,
        })
    }

    /// Each signer's part, or why it is none; a bad one says nothing about the others.
    pub fn signatures(&self) -> impl Iterator<Item = Result<SignerPart<'a>, CoseError>> + use<'a> {
        let (mut reader, body, payload) = (
            FlatReader::new(self.signatures),
            self.protected,
            self.payload,
        );
        (0..self.count).map(move |_| {
            let mut part = FlatReader::new(reader.item());
            structure::open(&mut part, 0, Tagged::Absent, 3);
            let (protected, unprotected, proof) = (part.bytes(), part.item(), part.bytes());
            part.rest().ok_or(CoseError::Structure)?;
            Ok(SignerPart {
                body,
                payload,
                protected,
                header: Header::decode(protected, unprotected)?,
                proof,
            })
        })
    }
}

impl<'a> SignerPart<'a> {
    /// The signer's header, for choosing the key. Nothing in it is verified.
    #[must_use]
    pub const fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// Checks this signature and returns the payload it covers; see [`Sign1::verify`](super::Sign1::verify).
    ///
    /// # Errors
    ///
    /// [`CoseError::Algorithm`] when key and header disagree, [`CoseError::Payload`] when there is no payload
    /// or two, [`CoseError::Unverified`] when the signature is not this key's.
    pub fn verify(
        &self,
        detached: Option<&'a [u8]>,
        external: &[u8],
        key: &dyn Verifier,
    ) -> Result<&'a [u8], CoseError> {
        let payload = structure::one_payload(self.payload, detached)?;
        let signed = Signed {
            context: structure::SIGNATURE,
            protected: self.body,
            signer: Some(self.protected),
            external,
            payload,
        };
        signed.verify(&self.header, self.proof, key)?;
        Ok(payload)
    }
}

/// Signs `content` with each key, under its key id where it has one, and writes the tagged message.
///
/// # Errors
///
/// [`CoseError::Key`] when a key cannot sign, [`CoseError::Buffer`] when the message does not fit: it needs the
/// payload, and for each signer its key id and about 80 bytes.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_core::cose::{Content, Sign, Tagged, sign};
/// use iot_core::sim::ToyKey;
///
/// let (one, two) = (ToyKey::new(1), ToyKey::new(2));
/// let mut buffer = [0; 400];
/// let signers = [(&one as &dyn iot_core::crypto::Signer, None), (&two, Some(&b"two"[..]))];
/// let message = sign(&mut buffer, &signers, Content::Attached(b"open"), &[])?;
/// let received = Sign::decode(message, Tagged::Required)?;
/// let second = received.signatures().nth(1).unwrap()?;
/// assert_eq!(second.verify(None, &[], &two)?, b"open");
/// assert!(second.verify(None, &[], &one).is_err());
/// # }
/// # Ok::<(), iot_core::cose::CoseError>(())
/// ```
pub fn sign<'b>(
    buffer: &'b mut [u8],
    signers: &[(&dyn Signer, Option<&[u8]>)],
    content: Content<'_>,
    external: &[u8],
) -> Result<&'b [u8], CoseError> {
    let bytes = buffer.len();
    let mut failed = Ok(());
    let written = codec::encode_into(buffer, |writer| {
        writer.tag(minicbor::data::Tag::new(TAG))?.array(4)?;
        // Nothing is said by all of them: the zero-length string stands for the empty map.
        writer.bytes(&[])?.map(0)?;
        match content {
            Content::Attached(payload) => writer.bytes(payload)?,
            Content::Detached(_) => writer.null()?,
        };
        writer.array(signers.len() as u64)?;
        for (key, key_id) in signers {
            let mut room = [0; 8];
            let mut signature = Signature::empty();
            let protected =
                match structure::protected(&mut room, Algorithm::of_key(key.algorithm())) {
                    Ok(protected) => protected,
                    Err(error) => {
                        failed = Err(error);
                        return Ok(());
                    }
                };
            let signed = Signed {
                context: structure::SIGNATURE,
                protected: &[],
                signer: Some(protected),
                external,
                payload: content.bytes(),
            };
            let mut done = Ok(());
            signed.with_parts(&mut |parts| done = key.sign(parts, &mut signature));
            if let Err(error) = done {
                failed = Err(CoseError::Key(error));
                return Ok(());
            }
            writer.array(3)?.bytes(protected)?;
            header::write_unprotected(writer, *key_id)?;
            writer.bytes(signature.as_bytes())?;
        }
        Ok(())
    });
    failed?;
    written.map_err(|_| CoseError::Buffer { bytes })
}
