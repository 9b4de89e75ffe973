//! Simulators, so that users test with what this crate is tested with.

mod banks;

pub use banks::{MemoryBanks, SimError};
