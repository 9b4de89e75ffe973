//! A selector on the wire and in storage; `fleet.cddl` describes it.

use minicbor::decode::{Decode, Decoder, Error};
use minicbor::encode::{self, Encode, Encoder, Write};

use super::Selector;

const VERSION: u8 = 1;

impl<C, const TESTS: usize, const BYTES: usize> Encode<C> for Selector<TESTS, BYTES> {
    fn encode<W: Write>(
        &self,
        encoder: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        encoder.array(2)?.u8(VERSION)?.str(self.as_str())?.ok()
    }
}

/// Fails on another version, on what is no selector of this size, and on any but the canonical text.
impl<'b, C, const TESTS: usize, const BYTES: usize> Decode<'b, C> for Selector<TESTS, BYTES> {
    fn decode(decoder: &mut Decoder<'b>, _: &mut C) -> Result<Self, Error> {
        let at = decoder.position();
        let refused = |why| Err(Error::message(why).at(at));
        if decoder.array()? != Some(2) || decoder.u8()? != VERSION {
            return refused("not a selector of version 1");
        }
        let text = decoder.str()?;
        match text.parse::<Self>() {
            Ok(selector) if selector.as_str() == text => Ok(selector),
            Ok(_) => refused("the selector is not in its canonical spelling"),
            Err(_) => refused("not a selector, or one with no room here"),
        }
    }
}
