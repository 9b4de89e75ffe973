//! A message as it arrives (RFC 7252 §3), read in place.

use super::code::Code;

/// The longest token (RFC 7252 §3).
const MAX_TOKEN_BYTES: usize = 8;
const PAYLOAD_MARKER: u8 = 0xff;

/// The type of a message (RFC 7252 §4).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Confirmable,
    NonConfirmable,
    Acknowledgement,
    Reset,
}

impl Kind {
    const fn of(first: u8) -> Self {
        match (first >> 4) & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    pub(super) const fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

/// A message whose form was checked whole.
#[derive(Clone, Debug)]
pub(super) struct Message<'d> {
    pub(super) kind: Kind,
    pub(super) code: Code,
    pub(super) id: u16,
    pub(super) token: &'d [u8],
    pub(super) options: Options<'d>,
    pub(super) payload: &'d [u8],
}

/// No message, or one of another version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Malformed {
    /// The message id, when it has to be rejected (RFC 7252 §4.2).
    pub(super) rejected: Option<u16>,
}

impl<'d> Message<'d> {
    /// Reads a whole datagram.
    pub(super) fn decode(datagram: &'d [u8]) -> Result<Self, Malformed> {
        let Some((&[first, code, high, low], rest)) = datagram.split_first_chunk() else {
            return Err(Malformed { rejected: None });
        };
        // "Messages with unknown version numbers MUST be silently ignored" (§3).
        if first >> 6 != 1 {
            return Err(Malformed { rejected: None });
        }
        let (kind, code) = (Kind::of(first), Code::new(code));
        let id = u16::from_be_bytes([high, low]);
        let malformed = Malformed {
            rejected: (kind == Kind::Confirmable).then_some(id),
        };
        let token_bytes = usize::from(first & 0xf);
        // "The Token Length field MUST be set to 0 and bytes of data MUST NOT be present after the Message ID" (§4.1).
        if token_bytes > MAX_TOKEN_BYTES || code == Code::EMPTY && datagram.len() != 4 {
            return Err(malformed);
        }
        let (token, body) = rest.split_at_checked(token_bytes).ok_or(malformed)?;
        let (options, payload) = Options::split(body).ok_or(malformed)?;
        Ok(Self {
            kind,
            code,
            id,
            token,
            options,
            payload,
        })
    }
}

/// The options of a message in rising order, each a number and a value.
#[derive(Clone, Debug)]
pub(super) struct Options<'d> {
    rest: &'d [u8],
    number: u16,
}

impl<'d> Options<'d> {
    /// Walks over all of them, and returns what follows the payload marker.
    fn split(body: &'d [u8]) -> Option<(Self, &'d [u8])> {
        let whole = Self {
            rest: body,
            number: 0,
        };
        let mut walk = whole.clone();
        loop {
            match *walk.rest {
                [] => return Some((whole, &[])),
                // "The presence of a marker followed by a zero-length payload MUST be processed as a message format
                // error" (§3).
                [PAYLOAD_MARKER] => return None,
                [PAYLOAD_MARKER, ..] => return Some((whole, walk.rest.get(1..)?)),
                _ => _ = walk.one()?,
            }
        }
    }

    fn one(&mut self) -> Option<(u16, &'d [u8])> {
        let (&head, rest) = self.rest.split_first()?;
        let (delta, rest) = extended(head >> 4, rest)?;
        let (len, rest) = extended(head & 0xf, rest)?;
        let (value, rest) = rest.split_at_checked(usize::from(len))?;
        self.number = self.number.checked_add(delta)?;
        self.rest = rest;
        Some((self.number, value))
    }
}

impl<'d> Iterator for Options<'d> {
    type Item = (u16, &'d [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self.rest.first() {
            None | Some(&PAYLOAD_MARKER) => None,
            Some(_) => self.one(),
        }
    }
}

/// A delta or length of four bits and what extends it (RFC 7252 §3.1); 15 is reserved.
fn extended(nibble: u8, rest: &[u8]) -> Option<(u16, &[u8])> {
    match nibble {
        13 => {
            let (&more, rest) = rest.split_first()?;
            Some((u16::from(more) + 13, rest))
        }
        14 => {
            let (&more, rest) = rest.split_first_chunk()?;
            Some((u16::from_be_bytes(more).checked_add(269)?, rest))
        }
        15 => None,
        small => Some((u16::from(small), rest)),
    }
}

#[cfg(test)]
mod tests;
