//! The few lines every format of this module shares.

use minicbor::data::Type;
use minicbor::decode::{Decoder, Error};
use minicbor::encode;
use minicbor::encode::write::EndOfSlice;

use crate::codec;

pub(super) type Out<'b> = codec::Writer<'b>;
pub(super) type Written = Result<(), encode::Error<EndOfSlice>>;

/// Lets `write` fill `buffer` and says how many bytes it took; `None` when it did not fit.
pub(super) fn fill(
    buffer: &mut [u8],
    write: impl FnOnce(&mut Out<'_>) -> Written,
) -> Option<usize> {
    codec::encode_into(buffer, write).ok().map(<[u8]>::len)
}

/// Reads the head of an array whose length is written in front.
pub(super) fn array(decoder: &mut Decoder<'_>) -> Result<u64, Error> {
    decoder
        .array()?
        .ok_or_else(|| Error::message("an array of indefinite length"))
}

/// Reads a number or null. The codec's own `Option` drags its general `skip` along: 2 kB on a chip.
pub(super) fn optional_u64(decoder: &mut Decoder<'_>) -> Result<Option<u64>, Error> {
    if decoder.datatype()? == Type::Null {
        return decoder.null().map(|()| None);
    }
    decoder.u64().map(Some)
}

/// What follows the decoder's position.
pub(super) fn rest<'b>(decoder: &Decoder<'b>) -> &'b [u8] {
    decoder.input().get(decoder.position()..).unwrap_or(&[])
}

/// Decodes exactly one value that fills `bytes`.
pub(super) fn whole<T: for<'b> minicbor::Decode<'b, ()>>(bytes: &[u8]) -> Option<T> {
    let mut decoder = Decoder::new(bytes);
    let value = decoder.decode().ok()?;
    rest(&decoder).is_empty().then_some(value)
}
