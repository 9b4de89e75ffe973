//! A device with real keys whose power may fail, a service, and real handshakes between them in memory.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyError, KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, DeviceId, Instant, Message, Now, Principal, Role, TenantId, Ticket, Timestamp,
};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::enrol::{Registrar, Terms};
use iot_identity::key::PublicKey;
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SoftwareSigner, SystemEntropy};
use iot_identity::tls::{
    Clock, Credential, DeviceCredentials, Link, Provision, Renewal, ServerBuilder, Setup,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

pub(crate) const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const OWN: [SlotId; 2] = [SlotId::new(1), SlotId::new(2)];

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn authority(name: &str) -> Authority<SoftwareKey> {
    let years = Validity::lasting(START, 3_650 * DAY).backdated(DAY);
    let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
    Authority::root(key, name, years, &mut SystemEntropy::new()).unwrap()
}

/// How much more the device gets done before its power fails.
#[derive(Clone, Debug)]
pub(crate) struct Power(Arc<AtomicUsize>);

impl Power {
    fn draw(&self) -> bool {
        let draw = |left: usize| left.checked_sub(1);
        let drawn = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, draw);
        drawn.is_ok()
    }

    pub(crate) fn set(&self, left: usize) {
        self.0.store(left, Ordering::Relaxed);
    }

    pub(crate) fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Keys that outlive the device's power, and are not touched without it.
pub(crate) struct Keys {
    inner: SoftwareKeys,
    power: Power,
}

impl KeyStore for Keys {
    type Signer<'s> = SoftwareSigner<'s>;

    fn generate(
        &self,
        slot: SlotId,
        algorithm: SignatureAlgorithm,
        policy: KeyPolicy,
    ) -> Result<(), KeyError> {
        let on = self.power.draw();
        on.then_some(()).ok_or(KeyError::Device)?;
        self.inner.generate(slot, algorithm, policy)
    }

    fn signer(&self, slot: SlotId) -> Result<SoftwareSigner<'_>, KeyError> {
        self.inner.signer(slot)
    }

    fn destroy(&self, slot: SlotId) -> Result<(), KeyError> {
        let on = self.power.draw();
        on.then_some(()).ok_or(KeyError::Device)?;
        self.inner.destroy(slot)
    }
}

pub(crate) struct Rig {
    pub(crate) registrar: Registrar<SoftwareKey>,
    pub(crate) revocations: Revocations,
    trust: Trust,
    server: Arc<ServerConfig>,
    pub(crate) keys: Arc<Keys>,
    pub(crate) power: Power,
    pub(crate) records: MemoryRecords,
    pub(crate) peer: Option<Principal>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) link: Link,
    opened: u64,
    failed: u64,
    pub(crate) reconnects: usize,
    pub(crate) seconds: u64,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let (factory, devices, servers) = (
            authority("factory"),
            authority("devices"),
            authority("servers"),
        );
        let mut anchors = TrustAnchors::new();
        for (anchor, role) in [(&factory, Role::Newcomer), (&devices, Role::Device)] {
            anchors.add(anchor.certificate(), tenant(), role).unwrap();
        }
        let revocations = Revocations::default();
        let trust = Trust::new(anchors, revocations.clone());
        let mut entropy = SystemEntropy::new();
        let key = SoftwareKey::generate(EcdsaP256Sha256).unwrap();
        let (public, year) = (
            PublicKey::of(&key).unwrap(),
            Validity::lasting(START, 365 * DAY),
        );
        let chain = servers
            .server(&["localhost"], &public, year, &mut entropy)
            .unwrap();
        let server = ServerBuilder::new(Credential::new(key, vec![chain]).unwrap(), trust.clone());
        let power = Power(Arc::new(AtomicUsize::new(usize::MAX)));
        let keys = Keys {
            inner: SoftwareKeys::new(),
            power: power.clone(),
        };
        let id = DeviceId::new("boiler-7").unwrap();
        keys.generate(SlotId::new(0), EcdsaP256Sha256, KeyPolicy::SignForLife)
            .unwrap();
        let public = PublicKey::of(&keys.signer(SlotId::new(0)).unwrap()).unwrap();
        let kind = "1.3.6.1.4.1.32473.1";
        let idevid = factory
            .idevid(&id, kind, &public, START, &mut entropy)
            .unwrap();
        let provision = Provision::new(vec![idevid], vec![servers.certificate().clone()]).unwrap();
        let mut records = MemoryRecords::new();
        block_on(provision.store(&mut records, setup().provision())).unwrap();
        Self {
            registrar: Registrar::new(devices, tenant(), Terms::default(), revocations.clone()),
            revocations,
            trust,
            server: server.clock(clock()).build().unwrap(),
            keys: Arc::new(keys),
            power,
            records,
            peer: None,
            chain: Vec::new(),
            link: Link::new(false, 0, 0),
            opened: 0,
            failed: 0,
            reconnects: 0,
            seconds: 0,
        }
    }

    pub(crate) fn now(&self) -> Now {
        let instant = Instant::ZERO.after(Duration::from_secs(self.seconds));
        Now::new(instant, TimeBounds::exact(START))
    }

    /// The device starts: what it loads, and its engine with its records shown.
    pub(crate) fn boots(&mut self) -> (DeviceCredentials<Keys>, Renewal<Keys>) {
        let loaded = DeviceCredentials::load(&mut self.records, Arc::clone(&self.keys), setup());
        let credentials = block_on(loaded).unwrap();
        let mut renewal = credentials.renewal();
        let now = self.now();
        block_on(restore(
            &mut renewal,
            &mut self.records,
            now,
            &mut [0; 8_192],
        ))
        .unwrap();
        self.hang_up();
        (credentials, renewal)
    }

    pub(crate) fn hang_up(&mut self) {
        self.peer = None;
        self.link = Link::new(false, self.opened, self.failed);
    }

    /// One attempt to connect; what the service says of the peer, or what the device hears.
    pub(crate) fn connects(&mut self, config: &Arc<ClientConfig>) {
        match handshake(config, &self.server) {
            Ok(chain) => {
                let wall = TimeBounds::exact(START);
                self.peer = Some(self.trust.principal(&chain, wall).unwrap());
                self.chain = chain;
                self.opened += 1;
                self.link = Link::new(true, self.opened, self.failed);
            }
            Err(error) => {
                self.peer = None;
                self.failed += 1;
                self.link = Link::new(false, self.opened, self.failed).rejected(&error);
            }
        }
    }

    /// Does one step; false when there was none, and `Err` when the power failed.
    pub(crate) fn steps(&mut self, renewal: &mut Renewal<Keys>) -> Result<bool, ()> {
        let (now, mut buffer) = (self.now(), [0; 8_192]);
        let done = match renewal.step(now, &mut buffer) {
            Step::Idle => return Ok(false),
            Step::Persist(batch) => {
                self.power.draw().then_some(()).ok_or(())?;
                block_on(self.records.commit(&batch)).unwrap();
                Done::Persisted
            }
            Step::Send(message) => {
                let who = self.peer.expect("it speaks on a session");
                let payload = message.payload.to_vec();
                let mut entropy = SystemEntropy::new();
                let answer = self
                    .registrar
                    .answer(&who, &payload, now.wall, &mut entropy);
                renewal.done(now, Done::Sent(Ticket::new(1)));
                let message = Message::new(Channel::Enrol, &answer.0);
                renewal.input(now, &Event::Message(message));
                return Ok(true);
            }
            step => panic!("{step:?}"),
        };
        renewal.done(now, done);
        Ok(true)
    }

    /// Lives until `over` holds; `Err` when the power failed before.
    pub(crate) fn lives(
        &mut self,
        credentials: &DeviceCredentials<Keys>,
        renewal: &mut Renewal<Keys>,
        over: impl Fn(&Renewal<Keys>) -> bool,
    ) -> Result<(), ()> {
        for _ in 0..2_000 {
            let stepped = self.steps(renewal)?;
            let anew = renewal.tend(self.now(), &self.link);
            if self.power.left() == 0 {
                return Err(());
            }
            if anew {
                self.reconnects += 1;
                self.hang_up();
            }
            if over(renewal) {
                return Ok(());
            }
            if self.peer.is_none() {
                self.connects(&credentials.client_tls());
            }
            self.seconds += u64::from(!stepped);
        }
        panic!("it came to no end: {renewal:?}");
    }

    pub(crate) fn keys_held(&self) -> usize {
        let is_held = |slot: &&SlotId| self.keys.signer(**slot).is_ok();
        OWN.iter().filter(is_held).count()
    }
}

fn clock() -> Clock {
    Clock::new(|| TimeBounds::exact(START))
}

pub(crate) fn setup() -> Setup {
    Setup::default().clock(clock())
}

/// What the server saw of the client, or what the client heard of the server.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<Vec<CertificateDer<'static>>, rustls::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            // What it does not like it says; the client hears it below.
            let _ = server.process_new_packets();
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    Ok(server.peer_certificates().unwrap().to_vec())
}
