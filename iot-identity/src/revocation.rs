//! Who is no longer welcome.
//!
//! A [`CompactList`] holds up to two million denials in seven to nine bytes each, signed, and is looked up where it
//! lies: in a chip's flash as well as in a service. A `DenyList` (feature `alloc`) is a versioned value that can be
//! changed, stored and sent. `Revocations` (feature `std`) is the shared handle that TLS verifiers, gates and
//! registrars consult, and that tells them of news at once.
//!
//! `compact.cddl` and `denylist.cddl` beside this module describe the two formats.

#[cfg(feature = "alloc")]
mod codec;
mod compact;
mod entry;
#[cfg(feature = "std")]
mod installed;
#[cfg(feature = "alloc")]
mod list;
#[cfg(feature = "std")]
mod shared;

#[cfg(feature = "alloc")]
pub use codec::DecodeError;
pub use compact::{CompactError, CompactList, Edition, MAX_LIST_BYTES};
#[cfg(feature = "alloc")]
pub use compact::{CompactWriter, WriteError};
pub use entry::{CertificateId, Denied, RollBack};
#[cfg(feature = "alloc")]
pub use list::DenyList;
#[cfg(feature = "std")]
pub use shared::{News, Revocations, Subscription};
