//! A gateway as its owner writes it: credentials from a key store and a directory, a link that shows them, a node that
//! renews them. What it composes is what the READMEs promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

extern crate alloc;

#[path = "gateway/service.rs"]
mod service;
#[allow(dead_code, reason = "the tests of hardware use more of it")]
#[path = "../../iot-identity/tests/hardware/softhsm.rs"]
mod softhsm;

use core::time::Duration;
use std::path::Path;

use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm::EcdsaP256Sha256, SlotId};
use iot_core::engine::RecordKey;
use iot_core::node::{Node, block_on};
use iot_core::port::Timer;
use iot_core::storage::directory::Directory;
use iot_core::{Channel, Message};
use iot_identity::key::PublicKey;
use iot_identity::pkcs11::Pkcs11Keys;
use iot_identity::ring::SoftwareKeys;
use iot_identity::rotate::Standing;
use iot_identity::tls::{Credentials, Link, Provision, Setup};
use iot_transport::TokioTimer;
use iot_transport::mqtt::{Client, ConnectError, Settings, Tls};
use iot_transport::outbox::{Outbox, Overflow};

use service::Service;

const PATIENCE: Duration = Duration::from_secs(5);
const MESSAGES: u64 = 40;

type Outcome<T> = Result<T, Box<dyn core::error::Error>>;

/// In the factory: a key for life in the slot of the factory's, and what goes with it on record.
fn manufacture(service: &Service, keys: &impl KeyStore, folder: &Path) -> Outcome<()> {
    keys.generate(SlotId::new(0), EcdsaP256Sha256, KeyPolicy::SignForLife)?;
    let public = PublicKey::of(&keys.signer(SlotId::new(0))?)?;
    let provision = Provision::new(vec![service.idevid(&public)], vec![service.root()])?;
    let mut store = Directory::open(folder)?;
    Ok(block_on(
        provision.store(&mut store, Setup::default().provision()),
    )?)
}

/// What it does from its first start on, until it has renewed its certificate once among its messages.
async fn lives<K: KeyStore + Send + Sync + 'static>(
    service: &Service,
    keys: K,
    folder: &Path,
) -> Outcome<()> {
    let mut store = Directory::open(folder)?; // crash-safe Records
    let credentials = Credentials::load(&mut store, keys).await?; // current + candidate, hot swap
    let cloud = Tls::new(service.address(), "localhost", credentials.client_tls())?;
    let settings = Settings::device(service::tenant(), *credentials.device())
        .with_retry(Duration::from_millis(20), Duration::from_millis(200));
    let mut node = Node::new(Client::new(cloud, settings), store, TokioTimer::new());
    let mut outbox = Outbox::<64, 1_024>::new(RecordKey::new(0x8000), 0x5eed)
        .on(Channel::Telemetry, Overflow::LowestPriority);
    let mut renewal = credentials.renewal();
    let (mut engines, mut buffer) = ((&mut outbox, &mut renewal), vec![0; 8_192]);
    node.restore(&mut engines, &mut buffer).await?;

    let (mut pushed, mut identities) = (0, Vec::new());
    while identities.len() < 2 || service.heard() < MESSAGES {
        node.turn(&mut engines, &mut buffer).await?;
        let client = node.transport();
        let stats = client.stats();
        let mut link = Link::new(client.is_connected(), stats.connections, stats.failures);
        if let Some(ConnectError::Rejected(error)) = client.last_error() {
            link = link.rejected(error);
        }
        if engines.1.tend(TokioTimer::new().now(), &link) {
            client.reconnect(PATIENCE);
        }
        if engines.1.standing() != Standing::Enrolled && identities.is_empty() {
            continue; // a newcomer may speak of nothing but its enrolment
        }
        let identity = engines.1.identity();
        if engines.1.standing() == Standing::Enrolled && identities.last() != Some(&identity) {
            identities.push(identity);
        }
        if pushed < MESSAGES {
            pushed += 1;
            let message = pushed.to_be_bytes();
            engines
                .0
                .push(TokioTimer::new().now(), &Message::telemetry(&message))?;
        }
        if pushed == MESSAGES / 2 {
            engines.1.renew();
        }
    }
    let shown = credentials.live().current();
    service.is_shown(shown.chain().first().ok_or("an empty chain")?);
    Ok(())
}

async fn lives_and_renews<K: KeyStore + Send + Sync + 'static>(keys: K) {
    let (service, folder) = (Service::start().await, tempfile::tempdir().unwrap());
    manufacture(&service, &keys, folder.path()).unwrap();
    let life = lives(&service, keys, folder.path());
    let outcome = tokio::time::timeout(Duration::from_secs(60), life).await;
    outcome.expect("it came to no end").unwrap();
    assert_eq!(service.heard(), MESSAGES);
    assert_eq!(service.issued(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_enrols_and_renews_among_its_messages_and_loses_none() {
    lives_and_renews(SoftwareKeys::new()).await;
}

#[test]
#[ignore = "needs softhsm2"]
fn a_gateway_whose_keys_are_in_a_token_does_the_same() {
    let name = "a_gateway_whose_keys_are_in_a_token_does_the_same";
    softhsm::with_tokens(name, &["gateway"], || {
        let keys = Pkcs11Keys::open(softhsm::config("gateway")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(lives_and_renews(keys));
    });
}
