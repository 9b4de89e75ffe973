//! SUIT manifests (draft-ietf-suit-manifest-37): what to install, where, and on whose word.
//!
//! Untrusted bytes are a [`SignedManifest`]; the only way to a [`Manifest`] is
//! [`verify`](SignedManifest::verify), which looks at nothing of the manifest before its signature holds.
//! A [`Plan`] is what a device with one component makes of a manifest. Everything is decoded in place:
//! nothing is copied and no allocator is needed.

mod command;
mod content;
mod encryption;
mod envelope;
mod keys;
mod keyset;
mod parameter;
mod plan;
mod read;
mod roles;
mod verify;

#[cfg(feature = "author")]
mod author;

#[cfg(feature = "author")]
pub use author::{
    Author, AuthorError, CommandList, Envelope, Image, Origin, ParameterList, PatchFrom,
    RECORD_ALWAYS, RECORD_FAILURE, SlotImage, Template, Text, sign_key_set,
};
pub use command::{Argument, Command, CommandCode, CommandError, Commands, Sequence};
pub use content::Manifest;
pub use encryption::{Agreement, EncryptionInfo, PayloadCipher, Recipient};
pub use envelope::{Element, EnvelopeError, Limits, SignedManifest};
pub use keys::{KeyList, ManifestKeys, SharedSecret, SigningKey};
pub use keyset::{KeyEntry, KeySet};
pub use parameter::{ComponentId, Parameter, ParameterCode, Parameters};
pub use plan::{Device, Plan, PlanError, Situation};
pub use roles::{Role, Roles};
pub use verify::{Floor, VerifyError};

#[cfg(feature = "encrypt")]
pub(crate) use author::cbor;
pub(crate) use content::{COUNTER, INVOKE, LOAD, UNINSTALL, VALIDATE};
pub(crate) use parameter::{digest_in, fits};

use iot_core::codec::FlatReader;
use iot_core::crypto::Sha256Digest;

pub(crate) const SHA256: i32 = -16;

/// Reads a `SUIT_Digest` (§10), which must be all there is: only SHA-256 is understood, which every implementation
/// must.
#[inline(never)]
pub(crate) fn digest(bytes: &[u8]) -> Option<&Sha256Digest> {
    let mut reader = FlatReader::new(bytes);
    let items = reader.array_len();
    let algorithm = reader.i32();
    let digest = reader.bytes().try_into().ok()?;
    (reader.is_empty() && items == 2 && algorithm == SHA256).then_some(digest)
}
