//! What travels between device and registrar.

use iot_core::codec::{CodecError, EncodeError, Limits, check, encode_into};
use minicbor::Decoder;

const FORMAT: u8 = 1;
const MAX_CSR_BYTES: usize = 2_048;
const MAX_CERTIFICATE_BYTES: usize = 2_048;
const MAX_CERTIFICATES: usize = 4;
const LIMITS: Limits = Limits::new(MAX_CERTIFICATES * MAX_CERTIFICATE_BYTES + 64, 2, 16);

/// The bytes are no enrolment message of a known format.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WireError {
    /// They are not deterministic CBOR within the limits.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The format's number is another one.
    #[error("the message is not of format {FORMAT}: update the older side")]
    Format,
    /// A field is missing, of another type or out of range.
    #[error("the message's fields are not those of an enrolment message")]
    Shape,
}

impl From<minicbor::decode::Error> for WireError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self::Shape
    }
}

/// Why a registrar gave no certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// The request is malformed or not signed by its own key.
    #[error("the request is malformed or not signed by its own key")]
    Request,
    /// The request names another device than the one that sent it.
    #[error("the request names another device than the one that sent it")]
    OtherDevice,
    /// The device or its key is revoked.
    #[error("the device or its key is revoked")]
    Revoked,
    /// Peers of this role, or of this tenant, do not enrol here.
    #[error("the peer may not enrol here")]
    NotAllowed,
    /// The device holds as many valid certificates as it may.
    #[error("the device holds too many certificates: wait until one has expired")]
    TooMany,
    /// The registrar cannot answer now.
    #[error("the registrar cannot answer now: ask again later")]
    Later,
}

impl Refusal {
    const ALL: [(u8, Self); 6] = [
        (1, Self::Request),
        (2, Self::OtherDevice),
        (3, Self::Revoked),
        (4, Self::NotAllowed),
        (5, Self::TooMany),
        (6, Self::Later),
    ];

    /// Whether asking again as before can never help.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Later | Self::TooMany)
    }

    fn code(self) -> u8 {
        let found = Self::ALL.iter().find(|(_, refusal)| *refusal == self);
        found.map_or(0, |&(code, _)| code)
    }

    fn from_code(code: u8) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| *known == code);
        found.map(|&(_, refusal)| refusal)
    }
}

/// A device asks for a certificate.
///
/// ```
/// use iot_identity::enrol::Request;
/// let mut buffer = [0; 16];
/// let request = Request::new(7, b"a CSR");
/// assert_eq!(Request::decode(request.encode(&mut buffer)?)?, request);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Request<'a> {
    /// The device's number for this attempt.
    pub number: u32,
    /// The certification request in DER.
    pub csr: &'a [u8],
}

impl<'a> Request<'a> {
    /// Puts a request together.
    #[must_use]
    pub const fn new(number: u32, csr: &'a [u8]) -> Self {
        Self { number, csr }
    }

    /// Encodes it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        encode_into(buffer, |out| {
            out.array(3)?
                .u8(FORMAT)?
                .u32(self.number)?
                .bytes(self.csr)?;
            Ok(())
        })
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut input = open(bytes, 3)?;
        let number = input.u32()?;
        let csr = input.bytes()?;
        if csr.is_empty() || csr.len() > MAX_CSR_BYTES {
            return Err(WireError::Shape);
        }
        Ok(Self { number, csr })
    }
}

/// What a registrar answers.
///
/// ```
/// use iot_identity::enrol::{Answer, Refusal};
/// let mut buffer = [0; 16];
/// let answer = Answer::refused(7, Refusal::Revoked);
/// assert_eq!(Answer::decode(answer.encode(&mut buffer)?)?, answer);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Answer<'a> {
    number: u32,
    outcome: Result<Chain<'a>, Refusal>,
}

impl<'a> Answer<'a> {
    /// A refusal of the request with this number.
    #[must_use]
    pub const fn refused(number: u32, refusal: Refusal) -> Self {
        Self {
            number,
            outcome: Err(refusal),
        }
    }

    /// The number of the request it answers.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The certificates, the device's own first.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], when that is what the answer is.
    pub fn certificates(&self) -> Result<impl Iterator<Item = &'a [u8]> + use<'a>, Refusal> {
        self.outcome.map(Chain::iter)
    }

    pub(crate) const fn outcome(&self) -> Result<Chain<'a>, Refusal> {
        self.outcome
    }

    /// Encodes it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        encode_into(buffer, |out| {
            out.array(3)?.u8(FORMAT)?.u32(self.number)?;
            match self.outcome {
                Ok(chain) => {
                    out.array(chain.iter().count() as u64)?;
                    chain.iter().try_for_each(|one| out.bytes(one)?.ok())
                }
                Err(refusal) => out.u8(refusal.code())?.ok(),
            }
        })
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`WireError`] with the first thing that is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut input = open(bytes, 3)?;
        let number = input.u32()?;
        let outcome = match input.datatype()? {
            minicbor::data::Type::Array => Ok(Chain::read(bytes, &mut input)?),
            _ => Err(Refusal::from_code(input.u8()?).ok_or(WireError::Shape)?),
        };
        Ok(Self { number, outcome })
    }
}

/// One to four certificates, still encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(crate) struct Chain<'a> {
    array: &'a [u8],
}

impl<'a> Chain<'a> {
    pub(crate) fn read(bytes: &'a [u8], input: &mut Decoder<'a>) -> Result<Self, WireError> {
        let start = input.position();
        let count = input.array()?.ok_or(WireError::Shape)?;
        if !(1..=MAX_CERTIFICATES as u64).contains(&count) {
            return Err(WireError::Shape);
        }
        for _ in 0..count {
            let len = input.bytes()?.len();
            if len == 0 || len > MAX_CERTIFICATE_BYTES {
                return Err(WireError::Shape);
            }
        }
        let array = bytes.get(start..input.position());
        Ok(Self {
            array: array.ok_or(WireError::Shape)?,
        })
    }

    /// The encoded array, for a record.
    pub(crate) const fn as_bytes(&self) -> &'a [u8] {
        self.array
    }

    /// From an encoded array that was checked before.
    pub(crate) fn from_bytes(array: &'a [u8]) -> Option<Self> {
        Self::read(array, &mut Decoder::new(array)).ok()
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut input = Decoder::new(self.array);
        let count = input.array().ok().flatten().unwrap_or(0);
        (0..count).map_while(move |_| input.bytes().ok())
    }
}

/// Checks the whole input and enters its outer array, past the format's number.
pub(crate) fn open(bytes: &[u8], fields: u64) -> Result<Decoder<'_>, WireError> {
    check(bytes, LIMITS)?;
    let mut input = Decoder::new(bytes);
    if input.array()? != Some(fields) {
        return Err(WireError::Shape);
    }
    if input.u8()? != FORMAT {
        return Err(WireError::Format);
    }
    Ok(input)
}

#[cfg(any(feature = "cert", feature = "sim"))]
pub(crate) use encode_chain::granted;

#[cfg(any(feature = "cert", feature = "sim"))]
mod encode_chain {
    use alloc::vec::Vec;

    use super::{FORMAT, MAX_CERTIFICATE_BYTES, encode_into};

    /// The answer that grants these certificates; `None` when they are more or longer than a device takes.
    pub(crate) fn granted(number: u32, chain: &[&[u8]]) -> Option<Vec<u8>> {
        let fits = |one: &&[u8]| (1..=MAX_CERTIFICATE_BYTES).contains(&one.len());
        if !(1..=super::MAX_CERTIFICATES).contains(&chain.len()) || !chain.iter().all(fits) {
            return None;
        }
        let room = chain
            .iter()
            .map(|one| one.len().saturating_add(3))
            .sum::<usize>();
        let mut buffer = alloc::vec![0; room.saturating_add(16)];
        let bytes = encode_into(&mut buffer, |out| {
            out.array(3)?.u8(FORMAT)?.u32(number)?;
            out.array(chain.len() as u64)?;
            chain.iter().try_for_each(|one| out.bytes(one)?.ok())
        });
        bytes.ok().map(<[u8]>::to_vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn grant(number: u32, chain: &[Vec<u8>]) -> Vec<u8> {
        let mut buffer = [0; 4_096];
        let bytes = encode_into(&mut buffer, |out| {
            out.array(3)?
                .u8(1)?
                .u32(number)?
                .array(chain.len() as u64)?;
            chain.iter().try_for_each(|one| out.bytes(one)?.ok())
        });
        bytes.unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn requests_and_answers_survive_their_encoding(
            number: u32,
            csr in proptest::collection::vec(any::<u8>(), 1..400),
            chain in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..400), 1..=4),
            code in 1..=6u8,
        ) {
            let mut buffer = [0; 4_096];
            let request = Request::new(number, &csr);
            prop_assert_eq!(Request::decode(request.encode(&mut buffer).unwrap()), Ok(request));

            let refused = Answer::refused(number, Refusal::from_code(code).unwrap());
            prop_assert_eq!(Answer::decode(refused.encode(&mut buffer).unwrap()), Ok(refused));

            let bytes = grant(number, &chain);
            let answer = Answer::decode(&bytes).unwrap();
            prop_assert!(answer.certificates().unwrap().eq(chain.iter().map(Vec::as_slice)));
            prop_assert_eq!(answer.encode(&mut buffer).unwrap(), &bytes);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = (Request::decode(&bytes), Answer::decode(&bytes), Chain::from_bytes(&bytes));
            let inside = [&[0x83, 1, 7][..], &bytes].concat();
            let _ = (Request::decode(&inside), Answer::decode(&inside));
        }
    }

    #[test]
    fn limits_and_formats_are_enforced() {
        let bytes = grant(7, &alloc::vec![alloc::vec![1; 2]; 5]);
        assert_eq!(Answer::decode(&bytes), Err(WireError::Shape));
        assert_eq!(Answer::decode(&[0x83, 1, 7, 0x80]), Err(WireError::Shape));
        assert_eq!(Answer::decode(&[0x83, 1, 7, 9]), Err(WireError::Shape));
        assert_eq!(Answer::decode(&[0x83, 2, 7, 1]), Err(WireError::Format));
        assert_eq!(Request::decode(&[0x83, 1, 7, 0x40]), Err(WireError::Shape));
    }
}
