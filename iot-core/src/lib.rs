#![no_std]
#![doc = include_str!("../README.md")]

#[cfg(any(test, feature = "alloc"))]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod authz;
pub mod codec;
pub mod command;
pub mod component;
#[cfg(feature = "alloc")]
pub mod conformance;
pub mod cose;
pub mod crypto;
pub mod engine;
pub mod entropy;
pub mod fleet;
pub mod id;
pub mod lifecycle;
pub mod message;
pub mod node;
pub mod port;
pub mod principal;
pub mod retry;
#[cfg(any(test, feature = "sim"))]
pub mod sim;
pub mod storage;
pub mod time;

pub use engine::{Engine, Event, Step};
pub use id::{CommandId, DeviceId, IssuerId, TenantId};
pub use message::{Channel, Fate, Message, Peer, Priority, Qos, Ticket};
pub use principal::{Principal, Role};
pub use time::{Instant, Now, Timestamp};
