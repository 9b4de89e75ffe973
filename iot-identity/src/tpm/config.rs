//! Where the keys lie, and how long a call may take.

use core::time::Duration;

use crate::key::Secret;

/// What [`TpmKeys::open`](super::TpmKeys::open) needs beside a TPM.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config {
    /// The persistent handle of slot 0; `0x8130_0000` by default.
    pub base: u32,
    /// How many slots there are; 16 by default. A TPM may have room for fewer.
    pub slots: u16,
    /// The password of the owner hierarchy, needed to make and destroy keys; none by default.
    pub owner: Secret,
    /// Nobody else uses this TPM, so that what fills its transient slots may be flushed; not so by default.
    pub sole_user: bool,
    /// How long a call may take, queue included; ten seconds by default.
    pub patience: Duration,
    /// How many calls may wait; 64 by default.
    pub queue: usize,
}

impl Config {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base: 0x8130_0000,
            slots: 16,
            owner: Secret::none(),
            sole_user: false,
            patience: Duration::from_secs(10),
            queue: 64,
        }
    }

    /// Says that nobody else uses this TPM.
    #[must_use]
    pub const fn sole_user(mut self) -> Self {
        self.sole_user = true;
        self
    }

    /// Changes how long a call may take.
    #[must_use]
    pub const fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Gives the password of the owner hierarchy.
    #[must_use]
    pub fn owner(mut self, owner: Secret) -> Self {
        self.owner = owner;
        self
    }

    /// Changes where slot 0 is, for a second store beside the first.
    #[must_use]
    pub const fn base(mut self, base: u32) -> Self {
        self.base = base;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
