//! A device's identity from the factory to its end and back: manufacture, enrolment, a renewal with a power cut in the
//! middle, revocation, and a return under quarantine.
//!
//! The device is what `Credentials::load` gives, driven by hand as a node would; the service a registrar behind
//! mutual TLS. Every session is a real connection over loopback, and its time is virtual: weeks pass at once.

extern crate alloc;

use alloc::sync::Arc;
use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, SlotId};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::node::restore;
use iot_core::port::Records;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, DeviceId, Instant, Message, Now, Principal, Role, TenantId, Ticket, Timestamp,
};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity, csr};
use iot_identity::enrol::{Answer, Approval, Hold, Refusal, Registrar, Request, Terms};
use iot_identity::key::PublicKey;
use iot_identity::revocation::{Denied, Revocations};
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::rotate::{Identity, Standing};
use iot_identity::tls::{
    Clock, Credential, DeviceCredentials, Link, Provision, Renewal, ServerBuilder, Setup,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Seconds since the example began; both sides read them.
static TIME: AtomicU64 = AtomicU64::new(0);

fn now() -> Now {
    let passed = Duration::from_secs(TIME.load(Ordering::Relaxed));
    let wall = TimeBounds::exact(START.after(passed));
    Now::new(Instant::ZERO.after(passed), wall)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let acme = TenantId::new("acme")?;
    let mut service = Service::new(acme)?;

    // In the factory: a key that stays in its store for life, a certificate for it, and whom to trust.
    let mut device = Device::manufactured(&service, DeviceId::new("boiler-7")?).await?;
    let boiler = *device.credentials.device();
    println!("manufactured  {boiler} has a key for life and an IDevID, and no owner");

    // It comes with its factory identity and asks for one of its owner's.
    device.lives(&mut service, Device::is_settled).await?;
    let first = device.own()?;
    println!(
        "enrolled      key in slot {first}, LDevID for {} days",
        device.days_left()?
    );

    // Three weeks later it renews, and loses power when the new certificate is on record and was not shown yet.
    TIME.fetch_add((23 * DAY).as_secs(), Ordering::Relaxed);
    let has_candidate = |device: &Device| device.renewal.has_candidate();
    device.lives(&mut service, has_candidate).await?;
    let issued = service.issued;
    device.boots().await?;
    assert_eq!(
        device.credentials.identity(),
        Identity::Own(SlotId::new(first))
    );
    println!(
        "power cut     the new certificate is on record and unproved: slot {first} is still in force"
    );
    let other = |device: &Device| device.is_settled() && device.own().is_ok_and(|own| own != first);
    device.lives(&mut service, other).await?;
    assert_eq!(service.issued, issued, "a retry made a second certificate");
    let second = device.own()?;
    println!(
        "renewed       slot {second}, LDevID for {} days; none was issued twice",
        device.days_left()?
    );

    // A day later the old key is destroyed.
    TIME.fetch_add((2 * DAY).as_secs(), Ordering::Relaxed);
    let is_gone = move |device: &Device| device.keys.signer(SlotId::new(first)).is_err();
    device.lives(&mut service, is_gone).await?;
    println!("overlap over  the old key in slot {first} is destroyed");

    // Revoked, it gets in by neither identity, and no certificate, whoever passes its request on.
    service.revocations.deny(Denied::Device(acme, boiler));
    device.hangs_up();
    let barred = Standing::Refused(Refusal::Revoked);
    device
        .lives(&mut service, |device| device.renewal.standing() == barred)
        .await?;
    let old = device.credentials.live().current();
    device.renewal.apply_again();
    device
        .lives(&mut service, |device| device.renewal.standing() == barred)
        .await?;
    for role in [Role::Newcomer, Role::Device] {
        let mut buffer = [0; 512];
        let request = device.request(&mut buffer)?;
        let answer = service.decides(&Principal::new(acme, boiler, role), request);
        let outcome = Answer::decode(&answer)?.certificates().map(Iterator::count);
        assert_eq!(outcome, Err(Refusal::Revoked));
    }
    println!("revoked       LDevID, IDevID and requests are refused; it asks no more");

    // Somebody has looked at it. What it held stays dead; it may come again, and waits for an approval.
    service.registrar.readmit(&boiler);
    service.revocations.withdraw(&Denied::Device(acme, boiler));
    assert!(
        service.trust.principal(old.chain(), now().wall).is_err(),
        "its old identity is alive"
    );
    device.renewal.apply_again();
    let waits = |device: &Device| device.renewal.refusal() == Some(Refusal::Later);
    device.lives(&mut service, waits).await?;
    println!(
        "readmitted    by its IDevID, in quarantine: nothing is issued before somebody approves"
    );
    let quarantine = service.registrar.quarantine().clone();
    quarantine.approve(&acme, &boiler);
    device
        .lives(&mut service, move |device| {
            device.is_settled() && device.own().is_ok_and(|own| own != second)
        })
        .await?;
    assert_eq!(quarantine.waits_for(&acme, &boiler), Some(Hold::Release));
    println!(
        "approved      key in slot {}, LDevID for {} days, confined to its repair",
        device.own()?,
        device.days_left()?
    );
    quarantine.release(&acme, &boiler);
    println!("released      it does its work again");
    println!(
        "RESULT ok device={boiler} tenant={acme} issued={}",
        service.issued
    );
    Ok(())
}

/// The manufacturer's, the operator's and the servers' authorities, and who decides by them.
struct Service {
    factory: Authority<SoftwareKey>,
    servers: Authority<SoftwareKey>,
    registrar: Registrar<SoftwareKey>,
    revocations: Revocations,
    trust: Trust,
    acceptor: TlsAcceptor,
    /// Who the session belongs to that stands.
    peer: Option<Principal>,
    issued: usize,
}

impl Service {
    fn new(tenant: TenantId) -> Outcome<Self> {
        let authority = |name: &str| -> Outcome<_> {
            let years = Validity::lasting(START, 3_650 * DAY).backdated(DAY);
            let key = SoftwareKey::generate(EcdsaP256Sha256)?;
            Ok(Authority::root(
                key,
                name,
                years,
                &mut SystemEntropy::new(),
            )?)
        };
        let (factory, devices) = (authority("Boiler factory")?, authority("Acme devices")?);
        let servers = authority("Acme servers")?;
        // Whoever the factory's anchor verifies is a newcomer, whoever our own verifies a device.
        let mut anchors = TrustAnchors::new();
        anchors.add(factory.certificate(), tenant, Role::Newcomer)?;
        anchors.add(devices.certificate(), tenant, Role::Device)?;
        let revocations = Revocations::default();
        let trust = Trust::new(anchors, revocations.clone());
        let key = SoftwareKey::generate(EcdsaP256Sha256)?;
        let (public, validity) = (PublicKey::of(&key)?, Validity::lasting(START, 90 * DAY));
        let chain = servers.server(&["localhost"], &public, validity, &mut SystemEntropy::new())?;
        let server = ServerBuilder::new(Credential::new(key, vec![chain])?, trust.clone())
            .clock(Clock::new(|| now().wall));
        let terms = Terms::default().approval(Approval::Readmitted);
        Ok(Self {
            acceptor: TlsAcceptor::from(server.build()?),
            registrar: Registrar::new(devices, tenant, terms, revocations.clone()),
            factory,
            servers,
            revocations,
            trust,
            peer: None,
            issued: 0,
        })
    }

    /// One real connection over loopback, and what became of the client's first read.
    async fn accepts(&mut self, config: Arc<ClientConfig>) -> Outcome<io::Result<u8>> {
        self.peer = None;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = tokio::spawn(async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost")?;
            let mut tls = TlsConnector::from(config).connect(name, tcp).await?;
            // In TLS 1.3 a refusal arrives with the first read, not with the handshake.
            Outcome::Ok(tls.read_u8().await)
        });
        let (tcp, _) = listener.accept().await?;
        if let Ok(mut tls) = self.acceptor.accept(tcp).await {
            let chain = tls.get_ref().1.peer_certificates().unwrap_or(&[]);
            self.peer = Some(self.trust.principal(chain, now().wall)?);
            tls.write_u8(1).await?;
        }
        client.await?
    }

    fn decides(&mut self, who: &Principal, request: &[u8]) -> Vec<u8> {
        let mut entropy = SystemEntropy::new();
        let (answer, news) = self
            .registrar
            .answer(who, request, now().wall, &mut entropy);
        self.issued += usize::from(news.is_some());
        answer
    }
}

struct Device {
    keys: Arc<SoftwareKeys>,
    records: MemoryRecords,
    credentials: DeviceCredentials<SoftwareKeys>,
    renewal: Renewal<SoftwareKeys>,
    link: Link,
    is_up: bool,
    opened: u64,
    failed: u64,
}

fn setup() -> Setup {
    Setup::default().clock(Clock::new(|| now().wall))
}

impl Device {
    async fn manufactured(service: &Service, id: DeviceId) -> Outcome<Self> {
        let (keys, mut records) = (Arc::new(SoftwareKeys::new()), MemoryRecords::new());
        keys.generate(SlotId::new(0), EcdsaP256Sha256, KeyPolicy::SignForLife)?;
        let public = PublicKey::of(&keys.signer(SlotId::new(0))?)?;
        let (factory, mut entropy) = (&service.factory, SystemEntropy::new());
        let idevid = factory.idevid(&id, "1.3.6.1.4.1.32473.1", &public, START, &mut entropy)?;
        let provision = Provision::new(vec![idevid], vec![service.servers.certificate().clone()])?;
        provision.store(&mut records, setup().provision()).await?;
        let credentials = DeviceCredentials::load(&mut records, Arc::clone(&keys), setup()).await?;
        let mut device = Self {
            keys,
            records,
            renewal: credentials.renewal(),
            credentials,
            link: Link::new(false, 0, 0),
            is_up: false,
            opened: 0,
            failed: 0,
        };
        device.boots().await?;
        Ok(device)
    }

    /// What is in memory is gone; keys and records are not.
    async fn boots(&mut self) -> Outcome<()> {
        let keys = Arc::clone(&self.keys);
        self.credentials = DeviceCredentials::load(&mut self.records, keys, setup()).await?;
        self.renewal = self.credentials.renewal();
        (self.is_up, self.link) = (false, Link::new(false, self.opened, self.failed));
        let mut buffer = [0; 4_096];
        Ok(restore(&mut self.renewal, &mut self.records, now(), &mut buffer).await?)
    }

    fn hangs_up(&mut self) {
        (self.is_up, self.link) = (false, Link::new(false, self.opened, self.failed));
        self.renewal.input(now(), &Event::Disconnected);
    }

    /// Does what the engine asks for and keeps the link up, until `over` holds.
    async fn lives(&mut self, service: &mut Service, over: impl Fn(&Self) -> bool) -> Outcome<()> {
        for _ in 0..10_000 {
            let stepped = self.steps(service).await?;
            self.is_up &= !self.renewal.tend(now(), &self.link);
            if over(self) {
                return Ok(());
            }
            if !self.is_up {
                self.connects(service).await?;
            } else if !stepped {
                TIME.fetch_add(1, Ordering::Relaxed);
            }
        }
        Err("it never came to that".into())
    }

    async fn connects(&mut self, service: &mut Service) -> Outcome<()> {
        let outcome = service.accepts(self.credentials.client_tls()).await?;
        self.opened += u64::from(outcome.is_ok());
        self.failed += u64::from(outcome.is_err());
        self.is_up = outcome.is_ok();
        self.link = Link::new(self.is_up, self.opened, self.failed);
        if let Err(error) = &outcome {
            self.link = self.link.rejected(error);
            TIME.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Does one step; false when there is none.
    async fn steps(&mut self, service: &mut Service) -> Outcome<bool> {
        let mut buffer = [0; 4_096];
        let mut answer = None;
        let done = match self.renewal.step(now(), &mut buffer) {
            Step::Idle => return Ok(false),
            Step::Persist(batch) => {
                self.records.commit(&batch).await?;
                Done::Persisted
            }
            Step::Send(message) => {
                let who = service.peer.ok_or("nobody is connected")?;
                answer = Some(service.decides(&who, message.payload));
                Done::Sent(Ticket::new(1))
            }
            _ => return Err("the engine asks for what this device cannot do".into()),
        };
        self.renewal.done(now(), done);
        if let Some(answer) = answer {
            let message = Message::new(Channel::Enrol, &answer);
            self.renewal.input(now(), &Event::Message(message));
        }
        Ok(true)
    }

    fn is_settled(&self) -> bool {
        self.renewal.standing() == Standing::Enrolled
    }

    /// The slot of its own identity.
    fn own(&self) -> Outcome<u16> {
        match self.renewal.identity() {
            Identity::Own(slot) => Ok(slot.get()),
            _ => Err("it was never enrolled".into()),
        }
    }

    fn days_left(&self) -> Outcome<u64> {
        let end = self.renewal.not_after().ok_or("it has no certificate")?;
        let left = end
            .as_secs()
            .saturating_sub(now().wall.not_before().as_secs());
        Ok(left.div_ceil(DAY.as_secs()))
    }

    /// A request for a certificate for a key of its own.
    fn request<'b>(&self, buffer: &'b mut [u8]) -> Outcome<&'b [u8]> {
        let key = self.keys.signer(SlotId::new(self.own()?))?;
        let mut csr = [0; csr::MAX_CSR_BYTES];
        let csr = csr::write(self.credentials.device(), &key, &mut csr)?;
        Ok(Request::new(1, csr).encode(buffer)?)
    }
}
