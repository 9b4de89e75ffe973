//! A device's identity from the factory to its end: IDevID, CSR, LDevID, mutual TLS, revocation.

extern crate alloc;

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;

use iot_core::crypto::SignatureAlgorithm::EcdsaP256Sha256;
use iot_core::crypto::{KeyPolicy, KeyStore, SlotId};
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Now, Principal, Role, TenantId};
use iot_identity::cert::{Authority, Trust, TrustAnchors, Validity, csr};
use iot_identity::enrol::{Registrar, Terms};
use iot_identity::key::{PublicKey, SharedKey};
use iot_identity::revocation::{Denied, Revocations};
use iot_identity::ring::{SoftwareKey, SoftwareKeys, SystemEntropy};
use iot_identity::tls::{ClientBuilder, Credential, ServerBuilder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::{ClientConfig, pki_types::ServerName};
use tokio_rustls::{TlsAcceptor, TlsConnector};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut entropy = SystemEntropy::new();
    let now = Now::system().wall.not_before();
    let days = |n: u64| Validity::lasting(now, Duration::from_secs(n * 86_400));
    let key = || SoftwareKey::generate(EcdsaP256Sha256);
    let (acme, boiler) = (TenantId::new("acme")?, DeviceId::new("boiler-7")?);

    // Three authorities: the manufacturer's, the operator's for devices, the operator's for servers.
    let factory = Authority::root(key()?, "Boiler factory", days(3_650), &mut entropy)?;
    let devices = Authority::root(key()?, "Acme devices", days(3_650), &mut entropy)?;
    let servers = Authority::root(key()?, "Acme servers", days(3_650), &mut entropy)?;

    // In the factory: a key that stays in its store for life, and a certificate for it.
    let store = Arc::new(SoftwareKeys::new());
    let (factory_slot, own_slot) = (SlotId::new(0), SlotId::new(1));
    store.generate(factory_slot, EcdsaP256Sha256, KeyPolicy::SignForLife)?;
    let factory_key = SharedKey::new(Arc::clone(&store), factory_slot)?;
    let public = PublicKey::of(&factory_key)?;
    let idevid = factory.idevid(&boiler, "1.3.6.1.4.1.32473.1", &public, now, &mut entropy)?;
    let idevid = Credential::new(factory_key, vec![idevid])?;

    // The service: whoever the factory's anchor verifies is a newcomer, whoever our own verifies a device.
    let revocations = Revocations::default();
    let mut anchors = TrustAnchors::new();
    anchors.add(factory.certificate(), acme, Role::Newcomer)?;
    anchors.add(devices.certificate(), acme, Role::Device)?;
    let trust = Trust::new(anchors, revocations.clone());
    let server_key = key()?;
    let server_public = PublicKey::of(&server_key)?;
    let server = servers.server(&["localhost"], &server_public, days(90), &mut entropy)?;
    let server = Credential::new(server_key, vec![server])?;
    let acceptor = TlsAcceptor::from(ServerBuilder::new(server, trust.clone()).build()?);
    let client = ClientBuilder::new([servers.certificate()])?;

    // The device comes with its factory identity and asks for an operational one.
    let newcomer = client.clone().credential(&idevid).build()?;
    let who = connect(newcomer, &acceptor, &trust).await?;
    assert_eq!(who, Principal::new(acme, boiler, Role::Newcomer));
    store.generate(own_slot, EcdsaP256Sha256, KeyPolicy::Sign)?;
    let own_key = SharedKey::new(Arc::clone(&store), own_slot)?;
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    let request = csr::write(&boiler, &own_key, &mut buffer)?;
    let mut registrar = Registrar::new(devices, acme, Terms::default(), revocations.clone());
    let wall = TimeBounds::exact(now);
    let ldevid = registrar.enrol(&who, request, wall, &mut entropy)?;
    let again = registrar.enrol(&who, request, wall, &mut entropy)?;
    assert_eq!(
        ldevid.certificate(),
        again.certificate(),
        "a retry made a second certificate"
    );

    // From now on it is a device.
    let ldevid = Credential::new(own_key, vec![ldevid.certificate().clone()])?;
    let device = client.clone().credential(&ldevid).build()?;
    let who = connect(Arc::clone(&device), &acceptor, &trust).await?;
    assert_eq!(who, Principal::new(acme, boiler, Role::Device));

    // Revoked, it gets in by neither certificate, and no new one for any key.
    revocations.deny(Denied::Device(acme, boiler));
    for config in [device, client.credential(&idevid).build()?] {
        let Err(reason) = connect(config, &acceptor, &trust).await else {
            return Err("a revoked device was admitted".into());
        };
        assert!(reason.to_string().contains("Revoked"), "{reason}");
    }
    assert!(registrar.enrol(&who, request, wall, &mut entropy).is_err());
    println!(
        "RESULT ok device={} tenant={} role={:?}",
        who.device, who.tenant, who.role
    );
    Ok(())
}

/// One real connection over loopback: who the server says it was, or why it was refused.
async fn connect(config: Arc<ClientConfig>, to: &TlsAcceptor, trust: &Trust) -> Outcome<Principal> {
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
    let mut tls = to.accept(tcp).await?;
    let chain = tls.get_ref().1.peer_certificates().unwrap_or(&[]);
    let who = trust.principal(chain, Now::system().wall)?;
    tls.write_u8(1).await?;
    assert_eq!(client.await??, 1);
    Ok(who)
}
