//! A device with real keys, and the service it talks to.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, Signature, Signer, SlotId};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, DeviceId, Instant, Message, Now, Principal, Role, TenantId, Ticket, Timestamp,
};
use iot_identity::cert::{AdmitError, Authority, Trust, TrustAnchors, Validity, csr};
use iot_identity::enrol::{Enrolment, Registrar, Terms};
use iot_identity::key::PublicKey;
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::rotate::{Identity, Policy, Rotation, Session, Want};
use rustls_pki_types::CertificateDer;

pub(crate) const HOUR: Duration = Duration::from_secs(3_600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const A: SlotId = SlotId::new(1);
pub(crate) const B: SlotId = SlotId::new(2);
pub(crate) const FACTORY: SlotId = SlotId::new(0);
pub(crate) const RECORD: RecordKey = RecordKey::new(0x100);

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(crate) fn id() -> DeviceId {
    DeviceId::new("boiler-7").unwrap()
}

/// A request of the device for a key that nobody else has.
pub(crate) fn request() -> Vec<u8> {
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    csr::write(&id(), &new_key(), &mut buffer).unwrap().to_vec()
}

pub(crate) fn new_key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

pub(crate) fn authority(name: &str) -> Authority<SoftwareKey> {
    let validity = Validity::lasting(START, 3_650 * DAY).backdated(DAY);
    Authority::root(new_key(), name, validity, &mut SystemEntropy::new()).unwrap()
}

pub(crate) fn new_rotation(policy: Policy, seed: u64) -> Rotation<SimEntropy, 1_024> {
    Rotation::new(id(), [A, B], RECORD, policy, SimEntropy::new(seed))
}

/// A registrar, and a front that admits whom its anchors verify.
pub(crate) struct Site {
    pub(crate) registrar: Registrar<SoftwareKey>,
    pub(crate) revocations: Revocations,
    factory: Authority<SoftwareKey>,
    pub(crate) trust: Trust,
    /// What became durable.
    stored: Vec<Vec<u8>>,
    pub(crate) is_up: bool,
    pub(crate) takes_expired: bool,
    pub(crate) is_silent: bool,
    /// It hears and does not answer.
    pub(crate) is_deaf: bool,
    /// It hears and decides, and its answers are lost.
    pub(crate) is_unheard: bool,
    pub(crate) refuses: Option<Identity>,
    /// It takes factory identities only.
    pub(crate) is_mistaken: bool,
    /// Loses and doubles, and loses power itself.
    pub(crate) chance: Option<SimEntropy>,
    pub(crate) session: Option<Identity>,
    pub(crate) shown: Vec<Identity>,
    pub(crate) asked: Vec<Identity>,
    pub(crate) heard: Vec<Vec<u8>>,
}

fn terms() -> Terms {
    // Within the grace everything comes back; the front has a word of its own in that.
    Terms::default().keys(64).after_expiry(1_000 * DAY)
}

impl Site {
    pub(crate) fn new() -> Self {
        let (factory, devices) = (authority("factory"), authority("devices"));
        let revocations = Revocations::default();
        let mut anchors = TrustAnchors::new();
        anchors
            .add(factory.certificate(), tenant(), Role::Newcomer)
            .unwrap();
        anchors
            .add(devices.certificate(), tenant(), Role::Device)
            .unwrap();
        Self {
            registrar: Registrar::new(devices, tenant(), terms(), revocations.clone()),
            trust: Trust::new(anchors, revocations.clone()),
            revocations,
            factory,
            stored: Vec::new(),
            is_up: true,
            takes_expired: false,
            is_silent: false,
            is_deaf: false,
            is_unheard: false,
            refuses: None,
            is_mistaken: false,
            chance: None,
            session: None,
            shown: Vec::new(),
            asked: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// Certificates live for so long from now on.
    pub(crate) fn renews_after(&mut self, span: Duration) {
        let none = Registrar::new(
            authority("none"),
            tenant(),
            terms(),
            self.revocations.clone(),
        );
        let authority = core::mem::replace(&mut self.registrar, none).into_authority();
        let terms = Terms::new(span).backdate(Duration::ZERO).keys(1_000);
        self.registrar = Registrar::new(authority, tenant(), terms, self.revocations.clone());
    }

    /// Another device; the same service.
    pub(crate) fn restart(&mut self) {
        let site = Self::new();
        *self = site;
    }

    fn chance(&mut self, per_mille: u16) -> bool {
        self.chance
            .as_mut()
            .is_some_and(|chance| chance.chance(per_mille))
    }

    fn opens(
        &mut self,
        identity: Identity,
        chain: &[CertificateDer<'_>],
        wall: TimeBounds,
    ) -> Session {
        self.session = None;
        if !self.is_up || self.chance(100) {
            return Session::Unreachable;
        }
        self.shown.push(identity);
        let admitted = if self.takes_expired {
            self.registrar.returning(&self.trust, chain, wall)
        } else {
            self.trust.principal(chain, wall)
        };
        let outcome = match admitted {
            Ok(_) if self.refuses == Some(identity) => Session::Refused,
            Ok(_) if self.is_mistaken && identity != Identity::Factory => Session::Refused,
            Ok(who) if who.role == Role::Newcomer && identity != Identity::Factory => {
                Session::ToRenew
            }
            Ok(_) => Session::Open,
            Err(AdmitError::Revoked) => Session::Revoked,
            Err(_) if self.is_silent => Session::Unreachable,
            Err(AdmitError::Expired) => Session::Expired,
            Err(_) => Session::Refused,
        };
        let is_open = matches!(outcome, Session::Open | Session::ToRenew);
        self.session = is_open.then_some(identity);
        outcome
    }

    /// The registrar's power fails before it has written what it decided, or afterwards.
    fn loses_power(&mut self) {
        let authority = core::mem::replace(
            &mut self.registrar,
            Registrar::new(
                authority("none"),
                tenant(),
                terms(),
                self.revocations.clone(),
            ),
        )
        .into_authority();
        self.registrar = Registrar::new(authority, tenant(), terms(), self.revocations.clone());
        for record in &self.stored {
            self.registrar.restore(Enrolment::decode(record).unwrap());
        }
    }

    pub(crate) fn answers(&mut self, by: Identity, message: &[u8], wall: TimeBounds) -> Vec<u8> {
        let role = match by {
            Identity::Factory => Role::Newcomer,
            _ => Role::Device,
        };
        let who = Principal::new(tenant(), id(), role);
        let (answer, news) = self
            .registrar
            .answer(&who, message, wall, &mut SystemEntropy::new());
        if let Some(enrolment) = news {
            if self.chance(200) {
                self.loses_power();
                return Vec::new();
            }
            self.stored.push(enrolment.encode());
        }
        if self.chance(200) {
            self.loses_power();
            return Vec::new();
        }
        answer
    }
}

/// How a key store behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Store {
    Works,
    Fails,
    /// It does what is wanted, and says that it failed.
    Lies,
}

pub(crate) struct Device {
    pub(crate) rotation: Rotation<SimEntropy, 1_024>,
    pub(crate) policy: Policy,
    pub(crate) keys: Arc<SoftwareKeys>,
    idevid: CertificateDer<'static>,
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    arriving: Vec<Vec<u8>>,
    pub(crate) time: Duration,
    booted: Duration,
    seed: u64,
    pub(crate) has_clock: bool,
    pub(crate) ahead: Duration,
    pub(crate) fails: Option<Failure>,
    /// What becomes of what is wanted of the key store.
    pub(crate) store: fn(Want) -> Store,
    /// A key that the store holds and does not show.
    pub(crate) hides: Option<PublicKey>,
    /// The next key that is made signs nothing.
    pub(crate) breaks_next_key: bool,
    broken: Option<PublicKey>,
    pub(crate) cut_per_mille: u16,
    pub(crate) cuts: u32,
    pub(crate) generated: u32,
}

impl Device {
    pub(crate) fn new(site: &Site, seed: u64) -> Self {
        let keys = Arc::new(SoftwareKeys::new());
        keys.generate(FACTORY, EcdsaP256Sha256, KeyPolicy::SignForLife)
            .unwrap();
        let public = PublicKey::of(&keys.signer(FACTORY).unwrap()).unwrap();
        let mut entropy = SystemEntropy::new();
        let idevid = site
            .factory
            .idevid(&id(), "1.3.6.1.4.1.32473.1", &public, START, &mut entropy)
            .unwrap();
        let mut device = Self {
            rotation: new_rotation(Policy::default(), seed),
            policy: Policy::default(),
            keys,
            idevid,
            records: BTreeMap::new(),
            arriving: Vec::new(),
            time: Duration::ZERO,
            booted: Duration::ZERO,
            seed,
            has_clock: true,
            ahead: Duration::ZERO,
            fails: None,
            store: |_| Store::Works,
            hides: None,
            breaks_next_key: false,
            broken: None,
            cut_per_mille: 0,
            cuts: 0,
            generated: 0,
        };
        device.boot();
        device
    }

    pub(crate) fn wall(&self) -> TimeBounds {
        TimeBounds::exact(START.after(self.time))
    }

    pub(crate) fn now(&self) -> Now {
        let up = (self.time - self.booted).as_millis() as u64;
        let wall = if self.has_clock {
            TimeBounds::exact(START.after(self.time + self.ahead))
        } else {
            TimeBounds::at_least(START)
        };
        Now::new(Instant::from_millis(up), wall)
    }

    pub(crate) fn boot(&mut self) {
        self.booted = self.time;
        self.rotation = self.restored(self.now());
    }

    fn restored(&mut self, now: Now) -> Rotation<SimEntropy, 1_024> {
        self.seed += 1_000;
        let mut rotation = new_rotation(self.policy, self.seed);
        for (&key, value) in &self.records {
            rotation.input(now, &Event::Record { key, value });
        }
        rotation.input(now, &Event::Restored);
        for slot in [A, B] {
            let want = Want::Inspect(slot);
            assert_eq!(rotation.wants(now), Some(want));
            if (self.store)(want) == Store::Fails {
                break;
            }
            rotation.holds(now, slot, self.shown(slot));
        }
        rotation
    }

    /// What another boot would be like, at that moment.
    pub(crate) fn booted_at(&mut self, at: Timestamp) -> Rotation<SimEntropy, 1_024> {
        self.restored(Now::new(Instant::ZERO, TimeBounds::exact(at)))
    }

    pub(crate) fn public(&self, slot: SlotId) -> Option<PublicKey> {
        let signer = self.keys.signer(slot).ok()?;
        Some(PublicKey::of(&signer).unwrap())
    }

    /// What the store says when it is asked.
    fn shown(&self, slot: SlotId) -> Option<PublicKey> {
        self.public(slot).filter(|key| Some(*key) != self.hides)
    }

    pub(crate) fn keys_held(&self) -> [bool; 2] {
        [A, B].map(|slot| self.public(slot).is_some())
    }

    pub(crate) fn loses_key(&self, slot: SlotId) {
        self.keys.destroy(slot).unwrap();
    }

    pub(crate) fn disconnects(&mut self, site: &mut Site) {
        site.session = None;
        let now = self.now();
        self.rotation.input(now, &Event::Disconnected);
    }

    /// Without power.
    pub(crate) fn sleeps(&mut self, site: &mut Site, span: Duration) {
        site.session = None;
        self.time += span;
        self.boot();
    }

    pub(crate) fn runs(&mut self, site: &mut Site, span: Duration) {
        let until = self.time + span;
        self.runs_until(site, span, |_| false);
        self.time = self.time.max(until);
    }

    pub(crate) fn runs_until(
        &mut self,
        site: &mut Site,
        span: Duration,
        stop: impl Fn(&Self) -> bool,
    ) {
        let until = self.time + span;
        while self.time < until && !stop(self) {
            if self.once(site) {
                continue;
            }
            let now = self.now().instant;
            let next = self.rotation.deadline().map_or(HOUR, |at| at.since(now));
            self.time += next.clamp(Duration::from_millis(500), HOUR);
        }
    }

    /// Does one thing, unless there is none.
    fn once(&mut self, site: &mut Site) -> bool {
        let now = self.now();
        if let Some(answer) = self.arriving.pop() {
            let message = Message::new(Channel::Enrol, &answer);
            self.rotation.input(now, &Event::Message(message));
        }
        let cut = |site: &mut Site, per_mille| per_mille > 0 && site.chance(per_mille);
        if cut(site, self.cut_per_mille / 2) {
            self.cuts += 1;
            self.boot();
            return true;
        }
        let mut buffer = [0; 2_048];
        let mut signature = Signature::empty();
        let done = match self.rotation.step(now, &mut buffer) {
            Step::Idle => return self.does_what_is_wanted(site, now),
            Step::Persist(_) if self.fails.is_some() => Done::Failed(self.fails.unwrap()),
            Step::Persist(batch) => {
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => self.records.insert(key, value.to_vec()),
                        None => self.records.remove(&key),
                    };
                }
                Done::Persisted
            }
            Step::Sign { slot, message } => {
                let signer = self.keys.signer(slot).unwrap();
                signer.sign(&[message], &mut signature).unwrap();
                if self.broken == self.public(slot) {
                    Done::Failed(Failure::Key(KeyError::Device))
                } else {
                    Done::Signed(&signature)
                }
            }
            Step::Send(message) => {
                let by = site.session.unwrap();
                site.heard.push(message.payload.to_vec());
                let copies = 1 + usize::from(site.chance(300));
                for _ in 0..copies {
                    if site.is_deaf || site.chance(400) {
                        continue;
                    }
                    site.asked.push(by);
                    let wall = TimeBounds::exact(START.after(self.time));
                    let answer = site.answers(by, message.payload, wall);
                    if !answer.is_empty() && !site.is_unheard && !site.chance(400) {
                        self.arriving.push(answer);
                    }
                }
                Done::Sent(Ticket::new(1))
            }
            step => panic!("{step:?}"),
        };
        if cut(site, self.cut_per_mille) {
            self.cuts += 1;
            self.boot();
        } else {
            self.rotation.done(now, done);
        }
        true
    }

    fn does_what_is_wanted(&mut self, site: &mut Site, now: Now) -> bool {
        let want = self.rotation.wants(now);
        let store = want.map_or(Store::Works, self.store);
        if store == Store::Fails {
            self.rotation.key_store_failed(now);
            return true;
        }
        match want {
            None => return false,
            Some(Want::Session(identity)) => {
                let chain: Vec<_> = match identity {
                    Identity::Own(slot) => {
                        let chain = self.rotation.chain(slot);
                        chain
                            .map(|der| CertificateDer::from(der.to_vec()))
                            .collect()
                    }
                    _ => vec![self.idevid.clone()],
                };
                let outcome = site.opens(identity, &chain, self.wall());
                self.rotation.session(now, identity, outcome);
            }
            Some(Want::Generate(slot)) => {
                let made = self.keys.generate(slot, EcdsaP256Sha256, KeyPolicy::Sign);
                self.generated += u32::from(made.is_ok());
                if core::mem::take(&mut self.breaks_next_key) {
                    self.broken = self.public(slot);
                }
                if made.is_err() || store == Store::Lies {
                    self.rotation.key_store_failed(now);
                } else {
                    self.rotation.holds(now, slot, self.public(slot));
                }
            }
            Some(Want::Destroy(slot)) => {
                self.keys.destroy(slot).unwrap();
                self.rotation.holds(now, slot, None);
            }
            Some(Want::Inspect(slot)) => self.rotation.holds(now, slot, self.shown(slot)),
            Some(want) => panic!("{want:?}"),
        }
        true
    }
}
