//! The list as CBOR; `denylist.cddl` beside this file describes it.

use alloc::vec::Vec;
use core::convert::Infallible;

use iot_core::{DeviceId, TenantId};
use minicbor::encode::Write;
use minicbor::{Decoder, Encoder};

use super::entry::{CertificateId, Denied};
use super::list::DenyList;
use crate::key::KeyHash;

const FORMAT: u8 = 1;

/// The bytes are no deny-list of a known format, in its one encoding.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("not a deny-list of format {FORMAT}")]
#[non_exhaustive]
pub struct DecodeError;

impl From<minicbor::decode::Error> for DecodeError {
    fn from(_: minicbor::decode::Error) -> Self {
        Self
    }
}

impl DenyList {
    /// Encodes the list; equal lists have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Bytes(Vec::new());
        let written = write(self, &mut Encoder::new(&mut out));
        debug_assert!(written.is_ok(), "growing a vector cannot fail");
        out.0
    }

    /// Decodes a list.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] for anything but what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut input = Decoder::new(bytes);
        if input.array()? != Some(3) || input.u8()? != FORMAT {
            return Err(DecodeError);
        }
        let mut list = Self::new(input.u64()?);
        let count = input.array()?.ok_or(DecodeError)?;
        for _ in 0..count {
            let entry = entry(&mut input)?;
            // In order and without doubles: one list has one encoding, so its bytes can be signed.
            if list.entries.last().is_some_and(|last| *last >= entry) {
                return Err(DecodeError);
            }
            list.entries.insert(entry);
        }
        (list.encode() == bytes).then_some(list).ok_or(DecodeError)
    }
}

fn write(
    list: &DenyList,
    out: &mut Encoder<&mut Bytes>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    out.array(3)?.u8(FORMAT)?.u64(list.version)?;
    out.array(list.entries.len() as u64)?;
    for entry in &list.entries {
        match entry {
            Denied::Device(tenant, device) => out
                .array(3)?
                .u8(0)?
                .str(tenant.as_str())?
                .str(device.as_str())?,
            Denied::Key(hash) => out.array(2)?.u8(1)?.bytes(hash.as_bytes())?,
            Denied::Certificate(id) => out
                .array(3)?
                .u8(2)?
                .bytes(id.issuer())?
                .bytes(id.serial())?,
        };
    }
    Ok(())
}

fn entry(input: &mut Decoder<'_>) -> Result<Denied, DecodeError> {
    let len = input.array()?;
    match (input.u8()?, len) {
        (0, Some(3)) => {
            let tenant = TenantId::new(input.str()?).map_err(|_| DecodeError)?;
            let device = DeviceId::new(input.str()?).map_err(|_| DecodeError)?;
            Ok(Denied::Device(tenant, device))
        }
        (1, Some(2)) => Ok(Denied::Key(KeyHash::new(digest(input)?))),
        (2, Some(3)) => {
            let issuer = digest(input)?;
            let id = CertificateId::new(issuer, input.bytes()?).ok_or(DecodeError)?;
            Ok(Denied::Certificate(id))
        }
        _ => Err(DecodeError),
    }
}

fn digest(input: &mut Decoder<'_>) -> Result<[u8; 32], DecodeError> {
    input.bytes()?.try_into().map_err(|_| DecodeError)
}

struct Bytes(Vec<u8>);

impl Write for Bytes {
    type Error = Infallible;
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_entry() -> impl Strategy<Value = Denied> {
        prop_oneof![
            ("[a-z0-9]{1,9}", "[a-z0-9]{1,64}").prop_map(|(tenant, device)| Denied::Device(
                TenantId::new(&tenant).unwrap(),
                DeviceId::new(&device).unwrap()
            )),
            any::<[u8; 32]>().prop_map(|hash| Denied::Key(KeyHash::new(hash))),
            (
                any::<[u8; 32]>(),
                proptest::collection::vec(any::<u8>(), 1..=20)
            )
                .prop_map(|(issuer, serial)| Denied::Certificate(
                    CertificateId::new(issuer, &serial).unwrap()
                )),
        ]
    }

    proptest! {
        #[test]
        fn a_list_survives_its_encoding(version: u64, entries in proptest::collection::vec(any_entry(), 0..20)) {
            let mut list = DenyList::new(version);
            entries.into_iter().for_each(|entry| { list.insert(entry); });
            prop_assert_eq!(DenyList::decode(&list.encode()), Ok(list));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(list) = DenyList::decode(&bytes) {
                prop_assert_eq!(list.encode(), bytes);
            }
        }
    }

    #[test]
    fn a_list_that_promises_more_than_it_holds_is_refused_without_reserving_room() {
        let bytes = [
            0x83, 1, 7, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ];
        assert_eq!(DenyList::decode(&bytes), Err(DecodeError));
    }
}
