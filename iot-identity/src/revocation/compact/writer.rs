//! Making a list.

use alloc::vec::Vec;

use iot_core::codec::FlatWriter;
use iot_core::cose::{Content, CoseError, sign1};
use iot_core::crypto::{Digest, KeyError, Signer};

use super::MAX_LIST_BYTES;
use super::layout::{self, CONTEXT, FIELDS, FORMAT, Index, PREFIX_BYTES};
use crate::revocation::Denied;

/// Heads, version and index of the payload; headers and signature of the message.
const FRAME_BYTES: usize = 192;

/// Why no list was signed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum WriteError {
    /// The key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It would be longer than a list may be.
    #[error("the deny-list would have more than {MAX_LIST_BYTES} bytes: drop what has expired")]
    TooLong,
}

/// Collects denials and signs them as one list.
///
/// ```
/// # #[cfg(feature = "ring")] {
/// use iot_core::crypto::SignatureAlgorithm::Ed25519;
/// use iot_identity::key::KeyHash;
/// use iot_identity::revocation::{CompactWriter, Denied};
/// use iot_identity::ring::{Sha256, SoftwareKey};
/// let mut writer = CompactWriter::new(1);
/// for number in 0..1_000_u32 {
///     let mut hash = [0; 32];
///     hash[..4].copy_from_slice(&number.to_be_bytes());
///     writer.deny(&Denied::Key(KeyHash::new(hash)), &mut Sha256::new());
/// }
/// let bytes = writer.sign(&SoftwareKey::generate(Ed25519)?)?;
/// assert!(bytes.len() < 9_200); // nine bytes an entry, and the frame
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct CompactWriter {
    version: u64,
    prefixes: Vec<[u8; PREFIX_BYTES]>,
}

impl CompactWriter {
    /// An empty list of this version.
    #[must_use]
    pub const fn new(version: u64) -> Self {
        Self {
            version,
            prefixes: Vec::new(),
        }
    }

    /// Denies an entry; once is enough. `digest` must have absorbed nothing.
    pub fn deny(&mut self, entry: &Denied, digest: &mut (impl Digest + ?Sized)) {
        self.prefixes.push(layout::prefix(entry, digest));
    }

    /// Sorts and signs; lists of the same entries and version have the same payload, in whatever order they came.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; the writer is gone.
    pub fn sign(self, issuer: &dyn Signer) -> Result<Vec<u8>, WriteError> {
        let payload = self.payload();
        let room = payload.len().saturating_add(FRAME_BYTES);
        let mut buffer = alloc::vec![0; room];
        let content = Content::Attached(&payload);
        let signed = sign1(&mut buffer, issuer, None, content, CONTEXT);
        let len = signed
            .map_err(|error| match error {
                CoseError::Key(error) => WriteError::Key(error),
                _ => WriteError::TooLong,
            })?
            .len();
        if len > MAX_LIST_BYTES {
            return Err(WriteError::TooLong);
        }
        buffer.truncate(len);
        Ok(buffer)
    }

    fn payload(mut self) -> Vec<u8> {
        self.prefixes.sort_unstable();
        self.prefixes.dedup();
        let index = Index::of(self.prefixes.len());
        let told = index.told_bytes();
        let mut entries = Vec::with_capacity(self.prefixes.len().saturating_mul(PREFIX_BYTES));
        for prefix in &self.prefixes {
            entries.extend(prefix.iter().skip(told));
        }
        let table = self.table(told);
        let room = table.len().saturating_add(entries.len());
        let mut payload = alloc::vec![0; room.saturating_add(FRAME_BYTES)];
        let mut out = FlatWriter::new(&mut payload);
        out.array(FIELDS, FORMAT);
        out.uint(self.version);
        out.uint(told as u64);
        out.bytes(&table);
        out.bytes(&entries);
        let len = out.finish().unwrap_or_default();
        payload.truncate(len);
        payload
    }

    /// Where each bucket ends.
    fn table(&self, told: usize) -> Vec<u8> {
        let buckets = match told {
            0 => 0,
            1 => 256_u32,
            _ => 65_536,
        };
        let bucket_of = |prefix: &[u8; PREFIX_BYTES]| {
            let told = prefix.iter().take(told);
            told.fold(0, |bucket, byte| bucket << 8 | u32::from(*byte))
        };
        let (mut table, mut end, mut rest) = (Vec::new(), 0_u32, self.prefixes.iter().peekable());
        for bucket in 0..buckets {
            while rest.next_if(|prefix| bucket_of(prefix) == bucket).is_some() {
                end = end.saturating_add(1);
            }
            table.extend(end.to_be_bytes());
        }
        table
    }
}
