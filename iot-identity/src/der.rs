//! The little DER (ITU-T X.690 §10) that a device needs, without an allocator.

mod read;
mod write;

pub(crate) use read::Reader;
#[cfg(feature = "rustcrypto")]
pub(crate) use read::ecdsa;
pub(crate) use write::{Full, Writer};

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;
