//! Updates as differences: a patch turns the image that is there into the next one.
//!
//! The format is the one of the tool `detools`, so patches of other people's tools apply, and theirs read ours. Of it,
//! this module reads what a chip can do in bounded memory: types 0 (*sequential*, into another bank) and 1 (*in-place*,
//! over the old image), uncompressed or compressed with CRLE or heatshrink. A [`Decoder`] takes a patch in pieces of
//! any size and gives the new image in pieces of any size; what it has to remember between two pieces it can
//! [save](Decoder::save), so an interruption costs no more than the last piece.
//!
//! | part | bytes, little end first |
//! |---|---|
//! | head | type in bits 4 to 6, compression in bits 0 to 3: one byte |
//! | sizes | sequential: new image; in-place: memory, segment, shift, old image, new image |
//! | body, compressed | for each image, or each segment of it: a 0, then *runs* until it is full |
//! | run | length and bytes of a difference, length and bytes of what is new, how far to move in the old image |
//!
//! Numbers have a sign in bit 6 and a *more* in bit 7 of their first byte, whose other six bits are the lowest; each
//! byte after that has seven more.
//!
//! **Nothing in a patch is believed.** Each length is held against what the signed manifest declares before it is used,
//! the layout of an in-place patch against the [memory](Declared::in_memory) that it may use, each read of the old image
//! against what is left of it. Whether the result is the right image, only its digest tells.
//!
//! An in-place patch destroys what it reads from, so it is [rehearsed](Rehearsal) first: all of it is decoded and its
//! digest compared before the first page is erased. [`InPlace`] can then be interrupted anywhere.

mod decoder;
mod error;
mod expand;
mod heatshrink;
mod in_place;
mod layout;
mod number;
mod rehearsal;
mod state;
mod transform;

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::{AuthorError, DeltaAuthor};
pub use decoder::Decoder;
pub use error::{DecodeError, PatchError};
pub use in_place::{InPlace, InPlaceStep};
pub use layout::{Declared, Layout};
pub use rehearsal::{Rehearsal, Rehearsed};
