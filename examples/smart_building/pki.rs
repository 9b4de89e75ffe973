//! The building's certificate authorities and what each may say.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
use iot_core::node::block_on;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Now, Role, TenantId, Timestamp};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::revocation::Revocations;
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Credential, Credentials, Provision, ServerBuilder};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ServerConfig};

use crate::flash::Flash;
use crate::identity;

pub type Fallible<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The slot of a device's factory key, and those of the keys it makes itself.
pub const FACTORY: SlotId = SlotId::new(0);
pub const OPERATIONAL: [SlotId; 2] = [SlotId::new(1), SlotId::new(2)];
/// The name the front answers to.
pub const SERVER_NAME: &str = "localhost";

const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
// A number reserved for documentation (RFC 5612).
const HARDWARE_TYPE: &str = "1.3.6.1.4.1.32473.1";
const DAY: Duration = Duration::from_secs(86_400);

/// The authorities of the factory and of the servers, and whom the front trusts for what.
pub struct Pki {
    pub tenant: TenantId,
    factory: Authority<SoftwareKey>,
    services: Authority<SoftwareKey>,
    servers: Authority<SoftwareKey>,
    /// What the front shows.
    front: Credentials,
    pub revocations: Revocations,
    pub trust: Trust,
}

/// The authorities that enrol: each is trusted for one role.
pub struct Enrolling {
    pub devices: Authority<SoftwareKey>,
    pub gateways: Authority<SoftwareKey>,
}

/// A device as it leaves the factory: its keys, which never leave the store, its IDevID, and what is on record.
#[derive(Clone)]
pub struct Made {
    pub id: DeviceId,
    pub keys: Arc<SoftwareKeys>,
    pub idevid: CertificateDer<'static>,
    pub flash: Flash,
}

impl Pki {
    pub fn new() -> Fallible<(Self, Enrolling)> {
        let tenant = TenantId::new("acme")?;
        let authority = |name: &str| -> Fallible<_> {
            let years = Validity::lasting(now(), 3_650 * DAY).backdated(DAY);
            let key = SoftwareKey::generate(P256)?;
            Ok(Authority::root(
                key,
                name,
                years,
                &mut SystemEntropy::new(),
            )?)
        };
        let (factory, devices) = (authority("Acme factory")?, authority("Acme devices")?);
        let (gateways, services) = (authority("Acme gateways")?, authority("Acme services")?);
        let mut anchors = TrustAnchors::new();
        for (anchor, role) in [
            (&factory, Role::Newcomer),
            (&devices, Role::Device),
            (&gateways, Role::Gateway),
            (&services, Role::Service),
        ] {
            anchors.add(anchor.certificate(), tenant, role)?;
        }
        let revocations = Revocations::default();
        let trust = Trust::new(anchors, revocations.clone());
        let servers = authority("Acme servers")?;
        let pki = Self {
            tenant,
            factory,
            services,
            front: Credentials::new(front(&servers)?),
            servers,
            revocations,
            trust,
        };
        Ok((pki, Enrolling { devices, gateways }))
    }

    /// Makes a device: a key in its store, and a certificate for life.
    pub fn manufacture(&self, id: DeviceId) -> Fallible<Made> {
        let keys = Arc::new(SoftwareKeys::new());
        keys.generate(FACTORY, P256, KeyPolicy::SignForLife)?;
        let public = PublicKey::of(&keys.signer(FACTORY)?)?;
        let since = now().before(DAY);
        let idevid = self.factory.idevid(
            &id,
            HARDWARE_TYPE,
            &public,
            since,
            &mut SystemEntropy::new(),
        )?;
        let servers = vec![self.servers.certificate().clone()];
        let provision = Provision::new(vec![idevid.clone()], servers)?;
        let flash = Flash::new();
        block_on(async {
            let mut records = flash.open().await?;
            let key = identity::setup().provision();
            provision.store(&mut records, key).await
        })?;
        Ok(Made {
            id,
            keys,
            idevid,
            flash,
        })
    }

    /// What the front presents, and whom it admits.
    pub fn server(&self) -> Fallible<Arc<ServerConfig>> {
        Ok(ServerBuilder::new(self.front.clone(), self.trust.clone()).build()?)
    }

    /// Lets the front show a new certificate from now on.
    pub fn renew_front(&self) -> Fallible<()> {
        self.front.swap(front(&self.servers)?);
        Ok(())
    }

    /// A new certificate for one of the tenant's services.
    pub fn service(&self, name: &DeviceId) -> Fallible<Credential> {
        let key = SoftwareKey::generate(P256)?;
        let validity = Validity::lasting(now(), 7 * DAY).backdated(DAY);
        let chain = self.services.service(
            name,
            &PublicKey::of(&key)?,
            validity,
            &mut SystemEntropy::new(),
        )?;
        Ok(Credential::new(key, vec![chain])?)
    }

    /// A configuration for a device that shows `certificate` of the key in `slot`, whatever the device itself does.
    pub fn device(
        &self,
        made: &Made,
        slot: SlotId,
        certificate: CertificateDer<'static>,
    ) -> Fallible<Arc<ClientConfig>> {
        let key = SharedKey::new(Arc::clone(&made.keys), slot)?;
        self.client(&Credential::new(key, vec![certificate])?.into())
    }

    /// A configuration that shows whatever is in force.
    pub fn client(&self, live: &Credentials) -> Fallible<Arc<ClientConfig>> {
        Ok(ClientBuilder::new([self.servers.certificate()])?
            .credentials(live)
            .build()?)
    }
}

/// A new key and certificate for the front.
fn front(servers: &Authority<SoftwareKey>) -> Fallible<Credential> {
    let key = SoftwareKey::generate(P256)?;
    let validity = Validity::lasting(now(), 30 * DAY).backdated(DAY);
    let public = PublicKey::of(&key)?;
    let chain = servers.server(&[SERVER_NAME], &public, validity, &mut SystemEntropy::new())?;
    Ok(Credential::new(key, vec![chain])?)
}

/// The time, which this process takes from its host.
pub fn wall() -> TimeBounds {
    Now::system().wall
}

pub fn now() -> Timestamp {
    wall().not_before()
}
