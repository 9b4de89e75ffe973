//! A message as it is sent (RFC 7252 §3).

use super::code::Code;
use super::message::Kind;

/// Writes one message into a buffer; options come in rising order.
#[derive(Debug)]
pub(super) struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
    number: u16,
    fits: bool,
}

impl<'b> Writer<'b> {
    pub(super) fn new(buffer: &'b mut [u8], kind: Kind, code: Code, id: u16, token: &[u8]) -> Self {
        let mut writer = Self {
            buffer,
            at: 0,
            number: 0,
            fits: true,
        };
        // A token has at most eight bytes.
        let token_bytes = u8::try_from(token.len()).unwrap_or_default();
        writer.byte(1 << 6 | kind.bits() << 4 | token_bytes);
        writer.byte(code.byte());
        writer.bytes(id.to_be_bytes());
        writer.bytes(token.iter().copied());
        writer
    }

    /// One option, whose number is not below that of the one before.
    pub(super) fn option(&mut self, number: u16, value: impl Iterator<Item = u8> + Clone) {
        let delta = number.checked_sub(self.number);
        let len = u16::try_from(value.clone().count());
        let (Some(delta), Ok(len)) = (delta, len) else {
            self.fits = false;
            return;
        };
        self.number = number;
        self.byte(nibble(delta) << 4 | nibble(len));
        self.extend(delta);
        self.extend(len);
        self.bytes(value);
    }

    /// One option whose value is a number in as few bytes as it takes (RFC 7252 §3.2).
    pub(super) fn uint(&mut self, number: u16, value: u32) {
        let bytes = value.to_be_bytes();
        self.option(number, bytes.into_iter().skip_while(|byte| *byte == 0));
    }

    /// The payload, which comes last.
    #[cfg(any(test, feature = "sim"))]
    pub(super) fn payload(&mut self, payload: &[u8]) {
        if !payload.is_empty() {
            self.byte(0xff);
            self.bytes(payload.iter().copied());
        }
    }

    /// The message, if it fits.
    pub(super) fn finish(self) -> Option<&'b [u8]> {
        let Self { buffer, at, .. } = self;
        buffer.get(..at).filter(|_| self.fits)
    }

    fn extend(&mut self, value: u16) {
        match value {
            0..13 => {}
            13..269 => self.bytes((value - 13).to_be_bytes().into_iter().skip(1)),
            269.. => self.bytes((value - 269).to_be_bytes()),
        }
    }

    fn bytes(&mut self, bytes: impl IntoIterator<Item = u8>) {
        for byte in bytes {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        match self.buffer.get_mut(self.at) {
            Some(place) => {
                *place = byte;
                self.at += 1;
            }
            None => self.fits = false,
        }
    }
}

/// A delta or length, or what says how many bytes extend it (RFC 7252 §3.1).
fn nibble(value: u16) -> u8 {
    match value {
        0..13 => value.to_be_bytes()[1],
        13..269 => 13,
        269.. => 14,
    }
}
