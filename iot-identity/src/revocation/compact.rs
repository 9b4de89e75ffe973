//! Very many denials in few bytes, looked up where they lie.
//!
//! An entry is the first nine bytes of a hash: of a key, of a certificate's issuer and serial number, or of a tenant
//! and a device's name. The entries are sorted, and what their place says is left out of them: a long list begins
//! with a table of where each first byte, or each pair of first bytes, ends. So an entry takes nine, eight or seven
//! bytes; with the table, 7.3 bytes for a million and 8.1 for twenty thousand. A look-up reads two places of
//! the table and halves what lies between them: four comparisons for a million entries, seven for twenty thousand.
//!
//! **False denials.** A peer that is not denied is hit when its hash begins with the same 72 bits as that of an
//! entry. With a million entries that happens to one look-up in 2⁵². Nobody can aim at it by choosing
//! keys for himself, because a hit only denies himself; and whoever wants to have *somebody else* denied has to get
//! an entry into the list that collides with a given key, which takes 2⁷² keys. So no exact check follows.
//!
//! **Trust.** The list is the payload of a `COSE_Sign1` (RFC 9052 §4.2), and [`CompactList::verify`] is the only way
//! to one. What was in force is not taken back: see [`Edition::may_follow`].

mod edition;
mod layout;
mod verify;
#[cfg(feature = "alloc")]
mod writer;

use core::fmt;

use iot_core::crypto::Digest;

pub use self::edition::Edition;
pub(super) use self::layout::Index;
use self::layout::PREFIX_BYTES;
pub use self::verify::{CompactError, MAX_LIST_BYTES};
#[cfg(feature = "alloc")]
pub use self::writer::{CompactWriter, WriteError};
use super::entry::Denied;
use crate::key::KeyHash;

/// A verified list in its own bytes; a look-up takes no allocator, and does not decode the rest.
///
/// ```
/// # #[cfg(feature = "ring")] {
/// use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
/// use iot_core::{DeviceId, TenantId};
/// use iot_identity::key::PublicKey;
/// use iot_identity::revocation::{CompactList, CompactWriter, Denied};
/// use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
/// let boiler = Denied::Device(TenantId::new("acme")?, DeviceId::new("boiler-7")?);
/// let key = SoftwareKey::generate(EcdsaP256Sha256)?;
/// let mut writer = CompactWriter::new(2);
/// writer.deny(&boiler, &mut Sha256::new());
/// let bytes = writer.sign(&key)?;
///
/// let issuer = SoftwareVerifier::new(PublicKey::of(&key)?);
/// let list = CompactList::verify(&bytes, &issuer, None, &mut Sha256::new())?;
/// assert!(list.denies(&boiler, &mut Sha256::new()));
/// // What came before it is refused from now on.
/// let older = CompactWriter::new(1).sign(&key)?;
/// assert!(CompactList::verify(&older, &issuer, Some(list.edition()), &mut Sha256::new()).is_err());
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct CompactList<'a> {
    pub(super) edition: Edition,
    pub(super) index: Index,
    pub(super) table: &'a [u8],
    pub(super) entries: &'a [u8],
}

impl CompactList<'_> {
    /// Which list it is: what to keep, so that nothing older follows it.
    #[must_use]
    pub const fn edition(&self) -> &Edition {
        &self.edition
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len() / self.index.entry_bytes()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether it holds the entry; `digest` must have absorbed nothing.
    #[must_use]
    pub fn denies(&self, entry: &Denied, digest: &mut (impl Digest + ?Sized)) -> bool {
        self.contains(&layout::prefix(entry, digest))
    }

    /// Whether it holds the key: the one question that takes no hash.
    #[must_use]
    pub fn denies_key(&self, key: &KeyHash) -> bool {
        self.contains(&layout::shorten(key.as_bytes()))
    }

    /// What cannot be looked up counts as denied; a list that was verified has no such place.
    fn contains(&self, prefix: &[u8; PREFIX_BYTES]) -> bool {
        let found = match self.index {
            Index::None => self.find::<9>(0, prefix),
            Index::OneByte => self.find::<8>(1, prefix),
            Index::TwoBytes => self.find::<7>(2, prefix),
        };
        found.unwrap_or(true)
    }

    /// Looks for what follows the first `told` bytes among the entries that begin with those.
    fn find<const N: usize>(&self, told: usize, prefix: &[u8; PREFIX_BYTES]) -> Option<bool> {
        let (told, wanted) = prefix.split_at_checked(told)?;
        let wanted: &[u8; N] = wanted.first_chunk()?;
        let bucket = told
            .iter()
            .fold(0, |bucket, byte| bucket << 8 | usize::from(*byte));
        let (entries, _) = self.entries.as_chunks::<N>();
        let from = match bucket.checked_sub(1) {
            Some(before) => self.end(before)?,
            None => 0,
        };
        let entries = entries.get(from..self.end(bucket)?)?;
        Some(entries.binary_search(wanted).is_ok())
    }

    /// Where the entries of a bucket end, counted in entries.
    fn end(&self, bucket: usize) -> Option<usize> {
        match self.index {
            Index::None => Some(self.len()),
            _ => layout::read_end(self.table, bucket),
        }
    }
}

impl fmt::Debug for CompactList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, len) = (self.edition.version, self.len());
        write!(f, "CompactList(version {version}, {len} entries)")
    }
}
