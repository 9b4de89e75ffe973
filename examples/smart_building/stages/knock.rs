//! Somebody shows a device's identity at the front, beside the device itself.

use std::sync::Arc;
use std::time::Duration;

use iot_core::crypto::SlotId;
use iot_core::port::Transport;
use iot_core::{Event, Message};
use iot_identity::rotate::Session;
use iot_identity::tls::outcome_of;
use iot_transport::mqtt::{Client, ConnectError, Settings, Tls};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;

use crate::device::Device;
use crate::outcome::must;
use crate::pki::{FACTORY, Fallible, OPERATIONAL, SERVER_NAME};
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(5);

/// An identity, ready to be shown.
pub struct Knock {
    /// Where the key is.
    pub slot: SlotId,
    settings: Settings,
    config: Arc<ClientConfig>,
}

impl Knock {
    fn new(
        world: &World,
        device: &Device,
        slot: SlotId,
        certificate: CertificateDer<'static>,
    ) -> Fallible<Self> {
        Ok(Self {
            slot,
            settings: Settings::device(world.site.pki.tenant, device.id),
            config: world
                .site
                .pki
                .device(world.made(device)?, slot, certificate)?,
        })
    }

    fn client(&self, world: &World) -> Fallible<Client<Tls>> {
        let tls = Tls::new(world.site.main_door(), SERVER_NAME, self.config.clone())?;
        Ok(Client::new(tls, self.settings.clone()))
    }

    /// The front, itself authenticated, must say that this identity is revoked.
    pub async fn is_rejected(&self, world: &World) -> Fallible<()> {
        let told = match self.client(world)?.connected(PATIENCE).await {
            Ok(()) => "came in".into(),
            Err(ConnectError::Rejected(error)) if outcome_of(&error) == Session::Revoked => {
                return Ok(());
            }
            Err(error) => error.to_string(),
        };
        Err(format!("an identity that is revoked: {told}").into())
    }

    /// Comes in, and speaks of what it may not: the front must end the session, and nothing arrive.
    pub async fn speaks_in_vain(&self, world: &World) -> Fallible<()> {
        let refused = world.gate.stats().refused_publish;
        // The device, which this throws out, comes back and throws this out in turn, perhaps before it has spoken.
        for _ in 0..20 {
            self.speaks(world).await?;
            if world.gate.stats().refused_publish > refused {
                break;
            }
        }
        let now = world.gate.stats().refused_publish;
        must(now == refused + 1, || {
            format!("{} messages were refused", now - refused)
        })
    }

    /// Speaks, until the session ends.
    async fn speaks(&self, world: &World) -> Fallible<()> {
        let mut client = self.client(world)?;
        client.connected(PATIENCE).await?;
        client.submit(&Message::telemetry(b"out of turn")).await?;
        let mut buffer = vec![0; 64 * 1024];
        let ended = async {
            loop {
                match client.next(&mut buffer).await {
                    Ok(Event::Disconnected) => return Ok(()),
                    Ok(Event::Settled { .. }) => return Err("it was delivered"),
                    Ok(_) => {}
                    Err(_) => return Err("the client failed"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended).await??;
        Ok(())
    }
}

/// The device's factory identity.
pub fn factory(world: &World, device: &Device) -> Fallible<Knock> {
    let certificate = world.made(device)?.idevid.clone();
    Knock::new(world, device, FACTORY, certificate)
}

/// The device's own identity, as it was last issued to the key it has now.
pub async fn operational(world: &World, device: &Device) -> Fallible<Knock> {
    let id = device.id;
    let issued = world
        .service
        .ask(move |fleet, _| fleet.desk.certificates(&id))
        .await?;
    for certificate in issued.into_iter().rev() {
        for slot in OPERATIONAL {
            if let Ok(knock) = Knock::new(world, device, slot, certificate.clone()) {
                return Ok(knock);
            }
        }
    }
    Err(format!("{id} holds no key that a certificate was issued to").into())
}

/// How many packs of a device have arrived.
pub async fn heard(world: &World, device: &Device) -> Fallible<u64> {
    let id = device.id;
    let heard = world
        .service
        .ask(move |fleet, _| fleet.member(&id).map(|member| member.ledger.unique))
        .await?;
    Ok(heard.unwrap_or(0))
}
