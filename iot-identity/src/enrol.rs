//! Enrolment: a device that shows its factory identity gets an operational one.
//!
//! The device's half is [`Rotation`](crate::rotate::Rotation). The service's half, `Registrar` (feature `cert`),
//! issues at most one certificate for a device and key, however often it is asked.
//! `enrol.cddl` beside this module describes what travels and what is stored.

#[cfg(feature = "cert")]
mod registrar;
mod wire;

#[cfg(feature = "tls")]
pub(crate) use registrar::expired;
#[cfg(feature = "cert")]
pub use registrar::{Enrolled, Enrolment, EnrolmentError, Registrar, Terms};
#[cfg(feature = "sim")]
pub(crate) use wire::granted;
pub use wire::{Answer, Refusal, Request, WireError};
pub(crate) use wire::{Chain, open};
