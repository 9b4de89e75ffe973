//! Authorities, a front, and devices that connect to it.

use alloc::sync::Arc;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};
use iot_core::crypto::{SignatureAlgorithm, Signer};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Role, TenantId, Timestamp};
use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::embedded_tls::{Client, ConnectError, connect};
use iot_identity::key::PublicKey;
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SystemEntropy};
use iot_identity::rustcrypto::{self, P256Key};
use iot_identity::tls::{Clock, Credential, ServerBuilder};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use crate::wire::Wire;

pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const HOST: &str = "mqtt.example.com";
/// More than any record that is sent here.
pub(crate) const RECORD: usize = 4_096;

pub(crate) fn key(algorithm: SignatureAlgorithm) -> SoftwareKey {
    SoftwareKey::generate(algorithm).unwrap()
}

pub(crate) fn days(count: u32) -> Validity {
    Validity::lasting(NOW, count * DAY)
}

pub(crate) fn root(name: &str) -> Authority<SoftwareKey> {
    Authority::root(
        key(EcdsaP256Sha256),
        name,
        days(9),
        &mut SystemEntropy::new(),
    )
    .unwrap()
}

/// A device of its own authority, and the front that admits it.
pub(crate) struct World {
    pub(crate) services: Authority<SoftwareKey>,
    pub(crate) trust: Trust,
    pub(crate) device: P256Key,
    pub(crate) certificate: CertificateDer<'static>,
}

impl World {
    pub(crate) fn new() -> Self {
        let devices = root("devices");
        let mut anchors = TrustAnchors::new();
        let acme = TenantId::new("acme").unwrap();
        anchors
            .add(devices.certificate(), acme, Role::Device)
            .unwrap();
        let device = P256Key::generate(&mut SystemEntropy::new()).unwrap();
        let public = PublicKey::of(&device).unwrap();
        let name = DeviceId::new("boiler-7").unwrap();
        let certificate = devices
            .ldevid(&name, &public, days(9), &mut SystemEntropy::new())
            .unwrap();
        Self {
            services: root("services"),
            trust: Trust::new(anchors, Revocations::default()),
            device,
            certificate,
        }
    }

    /// A certificate of the front's, with its key.
    pub(crate) fn leaf(
        &self,
        algorithm: SignatureAlgorithm,
    ) -> (SoftwareKey, CertificateDer<'static>) {
        let key = key(algorithm);
        let public = PublicKey::of(&key).unwrap();
        let leaf = self
            .services
            .server(&[HOST], &public, days(1), &mut SystemEntropy::new())
            .unwrap();
        (key, leaf)
    }

    /// The front, with this key and chain.
    pub(crate) fn front(
        &self,
        key: impl Signer + Send + Sync + 'static,
        chain: Vec<CertificateDer<'static>>,
    ) -> Arc<ServerConfig> {
        let credential = Credential::new(key, chain).unwrap();
        ServerBuilder::new(credential, self.trust.clone())
            .clock(Clock::new(|| TimeBounds::exact(NOW)))
            .build()
            .unwrap()
    }

    pub(crate) fn usual_front(&self) -> Arc<ServerConfig> {
        let (key, leaf) = self.leaf(EcdsaP256Sha256);
        self.front(key, vec![leaf])
    }

    pub(crate) fn ed25519_front(&self) -> Arc<ServerConfig> {
        let (key, leaf) = self.leaf(Ed25519);
        self.front(key, vec![leaf])
    }

    /// The device's handshake with `front`, and one message each way.
    pub(crate) fn meet(
        &self,
        front: &Arc<ServerConfig>,
        ask: &Ask<'_>,
    ) -> Result<Wire, ConnectError> {
        let wire = Wire::new(front);
        self.connect(&wire, ask)?;
        Ok(wire)
    }

    pub(crate) fn connect(&self, wire: &Wire, ask: &Ask<'_>) -> Result<(), ConnectError> {
        let policy = ask.policy();
        let anchors = [Anchor::of(ask.anchor).unwrap()];
        let client = self.client(&policy, &anchors);
        let (mut read, mut write) = ([0; RECORD], [0; RECORD]);
        let mut tls = connect(wire.clone(), &mut read, &mut write, client)?;
        let failed = ConnectError::Tls;
        tls.write(b"hello").map_err(failed)?;
        tls.flush().map_err(failed)?;
        let mut answer = [0; 5];
        let len = tls.read(&mut answer).map_err(failed)?;
        assert_eq!(&answer[..len], b"HELLO");
        Ok(())
    }

    pub(crate) fn client<'a>(
        &'a self,
        policy: &'a PathPolicy<'a>,
        anchors: &'a [Anchor<&'a [u8]>],
    ) -> Client<'a, &'a P256Key, &'a [u8], 2> {
        let entropy = &mut SystemEntropy::new();
        Client::new(&self.device, &self.certificate, policy, anchors, entropy).unwrap()
    }
}

/// What a device holds its server against.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) host: &'a str,
    pub(crate) wall: TimeBounds,
    pub(crate) anchor: &'a [u8],
}

impl<'a> Ask<'a> {
    pub(crate) fn usual(world: &'a World) -> Self {
        Self {
            host: HOST,
            wall: TimeBounds::exact(NOW),
            anchor: world.services.certificate(),
        }
    }

    pub(crate) fn policy(&self) -> PathPolicy<'a> {
        let purpose = Purpose::Server(self.host.try_into().unwrap());
        PathPolicy::with(rustcrypto::ALGORITHMS, self.wall, purpose)
    }
}
