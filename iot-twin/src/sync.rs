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
//! its records, and a service that lost its memory, are noticed and brought up to date. Several processes may write
//! one twin when they share a store with compare-and-set: see [`TwinService::with_store`]. A device may have several
//! twins, each with a [number](SubTwin).

mod device;
#[cfg(feature = "alloc")]
mod service;
#[cfg(feature = "sim")]
pub mod sim;
mod slot;
mod wire;

pub use device::{Change, Timing, TwinDevice};
#[cfg(feature = "alloc")]
pub use service::{
    Acknowledgement, Cursor, DesireError, DesiredField, Edit, EditError, Notice, Reported,
    ReportedField, StateError, SubscribeError, SubscriptionId, Subscriptions, TwinService,
    TwinState,
};
pub use slot::{Code, Slot, SubTwin, Version};
