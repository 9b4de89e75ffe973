//! Paths: JSON Pointer (RFC 6901).

use iot_twin::Value;
use iot_twin::path::{Path, PathError};

/// What a patch puts at a path is found there, and an error lies within the text.
pub fn run(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    match Path::parse(text) {
        Ok(path) => {
            assert_eq!(path.steps().count(), text.matches('/').count());
            let tree = path.patch(Value::Bool(true));
            assert_eq!(path.find(&tree), Some(&Value::Bool(true)));
        }
        Err(PathError::Escape { position }) => assert_eq!(text.as_bytes()[position], b'~'),
        Err(_) => assert!(!text.starts_with('/')),
    }
}

/// Paths as the standard shows them.
pub fn seeds() -> Vec<Vec<u8>> {
    ["", "/", "/foo/0", "/a~1b", "/m~0n", "/ /%", "x", "/~"]
        .map(|text| text.as_bytes().to_vec())
        .to_vec()
}

#[test]
fn every_seed_keeps_the_claims() {
    let paths = seeds();
    let is_path = |seed: &&Vec<u8>| {
        let text = core::str::from_utf8(seed).expect("text");
        Path::parse(text).is_ok()
    };
    assert_eq!(paths.iter().filter(is_path).count(), 6);
    paths.iter().for_each(|seed| run(seed));
}
