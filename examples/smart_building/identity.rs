//! A device's identities: which one it has, and what rotation wants of its keys and its link.

use core::time::Duration;

use iot_core::Now;
use iot_core::crypto::{KeyPolicy, KeyStore, SignatureAlgorithm, SlotId};
use iot_core::engine::{Engine, Event};
use iot_core::port::Records;
use iot_identity::key::PublicKey;
use iot_identity::ring::SystemEntropy;
use iot_identity::rotate::{Identity, Policy, Rotation, Session, Want};
use iot_transport::mqtt::{Client, Settings, Tls};
use rustls::pki_types::CertificateDer;

use crate::device::Site;
use crate::jobs::CERTIFICATES;
use crate::pki::{FACTORY, Fallible, Made, OPERATIONAL, SERVER_NAME};

/// A certificate chain with room to spare.
const CHAIN_BYTES: usize = 1_024;
/// How long a probe may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub type Certificates = Rotation<SystemEntropy, CHAIN_BYTES>;

pub fn certificates(made: &Made) -> Certificates {
    Rotation::new(
        made.id,
        OPERATIONAL,
        CERTIFICATES,
        Policy::default(),
        SystemEntropy::new(),
    )
}

fn public(made: &Made, slot: SlotId) -> Fallible<Option<PublicKey>> {
    match made.keys.signer(slot) {
        Ok(signer) => Ok(Some(PublicKey::of(&signer)?)),
        Err(_) => Ok(None),
    }
}

/// The operational identity on record, if its key is there.
pub async fn operational(
    made: &Made,
    records: &mut impl Records<Error: Send + Sync + 'static>,
    now: Now,
) -> Fallible<Option<(SlotId, CertificateDer<'static>)>> {
    let (mut rotation, mut buffer) = (certificates(made), [0; CHAIN_BYTES]);
    for by in 0..rotation.records().count() {
        let key = CERTIFICATES.offset(by).ok_or("there is no such record")?;
        if let Some(value) = records.read(key, &mut buffer).await? {
            rotation.input(now, &Event::Record { key, value });
        }
    }
    rotation.input(now, &Event::Restored);
    for slot in OPERATIONAL {
        rotation.holds(now, slot, public(made, slot)?);
    }
    let Identity::Own(slot) = rotation.identity() else {
        return Ok(None);
    };
    let first = rotation.chain(slot).next();
    Ok(first.map(|first| (slot, CertificateDer::from(first.to_vec()))))
}

/// A client that shows the certificate of the key in `slot`.
pub fn client(
    site: &Site,
    made: &Made,
    slot: SlotId,
    certificate: CertificateDer<'static>,
) -> Fallible<Client<Tls>> {
    let config = site.pki.device(made, slot, certificate)?;
    let tls = Tls::new(site.address.clone(), SERVER_NAME, config)?;
    let settings = Settings::device(site.pki.tenant, made.id)
        .with_retry(Duration::from_millis(50), Duration::from_millis(500))
        .with_queue(200, 4 << 20);
    Ok(Client::new(tls, settings))
}

/// Does what rotation wants; `is_connected` tells of the link that shows the factory identity.
pub async fn satisfy(
    rotation: &mut Certificates,
    site: &Site,
    made: &Made,
    is_connected: bool,
    now: Now,
) -> Fallible<()> {
    while let Some(want) = rotation.wants(now) {
        match want {
            Want::Generate(slot) => {
                let algorithm = SignatureAlgorithm::EcdsaP256Sha256;
                made.keys.generate(slot, algorithm, KeyPolicy::Sign)?;
                rotation.holds(now, slot, public(made, slot)?);
            }
            Want::Destroy(slot) => {
                made.keys.destroy(slot)?;
                rotation.holds(now, slot, None);
            }
            Want::Inspect(slot) => rotation.holds(now, slot, public(made, slot)?),
            Want::Session(Identity::Factory) if !is_connected => return Ok(()),
            Want::Session(Identity::Factory) => {
                rotation.session(now, Identity::Factory, Session::Open);
            }
            Want::Session(identity) => {
                let outcome = probe(rotation, site, made, identity).await?;
                rotation.session(now, identity, outcome);
            }
            _ => return Err("rotation wants what this device cannot do".into()),
        }
    }
    Ok(())
}

/// Shows the candidate to the service, on a link of its own.
async fn probe(
    rotation: &Certificates,
    site: &Site,
    made: &Made,
    identity: Identity,
) -> Fallible<Session> {
    let Identity::Own(slot) = identity else {
        return Ok(Session::Refused);
    };
    let certificate = rotation.chain(slot).next().ok_or("the slot is empty")?;
    let certificate = CertificateDer::from(certificate.to_vec());
    let mut candidate = client(site, made, slot, certificate)?;
    Ok(match candidate.connected(PATIENCE).await {
        Ok(()) => Session::Open,
        Err(error) if error.is_transient() => Session::Unreachable,
        Err(_) => Session::Refused,
    })
}

/// The slot of the factory's key, with its certificate.
pub fn factory(made: &Made) -> (SlotId, CertificateDer<'static>) {
    (FACTORY, made.idevid.clone())
}
