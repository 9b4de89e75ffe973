//! A token that does not do what it is told.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A library in front of SoftHSM's, which makes the keys of slot 1 so that they can leave the token.
pub(crate) fn lying_module(folder: &Path) -> PathBuf {
    let library = folder.join("lying.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hardware/lying.c");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler");
    assert!(made.status.success(), "{made:?}");
    library
}
