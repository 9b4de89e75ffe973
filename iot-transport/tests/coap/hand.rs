//! An engine that is driven by hand, and a server's messages written by hand.

use iot_core::Instant;
use iot_core::sim::SimEntropy;
use iot_transport::coap::{Fetch, FetchError, Step, Target, Terms};

/// An engine, its randomness, and the time in milliseconds.
pub(crate) struct Hand<const WINDOW: usize, const BLOCK: usize> {
    pub(crate) fetch: Fetch<'static, WINDOW, BLOCK>,
    pub(crate) entropy: SimEntropy,
    pub(crate) now_ms: u64,
}

/// What the engine asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asked {
    pub(crate) datagram: Vec<u8>,
    pub(crate) id: [u8; 2],
    pub(crate) token: [u8; 8],
    pub(crate) offset: u32,
    pub(crate) bytes: u32,
}

impl Asked {
    /// Reads a request as far as this file writes answers to it.
    pub(crate) fn read(datagram: &[u8]) -> Self {
        assert_eq!(
            datagram[..2],
            [0x48, 0x01],
            "a confirmable GET with a token"
        );
        // Block2 follows Uri-Path (11) and comes before Size2 (28), which is empty.
        let (last, block) = datagram.split_last().unwrap();
        assert_eq!(*last, 0x50, "Size2 is 0");
        let path = block
            .windows(5)
            .rposition(|bytes| bytes == b"7.bin")
            .unwrap()
            + 5;
        let len = usize::from(block[path] & 0xf);
        assert_eq!(block[path] >> 4, 12, "Block2");
        assert_eq!(block.len(), path + 1 + len);
        let bits = block[path + 1..]
            .iter()
            .fold(0, |bits, byte| bits << 8 | u32::from(*byte));
        let bytes = 16 << (bits & 7);
        Self {
            datagram: datagram.to_vec(),
            id: datagram[2..4].try_into().unwrap(),
            token: datagram[4..12].try_into().unwrap(),
            offset: (bits >> 4) * bytes,
            bytes,
        }
    }

    /// An answer on the acknowledgement: a code, options as they are written, and a payload.
    pub(crate) fn answer(&self, code: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
        self.message(0x68, code, self.id, options, payload)
    }

    /// An answer as a message of the server's own; `first` is 0x48 when it is confirmable and 0x58 when not.
    pub(crate) fn message(
        &self,
        first: u8,
        code: u8,
        id: [u8; 2],
        options: &[u8],
        payload: &[u8],
    ) -> Vec<u8> {
        let mut datagram = vec![first, code, id[0], id[1]];
        datagram.extend_from_slice(&self.token);
        datagram.extend_from_slice(options);
        if !payload.is_empty() {
            datagram.push(0xff);
            datagram.extend_from_slice(payload);
        }
        datagram
    }

    /// The acknowledgement without an answer.
    pub(crate) fn accepted(&self) -> Vec<u8> {
        vec![0x60, 0, self.id[0], self.id[1]]
    }

    /// The block that was asked for, of an image without a tag.
    pub(crate) fn block(&self, more: bool, payload: &[u8]) -> Vec<u8> {
        self.answer(0x45, &block2(self.offset, self.bytes, more), payload)
    }
}

/// A Block2 option that is the first one.
pub(crate) fn block2(offset: u32, bytes: u32, more: bool) -> Vec<u8> {
    block2_after(0, offset, bytes, more)
}

/// A Block2 option after one with that number.
pub(crate) fn block2_after(before: u8, offset: u32, bytes: u32, more: bool) -> Vec<u8> {
    let exponent = bytes.trailing_zeros() - 4;
    let bits = (offset / bytes) << 4 | u32::from(more) << 3 | exponent;
    let value: Vec<u8> = bits
        .to_be_bytes()
        .into_iter()
        .skip_while(|byte| *byte == 0)
        .collect();
    let mut option = match 23 - before {
        small @ 0..13 => vec![small << 4 | value.len() as u8],
        large => vec![0xd0 | value.len() as u8, large - 13],
    };
    option.extend_from_slice(&value);
    option
}

impl<const WINDOW: usize, const BLOCK: usize> Hand<WINDOW, BLOCK> {
    /// It wants the block at `offset`.
    pub(crate) fn wants(offset: u32) -> Self {
        Self::with(Terms::new(), offset)
    }

    pub(crate) fn with(terms: Terms, offset: u32) -> Self {
        let mut fetch = Fetch::new(Target::new(super::URL).unwrap(), terms);
        fetch.want(Instant::ZERO, offset);
        Self {
            fetch,
            entropy: SimEntropy::new(7),
            now_ms: 0,
        }
    }

    pub(crate) fn want(&mut self, offset: u32) {
        self.fetch.want(Instant::from_millis(self.now_ms), offset);
    }

    /// The next datagram, if one is to be sent now.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, FetchError> {
        let mut room = [0; 128];
        let now = Instant::from_millis(self.now_ms);
        Ok(match self.fetch.step(now, &mut self.entropy, &mut room)? {
            Step::Send(datagram) => Some(datagram.to_vec()),
            _ => None,
        })
    }

    pub(crate) fn asks(&mut self) -> Asked {
        Asked::read(&self.next().unwrap().expect("nothing is sent"))
    }

    pub(crate) fn is_silent(&mut self) -> bool {
        self.next().unwrap().is_none()
    }

    /// A datagram arrives now.
    pub(crate) fn hears(&mut self, datagram: &[u8]) {
        let now = Instant::from_millis(self.now_ms);
        self.fetch.input(Some(now), datagram);
    }

    /// Goes to the next deadline, and says how long that took in milliseconds.
    pub(crate) fn waits(&mut self) -> u64 {
        let next = self
            .fetch
            .next_deadline()
            .expect("it waits for nothing")
            .as_millis();
        let waited = next.saturating_sub(self.now_ms);
        self.now_ms += waited;
        waited
    }
}
