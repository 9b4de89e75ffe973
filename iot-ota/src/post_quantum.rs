//! Signatures that a quantum computer does not forge, for firmware that has to be trusted for decades.
//!
//! Both are verified and never made here: keys of HSS/LMS have a state, which belongs into a hardware module, and
//! signatures of either are longer than a [`Signature`](iot_core::crypto::Signature) holds. Whoever accepts one gives a
//! manifest's [`SigningKey`](crate::manifest::SigningKey) or [`Roles`](crate::manifest::Roles) one of these.

mod hss;
#[cfg(feature = "ml-dsa")]
mod ml_dsa;

pub use hss::HssVerifier;
#[cfg(feature = "ml-dsa")]
pub use ml_dsa::MlDsa44Verifier;
