//! Writing manifests (service side): what a [`Process`](crate::process::Process) follows, deterministic to the byte.

mod builder;
pub(crate) mod cbor;
mod commands;
mod envelope;
mod keyset;
mod parameters;
mod patch;
mod template;
mod templates;
mod text;

pub use builder::Author;
pub use commands::{CommandList, RECORD_ALWAYS, RECORD_FAILURE};
pub use envelope::{AuthorError, Envelope};
pub use keyset::sign_key_set;
pub use parameters::ParameterList;
pub use patch::{Origin, PatchFrom};
pub use template::Template;
pub use templates::{Image, SlotImage};
pub use text::Text;
