//! What the expansion of `commands!` shares: the encoded head of a command, known when it is compiled.

use minicbor::decode::{Decode, Decoder, Error};

/// The length of the head of a command of this name.
///
/// # Panics
///
/// When the name is longer than 255 bytes; the macro calls it at compile time, so it does not compile then.
#[must_use]
pub const fn head_bytes(name: &str) -> usize {
    assert!(name.len() <= 255, "a command's name has at most 255 bytes");
    name.len() + if name.len() < 24 { 2 } else { 3 }
}

/// The head of an array of `items` (the name and the fields) and the name as text (RFC 8949 §3).
///
/// # Panics
///
/// When there are more than 22 fields; the macro calls it at compile time, so it does not compile then.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    reason = "both lengths were asserted, and what fails here fails to compile"
)]
pub const fn head<const BYTES: usize>(items: usize, name: &str) -> [u8; BYTES] {
    assert!(items < 24, "a command has at most 22 fields");
    let mut head = [0; BYTES];
    head[0] = 0x80 | items as u8;
    let name = name.as_bytes();
    let start = BYTES - name.len();
    if start == 2 {
        head[1] = 0x60 | name.len() as u8;
    } else {
        head[1] = 0x78;
        head[2] = name.len() as u8;
    }
    let mut at = 0;
    while at < name.len() {
        head[start + at] = name[at];
        at += 1;
    }
    head
}

/// Moves past `head` and says so, or does not move.
pub fn skip(decoder: &mut Decoder<'_>, head: &[u8]) -> bool {
    let start = decoder.position();
    let input = decoder.input().get(start..).unwrap_or(&[]);
    let found = input.starts_with(head);
    if found {
        decoder.set_position(start + head.len());
    }
    found
}

/// Reads a field. Why it cannot be read is of no interest, and would cost a chip half a kilobyte.
///
/// # Errors
///
/// The same for every reason.
pub fn field<'b, T: Decode<'b, ()>>(decoder: &mut Decoder<'b>) -> Result<T, Error> {
    decoder
        .decode()
        .map_err(|_| Error::message("not the field that the command declares"))
}
