//! How entries are shortened and laid out.

use iot_core::crypto::Digest;

use crate::revocation::Denied;

/// How much of a hash makes an entry.
pub(super) const PREFIX_BYTES: usize = 9;
pub(super) const FORMAT: u8 = 1;
/// `[format, version, index, table, entries]`
pub(super) const FIELDS: u8 = 5;
/// Additional data of the signature (RFC 9052 §4.3), so that it is no signature over anything else.
pub(super) const CONTEXT: &[u8] = b"iot-identity compact deny-list";

const END_BYTES: usize = 4;

/// What the place of an entry says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(in crate::revocation) enum Index {
    /// Nothing: there is no table.
    None,
    /// Its first byte.
    OneByte,
    /// Its first two bytes.
    TwoBytes,
}

impl Index {
    /// The one that makes a list of so many entries shortest; each list has one layout.
    pub(super) const fn of(count: usize) -> Self {
        let [none, one, two] = [
            Self::None.list_bytes(count),
            Self::OneByte.list_bytes(count),
            Self::TwoBytes.list_bytes(count),
        ];
        if none <= one && none <= two {
            Self::None
        } else if one <= two {
            Self::OneByte
        } else {
            Self::TwoBytes
        }
    }

    pub(super) const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::OneByte,
            2 => Self::TwoBytes,
            _ => return None,
        })
    }

    /// How many bytes of an entry the table tells.
    pub(super) const fn told_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::OneByte => 1,
            Self::TwoBytes => 2,
        }
    }

    pub(super) const fn entry_bytes(self) -> usize {
        PREFIX_BYTES - self.told_bytes()
    }

    pub(super) const fn table_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::OneByte => 256 * END_BYTES,
            Self::TwoBytes => 65_536 * END_BYTES,
        }
    }

    const fn list_bytes(self, count: usize) -> usize {
        self.table_bytes()
            .saturating_add(self.entry_bytes().saturating_mul(count))
    }
}

/// Where a bucket ends.
pub(super) fn read_end(table: &[u8], bucket: usize) -> Option<usize> {
    let at = bucket.checked_mul(END_BYTES)?;
    let bytes = table.get(at..)?.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*bytes)).ok()
}

/// The entry's hash, cut; `digest` must have absorbed nothing.
pub(super) fn prefix(entry: &Denied, digest: &mut (impl Digest + ?Sized)) -> [u8; PREFIX_BYTES] {
    match entry {
        Denied::Key(hash) => return shorten(hash.as_bytes()),
        Denied::Certificate(id) => {
            digest.update(b"certificate\0");
            digest.update(id.issuer());
            digest.update(id.serial());
        }
        Denied::Device(tenant, device) => {
            digest.update(b"device\0");
            digest.update(tenant.as_str().as_bytes());
            // No name holds this byte, so that no two pairs are spelt alike.
            digest.update(b"\0");
            digest.update(device.as_str().as_bytes());
        }
    }
    shorten(&digest.finish())
}

pub(super) const fn shorten(hash: &[u8; 32]) -> [u8; PREFIX_BYTES] {
    let [a, b, c, d, e, f, g, h, i, ..] = *hash;
    [a, b, c, d, e, f, g, h, i]
}
