//! A certificate authority, a gate in front of a hub, and clients of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use iot_core::authz::OwnLane;
use iot_core::port::Transport;
use iot_core::{Channel, DeviceId, Principal, Role};
use iot_transport::gate::{Builder, Gate, GateListening, Refusal, Stage};
use iot_transport::mqtt::{Client, Hub, Settings, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::common::{self, PATIENCE, service_settings, tenant};

pub(crate) type Issuer = CertifiedIssuer<'static, KeyPair>;

type Names = HashMap<Vec<u8>, Result<Principal, Refusal>>;

/// A certificate authority, who its certificates name, and who is revoked.
pub(crate) struct Pki {
    pub(crate) issuer: Issuer,
    pub(crate) names: Arc<Mutex<Names>>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn issuer() -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

pub(crate) fn leaf(
    issuer: &Issuer,
    name: &str,
) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec![name.into()]).unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    (certificate.der().clone(), key.into())
}

impl Pki {
    pub(crate) fn new() -> Self {
        Self {
            issuer: issuer(),
            names: Arc::default(),
        }
    }

    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        let (certificate, key) = leaf(&self.issuer, "localhost");
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(self.roots()),
            provider(),
        );
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Arc::new(config)
    }

    /// A client's configuration with a certificate of its own.
    pub(crate) fn client(&self, name: &str, role: Role) -> Arc<ClientConfig> {
        let (certificate, key) = leaf(&self.issuer, "client.example");
        let who = Principal::new(tenant(), DeviceId::new(name).unwrap(), role);
        self.names
            .lock()
            .unwrap()
            .insert(certificate.to_vec(), Ok(who));
        self.config(Some((certificate, key)))
    }

    pub(crate) fn config(
        &self,
        own: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>,
    ) -> Arc<ClientConfig> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        Arc::new(match own {
            Some((certificate, key)) => config
                .with_client_auth_cert(vec![certificate], key)
                .unwrap(),
            None => config.with_no_client_auth(),
        })
    }

    pub(crate) fn revoke(&self, device: &str) {
        for entry in self.names.lock().unwrap().values_mut() {
            if entry.is_ok_and(|who| who.device.as_str() == device) {
                *entry = Err(Refusal::Revoked);
            }
        }
    }

    pub(crate) fn gate(&self) -> Builder {
        let names = self.names.clone();
        let admit = move |chain: &[CertificateDer<'_>]| {
            let leaf = chain.first().ok_or(Refusal::NoCertificate)?;
            let names = names.lock().unwrap();
            names
                .get(&leaf.to_vec())
                .copied()
                .unwrap_or(Err(Refusal::Nameless))
        };
        Gate::builder(self.server(), Arc::new(admit), Arc::new(OwnLane))
    }
}

pub(crate) struct Site {
    pub(crate) pki: Pki,
    pub(crate) hub: Hub,
    pub(crate) gate: Gate,
    pub(crate) listening: GateListening,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(change: impl FnOnce(Builder) -> Builder) -> Self {
        let (pki, hub) = (Pki::new(), Hub::default());
        let gate = change(pki.gate()).to_hub(&hub);
        let listening = gate.listen("127.0.0.1:0").await.unwrap();
        Self {
            pki,
            hub,
            gate,
            listening,
        }
    }

    pub(crate) fn tls(&self, config: Arc<ClientConfig>) -> Tls {
        Tls::new(self.listening.address().to_string(), "localhost", config).unwrap()
    }

    pub(crate) fn client(&self, name: &str, settings: Settings) -> Client<Tls> {
        Client::new(self.tls(self.pki.client(name, Role::Device)), settings)
    }

    pub(crate) async fn service(&self) -> Client<Tls> {
        let config = self.pki.client("backend", Role::Service);
        let mut service = Client::new(self.tls(config), service_settings());
        service.subscribe(Channel::Telemetry).await.unwrap();
        service.connected(PATIENCE).await.unwrap();
        common::subscribed(&self.hub, &mut service, 1).await;
        service
    }

    /// Where refusals happened, in order.
    pub(crate) fn stages(&self) -> Vec<Stage> {
        self.gate
            .refusals()
            .iter()
            .map(|record| record.stage)
            .collect()
    }
}
