//! Keys in a TPM 2.0, spoken to without any system library.
//!
//! ```no_run
//! use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
//! use iot_identity::tpm::{Config, DeviceFile, TpmKeys};
//!
//! let tpm = DeviceFile::open("/dev/tpmrm0")?;
//! let keys = TpmKeys::open(tpm, Config::new())?;
//! keys.generate(SlotId::new(0), SignatureAlgorithm::EcdsaP256Sha256, KeyPolicy::Sign)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Where a key is
//!
//! The key of slot `n` is the persistent object [`Config::base`] + `n` of the owner hierarchy. The other way is to
//! keep the key as a file that only this TPM can read. But a copy of that file brings a destroyed key
//! back, and two processes can fill one slot; a persistent object is made and evicted in one command, and
//! after that there is nothing left to load. The price is room: a PC's TPM has to keep seven of them only, and a full one
//! says [`KeyError::Full`](iot_core::crypto::KeyError::Full).
//!
//! A key is P-256, `fixedTPM`, `fixedParent`, `sensitiveDataOrigin`, `userWithAuth`, `noDA` and `sign`: it was made in this
//! TPM and cannot be duplicated. An object of other attributes in a slot is refused. `noDA` because these keys have no
//! password: without it, wrong passwords for somebody else's keys would lock ours out.
//!
//! A key for life carries a mark in its `authPolicy`, which is part of its name and cannot be changed. This store
//! keeps it from being evicted or replaced; whoever owns the TPM can still clear it.
//!
//! Whoever may open the TPM on this machine may sign with its keys: guard the device file. Passwords go to the TPM in
//! the clear, as commands do; they are of no use against someone who listens on its bus.
//!
//! # Three transient slots
//!
//! A TPM has to hold three transient objects, and without a resource manager everybody shares them. Only
//! [`generate`](iot_core::crypto::KeyStore::generate) uses any: two, which it flushes however it ends. Signing uses
//! none of its own, though a TPM needs one free to work in. When there is none, the command is sent again until
//! the deadline; with [`Config::sole_user`], what others left is flushed first.
//!
//! # Commands
//!
//! | command | TPM 2.0 Library, Part 3 | for |
//! |---|---|---|
//! | `TPM2_Startup` | §9.3 | a TPM that nobody has started |
//! | `TPM2_Create` | §12.1 | a key |
//! | `TPM2_Load` | §12.2 | its way to a persistent handle |
//! | `TPM2_ReadPublic` | §12.4 | the public key, and whether the lent one is still there |
//! | `TPM2_Sign` | §20.2 | a digest, with a null ticket as an unrestricted key allows |
//! | `TPM2_CreatePrimary` | §24.1 | a storage key above a new key |
//! | `TPM2_EvictControl` | §28.5 | making persistent, and destroying |
//! | `TPM2_FlushContext` | §28.4 | giving transient slots back |
//! | `TPM2_GetCapability` | §30.2 | which handles are taken |
//!
//! Structures are those of Part 2: `TPMT_PUBLIC` §12.2.4, `TPMS_ECC_PARMS` §12.2.3.6, `TPMT_SIGNATURE` §11.3.4,
//! response codes §6.6.

mod code;
mod command;
mod config;
mod device;
mod public;
mod store;
mod transport;
mod wire;

pub use code::{Fault, OpenError};
pub use config::Config;
pub use store::{TpmKeys, TpmSigner};
pub use transport::{DeviceFile, Link, LinkError, Socket};
