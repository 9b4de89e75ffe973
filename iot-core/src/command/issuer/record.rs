//! The records of an issuer: one header with the next sequence, and one per command under way.

use core::time::Duration;

use minicbor::decode::Error;

use super::{Phase, Slot, Terms};
use crate::command::cbor;
use crate::command::class::Command;
use crate::id::{CommandId, IssuerId};
use crate::time::Timestamp;

const VERSION: u8 = 1;

pub(super) fn encode_header(epoch: u32, next: u64, buffer: &mut [u8]) -> Option<usize> {
    cbor::fill(buffer, |out| {
        out.encode((VERSION, epoch, next))?;
        Ok(())
    })
}

pub(super) fn decode_header(bytes: &[u8]) -> Option<(u32, u64)> {
    let (version, epoch, next) = cbor::whole::<(u8, u32, u64)>(bytes)?;
    (version == VERSION).then_some((epoch, next))
}

impl<C: Command> Slot<C> {
    pub(super) fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        cbor::fill(buffer, |out| {
            out.array(6)?.u8(VERSION)?.u32(self.id.epoch)?;
            out.u64(self.id.sequence)?
                .encode(self.terms.expires.map(Timestamp::as_millis))?;
            let patience = u64::try_from(self.terms.patience.as_millis()).unwrap_or(u64::MAX);
            out.u64(patience)?.encode(&self.command)?;
            Ok(())
        })
    }

    /// Reads a command that was under way; its phase is for the caller to set.
    pub(super) fn decode(issuer: IssuerId, bytes: &[u8]) -> Option<Self> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let mut head = || -> Result<_, Error> {
            let head = (cbor::array(&mut decoder)?, decoder.u8()?);
            let id = CommandId::new(issuer, decoder.u32()?, decoder.u64()?);
            let terms = Terms {
                expires: cbor::optional_u64(&mut decoder)?.map(Timestamp::from_millis),
                patience: Duration::from_millis(decoder.u64()?),
            };
            Ok((head, id, terms))
        };
        let (head, id, terms) = head().ok()?;
        let command = cbor::whole(cbor::rest(&decoder))?;
        (head == (6, VERSION)).then_some(Self {
            id,
            command,
            terms,
            phase: Phase::Fresh,
        })
    }
}
