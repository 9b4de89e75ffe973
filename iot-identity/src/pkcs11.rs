//! Keys in a PKCS#11 token: a smart card, a hardware security module, or SoftHSM.
//!
//! The token's library is loaded at run time; nothing is needed to build. Keys are made in the token and
//! cannot be taken out of it: one that could is refused, see [`OpenError::Extractable`].
//!
//! ```no_run
//! use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
//! use iot_identity::key::Secret;
//! use iot_identity::pkcs11::{Config, Pkcs11Keys, TokenName};
//!
//! let token = TokenName::Label("device".into());
//! let config = Config::new("/usr/lib/softhsm/libsofthsm2.so", token, Secret::new("1234"));
//! let keys = Pkcs11Keys::open(config)?;
//! keys.generate(SlotId::new(0), SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How slots lie in the token
//!
//! The key of slot `n` is the pair of objects whose `CKA_ID` is `69 6f 74 00` (`iot` and a zero) and `n` in two
//! bytes, the higher first. Their `CKA_LABEL` is `iot-n`, or `iot-n-life` for a key for life, which is made with
//! `CKA_DESTROYABLE` false where the token knows that. This store alone keeps a key for life from being replaced:
//! whoever has the PIN can do anything.
//!
//! # Threads, processes, forks
//!
//! - One thread of each store calls the library, because a token may hang for ever. Everybody else waits for
//!   its answer until [`Config::patience`] is over, and is then told `KeyError::Device`.
//! - A library is initialised once in a process, however many stores use it, and never finalised, since
//!   others may still use it. If somebody finalises it, it is initialised again. What a number in an open
//!   session or a key's handle means then is anybody's guess, so each signature is verified before it is given out.
//! - Logging in is for the whole process (PKCS#11 v2.40 §5.6): a store whose token somebody else has logged in to
//!   opens with any PIN.
//! - PKCS#11 does not say that an identifier is there once. Stores of one process take care of each other;
//!   two processes must not generate into one slot at once.
//! - A child made by `fork` has neither the thread nor a right to its parent's sessions: its calls are
//!   `KeyError::Device`. It opens a store of its own, after `exec` or with a library that allows it.

mod config;
mod error;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod module;
mod object;
mod session;
mod store;

pub use config::{Config, TokenName};
pub use error::{Fault, OpenError};
pub use store::{Pkcs11Keys, Pkcs11Signer};
