//! The service's half.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::codec::{Limits, check, encode_into};
use iot_core::crypto::Signer;
use iot_core::entropy::Entropy;
use iot_core::time::{Proof, TimeBounds};
use iot_core::{DeviceId, Principal, Role, TenantId};
use minicbor::Decoder;
use rustls_pki_types::CertificateDer;

use super::wire::{Answer, Refusal, Request as Asked, granted};
use crate::cert::{Authority, Request, UnverifiedCertificate, Validity, link};
use crate::key::KeyHash;
use crate::revocation::Revocations;
use crate::ring::Sha256;

/// How long the certificates live that a [`Registrar`] issues, and when it replaces one.
///
/// ```
/// use core::time::Duration;
/// use iot_identity::enrol::Terms;
/// let monthly = Terms::new(Duration::from_secs(30 * 86_400));
/// assert_eq!(monthly, Terms::default());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    lifetime: Duration,
    backdate: Duration,
    keys: usize,
}

impl Terms {
    /// Certificates live for `lifetime`; one of the same key is replaced in its last third.
    ///
    /// They begin five minutes early for devices whose clock is behind, and a device may hold four.
    #[must_use]
    pub const fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            backdate: Duration::from_secs(300),
            keys: 4,
        }
    }

    /// Lets certificates begin `span` before they are issued.
    #[must_use]
    pub const fn backdate(mut self, span: Duration) -> Self {
        self.backdate = span;
        self
    }

    /// Lets a device hold certificates of `keys` keys at a time.
    #[must_use]
    pub const fn keys(mut self, keys: usize) -> Self {
        self.keys = keys;
        self
    }
}

impl Default for Terms {
    /// Thirty days.
    fn default() -> Self {
        Self::new(Duration::from_secs(30 * 86_400))
    }
}

/// A certificate that was issued, to whom, for which key: what a registrar must not forget.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Enrolment {
    tenant: TenantId,
    device: DeviceId,
    key: KeyHash,
    certificate: CertificateDer<'static>,
}

/// The bytes are no [`Enrolment`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the record is no enrolment of a known format")]
#[non_exhaustive]
pub struct EnrolmentError;

impl Enrolment {
    /// Whose tenant.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Which device.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Which key.
    #[must_use]
    pub const fn key(&self) -> &KeyHash {
        &self.key
    }

    /// The certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Encodes it for a store.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut buffer = alloc::vec![0; self.certificate.len().saturating_add(160)];
        let bytes = encode_into(&mut buffer, |out| {
            out.array(4)?.u8(1)?.str(self.tenant.as_str())?;
            out.str(self.device.as_str())?.bytes(&self.certificate)?;
            Ok(())
        });
        bytes.map(<[u8]>::to_vec).unwrap_or_default()
    }

    /// Decodes it.
    ///
    /// # Errors
    ///
    /// [`EnrolmentError`] for anything but what [`encode`](Self::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnrolmentError> {
        check(bytes, Limits::new(8_192, 1, 5)).map_err(|_| EnrolmentError)?;
        let mut input = Decoder::new(bytes);
        let mut read = || {
            let known = input.array().ok()? == Some(4) && input.u8().ok()? == 1;
            let tenant = TenantId::new(input.str().ok()?).ok()?;
            let device = DeviceId::new(input.str().ok()?).ok()?;
            let certificate = CertificateDer::from(input.bytes().ok()?.to_vec());
            let key = UnverifiedCertificate::parse(&certificate)?.public_key()?;
            known.then_some(Self {
                tenant,
                device,
                key: key.hash(&mut Sha256::new()),
                certificate,
            })
        };
        read().ok_or(EnrolmentError)
    }
}

/// What became of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Enrolled {
    /// A certificate was issued; make it durable before anybody sees it.
    Issued(Enrolment),
    /// It had been issued before.
    Known(Enrolment),
}

impl Enrolled {
    /// The certificate either way.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        let (Self::Issued(enrolment) | Self::Known(enrolment)) = self;
        &enrolment.certificate
    }
}

/// Issues operational certificates to devices that have proved who they are.
///
/// It is idempotent by device and key: a repeated request gets the certificate that exists. It keeps its book
/// in memory; every [`Enrolled::Issued`] is for the caller to make durable, and [`restore`](Self::restore)
/// shows it again after a restart.
///
/// The key of a denied certificate is refused, but the device may enrol with another key: against a device that
/// was compromised deny the device itself, [`Denied::Device`](crate::revocation::Denied::Device).
///
/// ```
/// use core::time::Duration;
/// use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
/// use iot_core::time::TimeBounds;
/// use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
/// use iot_identity::cert::{Authority, Validity, csr};
/// use iot_identity::enrol::{Enrolled, Refusal, Registrar, Terms};
/// use iot_identity::ring::{SoftwareKey, SystemEntropy};
///
/// let now = Timestamp::from_secs(1_800_000_000);
/// let year = Validity::lasting(now, Duration::from_secs(365 * 86_400));
/// let mut entropy = SystemEntropy::new();
/// let authority = Authority::root(SoftwareKey::generate(EcdsaP256Sha256)?, "Acme", year, &mut entropy)?;
/// let mut registrar = Registrar::new(authority, TenantId::new("acme")?, Terms::default(), Default::default());
///
/// let (device, key) = (DeviceId::new("boiler-7")?, SoftwareKey::generate(EcdsaP256Sha256)?);
/// let mut buffer = [0; csr::MAX_CSR_BYTES];
/// let csr = csr::write(&device, &key, &mut buffer)?;
/// let who = Principal::new(TenantId::new("acme")?, device, Role::Newcomer); // from its verified IDevID
/// let wall = TimeBounds::exact(now);
/// let first = registrar.enrol(&who, csr, wall, &mut entropy)?;
/// let again = registrar.enrol(&who, csr, wall, &mut entropy)?;
/// assert!(matches!(first, Enrolled::Issued(_)) && matches!(again, Enrolled::Known(_)));
/// assert_eq!(first.certificate(), again.certificate());
///
/// let other = Principal::new(TenantId::new("acme")?, DeviceId::new("boiler-8")?, Role::Newcomer);
/// assert_eq!(registrar.enrol(&other, csr, wall, &mut entropy), Err(Refusal::OtherDevice));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Registrar<S> {
    authority: Authority<S>,
    above: Vec<CertificateDer<'static>>,
    tenant: TenantId,
    terms: Terms,
    revocations: Revocations,
    book: BTreeMap<DeviceId, Vec<Enrolment>>,
}

impl<S: Signer> Registrar<S> {
    /// Issues for one tenant, from an authority that peers trust as an anchor.
    #[must_use]
    pub const fn new(
        authority: Authority<S>,
        tenant: TenantId,
        terms: Terms,
        revocations: Revocations,
    ) -> Self {
        Self {
            authority,
            above: Vec::new(),
            tenant,
            terms,
            revocations,
            book: BTreeMap::new(),
        }
    }

    /// Sends these certificates along, from the authority's own up to below the anchor.
    #[must_use]
    pub fn with_chain(mut self, above: Vec<CertificateDer<'static>>) -> Self {
        self.above = above;
        self
    }

    /// Shows it what it has issued before; of another tenant it is ignored.
    pub fn restore(&mut self, enrolment: Enrolment) {
        if enrolment.tenant == self.tenant {
            let held = self.book.entry(enrolment.device).or_default();
            held.retain(|one| one.key != enrolment.key);
            held.push(enrolment);
        }
    }

    /// Decides on a request that an authenticated peer has sent.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; nothing was issued and the book is as it was.
    pub fn enrol(
        &mut self,
        who: &Principal,
        csr: &[u8],
        wall: TimeBounds,
        entropy: &mut dyn Entropy,
    ) -> Result<Enrolled, Refusal> {
        let enrols = matches!(who.role, Role::Newcomer | Role::Device | Role::Gateway);
        if who.tenant != self.tenant || !enrols {
            return Err(Refusal::NotAllowed);
        }
        let request = Request::parse(csr).map_err(|_| Refusal::Request)?;
        if *request.device() != who.device {
            return Err(Refusal::OtherDevice);
        }
        let key = request.public_key().hash(&mut Sha256::new());
        if self
            .revocations
            .is_key_denied(&who.tenant, &who.device, &key)
        {
            return Err(Refusal::Revoked);
        }
        let held = self.book.get(&who.device).map_or(&[][..], Vec::as_slice);
        let known = held.iter().find(|one| one.key == key);
        if known.is_some_and(|known| self.is_denied(known)) {
            return Err(Refusal::Revoked);
        }
        if let Some(known) = known
            && self.is_fresh(known, wall)
        {
            return Ok(Enrolled::Known(known.clone()));
        }
        let live = held
            .iter()
            .filter(|one| one.key != key && !is_expired(one, wall) && !self.is_denied(one));
        if live.count() >= self.terms.keys {
            return Err(Refusal::TooMany);
        }
        let enrolment = self.issue(&request, wall, key, entropy)?;
        let mut held = self.book.remove(&who.device).unwrap_or_default();
        // A denied one stays for as long as it is denied: forgotten, its key would enrol again.
        held.retain(|one| one.key != key && (!is_expired(one, wall) || self.is_denied(one)));
        held.push(enrolment.clone());
        self.book.insert(who.device, held);
        Ok(Enrolled::Issued(enrolment))
    }

    /// Decides on a message of the enrol channel: the answer to send, and what must be durable before it is sent.
    pub fn answer(
        &mut self,
        who: &Principal,
        message: &[u8],
        wall: TimeBounds,
        entropy: &mut dyn Entropy,
    ) -> (Vec<u8>, Option<Enrolment>) {
        let (number, outcome) = match Asked::decode(message) {
            Ok(asked) => (asked.number, self.enrol(who, asked.csr, wall, entropy)),
            Err(_) => (0, Err(Refusal::Request)),
        };
        let refuse = |refusal| {
            let mut buffer = [0; 16];
            let bytes = Answer::refused(number, refusal).encode(&mut buffer);
            bytes.map(<[u8]>::to_vec).unwrap_or_default()
        };
        let enrolled = match outcome {
            Ok(enrolled) => enrolled,
            Err(refusal) => return (refuse(refusal), None),
        };
        let above = self.above.iter().map(AsRef::as_ref);
        let chain: Vec<&[u8]> = core::iter::once(enrolled.certificate().as_ref())
            .chain(above)
            .collect();
        let bytes = granted(number, &chain).unwrap_or_else(|| refuse(Refusal::Later));
        let news = match enrolled {
            Enrolled::Issued(enrolment) => Some(enrolment),
            Enrolled::Known(_) => None,
        };
        (bytes, news)
    }

    /// Every certificate that was issued and has not been replaced or forgotten.
    pub fn enrolments(&self) -> impl Iterator<Item = &Enrolment> {
        self.book.values().flatten()
    }

    /// How many devices hold one.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.book.len()
    }

    /// The authority it issues from.
    #[must_use]
    pub const fn authority(&self) -> &Authority<S> {
        &self.authority
    }

    /// Gives the authority back.
    #[must_use]
    pub fn into_authority(self) -> Authority<S> {
        self.authority
    }

    fn issue(
        &self,
        request: &Request,
        wall: TimeBounds,
        key: KeyHash,
        entropy: &mut dyn Entropy,
    ) -> Result<Enrolment, Refusal> {
        let validity = Validity::lasting(wall.not_before(), self.terms.lifetime)
            .backdated(self.terms.backdate);
        let certificate = self.authority.ldevid_for(request, validity, entropy);
        Ok(Enrolment {
            tenant: self.tenant,
            device: *request.device(),
            key,
            certificate: certificate.map_err(|_| Refusal::Later)?,
        })
    }

    /// Whether the deny-list names its device, its key or the certificate itself.
    fn is_denied(&self, enrolment: &Enrolment) -> bool {
        // What cannot be looked up counts as denied.
        link(&enrolment.certificate).is_none_or(|link| {
            self.revocations
                .is_denied(&enrolment.tenant, &enrolment.device, &[link])
        })
    }

    /// Not proved to be in the last third of its life: until then a retry and a renewal are the same request.
    fn is_fresh(&self, enrolment: &Enrolment, wall: TimeBounds) -> bool {
        let view = UnverifiedCertificate::parse(&enrolment.certificate);
        let margin = self.terms.lifetime / 3;
        view.is_some_and(|view| wall.reached(view.not_after().before(margin)) != Proof::Yes)
    }
}

fn is_expired(enrolment: &Enrolment, wall: TimeBounds) -> bool {
    let view = UnverifiedCertificate::parse(&enrolment.certificate);
    view.is_some_and(|view| wall.reached(view.not_after()) == Proof::Yes)
}
