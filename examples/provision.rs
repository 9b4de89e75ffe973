//! A device's identity from the factory to its end: IDevID, enrolment, a renewal with a crash in the middle, revocation.
//!
//! The device is a `Rotation` with keys in a store and records in memory; the service a registrar behind mutual TLS.
//! Every session is a real connection over loopback, and its time is virtual.

extern crate alloc;

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::error::Error;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, Signature, Signer, SlotId};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{
    Channel, DeviceId, Instant, Message, Now, Principal, Role, TenantId, Ticket, Timestamp,
};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::enrol::{Refusal, Registrar, Terms};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::revocation::{Denied, Revocations};
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::rotate::{Identity, Policy, Rotation, Session, Standing, Want};
use iot_identity::tls::{ClientBuilder, Clock, Credential, ServerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const DAY: Duration = Duration::from_secs(86_400);
const START: Timestamp = Timestamp::from_secs(1_800_000_000);
const FACTORY: SlotId = SlotId::new(0);
const OWN: [SlotId; 2] = [SlotId::new(1), SlotId::new(2)];
const RECORD: RecordKey = RecordKey::new(0x100);

/// Seconds since the example began; both sides read them.
static TIME: AtomicU64 = AtomicU64::new(0);

fn now() -> Now {
    let passed = Duration::from_secs(TIME.load(Ordering::Relaxed));
    let wall = TimeBounds::exact(START.after(passed));
    Now::new(Instant::ZERO.after(passed), wall)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let (acme, boiler) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);
    let mut service = Service::new(acme)?;

    // In the factory: a key that stays in its store for life, and a certificate for it.
    let mut device = Device::manufactured(&service, boiler)?;

    // It comes with its factory identity and asks for an operational one.
    device.runs(&mut service, None).await?;
    let first = device.rotation.identity();
    assert_eq!(device.rotation.standing(), Standing::Enrolled);
    let end = device.rotation.not_after().ok_or("no certificate")?;
    println!("enrolled      {first:?} until {end}");

    // Three weeks later it renews, and loses power when the new certificate is on record but not yet proved.
    TIME.fetch_add((23 * DAY).as_secs(), Ordering::Relaxed);
    device.runs(&mut service, Some(Cut::BeforeProbe)).await?;
    println!("power cut     a candidate is on record, {first:?} is still current");
    assert_eq!(device.rotation.identity(), first);
    let issued = service.issued;
    device.runs(&mut service, None).await?;
    assert_ne!(device.rotation.identity(), first);
    assert_eq!(service.issued, issued, "a retry made a second certificate");
    let second = device.rotation.identity();
    let end = device.rotation.not_after().ok_or("no certificate")?;
    println!("renewed       {second:?} until {end}");

    // A day later the old key is destroyed.
    TIME.fetch_add((2 * DAY).as_secs(), Ordering::Relaxed);
    device.runs(&mut service, None).await?;
    let Identity::Own(old) = first else {
        return Err("it was never enrolled".into());
    };
    assert!(device.keys.signer(old).is_err());
    println!("overlap over  the key of {first:?} is destroyed");

    // Revoked, it gets in by neither certificate, and no new one for any key.
    service.revocations.deny(Denied::Device(acme, boiler));
    device.rotation.input(now(), &Event::Disconnected);
    device.runs(&mut service, None).await?;
    device.rotation.apply_again();
    device.runs(&mut service, None).await?;
    let refused = Standing::Refused(Refusal::Revoked);
    assert_eq!(device.rotation.standing(), refused);
    println!("revoked       both identities are refused");
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
    /// Who the last session that was admitted belongs to.
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
        Ok(Self {
            acceptor: TlsAcceptor::from(server.build()?),
            registrar: Registrar::new(devices, tenant, Terms::default(), revocations.clone()),
            factory,
            servers,
            revocations,
            trust,
            peer: None,
            issued: 0,
        })
    }

    /// One real connection over loopback, and how it ended for the client.
    async fn connects(&mut self, credential: &Credential) -> Outcome<Session> {
        self.peer = None;
        let config = ClientBuilder::new([self.servers.certificate()])?
            .credential(credential)
            .clock(Clock::new(|| now().wall))
            .build()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let client = tokio::spawn(async move {
            let tcp = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost")?;
            let mut tls = TlsConnector::from(config).connect(name, tcp).await?;
            // In TLS 1.3 a refusal arrives with the first read, not with the handshake.
            Outcome::Ok(tls.read_u8().await?)
        });
        let (tcp, _) = listener.accept().await?;
        if let Ok(mut tls) = self.acceptor.accept(tcp).await {
            let chain = tls.get_ref().1.peer_certificates().unwrap_or(&[]);
            self.peer = Some(self.trust.principal(chain, now().wall)?);
            tls.write_u8(1).await?;
        }
        Ok(match client.await? {
            Ok(_) => Session::Open,
            Err(reason) if reason.to_string().contains("Revoked") => Session::Revoked,
            Err(reason) if reason.to_string().contains("Expired") => Session::Expired,
            Err(_) => Session::Refused,
        })
    }

    fn answers(&mut self, message: &[u8]) -> Outcome<Vec<u8>> {
        let who = self.peer.ok_or("nobody is connected")?;
        let mut entropy = SystemEntropy::new();
        let (answer, news) = self
            .registrar
            .answer(&who, message, now().wall, &mut entropy);
        self.issued += usize::from(news.is_some());
        Ok(answer)
    }
}

/// Where the power fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    BeforeProbe,
}

struct Device {
    id: DeviceId,
    keys: Arc<SoftwareKeys>,
    idevid: CertificateDer<'static>,
    records: BTreeMap<RecordKey, Vec<u8>>,
    rotation: Rotation<SystemEntropy, 1_024>,
}

fn rotation(id: DeviceId) -> Rotation<SystemEntropy, 1_024> {
    Rotation::new(id, OWN, RECORD, Policy::default(), SystemEntropy::new())
}

impl Device {
    fn manufactured(service: &Service, id: DeviceId) -> Outcome<Self> {
        let keys = Arc::new(SoftwareKeys::new());
        keys.generate(FACTORY, EcdsaP256Sha256, KeyPolicy::SignForLife)?;
        let public = PublicKey::of(&keys.signer(FACTORY)?)?;
        let (factory, mut entropy) = (&service.factory, SystemEntropy::new());
        let idevid = factory.idevid(&id, "1.3.6.1.4.1.32473.1", &public, START, &mut entropy)?;
        let mut device = Self {
            id,
            keys,
            idevid,
            records: BTreeMap::new(),
            rotation: rotation(id),
        };
        device.boots();
        Ok(device)
    }

    fn boots(&mut self) {
        self.rotation = rotation(self.id);
        for (&key, value) in &self.records {
            self.rotation.input(now(), &Event::Record { key, value });
        }
        self.rotation.input(now(), &Event::Restored);
    }

    /// Does what the engine asks for until it rests, or until the power fails.
    async fn runs(&mut self, service: &mut Service, cut: Option<Cut>) -> Outcome<()> {
        loop {
            if cut == Some(Cut::BeforeProbe) && self.rotation.has_candidate() {
                self.boots();
                return Ok(());
            }
            if !self.steps(service)? && !self.satisfies(service).await? {
                let pauses = !matches!(
                    self.rotation.standing(),
                    Standing::Enrolled | Standing::Refused(_)
                );
                if !pauses {
                    return Ok(());
                }
                TIME.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Does one step; false when there is none.
    fn steps(&mut self, service: &mut Service) -> Outcome<bool> {
        let (mut buffer, mut signature) = ([0; 2_048], Signature::empty());
        let mut answer = None;
        let done = match self.rotation.step(now(), &mut buffer) {
            Step::Idle => return Ok(false),
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
                self.keys.signer(slot)?.sign(&[message], &mut signature)?;
                Done::Signed(&signature)
            }
            Step::Send(message) => {
                answer = Some(service.answers(message.payload)?);
                Done::Sent(Ticket::new(1))
            }
            _ => return Err("the engine asks for what this device cannot do".into()),
        };
        self.rotation.done(now(), done);
        if let Some(answer) = answer {
            let message = Message::new(Channel::Enrol, &answer);
            self.rotation.input(now(), &Event::Message(message));
        }
        Ok(true)
    }

    /// Does one thing that only the device can do; false when there is none.
    async fn satisfies(&mut self, service: &mut Service) -> Outcome<bool> {
        let slot = match self.rotation.wants(now()) {
            None => return Ok(false),
            Some(Want::Session(identity)) => {
                let outcome = service.connects(&self.credential(identity)?).await?;
                self.rotation.session(now(), identity, outcome);
                return Ok(true);
            }
            Some(Want::Generate(slot)) => {
                self.keys.generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)?;
                slot
            }
            Some(Want::Destroy(slot)) => {
                self.keys.destroy(slot)?;
                slot
            }
            Some(Want::Inspect(slot)) => slot,
            Some(_) => return Err("the engine wants what this device cannot do".into()),
        };
        let key = self.keys.signer(slot).ok();
        let key = key.map(|key| PublicKey::of(&key)).transpose()?;
        self.rotation.holds(now(), slot, key);
        Ok(true)
    }

    fn credential(&self, identity: Identity) -> Outcome<Credential> {
        let (slot, chain) = match identity {
            Identity::Own(slot) => {
                let chain = self.rotation.chain(slot);
                let chain = chain.map(|der| CertificateDer::from(der.to_vec()));
                (slot, chain.collect())
            }
            _ => (FACTORY, vec![self.idevid.clone()]),
        };
        let key = SharedKey::new(Arc::clone(&self.keys), slot)?;
        Ok(Credential::new(key, chain)?)
    }
}
