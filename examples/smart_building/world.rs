//! Everything that runs in this process: the front, the hub behind it, the service and the devices.

use std::sync::Arc;
use std::time::Duration;

use iot_core::authz::OwnLane;
use iot_core::sim::SimEntropy;
use iot_core::{DeviceId, Principal, Role};
use iot_identity::cert::AdmitError;
use iot_identity::enrol::{Approval, Confined, Quarantine, Registrar, Terms};
use iot_identity::revocation::Subscription;
use iot_transport::gate::{Gate, GateListening, Refusal};
use iot_transport::mqtt::Hub;
use iot_transport::mqtt::hub::{HubSettings, Overflow};
use iot_twin::registry::Memory;
use rustls::pki_types::CertificateDer;
use tokio::net::TcpListener;

use crate::args::Args;
use crate::desk::Desk;
use crate::device::{Device, Site, View};
use crate::door::Passage;
use crate::firmware::Releases;
use crate::fleet::Fleet;
use crate::keeper::{self, Console, Twins};
use crate::pki::{Fallible, Made, Pki, wall};
use crate::sensor::Sensor;
use crate::service::Service;
use crate::wired::Wired;

/// The name of the service.
pub const SERVICE: &str = "building-service";
const GATEWAY: &str = "gateway";
/// Sensors on the gateway's own wires.
pub const WIRED: usize = 4;

/// In which wing a device is: every third sensor in the east, where a passage leads.
pub const fn wing(index: usize) -> &'static str {
    if index % 3 == 1 { "east" } else { "west" }
}

/// The running building.
pub struct World {
    pub site: Arc<Site>,
    pub hub: Hub,
    pub gate: Gate,
    listening: GateListening,
    /// Keeps the gate listening to the deny-list.
    revoked: Subscription,
    pub service: Service,
    pub console: Console,
    pub passage: Passage,
    /// Bound, and nobody ever comes to the door.
    walled_up: TcpListener,
    pub quarantine: Quarantine,
    pub releases: Releases,
    pub made: Vec<Made>,
    pub devices: Vec<Device>,
    seed: u64,
}

impl World {
    /// Makes the authorities and the devices, opens the front and connects the service.
    pub async fn build(args: &Args) -> Fallible<Self> {
        if let Some((host, port)) = &args.broker {
            reach(host, *port).await?;
        }
        let (pki, enrolling) = Pki::new()?;
        let releases = Releases::sign(&args.image()?)?;
        let hub = Hub::new(HubSettings::default().with_queue(50_000, 512 << 20, Overflow::Oldest));
        let trust = pki.trust.clone();
        let admit = move |chain: &[CertificateDer<'_>]| -> Result<Principal, Refusal> {
            trust.principal(chain, wall()).map_err(|error| match error {
                AdmitError::Revoked => Refusal::Revoked,
                AdmitError::Expired => Refusal::Expired,
                _ => Refusal::Untrusted,
            })
        };
        let quarantine = Quarantine::default();
        let rule = Confined::new(OwnLane, quarantine.clone());
        let builder = Gate::builder(pki.server()?, Arc::new(admit), Arc::new(rule.clone()));
        let gate = match &args.broker {
            Some((host, port)) => builder.to_broker(format!("{host}:{port}")),
            None => builder.to_hub(&hub),
        };
        let listening = gate.listen("127.0.0.1:0").await?;
        let address = listening.address().to_string();
        let cutter = gate.clone();
        let revoked = pki.revocations.subscribe(move |_| {
            let _ = cutter.on_revoked();
        });

        let mut names = vec![DeviceId::new(GATEWAY)?];
        for number in 1..=args.devices {
            names.push(DeviceId::new(&format!("sensor-{number:04}"))?);
        }
        let made = names
            .iter()
            .map(|id| pki.manufacture(*id))
            .collect::<Fallible<Vec<_>>>()?;
        let registrar = |authority| {
            Registrar::new(
                authority,
                pki.tenant,
                Terms::default().approval(Approval::Readmitted),
                pki.revocations.clone(),
            )
            .with_quarantine(quarantine.clone())
        };
        let desk = Desk::new(
            pki.tenant,
            DeviceId::new(GATEWAY)?,
            registrar(enrolling.devices),
            registrar(enrolling.gateways),
        );
        let twins = Twins::open(Memory::new());
        for (index, id) in names.iter().enumerate() {
            keeper::enter(&twins, pki.tenant, *id, wing(index)).await?;
        }
        let name = DeviceId::new(SERVICE)?;
        let who = Principal::new(pki.tenant, name, Role::Service);
        let fleet = Fleet::new(who, rule, names.iter().copied(), desk)?;
        let tenant = pki.tenant;
        let start = Service::start(address.clone(), tenant, name, &pki, fleet, twins.clone());
        let service = start.await?;
        let passage = Passage::to(&address).await?;
        let walled_up = TcpListener::bind("127.0.0.1:0").await?;
        let nowhere = walled_up.local_addr()?.to_string();
        let site = Arc::new(Site {
            doors: [address, passage.address.clone(), nowhere],
            skies: Arc::default(),
            release_key: releases.key,
            known: Arc::clone(&releases.known),
            pki,
        });
        Ok(Self {
            site,
            hub,
            gate,
            listening,
            revoked,
            service,
            console: Console { twins, tenant },
            passage,
            walled_up,
            quarantine,
            releases,
            made,
            devices: Vec::new(),
            seed: args.seed,
        })
    }

    /// Switches every device on.
    pub fn switch_on(&mut self) -> Fallible<()> {
        let mut random = SimEntropy::new(self.seed);
        for (index, made) in self.made.iter().enumerate() {
            let sensor = Sensor::new(random.fork());
            let board = self.releases.board(index, made.flash.power.clone())?;
            let wires = if index == 0 { WIRED } else { 0 };
            let wired = (1..=wires)
                .map(|number| Wired::new(number, random.fork()))
                .collect();
            self.devices.push(Device::start(
                Arc::clone(&self.site),
                made.clone(),
                board,
                sensor,
                wired,
            ));
        }
        Ok(())
    }

    /// A device as the factory made it.
    pub fn made(&self, device: &Device) -> Fallible<&Made> {
        let made = self.made.iter().find(|made| made.id == device.id);
        Ok(made.ok_or("a device nobody made")?)
    }

    /// The sensors, without the gateway.
    pub fn sensors(&self) -> &[Device] {
        self.devices.get(1..).unwrap_or(&[])
    }

    /// Waits until `condition` holds for `total` devices.
    pub async fn reach(
        &self,
        total: usize,
        patience: Duration,
        mut progress: impl FnMut(usize),
        condition: impl Fn(&Device) -> bool,
    ) -> Fallible<()> {
        let since = std::time::Instant::now();
        loop {
            let counted = self
                .devices
                .iter()
                .filter(|device| condition(device))
                .count();
            progress(counted);
            self.believe()?;
            if counted >= total {
                return Ok(());
            }
            if since.elapsed() > patience {
                let first = self.devices.iter().find(|device| !condition(device));
                let first = first.map(|device| format!("{}: {:?}", device.id, device.view()));
                return Err(format!(
                    "only {counted} of {total} devices after {} s, first missing: {}",
                    patience.as_secs(),
                    first.unwrap_or_default()
                )
                .into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Fails when a device has said something about its firmware that is not so.
    pub fn believe(&self) -> Fallible<()> {
        for device in &self.devices {
            if let Some(lie) = device.view().lie {
                return Err(format!("{} says what is not so: {lie}", device.id).into());
            }
        }
        Ok(())
    }

    /// Waits until `condition` holds for one device.
    pub async fn wait(
        &self,
        device: &Device,
        patience: Duration,
        condition: impl Fn(&View) -> bool,
    ) -> Fallible<()> {
        let since = std::time::Instant::now();
        while !condition(&device.view()) {
            if since.elapsed() > patience {
                let (seconds, view) = (patience.as_secs(), device.view());
                return Err(format!("{} after {seconds} s: {view:?}", device.id).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// Switches everything off.
    pub async fn stop(self) -> Fallible<()> {
        for device in self.devices {
            device.stop().await;
        }
        drop(self.revoked);
        self.service.stop().await?;
        self.listening.stop().await;
        drop(self.walled_up);
        Ok(())
    }
}

/// Whether there is anything at that address that takes connections.
async fn reach(host: &str, port: u16) -> Fallible<()> {
    let connect = tokio::net::TcpStream::connect((host, port));
    let why = match tokio::time::timeout(Duration::from_secs(5), connect).await {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer within 5 s".into(),
    };
    Err(format!(
        "cannot reach the broker at {host}:{port}: {why}; start one there (for example mosquitto -p {port}) \
         or leave --broker out to use the embedded hub"
    )
    .into())
}
