//! Keeps a device's twin and the service's copy of it equal over any link.
//!
//! Each half has one writer: the service sequences the *desired* fields, the device the *reported* ones, each
//! under versions that are never used for two values. A message says from which version to which it speaks; only
//! a message without a gap before it advances the other side, and a gap asks for everything above what is known.
//! No wall clock decides anything. The messages are described in `sync/wire.cddl`.
//!
//! **What holds**, under loss, duplication, reordering and power cuts at any moment, once the link works for a
//! while: both sides hold the same values; no desired value goes back; each desired value ends acknowledged with
//! a [`Code`]; an edit made on the device stands until the service desires something newer. A device that lost
//! its records, and a service that lost its memory, are noticed and brought up to date. Two services that write
//! the same twin at once are not supported.

mod device;
#[cfg(feature = "alloc")]
mod service;
mod slot;
mod wire;

pub use device::{Change, Timing, TwinDevice};
#[cfg(feature = "alloc")]
pub use service::{
    Acknowledgement, DesireError, DesiredField, Reported, ReportedField, StateError, TwinService,
    TwinState,
};
pub use slot::{Code, Slot, Version};
