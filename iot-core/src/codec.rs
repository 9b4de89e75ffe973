//! CBOR as the SDK uses it: deterministic (RFC 8949 §4.2.1) and limited before it is looked at.
//!
//! Encoding and decoding themselves are [minicbor]'s. What this module adds is the gate in front of a
//! decoder, [`check`]: one pass that refuses whatever is malformed, not deterministic, too deep or too
//! large, so that the decoder behind it deals with exactly one spelling of every value. Floating-point
//! numbers may have any width; everything else must be in its shortest form. Formats that are flat arrays of integers
//! and strings are read and written by [`FlatReader`] and [`FlatWriter`], which cost a chip a tenth of that.

mod check;
mod flat;
mod write;

pub use check::{CodecError, Limits, check, check_prefix};
pub use flat::{FlatReader, FlatWriter};
pub use write::{EncodeError, Writer, encode_into, write_head};
