//! Commands written, responses read.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::code::{Failure, Fault};

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
const PASSWORD: u32 = 0x4000_0009;

// Room for every command of ours, so that none moves and leaves a password behind.
const COMMAND_BYTES: usize = 1024;

/// A command under construction; it is wiped, for it may carry a password.
pub(super) struct Command {
    bytes: Zeroizing<Vec<u8>>,
}

impl Command {
    pub(super) fn new(code: u32) -> Self {
        let mut bytes = Zeroizing::new(Vec::with_capacity(COMMAND_BYTES));
        bytes.extend(NO_SESSIONS.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(code.to_be_bytes());
        Self { bytes }
    }

    pub(super) fn u16(mut self, value: u16) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    pub(super) fn u32(mut self, value: u32) -> Self {
        self.bytes.extend(value.to_be_bytes());
        self
    }

    /// A `TPM2B`: its length, then its bytes. One that does not fit makes a command that no TPM takes.
    pub(super) fn sized(mut self, bytes: &[u8]) -> Self {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.bytes.extend(length.to_be_bytes());
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Ends the handles with an authorization by password (Part 1 §19.4, Part 2 §10.13.2).
    pub(super) fn password(mut self, password: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().zip(SESSIONS.to_be_bytes()) {
            *to = from;
        }
        // A handle, an empty nonce, one byte of attributes and the password with its length.
        let size = u32::try_from(password.len()).unwrap_or(u32::MAX);
        self = self.u32(size.saturating_add(9)).u32(PASSWORD).u16(0);
        self.bytes.push(0);
        self.sized(password)
    }

    pub(super) fn finish(mut self) -> Zeroizing<Vec<u8>> {
        let size = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        for (to, from) in self.bytes.iter_mut().skip(2).zip(size.to_be_bytes()) {
            *to = from;
        }
        self.bytes
    }

    pub(super) fn has_sessions(command: &[u8]) -> bool {
        command.starts_with(&SESSIONS.to_be_bytes())
    }
}

/// What is left to read.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Fault::Response)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Fault> {
        let byte = self.take(1)?.first().copied();
        byte.ok_or(Fault::Response)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Fault> {
        let bytes = self.take(2)?.try_into().map_err(|_| Fault::Response)?;
        Ok(u16::from_be_bytes(bytes))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        let bytes = self.take(4)?.try_into().map_err(|_| Fault::Response)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A `TPM2B` of at most `most` bytes.
    pub(super) fn sized(&mut self, most: usize) -> Result<&'a [u8], Fault> {
        let length = usize::from(self.u16()?);
        if length > most {
            return Err(Fault::Response);
        }
        self.take(length)
    }

    /// The value `wanted`, and no other.
    pub(super) fn expect(&mut self, wanted: u16) -> Result<(), Fault> {
        let so = self.u16()? == wanted;
        so.then_some(()).ok_or(Fault::Response)
    }

    pub(super) const fn end(&self) -> Result<(), Fault> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Fault::Response)
        }
    }
}

/// A response without its header.
pub(super) struct Response<'a> {
    body: Reader<'a>,
    sessions: bool,
}

impl<'a> Response<'a> {
    /// Takes the header off (Part 1 §18); a code other than success is a failure.
    pub(super) fn parse(bytes: &'a [u8], sessions: bool) -> Result<Self, Failure> {
        let mut body = Reader::new(bytes);
        let (tag, size, code) = (body.u16()?, body.u32()?, body.u32()?);
        if usize::try_from(size) != Ok(bytes.len()) {
            return Err(Fault::Response.into());
        }
        if code != 0 {
            return Err(Failure::Code(code));
        }
        if tag != if sessions { SESSIONS } else { NO_SESSIONS } {
            return Err(Fault::Response.into());
        }
        Ok(Self { body, sessions })
    }

    pub(super) fn handle(&mut self) -> Result<u32, Fault> {
        self.body.u32()
    }

    /// The parameters; behind them must be what belongs there and nothing else.
    pub(super) fn parameters(mut self) -> Result<Reader<'a>, Fault> {
        if !self.sessions {
            return Ok(self.body);
        }
        let size = self.body.u32()?;
        let size = usize::try_from(size).map_err(|_| Fault::Response)?;
        let parameters = self.body.take(size)?;
        // A password's answer: an empty nonce, attributes, an empty HMAC (Part 1 §19.4).
        self.body.sized(0)?;
        self.body.u8()?;
        self.body.sized(0)?;
        self.body.end()?;
        Ok(Reader::new(parameters))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_command_states_its_size_and_its_sessions() {
        let plain = Command::new(0x173).u32(0x8130_0000).finish();
        assert_eq!(
            plain.as_slice(),
            [0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x73, 0x81, 0x30, 0, 0]
        );
        assert!(!Command::has_sessions(&plain));
        let guarded = Command::new(0x15d).u32(1).password(b"pw").finish();
        assert_eq!(
            guarded.as_slice(),
            [
                0x80, 2, 0, 0, 0, 29, 0, 0, 1, 0x5d, 0, 0, 0, 1, 0, 0, 0, 11, 0x40, 0, 0, 9, 0, 0,
                0, 0, 2, b'p', b'w'
            ]
        );
        assert!(Command::has_sessions(&guarded));
    }

    #[test]
    fn a_response_of_another_size_or_tag_is_refused() {
        let good = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];
        assert!(Response::parse(&good, false).is_ok());
        assert!(Response::parse(&good, true).is_err());
        for size in [9, 11] {
            let mut bad = good;
            bad[5] = size;
            assert!(Response::parse(&bad, false).is_err());
        }
        let refused = [0x80, 1, 0, 0, 0, 10, 0, 0, 9, 2];
        let failure = Response::parse(&refused, true).err().unwrap();
        assert!(matches!(failure, Failure::Code(0x902)));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), sessions: bool, handle: bool,
        ) {
            if let Ok(mut response) = Response::parse(&bytes, sessions) {
                if handle {
                    let _ = response.handle();
                }
                if let Ok(mut rest) = response.parameters() {
                    let _ = (rest.sized(64), rest.u8(), rest.end());
                }
            }
        }

        #[test]
        fn parameters_survive(parameters in proptest::collection::vec(any::<u8>(), 0..100), handle: u32) {
            let size = u32::try_from(parameters.len()).unwrap();
            let body = [&handle.to_be_bytes()[..], &size.to_be_bytes(), &parameters, &[0, 0, 1, 0, 0]].concat();
            let whole = u32::try_from(body.len() + 10).unwrap();
            let bytes = [&[0x80, 2][..], &whole.to_be_bytes(), &[0; 4], &body].concat();
            let mut response = Response::parse(&bytes, true).ok().unwrap();
            prop_assert_eq!(response.handle(), Ok(handle));
            let mut rest = response.parameters().unwrap();
            prop_assert_eq!(rest.take(parameters.len()).unwrap(), parameters);
            prop_assert!(rest.end().is_ok());
        }
    }
}
