//! What opens a key store: a PIN, an authorization value.

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

/// A PIN or password, wiped when it is dropped; it cannot be copied, shown or stored.
///
/// ```
/// use iot_identity::key::Secret;
/// assert_eq!(format!("{:?}", Secret::new("1234")), "Secret(…)");
/// ```
///
/// It cannot be copied:
///
/// ```compile_fail,E0599
/// let secret = iot_identity::key::Secret::new("1234");
/// let copy = secret.clone();
/// ```
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a copy of `bytes`; wiping the original is up to the caller.
    #[must_use]
    pub fn new(bytes: impl AsRef<[u8]>) -> Self {
        Self(Zeroizing::new(bytes.as_ref().to_vec()))
    }

    /// No password at all.
    #[must_use]
    pub fn none() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
