//! The service's half.

mod book;
mod enrolment;
mod returning;
mod terms;

pub use enrolment::{Enrolment, EnrolmentError};
#[cfg(feature = "tls")]
pub(crate) use returning::expired;
pub use terms::{Approval, Terms};

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::time::Duration;

use iot_core::crypto::Signer;
use iot_core::entropy::Entropy;
use iot_core::time::{Proof, TimeBounds};
use iot_core::{DeviceId, Principal, Role, TenantId, Timestamp};
use rustls_pki_types::CertificateDer;

use self::book::Book;
use super::quarantine::{Hold, Quarantine};
use super::wire::{Answer, Refusal, Request as Asked, granted};
use crate::cert::{Authority, Request, UnverifiedCertificate, Validity, link};
use crate::key::KeyHash;
use crate::revocation::{Denied, Revocations};
use crate::ring::Sha256;

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
/// A device of which any key or certificate is denied gets nothing more, with whatever key and by whatever
/// session it asks, until [`readmit`](Self::readmit); the denied key never gets anything again, under whatever
/// device's name. A factory certificate is not in the book: to deny what was enrolled with one, deny the device.
///
/// It issues by its clock, and [`Later`](Refusal::Later) while that has no upper bound or is vaguer than an eighth of a
/// certificate's life.
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
    quarantine: Quarantine,
    book: Book,
}

impl<S: Signer> Registrar<S> {
    /// Issues for one tenant, from an authority that peers trust as an anchor.
    #[must_use]
    pub fn new(
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
            quarantine: Quarantine::default(),
            book: Book::new(),
        }
    }

    /// Sends these certificates along, from the authority's own up to below the anchor.
    ///
    /// What it issues does not outlive them.
    #[must_use]
    pub fn with_chain(mut self, above: Vec<CertificateDer<'static>>) -> Self {
        self.above = above;
        self
    }

    /// Shares a quarantine with fronts and other registrars, instead of having one of its own.
    #[must_use]
    pub fn with_quarantine(mut self, quarantine: Quarantine) -> Self {
        self.quarantine = quarantine;
        self
    }

    /// Shows it what it has issued before; of another tenant it is ignored.
    pub fn restore(&mut self, enrolment: Enrolment) {
        if enrolment.tenant == self.tenant {
            self.book.restore(enrolment);
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
        if self.is_barred(&who.tenant, &who.device, &key) {
            return Err(Refusal::Revoked);
        }
        if self.waits(who) {
            return Err(Refusal::Later);
        }
        let held = self.book.of_device(&who.device);
        let own = held.iter().filter(|one| one.key == key);
        let known = own.max_by_key(|one| one.not_after());
        if let Some(known) = known
            && self.is_fresh(known, wall)
        {
            return Ok(Enrolled::Known(known.clone()));
        }
        let live = held
            .iter()
            .filter(|one| one.key != key && !one.is_closed && !one.has_expired(wall));
        let live: BTreeSet<_> = live.map(Enrolment::key).collect();
        let closed = held.iter().filter(|one| one.is_closed).count();
        let is_full = live.len() >= self.terms.keys || closed >= self.most_closed();
        if is_full || (held.is_empty() && self.book.devices() >= self.terms.devices) {
            return Err(Refusal::TooMany);
        }
        let enrolment = self.issue(&request, wall, key, entropy)?;
        let mut held = self.book.take(&who.device);
        // A denied one stays for as long as it is denied: forgotten, its key or its device would enrol again. Of
        // those that have expired the newest stay, by which the device may come back.
        let expired = held.iter().filter(|one| one.has_expired(wall)).count();
        let mut surplus = expired.saturating_sub(self.terms.keys);
        held.retain(|one| {
            let is_surplus = one.has_expired(wall) && surplus > 0;
            surplus = surplus.saturating_sub(usize::from(is_surplus));
            (self.is_kept(one, wall) && !is_surplus) || self.is_denied(one)
        });
        held.push(enrolment.clone());
        self.book.put(who.device, held);
        Ok(Enrolled::Issued(enrolment))
    }

    /// Lets a device ask again although certificates of it are denied: whoever does so has looked at it.
    ///
    /// The key of each is denied by itself from now on. So a denial of the device as a whole may be withdrawn
    /// *afterwards*, and must be before it gets anything, without reviving what the device held when it was denied; the
    /// other way round its old certificates are good again. Where the [`Terms`] ask for [`Approval`] it is in
    /// quarantine until then.
    ///
    /// What changed is for the caller to make durable, and so are the denials ([`Revocations::local`]) and the
    /// quarantine ([`Quarantine::entries`]).
    pub fn readmit(&mut self, device: &DeviceId) -> Vec<Enrolment> {
        let mut held = self.book.take(device);
        let mut changed = Vec::new();
        for one in &mut held {
            if !one.is_closed && self.is_denied(one) {
                one.is_closed = true;
                self.revocations.deny(Denied::Key(one.key));
                changed.push(one.clone());
            }
        }
        if !changed.is_empty() && self.terms.approval != Approval::Nobody {
            self.quarantine.hold(&self.tenant, device);
        }
        self.book.put(*device, held);
        changed
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

    /// Every certificate that was issued and has not been forgotten.
    pub fn enrolments(&self) -> impl Iterator<Item = &Enrolment> {
        self.book.all()
    }

    /// How many devices hold one.
    #[must_use]
    pub fn devices(&self) -> usize {
        self.book.devices()
    }

    /// The devices that wait for somebody.
    #[must_use]
    pub const fn quarantine(&self) -> &Quarantine {
        &self.quarantine
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
        let validity = self.validity(wall).ok_or(Refusal::Later)?;
        let certificate = self.authority.ldevid_for(request, validity, entropy);
        Ok(Enrolment {
            tenant: self.tenant,
            device: *request.device(),
            key,
            certificate: certificate.map_err(|_| Refusal::Later)?,
            is_closed: false,
        })
    }

    /// Whether a device has to wait until somebody approves it; whom nobody has seen yet may be put there by this.
    fn waits(&self, who: &Principal) -> bool {
        let (tenant, device) = (&who.tenant, &who.device);
        let is_new =
            self.terms.approval == Approval::Everybody && self.book.of_device(device).is_empty();
        match self.quarantine.waits_for(tenant, device) {
            Some(hold) => hold == Hold::Approval,
            None => is_new && self.quarantine.hold(tenant, device),
        }
    }

    /// How long what is issued now is valid; `None` when nothing can be issued now.
    fn validity(&self, wall: TimeBounds) -> Option<Validity> {
        let begin = wall.not_before();
        // A device takes its clock for wrong when a new certificate looks older than that.
        if wall.not_after()? > begin.after(self.terms.lifetime / 8) {
            return None;
        }
        let ends = self
            .above
            .iter()
            .map(|der| UnverifiedCertificate::parse(der));
        let ends = ends.map(|view| view.map_or(Timestamp::EPOCH, |view| view.not_after()));
        let end = ends.fold(begin.after(self.terms.lifetime), Ord::min);
        let rest = end
            .as_millis()
            .checked_sub(begin.as_millis())
            .filter(|&rest| rest > 0)?;
        let lasting = Validity::lasting(begin, Duration::from_millis(rest));
        Some(lasting.backdated(self.terms.backdate))
    }

    /// Whether a request with this key gets nothing, whoever sends it.
    fn is_barred(&self, tenant: &TenantId, device: &DeviceId, key: &KeyHash) -> bool {
        let held = self.book.of_device(device).iter();
        // Under another device's name a denied key is as denied.
        let mut same = self.book.of_key(*key);
        self.revocations.is_key_denied(tenant, device, key)
            || same.any(|one| one.is_closed || self.is_denied(one))
            || held
                .filter(|one| !one.is_closed)
                .any(|one| self.is_denied(one))
    }

    /// Whether the deny-list names its device, its key or the certificate itself.
    fn is_denied(&self, enrolment: &Enrolment) -> bool {
        // What cannot be looked up counts as denied.
        link(&enrolment.certificate).is_none_or(|link| {
            self.revocations
                .is_denied(&enrolment.tenant, &enrolment.device, &[link])
        })
    }

    /// Whether it may still be shown to us, or may have to be named as denied.
    fn is_kept(&self, one: &Enrolment, wall: TimeBounds) -> bool {
        let grace = self.terms.after_expiry.unwrap_or_default();
        wall.reached(one.not_after().after(grace)) != Proof::Yes
    }

    /// Who has had more certificates denied than this is denied itself, not readmitted.
    const fn most_closed(&self) -> usize {
        self.terms.keys.saturating_mul(2)
    }

    /// Not proved to be in the last third of its life: until then a retry and a renewal are the same request.
    fn is_fresh(&self, enrolment: &Enrolment, wall: TimeBounds) -> bool {
        let margin = self.terms.lifetime.min(enrolment.life()) / 3;
        wall.reached(enrolment.not_after().before(margin)) != Proof::Yes
    }
}
