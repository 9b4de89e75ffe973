//! SHA-256 and keys on ring, for this crate's unit tests.

use iot_core::crypto::{Digest, Sha256Digest};
use ring::digest::{Context, SHA256};

#[derive(Clone)]
pub(crate) struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Digest for Sha256 {
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    fn finish(&mut self) -> Sha256Digest {
        let whole = core::mem::replace(&mut self.0, Context::new(&SHA256)).finish();
        whole.as_ref().try_into().unwrap()
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut digest = Sha256::default();
    digest.update(bytes);
    digest.finish()
}

impl core::fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sha256")
    }
}
