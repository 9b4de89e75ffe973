//! Handshakes in memory, with real configurations.
#![cfg(feature = "tls")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "support/carry.rs"]
mod carry;

use alloc::sync::Arc;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, SlotId};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Now, Role, TenantId, Timestamp};
use iot_identity::cert::{AdmitError, Authority, Trust, TrustAnchors, Validity};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::revocation::{Denied, Revocations};
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Clock, Credential, ServerBuilder};
use rustls::{ClientConfig, ServerConfig, ServerConnection};

use carry::connect;

const DAY: Duration = Duration::from_secs(86_400);

struct World {
    services: Authority<SoftwareKey>,
    devices: Authority<SoftwareKey>,
    trust: Trust,
    server: Credential,
}

fn now() -> Timestamp {
    Now::system().wall.not_before()
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(EcdsaP256Sha256).unwrap()
}

fn authority(name: &str) -> Authority<SoftwareKey> {
    let validity = Validity::lasting(now(), 100 * DAY).backdated(100 * DAY);
    Authority::root(key(), name, validity, &mut SystemEntropy::new()).unwrap()
}

fn tenant() -> TenantId {
    TenantId::new("acme").unwrap()
}

fn device() -> DeviceId {
    DeviceId::new("boiler-7").unwrap()
}

impl World {
    fn new() -> Self {
        let (services, devices) = (authority("services"), authority("devices"));
        let mut anchors = TrustAnchors::new();
        anchors
            .add(devices.certificate(), tenant(), Role::Device)
            .unwrap();
        let key = key();
        let public = PublicKey::of(&key).unwrap();
        let validity = Validity::lasting(now(), DAY).backdated(DAY);
        let certificate = services
            .server(&["localhost"], &public, validity, &mut SystemEntropy::new())
            .unwrap();
        Self {
            services,
            devices,
            trust: Trust::new(anchors, Revocations::default()),
            server: Credential::new(key, vec![certificate]).unwrap(),
        }
    }

    fn server(&self) -> ServerBuilder {
        ServerBuilder::new(self.server.clone(), self.trust.clone())
    }

    fn client(&self) -> ClientBuilder {
        ClientBuilder::new([self.services.certificate()]).unwrap()
    }

    /// A device whose key lies in a store and never leaves it.
    fn device(&self, from: &Authority<SoftwareKey>, validity: Validity) -> Credential {
        let store = Arc::new(SoftwareKeys::new());
        let slot = SlotId::new(0);
        store
            .generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
            .unwrap();
        let key = SharedKey::new(store, slot).unwrap();
        let public = PublicKey::of(&key).unwrap();
        let certificate = from
            .ldevid(&device(), &public, validity, &mut SystemEntropy::new())
            .unwrap();
        Credential::new(key, vec![certificate]).unwrap()
    }

    fn valid(&self) -> Credential {
        self.device(&self.devices, Validity::lasting(now(), DAY).backdated(DAY))
    }
}

/// The server's connection after a handshake and a byte each way, or the error of whoever gave up.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<ServerConnection, rustls::Error> {
    connect(client, server).map(|(_, server)| server)
}

#[test]
fn a_device_whose_key_stays_in_its_store_is_admitted() {
    let world = World::new();
    let client = world.client().credential(&world.valid()).build().unwrap();
    let connection = handshake(&client, &world.server().build().unwrap()).unwrap();
    let chain = connection.peer_certificates().unwrap();
    let who = world.trust.principal(chain, Now::system().wall).unwrap();
    assert_eq!(
        (who.tenant, who.device, who.role),
        (tenant(), device(), Role::Device)
    );
}

#[test]
fn whoever_is_not_admitted_gets_no_further_than_the_handshake() {
    let world = World::new();
    let server = world.server().build().unwrap();
    let past = Validity::lasting(now().before(10 * DAY), DAY);
    let future = Validity::lasting(now().after(10 * DAY), DAY);
    let stranger = world.device(
        &authority("devices"),
        Validity::lasting(now(), DAY).backdated(DAY),
    );
    let refused = |credential: Option<Credential>| {
        let client = world.client();
        let client = match &credential {
            Some(credential) => client.credential(credential),
            None => client,
        };
        let result = handshake(&client.build().unwrap(), &server);
        format!("{:?}", result.map(|_| ()).unwrap_err())
    };
    assert_eq!(refused(None), "NoCertificatesPresented");
    for (credential, error) in [
        (
            world.device(&world.devices, past),
            "InvalidCertificate(Expired)",
        ),
        (
            world.device(&world.devices, future),
            "InvalidCertificate(NotValidYet)",
        ),
        (stranger, "InvalidCertificate(UnknownIssuer)"),
    ] {
        assert_eq!(refused(Some(credential)), error);
    }
    let valid = world.valid();
    world
        .trust
        .revocations()
        .deny(Denied::Device(tenant(), device()));
    assert_eq!(refused(Some(valid)), "InvalidCertificate(Revoked)");
}

#[test]
fn a_server_resumes_no_session() {
    let world = World::new();
    let server = world.server().build().unwrap();
    let client = world.client().credential(&world.valid()).resumption();
    let client = client.build().unwrap();
    for _ in 0..2 {
        let connection = handshake(&client, &server).unwrap();
        assert_eq!(
            connection.handshake_kind(),
            Some(rustls::HandshakeKind::Full)
        );
    }
}

#[test]
fn a_resumed_session_passes_the_verifier_but_not_the_second_question() {
    let world = World::new();
    let server = world.server().danger_resumption().build().unwrap();
    let client = world.client().credential(&world.valid()).resumption();
    let client = client.build().unwrap();
    handshake(&client, &server).unwrap();
    world
        .trust
        .revocations()
        .deny(Denied::Device(tenant(), device()));

    let connection = handshake(&client, &server).unwrap();
    assert_eq!(
        connection.handshake_kind(),
        Some(rustls::HandshakeKind::Resumed)
    );
    let chain = connection.peer_certificates().unwrap();
    assert_eq!(
        world.trust.principal(chain, Now::system().wall),
        Err(AdmitError::Revoked)
    );
}

#[test]
fn a_client_without_a_clock_connects_only_when_told_to_accept_that() {
    let world = World::new();
    let server = world.server().build().unwrap();
    let built = now().before(30 * DAY);
    let clock = Clock::new(move || TimeBounds::at_least(built));
    let valid = world.valid();
    let careful = world.client().credential(&valid).clock(clock.clone());
    assert!(handshake(&careful.clone().build().unwrap(), &server).is_err());
    let trusting = careful.danger_accept_uncertain_time().build().unwrap();
    assert!(handshake(&trusting, &server).is_ok());

    // What had expired before the earliest moment it knows is refused all the same.
    let ahead = now().after(2 * DAY);
    let late = world.client().credential(&valid);
    let late = late.clock(Clock::new(move || TimeBounds::at_least(ahead)));
    let late = late.danger_accept_uncertain_time().build().unwrap();
    assert!(handshake(&late, &server).is_err());
}

#[test]
fn destroying_the_key_disarms_the_credential() {
    let world = World::new();
    let server = world.server().build().unwrap();
    let store = Arc::new(SoftwareKeys::new());
    let slot = SlotId::new(0);
    store
        .generate(slot, EcdsaP256Sha256, KeyPolicy::Sign)
        .unwrap();
    let key = SharedKey::new(Arc::clone(&store), slot).unwrap();
    let public = PublicKey::of(&key).unwrap();
    let validity = Validity::lasting(now(), DAY).backdated(DAY);
    let certificate = world
        .devices
        .ldevid(&device(), &public, validity, &mut SystemEntropy::new())
        .unwrap();
    let credential = Credential::new(key, vec![certificate]).unwrap();
    let client = world.client().credential(&credential).build().unwrap();
    assert!(handshake(&client, &server).is_ok());
    store.destroy(slot).unwrap();
    assert!(handshake(&client, &server).is_err());
}
