//! What a device is given in the factory beside its key.

use alloc::vec::Vec;

use iot_core::DeviceId;
use iot_core::codec::{Limits, Writer, check, encode_into};
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::port::{Records, RecordsError, RecordsErrorKind};
use minicbor::Decoder;
use rustls::pki_types::CertificateDer;

use crate::cert::idevid_name;

const FORMAT: u8 = 1;
const MAX_CHAIN: usize = 4;
const MAX_ROOTS: usize = 8;
const MAX_CERTIFICATE_BYTES: usize = 2_048;
const MAX_BYTES: usize = (MAX_CHAIN + MAX_ROOTS) * (MAX_CERTIFICATE_BYTES + 3) + 8;

/// What a device is given in the factory beside its key: its IDevID (IEEE 802.1AR §6.2), and whom it trusts.
///
/// It is written once, into the records that the device keeps for life; `provision.cddl` beside this module
/// describes the bytes. [`Credentials::load`](super::Credentials::load) begins with it. Nothing in it is secret:
/// whoever changes it can keep the device from its service, but not pass for either.
///
/// ```
/// # use core::time::Duration;
/// # use iot_core::{DeviceId, Timestamp, crypto::{KeyPolicy, KeyStore, SignatureAlgorithm::EcdsaP256Sha256, SlotId}};
/// # use iot_identity::cert::{Authority, Validity};
/// # use iot_identity::{key::PublicKey, ring::{SoftwareKey, SoftwareKeys, SystemEntropy}};
/// # let (since, mut entropy) = (Timestamp::from_secs(1_800_000_000), SystemEntropy::new());
/// # let years = Validity::lasting(since, Duration::from_secs(315_360_000));
/// # let authority = |name, entropy: &mut SystemEntropy| Authority::root(SoftwareKey::generate(EcdsaP256Sha256).unwrap(), name, years, entropy);
/// # let (factory, servers) = (authority("Boiler factory", &mut entropy)?, authority("Acme servers", &mut entropy)?);
/// use iot_core::engine::RecordKey;
/// use iot_core::storage::memory::MemoryRecords;
/// use iot_identity::tls::Provision;
///
/// let (device, keys) = (DeviceId::new("boiler-7")?, SoftwareKeys::new());
/// keys.generate(SlotId::new(0), EcdsaP256Sha256, KeyPolicy::SignForLife)?;
/// let public = PublicKey::of(&keys.signer(SlotId::new(0))?)?;
/// let idevid = factory.idevid(&device, "1.3.6.1.4.1.32473.1", &public, since, &mut entropy)?;
/// let provision = Provision::new(vec![idevid], vec![servers.certificate().clone()])?;
/// assert_eq!(provision.device(), &device);
/// let mut records = MemoryRecords::new(); // in a product: flash or files
/// iot_core::node::block_on(provision.store(&mut records, RecordKey::new(0x100)))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Provision {
    device: DeviceId,
    idevid: Vec<CertificateDer<'static>>,
    servers: Vec<CertificateDer<'static>>,
}

/// Why certificates are nothing that a device can begin with.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// The bytes are no provision of a known format.
    #[error("the record is no provision of format {FORMAT}")]
    Format,
    /// The first certificate is no IDevID that names a device.
    #[error(
        "the first certificate is no IDevID that names a device: issue it with `Authority::idevid`"
    )]
    NoIdevid,
    /// None, too many or too long.
    #[error(
        "give 1 to {MAX_CHAIN} certificates of the device and 1 to {MAX_ROOTS} roots of servers, of at most \
         {MAX_CERTIFICATE_BYTES} bytes each"
    )]
    Number,
}

impl Provision {
    /// Joins the factory certificate, its chain behind it, and the roots of the servers that the device trusts.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`].
    pub fn new(
        idevid: Vec<CertificateDer<'static>>,
        servers: Vec<CertificateDer<'static>>,
    ) -> Result<Self, ProvisionError> {
        let fits = |certificates: &[CertificateDer<'_>], most| {
            let fits = |der: &CertificateDer<'_>| (1..=MAX_CERTIFICATE_BYTES).contains(&der.len());
            (1..=most).contains(&certificates.len()) && certificates.iter().all(fits)
        };
        if !fits(&idevid, MAX_CHAIN) || !fits(&servers, MAX_ROOTS) {
            return Err(ProvisionError::Number);
        }
        let first = idevid.first().ok_or(ProvisionError::Number)?;
        let device = idevid_name(first).ok_or(ProvisionError::NoIdevid)?;
        Ok(Self {
            device,
            idevid,
            servers,
        })
    }

    /// The device that the factory certificate names.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// The factory certificate and those above it.
    #[must_use]
    pub fn idevid(&self) -> &[CertificateDer<'static>] {
        &self.idevid
    }

    /// The authorities whose servers the device trusts.
    #[must_use]
    pub fn servers(&self) -> &[CertificateDer<'static>] {
        &self.servers
    }

    /// Makes it durable under `key`.
    ///
    /// # Errors
    ///
    /// The store's; what was there before is there still, or this is.
    pub async fn store<R: Records>(&self, records: &mut R, key: RecordKey) -> Result<(), R::Error> {
        let value = self.encode();
        let mut buffer = alloc::vec![0; value.len().saturating_add(64)];
        let mut writer = BatchWriter::new(&mut buffer);
        // The buffer was made for this one record.
        let _ = writer.put(key, &value);
        records.commit(&writer.finish()).await
    }

    /// Reads what is under `key`; `None` when there is nothing.
    pub(super) async fn read<R: Records>(
        records: &mut R,
        key: RecordKey,
    ) -> Result<Option<Result<Self, ProvisionError>>, R::Error> {
        let mut buffer = alloc::vec![0; MAX_BYTES];
        match records.read(key, &mut buffer).await {
            Ok(found) => Ok(found.map(Self::decode)),
            // Longer than any provision, so none.
            Err(error) if error.kind() == RecordsErrorKind::Buffer => {
                Ok(Some(Err(ProvisionError::Format)))
            }
            Err(error) => Err(error),
        }
    }

    /// Encodes it for a store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = alloc::vec![0; MAX_BYTES];
        let bytes = encode_into(&mut buffer, |out| {
            out.array(3)?.u8(FORMAT)?;
            put(out, &self.idevid)?;
            put(out, &self.servers)
        });
        bytes.map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`ProvisionError`] for anything but what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, ProvisionError> {
        let limits = Limits::new(MAX_BYTES, 2, 24);
        check(bytes, limits).map_err(|_| ProvisionError::Format)?;
        let mut input = Decoder::new(bytes);
        let read = |input: &mut Decoder<'_>| {
            let known = input.array().ok()? == Some(3) && input.u8().ok()? == FORMAT;
            known.then_some(())?;
            Some((take(input, MAX_CHAIN)?, take(input, MAX_ROOTS)?))
        };
        let (idevid, servers) = read(&mut input).ok_or(ProvisionError::Format)?;
        Self::new(idevid, servers)
    }
}

fn put(
    out: &mut Writer<'_>,
    certificates: &[CertificateDer<'_>],
) -> Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>> {
    out.array(certificates.len() as u64)?;
    for der in certificates {
        out.bytes(der)?;
    }
    Ok(())
}

fn take(input: &mut Decoder<'_>, most: usize) -> Option<Vec<CertificateDer<'static>>> {
    let count = usize::try_from(input.array().ok()??).ok()?;
    (count <= most).then_some(())?;
    let one = |_| Some(CertificateDer::from(input.bytes().ok()?.to_vec()));
    (0..count).map(one).collect()
}

#[cfg(test)]
mod tests;
