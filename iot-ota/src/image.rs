//! Firmware images on their way into a bank.
//!
//! A [`Stream`] follows blocks that are the image. An [`Intake`] takes a payload in that becomes the image on its way: it
//! is decrypted, or a patch to the old image.

mod either;
#[cfg(feature = "std")]
mod file;
mod fill;
mod intake;
mod rate;
mod reorder;
mod spare;
mod stream;
mod transform;

pub use either::Either;
#[cfg(feature = "std")]
pub use file::ImageFile;
pub use fill::{FillError, fill};
pub use intake::{Expected, Intake, IntakeError};
pub use rate::{MinimumRate, Verdict};
pub use reorder::{BlockError, Reorder};
pub(crate) use spare::spare;
pub use stream::{FinishError, PushError, Pushed, Stream, digests_equal};
pub use transform::{BadPayload, Plain, ReadOld, Transform, TransformError};
