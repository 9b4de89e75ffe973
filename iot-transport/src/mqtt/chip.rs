//! MQTT 3.1.1 and 5 for chips: no allocator, no `std`, one byte stream, a fate for every message.
//!
//! [`Client`] implements the core's [`Transport`] for one device. [`Session`](crate::session::Session) tells it when to
//! dial, greet, subscribe and ping; it moves bytes only while [`next`](Transport::next) is polled, so dropping that
//! future anywhere loses nothing. What is submitted stays with it until the broker has acknowledged or refused it, or
//! its time ran out; it is sent again after every broken link, also when the broker lost its session.
//!
//! A received message is acknowledged when the caller asks for the next one, not before.
//!
//! What it does not do: wills, retained messages, quality of service 2, topic aliases and user properties. A client of
//! a whole tenant is not for chips either.

mod client;
mod decode;
mod encode;
mod error;
mod settings;
mod shelf;
mod stream;
#[cfg(test)]
mod tests;

pub use client::{Client, PassedOver};
pub use error::ClientError;
pub use settings::{LoginError, MAX_LOGIN_BYTES, Settings};
pub use stream::{Broken, Stream};

#[cfg(doc)]
use iot_core::port::Transport;
