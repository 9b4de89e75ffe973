//! Authorities, a trust, a gate, and the peers around it.

use alloc::sync::Arc;
use core::time::Duration;

use iot_core::authz::OwnLane;
use iot_core::crypto::Digest;
use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::{DeviceId, Now, Role, TenantId, Timestamp};
use iot_identity::cert::{
    AdmitError, Authority, Trust, TrustAnchors, UnverifiedCertificate, Validity,
};
use iot_identity::key::{KeyHash, PublicKey};
use iot_identity::revocation::{
    CertificateId, CompactWriter, Denied, DenyList, News, Revocations, Subscription,
};
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Credential, ServerBuilder};
use iot_transport::gate::{Gate, GateListening, Refusal, Stage};
use iot_transport::mqtt::Hub;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::broker::Mosquitto;
use super::mqtt::{PATIENCE, Raw, connect, publish, subscribe};

const DAY: Duration = Duration::from_secs(86_400);

type Ca = Authority<SoftwareKey>;

/// What stands behind the gate.
enum Behind {
    Hub(Hub),
    Mosquitto(Mosquitto),
}

pub(crate) struct World {
    behind: Behind,
    factory: Ca,
    devices: Ca,
    services: Ca,
    servers: Ca,
    pub(crate) revocations: Revocations,
    trust: Trust,
    server: Credential,
}

/// A gate that is open, and cuts whoever is revoked.
pub(crate) struct Front {
    pub(crate) gate: Gate,
    pub(crate) port: u16,
    _listening: GateListening,
    _subscription: Subscription,
}

/// Revokes the device of this name, which shows the certificate of this configuration.
pub(crate) type Decision<'w> = Box<dyn Fn(&str, &ClientConfig) + Send + Sync + 'w>;

/// How a deny-list names the certificate that a client shows, and its key.
fn named(config: &ClientConfig) -> (CertificateId, KeyHash) {
    let shown = config.client_auth_cert_resolver.resolve(&[], &[]).unwrap();
    let view = UnverifiedCertificate::parse(&shown.cert[0]).unwrap();
    let mut hash = Sha256::new();
    hash.update(view.issuer());
    let id = CertificateId::new(hash.finish(), view.serial()).unwrap();
    (id, view.public_key().unwrap().hash(&mut hash))
}

fn now() -> Timestamp {
    Now::system().wall.not_before()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn authority(name: &str) -> Ca {
    let validity = Validity::lasting(now(), 100 * DAY).backdated(100 * DAY);
    Authority::root(key(), name, validity, &mut SystemEntropy::new()).unwrap()
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

pub(crate) fn name(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(crate) fn up(device: &str) -> String {
    format!("iot/1/acme/{device}/telemetry/up")
}

impl World {
    pub(crate) fn before_hub() -> Self {
        Self::new(Behind::Hub(Hub::default()))
    }

    pub(crate) async fn before_mosquitto() -> Self {
        Self::new(Behind::Mosquitto(Mosquitto::start().await))
    }

    fn new(behind: Behind) -> Self {
        let [factory, devices, services, servers] =
            ["Factory", "Devices", "Services", "Servers"].map(authority);
        let mut anchors = TrustAnchors::new();
        for (authority, role) in [
            (&factory, Role::Newcomer),
            (&devices, Role::Device),
            (&services, Role::Service),
        ] {
            anchors
                .add(authority.certificate(), tenant(), role)
                .unwrap();
        }
        let revocations = Revocations::default();
        let trust = Trust::new(anchors, revocations.clone());
        let key = key();
        let public = PublicKey::of(&key).unwrap();
        let validity = Validity::lasting(now(), DAY).backdated(DAY);
        let certificate =
            servers.server(&["localhost"], &public, validity, &mut SystemEntropy::new());
        let server = Credential::new(key, vec![certificate.unwrap()]).unwrap();
        Self {
            behind,
            factory,
            devices,
            services,
            servers,
            revocations,
            trust,
            server,
        }
    }

    /// Opens a gate that resumes no TLS session.
    pub(crate) async fn front(&self) -> Front {
        let config = ServerBuilder::new(self.server.clone(), self.trust.clone());
        self.open(config).await
    }

    /// Opens one that does, which an operator could have configured.
    pub(crate) async fn resuming_front(&self) -> Front {
        let config = ServerBuilder::new(self.server.clone(), self.trust.clone());
        self.open(config.danger_resumption()).await
    }

    async fn open(&self, config: ServerBuilder) -> Front {
        let trust = self.trust.clone();
        let admit = move |chain: &[CertificateDer<'_>]| {
            let who = trust.principal(chain, Now::system().wall);
            who.map_err(|error| match error {
                AdmitError::Revoked => Refusal::Revoked,
                _ => Refusal::Other,
            })
        };
        let builder = Gate::builder(config.build().unwrap(), Arc::new(admit), Arc::new(OwnLane));
        let gate = match &self.behind {
            Behind::Hub(hub) => builder.to_hub(hub),
            Behind::Mosquitto(broker) => builder.to_broker(broker.address()),
        };
        let listening = gate.listen("127.0.0.1:0").await.unwrap();
        let cutting = gate.clone();
        let subscription = self.revocations.subscribe(move |news| match news {
            News::Denied(Denied::Device(tenant, device)) => {
                let _ = cutting.cut(tenant, device);
            }
            _ => {
                let _ = cutting.on_revoked();
            }
        });
        Front {
            gate,
            port: listening.address().port(),
            _listening: listening,
            _subscription: subscription,
        }
    }

    fn issue(
        &self,
        make: impl FnOnce(&PublicKey, Validity) -> CertificateDer<'static>,
        validity: Validity,
    ) -> Arc<ClientConfig> {
        let key = key();
        let certificate = make(&PublicKey::of(&key).unwrap(), validity);
        let credential = Credential::new(key, vec![certificate]).unwrap();
        self.client().credential(&credential).build().unwrap()
    }

    fn client(&self) -> ClientBuilder {
        let builder = ClientBuilder::new([self.servers.certificate()]).unwrap();
        builder.resumption()
    }

    fn ldevid(&self, from: &Ca, device: &str, validity: Validity) -> Arc<ClientConfig> {
        let make = |key: &PublicKey, validity| {
            let made = from.ldevid(&name(device), key, validity, &mut SystemEntropy::new());
            made.unwrap()
        };
        self.issue(make, validity)
    }

    pub(crate) fn device(&self, device: &str) -> Arc<ClientConfig> {
        let validity = Validity::lasting(now(), DAY).backdated(DAY);
        self.ldevid(&self.devices, device, validity)
    }

    pub(crate) fn expired(&self, device: &str) -> Arc<ClientConfig> {
        let validity = Validity::lasting(now().before(3 * DAY), DAY);
        self.ldevid(&self.devices, device, validity)
    }

    pub(crate) fn stranger(&self, device: &str) -> Arc<ClientConfig> {
        let validity = Validity::lasting(now(), DAY).backdated(DAY);
        self.ldevid(&authority("Devices"), device, validity)
    }

    pub(crate) fn nobody(&self) -> Arc<ClientConfig> {
        self.client().build().unwrap()
    }

    pub(crate) fn newcomer(&self, device: &str) -> Arc<ClientConfig> {
        let make = |key: &PublicKey, _| {
            let mut entropy = SystemEntropy::new();
            let kind = "1.3.6.1.4.1.32473.1";
            let made = self
                .factory
                .idevid(&name(device), kind, key, now(), &mut entropy);
            made.unwrap()
        };
        self.issue(make, Validity::for_ever(now()))
    }

    fn service(&self, service: &str) -> Arc<ClientConfig> {
        let make = |key: &PublicKey, validity| {
            let mut entropy = SystemEntropy::new();
            let made = self
                .services
                .service(&name(service), key, validity, &mut entropy);
            made.unwrap()
        };
        self.issue(make, Validity::lasting(now(), DAY).backdated(DAY))
    }

    /// What the gate stands before.
    pub(crate) const fn behind(&self) -> &'static str {
        match self.behind {
            Behind::Hub(_) => "hub",
            Behind::Mosquitto(_) => "mosquitto",
        }
    }

    /// Every way in which somebody decides that a device is revoked, each with its name.
    pub(crate) fn decisions(&self) -> [(&'static str, Decision<'_>); 5] {
        [
            (
                "device",
                Box::new(|device, _| {
                    let entry = Denied::Device(tenant(), name(device));
                    assert!(self.revocations.deny(entry));
                }),
            ),
            (
                "key",
                Box::new(|_, config| {
                    assert!(self.revocations.deny(Denied::Key(named(config).1)));
                }),
            ),
            (
                "certificate",
                Box::new(|_, config| {
                    let entry = Denied::Certificate(named(config).0);
                    assert!(self.revocations.deny(entry));
                }),
            ),
            (
                "issued",
                Box::new(|device, _| {
                    let mut list = DenyList::new(1);
                    list.insert(Denied::Device(tenant(), name(device)));
                    self.revocations.replace(list).unwrap();
                }),
            ),
            (
                "compact",
                Box::new(|_, config| {
                    let issuer = key();
                    let mut list = CompactWriter::new(1);
                    list.deny(&Denied::Key(named(config).1), &mut Sha256::new());
                    let bytes = list.sign(&issuer).unwrap();
                    let public = PublicKey::of(&issuer).unwrap();
                    let verifier = SoftwareVerifier::new(public);
                    let installed = self.revocations.install::<Sha256>(&bytes, &verifier);
                    installed.unwrap();
                }),
            ),
        ]
    }

    /// A service that hears all that devices of the tenant say.
    pub(crate) async fn watch(&self, front: &Front) -> Raw {
        let mut watcher = Raw::open(front.port, &self.service("watch")).await.unwrap();
        watcher.say(&connect("watch")).await;
        watcher.expect(2).await;
        watcher.say(&subscribe("iot/1/acme/+/+/up")).await;
        watcher.expect(9).await;
        watcher
    }

    /// The watcher must hear an honest device now, and nothing before or after it.
    pub(crate) async fn hears_only_the_honest(&self, front: &Front, watcher: &mut Raw) {
        let mut honest = Raw::open(front.port, &self.device("honest")).await.unwrap();
        honest.say(&connect("honest")).await;
        honest.expect(2).await;
        honest.say(&publish(&up("honest"), "21.5")).await;
        honest.expect(4).await;
        let heard = watcher.message().await;
        assert_eq!(heard, (up("honest"), "21.5".to_owned()));
        assert!(watcher.is_quiet().await, "something else was delivered");
    }
}

impl Front {
    /// Waits until the gate has recorded exactly one refusal, and says where it was.
    pub(crate) async fn refused_at(&self) -> Stage {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let refusals = self.gate.refusals();
            if let Some(first) = refusals.first() {
                assert_eq!(refusals.len(), 1, "{refusals:?}");
                return first.stage;
            }
            assert!(tokio::time::Instant::now() < deadline, "nobody was refused");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
