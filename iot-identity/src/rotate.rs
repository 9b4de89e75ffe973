//! Rotation: an operational certificate that is renewed in time, and never at the price of the one in use.
//!
//! [`Rotation`] is an engine without an allocator. It keeps two operational slots beside the factory identity:
//! the *current* one, and a *candidate* that takes its place only after the service has answered on a session
//! opened with it. Every change is one record, written in an order that leaves an identity to use wherever the
//! power fails. What only the device can do (make a key, destroy one, open a session) it asks for as a [`Want`].
//! `rotate.cddl` beside this module describes its records; what travels is enrolment's.

mod due;
mod engine;
#[cfg(all(fuzzing, feature = "alloc"))]
pub(crate) mod fuzzing;
mod life;
mod pace;
mod pair;
mod policy;
mod record;
#[cfg(feature = "sim")]
pub mod sim;
mod want;

pub use engine::Rotation;
pub use policy::{Policy, RenewAfterExpiry};
pub use want::{Identity, Session, Standing, Unfit, Want};
