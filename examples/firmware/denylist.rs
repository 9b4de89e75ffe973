//! The fixture's compact deny-list, byte by byte: too long to be kept in the repository, and easily made.
//!
//! It is written here once more, because a build script that needed the SDK would build it a second time for the
//! host; the test that shares this file holds it against what the SDK's own writer makes.

use crate::denied::{ENTRIES, VERSION, key_hash};

/// The list with its signature: a `COSE_Sign1` by a P-256 key.
pub(crate) fn message(signature: &[u8]) -> Vec<u8> {
    let payload = payload();
    // Tag 18, four items, the algorithm ESP256 in the protected header, nothing in the other.
    let head = [0xd2, 0x84, 0x43, 0xa1, 0x01, 0x28, 0xa0];
    [&head[..], &bytes(&payload), &bytes(signature)].concat()
}

/// Entries of eight bytes behind a table of where each first byte ends.
fn payload() -> Vec<u8> {
    let mut hashes: Vec<_> = (0..ENTRIES).map(key_hash).collect();
    hashes.sort_unstable();
    let (mut table, mut entries) = (Vec::new(), Vec::new());
    for first in 0..=255 {
        let end = hashes.iter().filter(|hash| hash[0] <= first).count();
        table.extend(u32::try_from(end).expect("a short list").to_be_bytes());
    }
    for hash in &hashes {
        entries.extend(&hash[1..9]);
    }
    [&[0x85, 1, VERSION, 1][..], &bytes(&table), &bytes(&entries)].concat()
}

/// A byte string (RFC 8949 section 3.1), in the shortest form that these have.
fn bytes(content: &[u8]) -> Vec<u8> {
    let [a, b, c, d] = u32::try_from(content.len()).expect("short").to_be_bytes();
    let head = match [a, b, c] {
        [0, 0, 0] => vec![0x58, d],
        [0, 0, _] => vec![0x59, c, d],
        _ => vec![0x5a, a, b, c, d],
    };
    [&head[..], content].concat()
}
