//! Hands the memory map of this board to the linker, and makes the deny-list of the fixture.

use std::path::Path;
use std::{env, fs};

#[path = "src/denied.rs"]
mod denied;
mod denylist;

const SIGNATURE: &str = "fixture/deny-list-signature.bin";

fn main() {
    println!("cargo:rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    for file in [
        "build.rs",
        "denylist.rs",
        "memory.x",
        "src/denied.rs",
        SIGNATURE,
    ] {
        println!("cargo:rerun-if-changed={file}");
    }
    let signature = fs::read(SIGNATURE).expect("the fixture's signature");
    let folder = env::var_os("OUT_DIR").expect("cargo sets it");
    let list = denylist::message(&signature);
    fs::write(Path::new(&folder).join("deny-list.cbor"), list).expect("a writable folder");
}
