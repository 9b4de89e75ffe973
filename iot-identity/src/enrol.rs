//! Enrolment: a device that shows its factory identity gets an operational one.
//!
//! The device's half, [`Applicant`], is an engine without an allocator. The service's half, `Registrar`
//! (feature `cert`), issues at most one certificate for a device and key, however often it is asked.
//! `enrol.cddl` beside this module describes what travels and what is stored.

mod device;
#[cfg(feature = "cert")]
mod registrar;
mod wire;

pub use device::{Applicant, Standing};
#[cfg(feature = "cert")]
pub use registrar::{Enrolled, Enrolment, EnrolmentError, Registrar, Terms};
#[cfg(feature = "sim")]
pub(crate) use wire::granted;
pub use wire::{Answer, Refusal, Request, WireError};
pub(crate) use wire::{Chain, open};
