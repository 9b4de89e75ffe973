//! Deterministic CBOR, put together from finished pieces.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use iot_core::codec::write_head;

/// A head with its argument.
pub(crate) fn head(major: u8, argument: u64) -> Vec<u8> {
    write_head(&mut [0; 9], major, argument).to_vec()
}

pub(crate) fn uint(value: u64) -> Vec<u8> {
    head(0, value)
}

pub(crate) fn int(value: i64) -> Vec<u8> {
    match u64::try_from(value) {
        Ok(value) => head(0, value),
        // Two's complement: the argument of a negative number is its complement (RFC 8949 §3.1).
        Err(_) => head(1, (!value).cast_unsigned()),
    }
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    head(7, if value { 21 } else { 20 })
}

pub(crate) fn null() -> Vec<u8> {
    head(7, 22)
}

pub(crate) fn bytes(content: &[u8]) -> Vec<u8> {
    [&head(2, content.len() as u64), content].concat()
}

pub(crate) fn text(content: &str) -> Vec<u8> {
    [&head(3, content.len() as u64), content.as_bytes()].concat()
}

/// An array of finished items.
pub(crate) fn array(items: &[Vec<u8>]) -> Vec<u8> {
    [head(4, items.len() as u64), items.concat()].concat()
}

/// A map of finished keys and values, in the order of the keys' bytes (RFC 8949 §4.2.1).
pub(crate) fn map(entries: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let entries: BTreeMap<Vec<u8>, Vec<u8>> = entries.into_iter().collect();
    let mut bytes = head(5, entries.len() as u64);
    for (key, value) in entries {
        bytes.extend(key);
        bytes.extend(value);
    }
    bytes
}

pub(crate) fn path(segments: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let segments: Vec<_> = segments
        .iter()
        .map(|segment| bytes(segment.as_ref()))
        .collect();
    array(&segments)
}

/// A `SUIT_Digest` (§10).
pub(crate) fn suit_digest(digest: &[u8; 32]) -> Vec<u8> {
    array(&[int(super::super::SHA256.into()), bytes(digest)])
}
