//! Who is no longer welcome.
//!
//! A [`DenyList`] is a versioned value that can be stored and sent; [`Revocations`] is the shared handle that
//! TLS verifiers, gates and registrars consult, and that tells them of news at once.

mod codec;
mod list;
mod shared;

pub use codec::DecodeError;
pub use list::{CertificateId, Denied, DenyList, RollBack};
pub use shared::{Revocations, Subscription};
