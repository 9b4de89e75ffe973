//! Firmware images on their way into a bank.

mod stream;

pub use stream::{FinishError, PushError, Pushed, Stream, digests_equal};
