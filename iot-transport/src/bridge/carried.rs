//! A message with the device that it is from or for; the format is in `carried.cddl`.

use iot_core::Peer;
use iot_core::codec::{EncodeError, FlatReader, FlatWriter};
use iot_core::id::MAX_NAME_BYTES;

const VERSION: u8 = 1;
const FIELDS: u8 = 4;
/// How many bytes it takes beyond the payload, at most.
pub const OVERHEAD_BYTES: usize = 2 + 2 * (2 + MAX_NAME_BYTES) + 5;

/// The bytes are no carried message.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the payload is no carried message of version {VERSION}: see carried.cddl")]
#[non_exhaustive]
pub struct NotCarried;

/// What a gateway carries, borrowed: a payload and whose it is. Its channel is that of the message around it.
///
/// ```
/// use iot_core::Peer;
/// use iot_transport::bridge::Carried;
///
/// let carried = Carried::new(Peer::parse("acme", "boiler-7")?, b"21.5");
/// let mut buffer = [0; 64];
/// let bytes = carried.encode(&mut buffer)?;
/// assert_eq!(Carried::decode(bytes)?, carried);
/// assert!(Carried::decode(b"21.5").is_err());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Carried<'a> {
    /// The device.
    pub peer: Peer<'a>,
    /// The content.
    pub payload: &'a [u8],
}

impl<'a> Carried<'a> {
    /// A payload from or for a device.
    #[must_use]
    pub const fn new(peer: Peer<'a>, payload: &'a [u8]) -> Self {
        Self { peer, payload }
    }

    /// Reads it where it stands.
    ///
    /// # Errors
    ///
    /// [`NotCarried`] for anything that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotCarried> {
        let mut from = FlatReader::new(bytes);
        from.array(FIELDS, VERSION);
        let (tenant, device) = (from.text(), from.text());
        let payload = from.bytes();
        if !from.is_empty() {
            return Err(NotCarried);
        }
        let peer = Peer::parse(tenant, device).map_err(|_| NotCarried)?;
        Ok(Self { peer, payload })
    }

    /// Writes it to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small: the payload and [`OVERHEAD_BYTES`] are always enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        let bytes = buffer.len();
        let mut to = FlatWriter::new(buffer);
        to.array(FIELDS, VERSION);
        to.text(self.peer.tenant());
        to.text(self.peer.device());
        to.bytes(self.payload);
        let used = to.finish();
        let written = used.and_then(|used| buffer.get(..used));
        written.ok_or(EncodeError::new(bytes))
    }
}
