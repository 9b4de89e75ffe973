//! Files of the third-party vectors.

use std::path::PathBuf;

/// A file below `IOT_VECTORS`, by default `../shared/vectors`.
pub(crate) fn file(name: &str) -> Vec<u8> {
    let root = std::env::var_os("IOT_VECTORS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors")),
        PathBuf::from,
    );
    let path = root.join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
