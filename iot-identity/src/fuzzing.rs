//! Decoders that face storage or tokens and are no part of the public interface, for the fuzz targets alone.

pub use crate::pkcs11::fuzzing::{told_key, told_slot};
pub use crate::rotate::fuzzing::{rotation_head, rotation_slot};
