//! MQTT 3.1.1 and 5: a client that tells the fate of every message, and a small hub.
//!
//! [`Client`] implements the core's `Transport`. It owns its socket, spawns nothing and moves only while
//! [`next`](iot_core::port::Transport::next) is polled, so dropping that future at any point loses nothing.

pub mod client;
#[cfg(feature = "hub")]
pub mod hub;
pub(crate) mod packet;
pub mod reason;
pub(crate) mod wire;

#[cfg(feature = "tls")]
pub use client::tls::Tls;
pub use client::{Client, Connect, ConnectError, Extras, Settings, Tcp, Will};
#[cfg(feature = "hub")]
pub use hub::Hub;
pub use packet::{PacketError, Version};
pub use reason::Reason;
pub use wire::Io;
