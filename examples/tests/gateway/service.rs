//! The other side: authorities, a front before a hub, and a service that enrols and counts.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use iot_core::authz::OwnLane;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::port::Transport;
use iot_core::{
    Channel, DeviceId, Event, Message, Now, Peer, Principal, Role, TenantId, Timestamp,
};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::enrol::{Registrar, Terms};
use iot_identity::key::PublicKey;
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Credential, ServerBuilder};
use iot_transport::envelope::Envelope;
use iot_transport::gate::{Gate, GateListening, Refusal};
use iot_transport::mqtt::{Client, Hub, Settings, Tls};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::CertificateDer;

const DAY: Duration = Duration::from_secs(86_400);

type Ca = Authority<SoftwareKey>;

#[derive(Default)]
struct Heard {
    numbers: BTreeSet<Vec<u8>>,
    issued: u64,
}

pub(crate) struct Service {
    factory: Ca,
    servers: Ca,
    gate: Gate,
    listening: GateListening,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn gateway() -> DeviceId {
    DeviceId::new("gateway-1").unwrap()
}

fn now() -> Timestamp {
    Now::system().wall.not_before()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn authority(name: &str) -> Ca {
    let years = Validity::lasting(now(), 3_650 * DAY).backdated(DAY);
    Authority::root(key(), name, years, &mut SystemEntropy::new()).unwrap()
}

impl Service {
    pub(crate) async fn start() -> Self {
        let [factory, gateways, services, servers] =
            ["factory", "gateways", "services", "servers"].map(authority);
        let mut anchors = TrustAnchors::new();
        for (anchor, role) in [
            (&factory, Role::Newcomer),
            (&gateways, Role::Gateway),
            (&services, Role::Service),
        ] {
            anchors.add(anchor.certificate(), tenant(), role).unwrap();
        }
        let revocations = Revocations::default();
        let trust = Trust::new(anchors, revocations.clone());
        let (mut entropy, month) = (SystemEntropy::new(), Validity::lasting(now(), 30 * DAY));
        let own = key();
        let public = PublicKey::of(&own).unwrap();
        let chain = servers.server(&["localhost"], &public, month.backdated(DAY), &mut entropy);
        let credential = Credential::new(own, vec![chain.unwrap()]).unwrap();
        let config = ServerBuilder::new(credential, trust.clone())
            .build()
            .unwrap();
        let admit = move |chain: &[CertificateDer<'_>]| {
            let admitted = trust.principal(chain, Now::system().wall);
            admitted.map_err(|_| Refusal::Untrusted)
        };
        let gate =
            Gate::builder(config, Arc::new(admit), Arc::new(OwnLane)).to_hub(&Hub::default());
        let listening = gate.listen("127.0.0.1:0").await.unwrap();

        let (own, name) = (key(), DeviceId::new("hq").unwrap());
        let public = PublicKey::of(&own).unwrap();
        let chain = services.service(&name, &public, month.backdated(DAY), &mut entropy);
        let credential = Credential::new(own, vec![chain.unwrap()]).unwrap();
        let tls = ClientBuilder::new([servers.certificate()])
            .unwrap()
            .credential(&credential);
        let address = listening.address().to_string();
        let tls = Tls::new(address, "localhost", tls.build().unwrap()).unwrap();
        let mut client = Client::new(tls, Settings::service(tenant(), name));
        for channel in [Channel::Enrol, Channel::Telemetry] {
            client.subscribe(channel).await.unwrap();
        }
        client.connected(Duration::from_secs(5)).await.unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let registrar = Registrar::new(gateways, tenant(), Terms::default(), revocations);
        let task = tokio::spawn(serve(client, registrar, Arc::clone(&heard)));
        Self {
            factory,
            servers,
            gate,
            listening,
            heard,
            task,
        }
    }

    pub(crate) fn address(&self) -> String {
        self.listening.address().to_string()
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        self.servers.certificate().clone()
    }

    pub(crate) fn idevid(&self, key: &PublicKey) -> CertificateDer<'static> {
        let (kind, since) = ("1.3.6.1.4.1.32473.1", now().before(DAY));
        let idevid = self
            .factory
            .idevid(&gateway(), kind, key, since, &mut SystemEntropy::new());
        idevid.unwrap()
    }

    /// How many different messages came.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.lock().unwrap().numbers.len() as u64
    }

    pub(crate) fn issued(&self) -> u64 {
        self.heard.lock().unwrap().issued
    }

    /// The gateway's one session shows this certificate.
    pub(crate) fn is_shown(&self, certificate: &CertificateDer<'_>) {
        let sessions = |leaf: Option<&CertificateDer<'_>>| {
            self.gate.count(|who, chain| {
                who.device == gateway() && leaf.is_none_or(|leaf| chain.first() == Some(leaf))
            })
        };
        assert_eq!((sessions(None), sessions(Some(certificate))), (1, 1));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut client: Client<Tls>,
    mut registrar: Registrar<SoftwareKey>,
    heard: Arc<Mutex<Heard>>,
) {
    let mut buffer = vec![0; 64 * 1_024];
    loop {
        let Ok(Event::Message(message)) = client.next(&mut buffer).await else {
            continue;
        };
        let device = DeviceId::new(message.peer.unwrap().device()).unwrap();
        if message.channel == Channel::Telemetry {
            let envelope = Envelope::decode(message.payload).unwrap();
            heard
                .lock()
                .unwrap()
                .numbers
                .insert(envelope.payload.to_vec());
            continue;
        }
        let who = Principal::new(tenant(), device, Role::Newcomer);
        let wall = Now::system().wall;
        let (answer, news) =
            registrar.answer(&who, message.payload, wall, &mut SystemEntropy::new());
        heard.lock().unwrap().issued += u64::from(news.is_some());
        let (tenant, name) = (tenant(), device);
        let message = Message::new(Channel::Enrol, &answer).to(Peer::new(&tenant, &name));
        client.submit(&message).await.unwrap();
    }
}
