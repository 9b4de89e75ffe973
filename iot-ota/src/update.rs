//! An update from offer to confirmation: the device's engine, and the service's half of the protocol.
//!
//! The service offers a signed manifest; the device fetches the image block by block at its own pace,
//! verifies and stages it, boots it on trial and reports how that ended. Every message may be lost,
//! doubled or late: the device asks again, an offer that is known already is answered by the report it
//! led to, and nothing is done twice.
//!
//! The messages are CBOR and begin with a version number; `update.cddl` beside this module defines them.

mod facts;
mod fetch;
mod payload;
mod probation;
mod report;
mod source;
mod updater;
mod wire;

pub use facts::Facts;
pub use payload::{
    Download, ImageDownload, ImageOrPatch, Images, Patched, Payload, PayloadError, Payloads,
};
#[cfg(feature = "decrypt")]
pub use payload::{Sealed, SealedPayload};
pub use probation::{Probation, Verdict};
pub use report::{Outcome, Report, Running};
pub use source::{AnswerError, Source};
pub use updater::{Activity, Status, Trust, Updater, Want};
pub use wire::{FromDevice, MAX_BLOCK_BYTES, Request, ToDevice, WireError};
