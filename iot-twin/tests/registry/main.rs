//! Both registries show every fact; broken ones do not; and what holds of any life of one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

extern crate alloc;

mod bites;
mod broken;
mod damaged;
mod handle;
mod properties;
mod secrets;
mod suite;
mod twins;
