//! SUIT manifests (draft-ietf-suit-manifest-37): what to install, where, and on whose word.
//!
//! Untrusted bytes are a [`SignedManifest`]; the only way to a [`Manifest`] is
//! [`verify`](SignedManifest::verify), which looks at nothing of the manifest before its signature holds.
//! A [`Plan`] is what a device with one component makes of a manifest. Everything is decoded in place:
//! nothing is copied and no allocator is needed.

mod command;
mod envelope;
mod parameter;
mod plan;
mod verify;

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::{AuthorError, Template};
pub use command::{Argument, Command, CommandCode, CommandError, Commands, Sequence};
pub use envelope::{Element, EnvelopeError, Limits, SignedManifest};
pub use parameter::{ComponentId, Parameter, ParameterCode, Parameters};
pub use plan::{Device, Plan, PlanError};
pub use verify::{KeyList, Manifest, ManifestKeys, SharedSecret, SigningKey, VerifyError};

use iot_core::crypto::Sha256Digest;
use minicbor::Decoder;

const SHA256: i64 = -16;

/// Reads a `SUIT_Digest` (§10): only SHA-256 is understood, which every implementation must.
fn digest<'a>(decoder: &mut Decoder<'a>) -> Option<Sha256Digest> {
    if decoder.array().ok()? != Some(2) || decoder.i64().ok()? != SHA256 {
        return None;
    }
    decoder.bytes().ok()?.try_into().ok()
}
