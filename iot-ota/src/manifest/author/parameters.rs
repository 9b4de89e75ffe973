//! Parameters to be written.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use iot_core::crypto::Sha256Digest;

use super::super::parameter::Parameters;
use super::cbor;

/// Parameters and their values (§8.4.8), each at most once.
///
/// ```
/// use iot_ota::manifest::ParameterList;
/// let parameters = ParameterList::new().size(4_096).uri("iot:firmware");
/// assert_eq!(parameters.encode()[..2], [0xa2, 14]);
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ParameterList(BTreeMap<i32, Vec<u8>>);

impl ParameterList {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Whose device it is for: a UUID.
    #[must_use]
    pub fn vendor(self, uuid: [u8; 16]) -> Self {
        self.raw(1, cbor::bytes(&uuid))
    }

    /// What kind of device it is for: a UUID.
    #[must_use]
    pub fn class(self, uuid: [u8; 16]) -> Self {
        self.raw(2, cbor::bytes(&uuid))
    }

    /// The one device it is for: a UUID.
    #[must_use]
    pub fn device(self, uuid: [u8; 16]) -> Self {
        self.raw(24, cbor::bytes(&uuid))
    }

    /// The image's SHA-256.
    #[must_use]
    pub fn digest(self, digest: &Sha256Digest) -> Self {
        self.raw(3, cbor::bytes(&cbor::suit_digest(digest)))
    }

    /// The image's size in bytes.
    #[must_use]
    pub fn size(self, bytes: u64) -> Self {
        self.raw(14, cbor::uint(bytes))
    }

    /// The slot the component must be in.
    #[must_use]
    pub fn slot(self, slot: u64) -> Self {
        self.raw(5, cbor::uint(slot))
    }

    /// Bytes to write, or to compare with.
    #[must_use]
    pub fn content(self, content: &[u8]) -> Self {
        self.raw(18, cbor::bytes(content))
    }

    /// How the payload is encrypted: a `COSE_Encrypt`.
    #[must_use]
    pub fn encryption(self, info: &[u8]) -> Self {
        self.raw(19, cbor::bytes(info))
    }

    /// Where the image is.
    #[must_use]
    pub fn uri(self, uri: &str) -> Self {
        self.raw(21, cbor::text(uri))
    }

    /// The component to copy from, or to swap with, by its index.
    #[must_use]
    pub fn source(self, index: u64) -> Self {
        self.raw(22, cbor::uint(index))
    }

    /// What to start the component with.
    #[must_use]
    pub fn invoke_arguments(self, arguments: &[u8]) -> Self {
        self.raw(23, cbor::bytes(arguments))
    }

    /// Whether commands must be executed in their order.
    #[must_use]
    pub fn strict_order(self, strict: bool) -> Self {
        self.raw(12, cbor::boolean(strict))
    }

    /// Whether a condition that fails ends the sequence only.
    #[must_use]
    pub fn soft_failure(self, soft: bool) -> Self {
        self.raw(13, cbor::boolean(soft))
    }

    /// Until when it may be installed, in seconds since 1970 (update management).
    #[must_use]
    pub fn use_before(self, seconds: u64) -> Self {
        self.raw(4, cbor::uint(seconds))
    }

    /// How much energy the battery must hold, in mWh (update management).
    #[must_use]
    pub fn minimum_battery(self, mwh: u64) -> Self {
        self.raw(26, cbor::uint(mwh))
    }

    /// How urgent it is: the smaller, the more (update management).
    #[must_use]
    pub fn priority(self, priority: i64) -> Self {
        self.raw(27, cbor::int(priority))
    }

    /// One that has no method of its own, or a value as CBOR.
    #[must_use]
    pub fn raw(mut self, code: i32, value: Vec<u8>) -> Self {
        self.0.insert(code, value);
        self
    }

    /// The map as CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let entries = self.0.iter();
        cbor::map(entries.map(|(code, value)| (cbor::int((*code).into()), value.clone())))
    }

    /// Reads a map that was checked; `None` when it is none.
    pub(super) fn decode(map: &[u8]) -> Option<Self> {
        let mut parameters = Parameters::of(map)?;
        let mut list = Self::new();
        while let Some((code, value)) = parameters.pair() {
            list = list.raw(code, value.to_vec());
        }
        // One that cannot be read ends the row too.
        parameters.is_whole().then_some(list)
    }
}
