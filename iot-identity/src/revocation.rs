//! Who is no longer welcome.
//!
//! A [`DenyList`] is a versioned value that can be stored and sent; a [`CompactList`] holds a million denials in
//! seven bytes each, signed, for those who only look up; [`Revocations`] is the shared handle that
//! TLS verifiers, gates and registrars consult, and that tells them of news at once.

mod codec;
mod compact;
mod list;
mod shared;

pub use codec::DecodeError;
pub use compact::{CompactError, CompactList, CompactWriter};
pub use list::{CertificateId, Denied, DenyList, RollBack};
pub use shared::{Revocations, Subscription};
