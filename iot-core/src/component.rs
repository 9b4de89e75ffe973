//! What runs on a device, and what becomes of it: one vocabulary for twin, attestation and audit.
//!
//! A [`ComponentFact`] says of one component what runs ([`Running`]: a number, a version and a [`Measurement`]) and the
//! one thing that has happened to it ([`ComponentEvent`]). Whoever updates a component makes the facts, and each reader takes of
//! them what it is for:
//!
//! - a **twin** shows what runs, what waits to be tried, and how the last update ended (in `iot-twin`, `ComponentState`);
//! - **attestation** puts [`Running`] into its evidence: a measurement encodes as the `hash-entry` of RFC 9393;
//! - an **audit** keeps every event once and in order: a [`Trail`] says which fact it has already.
//!
//! Facts are CBOR and begin with a version number; `component.cddl` beside this module defines them.

mod event;
mod fact;
mod measurement;
mod path;
mod trail;
mod version;
mod wire;

pub use crate::id::ComponentId;
pub use event::{ComponentEvent, Refusal, RollBack};
pub use fact::{ComponentFact, Running};
pub use measurement::{HashAlgorithm, Measurement, MeasurementError};
pub use trail::Trail;
pub use version::{MAX_VERSION_NUMBERS, Version, VersionError};
pub use wire::FactError;
