//! What a response says of the image.

use super::block::Block;
use super::code::Code;
use super::error::FetchError;
use super::message::Message;
use super::number::{BLOCK2, ETAG, SIZE2, is_critical};

/// What a response says, whoever it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'d> {
    pub(super) block: Option<Block>,
    pub(super) tag: Option<Tag>,
    pub(super) size: Option<u32>,
    pub(super) payload: &'d [u8],
}

/// An entity tag, 1 to 8 bytes (RFC 7252 §5.10.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Tag {
    bytes: [u8; 8],
    len: usize,
}

impl Tag {
    /// `None` when the value is no tag.
    pub(super) fn new(value: &[u8]) -> Option<Self> {
        let mut bytes = [0; 8];
        bytes.get_mut(..value.len())?.copy_from_slice(value);
        (!value.is_empty()).then_some(Self {
            bytes,
            len: value.len(),
        })
    }
}

impl<'d> Answer<'d> {
    /// Reads the options of a response.
    ///
    /// One of a length that it cannot have, and the second of one that comes once, are like unknown ones (RFC 7252
    /// §5.4.3, §5.4.5); unknown ones are ignored when they are elective, and else the response is refused (§5.4.1).
    pub(super) fn read(message: &Message<'d>) -> Result<Self, FetchError> {
        let mut answer = Self {
            block: None,
            tag: None,
            size: None,
            payload: message.payload,
        };
        for (number, value) in message.options.clone() {
            match number {
                ETAG if answer.tag.is_none() => answer.tag = Tag::new(value),
                SIZE2 if answer.size.is_none() => answer.size = uint(value),
                BLOCK2 if answer.block.is_none() && value.len() <= 3 => {
                    // A reserved size is no unknown option but a wrong one.
                    answer.block = Some(Block::read(value).ok_or(FetchError::Answer)?);
                }
                number if is_critical(number) => return Err(FetchError::Option { number }),
                _ => {}
            }
        }
        match message.code {
            Code::CONTENT => Ok(answer),
            code => Err(FetchError::Refused { code }),
        }
    }
}

/// A number of up to four bytes (RFC 7252 §3.2).
fn uint(value: &[u8]) -> Option<u32> {
    let bits = |bits, byte: &u8| bits << 8 | u32::from(*byte);
    (value.len() <= 4).then(|| value.iter().fold(0, bits))
}
