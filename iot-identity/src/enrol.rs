//! Enrolment: a device that shows its factory identity gets an operational one.
//!
//! The device's half is [`Rotation`](crate::rotate::Rotation). The service's half, `Registrar` (feature `cert`),
//! issues at most one certificate for a device and key, however often it is asked. A device that was revoked comes back
//! through `Registrar::readmit`, where the terms say so under `Quarantine`.
//! `enrol.cddl` beside this module describes what travels and what is stored.

#[cfg(feature = "cert")]
mod quarantine;
#[cfg(feature = "cert")]
mod registrar;
mod wire;

#[cfg(feature = "cert")]
pub use quarantine::{Confined, Hold, Quarantine};
#[cfg(feature = "tls")]
pub(crate) use registrar::expired;
#[cfg(feature = "cert")]
pub use registrar::{Approval, Enrolled, Enrolment, EnrolmentError, Registrar, Terms};
#[cfg(feature = "sim")]
pub(crate) use wire::granted;
pub use wire::{Answer, Refusal, Request, WireError};
pub(crate) use wire::{Chain, open};
