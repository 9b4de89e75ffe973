//! Which token, and how it is opened.

use alloc::string::String;
use core::time::Duration;
use std::path::PathBuf;

use crate::key::Secret;

/// How a token is told from others.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TokenName {
    /// By the label that it was initialised with.
    Label(String),
    /// By the serial number that its maker gave it.
    Serial(String),
}

/// What [`Pkcs11Keys::open`](super::Pkcs11Keys::open) needs.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// The token's library.
    pub module: PathBuf,
    /// Which of its tokens.
    pub token: TokenName,
    /// The user's PIN.
    pub pin: Secret,
    /// How long a call may take, queue included; ten seconds by default.
    pub patience: Duration,
    /// How many calls may wait; 64 by default.
    pub queue: usize,
}

impl Config {
    /// Names a token of a library and the PIN that opens it.
    #[must_use]
    pub fn new(module: impl Into<PathBuf>, token: TokenName, pin: Secret) -> Self {
        Self {
            module: module.into(),
            token,
            pin,
            patience: Duration::from_secs(10),
            queue: 64,
        }
    }

    /// Changes how long a call may take.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}
