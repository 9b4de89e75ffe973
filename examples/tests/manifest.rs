//! The manifest tool, run as its users run it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test fails loudly, on a host"
)]

extern crate alloc;

#[path = "manifest/bench.rs"]
mod bench;
#[path = "manifest/errors.rs"]
mod errors;
#[path = "manifest/hostile.rs"]
mod hostile;
#[path = "manifest/newcomer.rs"]
mod newcomer;
#[path = "manifest/peers.rs"]
mod peers;
#[allow(dead_code, reason = "the tests of hardware use more of it")]
#[path = "../../iot-identity/tests/hardware/softhsm.rs"]
mod softhsm;
#[path = "manifest/vectors.rs"]
mod vectors;
