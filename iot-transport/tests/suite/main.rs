//! What the crate promises, over real TCP on loopback.
#![cfg(feature = "hub")]

mod common;
mod mqtt;
