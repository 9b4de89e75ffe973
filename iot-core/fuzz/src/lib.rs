//! What the fuzz targets do, apart from the fuzzer, so that their seeds can be tested without it.
//!
//! One module per target, each with two functions: `run` takes an input and panics when a claim of the
//! decoder does not hold for it; `seeds` makes a small corpus with the decoder's own encoder. A target
//! writes its seeds into the first folder of its command line before it starts, so no corpus is committed.
//!
//! ```sh
//! cargo fuzz run -s none codec            # from the folder iot-core
//! ```
//!
//! The code under test has no `unsafe`, so a sanitizer has little to find; without one the targets build
//! with the stable compiler. Debug assertions and overflow checks are on.

#![forbid(unsafe_code)]

pub mod codec;
pub mod command_request;
pub mod command_response;
pub mod component;
pub mod cose_mac0;
pub mod cose_sign1;
pub mod directory;
mod driver;
pub mod flash;
pub mod identifiers;
pub mod ids;
pub mod inbox;
mod input;
pub mod issuer;
pub mod selector;

use std::path::PathBuf;

/// The entry of one target: the module of that name, driven by libFuzzer.
#[macro_export]
macro_rules! target {
    ($name:ident) => {
        libfuzzer_sys::fuzz_target!(
            init: $crate::plant(&$crate::$name::seeds()),
            |data: &[u8]| $crate::$name::run(data)
        );
    };
}

/// Writes the seeds into the corpus that the command line names, if it names one.
pub fn plant(seeds: &[Vec<u8>]) {
    let folders = std::env::args_os().skip(1).map(PathBuf::from);
    if let Some(corpus) = folders.into_iter().find(|path| path.is_dir()) {
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed).expect("a writable corpus");
        }
    }
}
