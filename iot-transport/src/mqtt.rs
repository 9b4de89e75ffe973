//! MQTT 3.1.1 and 5: clients that tell the fate of every message, and a small hub.
//!
//! With feature `mqtt`, `Client` is for hosts: it owns its socket, spawns nothing and moves only while its `next` is
//! polled, so dropping that future at any point loses nothing. With feature `chip`, `chip::Client` is the same for
//! chips: it needs neither an allocator nor `std`, and speaks over any byte stream. Both implement the core's
//! [`Transport`](iot_core::port::Transport).

#[cfg(feature = "chip")]
pub mod chip;
#[cfg(feature = "mqtt")]
pub mod client;
#[cfg(feature = "hub")]
pub mod hub;
#[cfg(feature = "mqtt")]
pub(crate) mod packet;
pub mod reason;
mod version;
#[cfg(feature = "mqtt")]
pub(crate) mod wire;

#[cfg(feature = "tls")]
pub use client::tls::Tls;
#[cfg(feature = "mqtt")]
pub use client::{Client, Connect, ConnectError, Extras, Settings, Tcp, Will};
#[cfg(feature = "hub")]
pub use hub::Hub;
#[cfg(feature = "mqtt")]
pub use packet::PacketError;
pub use reason::Reason;
pub use version::Version;
#[cfg(feature = "mqtt")]
pub use wire::Io;
