//! The records of an inbox: one header per issuer, and one entry per kept command.
//!
//! Both begin with the version of their format. A header says what has ended; an entry says how far one
//! command came. They are always written in one batch, so that no cut separates "ended" from "how".

use minicbor::decode::Error;

use super::cbor::{self, Out, Written};
use super::envelope::Fingerprint;
use super::outcome::Outcome;
use super::window::Window;
use crate::id::{CommandId, IssuerId};

const VERSION: u8 = 1;
/// Version 1 of the header did not say for which sizes it was written.
const HEADER_VERSION: u8 = 2;

/// The sizes of the inbox that wrote a header: they decide where each record lies and how far it speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    pub(super) issuers: u8,
    pub(super) window: u16,
    pub(super) results: u8,
}

impl Shape {
    /// Whether an inbox of this shape sees all that one of `written` left. Another number of results moves
    /// the records of every issuer but the first; fewer issuers, or a narrower window, hide what has ended.
    pub(super) const fn reads(self, written: Self) -> bool {
        written.results == self.results
            && written.issuers <= self.issuers
            && written.window <= self.window
    }
}

/// What must survive about an issuer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Header<const WINDOW: usize> {
    pub(super) issuer: IssuerId,
    pub(super) epoch: u32,
    pub(super) window: Window<WINDOW>,
}

impl<const WINDOW: usize> Header<WINDOW> {
    pub(super) fn encode(&self, shape: Shape, buffer: &mut [u8]) -> Option<usize> {
        cbor::fill(buffer, |out| {
            let out = out.array(8)?.u8(HEADER_VERSION)?.u8(shape.issuers)?;
            let out = out.u16(shape.window)?.u8(shape.results)?;
            let out = out.u32(self.issuer.get())?;
            let out = out.u32(self.epoch)?.u64(self.window.floor())?;
            out.encode(self.window.ended())?;
            Ok(())
        })
    }

    /// Reads a header, with the shape of the inbox that wrote it.
    pub(super) fn decode(bytes: &[u8]) -> Option<(Self, Shape)> {
        let (version, issuers, window, results, issuer, epoch, floor, ended) =
            cbor::whole::<(u8, u8, u16, u8, u32, u32, u64, [u64; 4])>(bytes)?;
        let shape = Shape {
            issuers,
            window,
            results,
        };
        let header = Self {
            issuer: IssuerId::new(issuer),
            epoch,
            window: Window::from_parts(floor, ended),
        };
        (version == HEADER_VERSION).then_some((header, shape))
    }
}

/// How far a command came, as far as the record says.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mark<C> {
    /// Its handler may have begun; with the command where it may have to run again.
    Started(Option<C>),
    /// It has ended.
    Ended(Outcome),
}

/// The record of one command.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry<C> {
    pub(super) id: CommandId,
    pub(super) fingerprint: Fingerprint,
    pub(super) mark: Mark<C>,
}

impl<C: minicbor::Encode<()> + for<'b> minicbor::Decode<'b, ()>> Entry<C> {
    pub(super) fn encode(&self, buffer: &mut [u8]) -> Option<usize> {
        cbor::fill(buffer, |out| {
            out.array(7)?.u8(VERSION)?.u32(self.id.issuer.get())?;
            out.u32(self.id.epoch)?.u64(self.id.sequence)?;
            out.u64(self.fingerprint.get())?;
            self.mark.encode(out)
        })
    }

    /// Reads an entry; `None` when it is none. A started command that this firmware no longer knows is
    /// read as one that cannot be run again.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut decoder = minicbor::Decoder::new(bytes);
        let mut head = || -> Result<_, Error> {
            let items = cbor::array(&mut decoder)?;
            let version = decoder.u8()?;
            let issuer = IssuerId::new(decoder.u32()?);
            let id = CommandId::new(issuer, decoder.u32()?, decoder.u64()?);
            let fingerprint = Fingerprint::new(decoder.u64()?);
            Ok((items, version, id, fingerprint, decoder.u8()?))
        };
        let (items, version, id, fingerprint, mark) = head().ok()?;
        if (items, version) != (7, VERSION) {
            return None;
        }
        let mark = match mark {
            STARTED => Mark::Started(cbor::whole::<C>(cbor::rest(&decoder))),
            ENDED => Mark::Ended(Outcome::decode_whole(&mut decoder).ok()?),
            _ => return None,
        };
        Some(Self {
            id,
            fingerprint,
            mark,
        })
    }
}

const STARTED: u8 = 0;
const ENDED: u8 = 1;

impl<C: minicbor::Encode<()>> Mark<C> {
    fn encode(&self, out: &mut Out<'_>) -> Written {
        match self {
            Self::Started(command) => out.u8(STARTED)?.encode(command).map(drop),
            Self::Ended(outcome) => outcome.encode(out.u8(ENDED)?),
        }
    }
}
