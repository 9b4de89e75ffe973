//! What the crate promises, over real TCP on loopback.
#![cfg(feature = "hub")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_alloc,
    reason = "these are tests, helpers included"
)]

#[cfg(feature = "sim")]
mod acceptance;
mod bridge;
mod client;
mod common;
#[cfg(feature = "gate")]
mod credentials;
mod dropped;
mod features;
mod foreign;
#[cfg(feature = "gate")]
mod gate;
mod hub;
mod mosquitto;
#[cfg(feature = "gate")]
mod mosquitto_tls;
mod mqtt;
mod qos2;
mod resumed;
#[cfg(feature = "gate")]
mod revoked;
mod shared;
#[cfg(feature = "gate")]
mod site;
mod wills;
