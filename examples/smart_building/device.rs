//! One device: what its firmware does, boot after boot.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iot_core::DeviceId;
use iot_core::command::{Inbox, Outcome};
use iot_core::crypto::{KeyStore, SlotId};
use iot_core::node::{KeysOf, Node};
use iot_core::port::Timer;
use iot_core::storage::memory::MemoryRecords;
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareVerifier};
use iot_identity::rotate::Standing;
use iot_ota::manifest::SigningKey;
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::running_release;
use iot_ota::update::{Trust, Updater, Want};
use iot_transport::TokioTimer;
use iot_twin::TwinDevice;
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::backlog::Backlog;
use crate::firmware;
use crate::identity;
use crate::jobs::{ISSUER, Job, Room};
use crate::pki::{Fallible, Made, OPERATIONAL, Pki};
use crate::plant::Plant;
use crate::sensor::Sensor;
use crate::wired::Wired;

const BUFFER_BYTES: usize = 20 * 1024;
const BLOCK_BYTES: u32 = 16 * 1024;

/// What every device of the building is given.
pub struct Site {
    pub pki: Pki,
    pub address: String,
    pub release_key: PublicKey,
}

/// What somebody outside tells a device to do.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Measure so many times and submit what is worth it.
    Measure(u32),
    /// Destroy the operational key, forget the certificate, and end.
    Retire,
    /// End.
    Stop,
}

/// What the device itself recorded.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub enrolled: bool,
    pub connected: bool,
    /// How many configurations were applied, and the last one.
    pub applied: u64,
    pub setpoint: f32,
    pub interval: u16,
    /// Packs submitted, not yet confirmed by the service, and sent again.
    pub packs: u64,
    pub waiting: usize,
    pub resent: u64,
    /// Readings taken here and on the wires, and those of them that were not worth a pack.
    pub readings: u64,
    pub filtered: u64,
    /// The release that runs.
    pub release: u64,
    /// How the last update ended.
    pub ended: Option<String>,
    /// Why the last connection failed.
    pub refused: Option<String>,
    pub retired: bool,
    pub ended_with: Option<String>,
}

/// A handle on a device that lives in a task of its own.
pub struct Device {
    pub id: DeviceId,
    pub plant: Arc<Plant>,
    view: Arc<Mutex<View>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Device {
    /// Switches a device on that has just been manufactured.
    pub fn start(
        site: Arc<Site>,
        made: Made,
        banks: MemoryBanks,
        sensor: Sensor,
        wired: Vec<Wired>,
    ) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (plant, view) = (
            Arc::new(Plant::default()),
            Arc::new(Mutex::new(View::default())),
        );
        let life = Life {
            site,
            plant: Arc::clone(&plant),
            view: Arc::clone(&view),
            records: MemoryRecords::new(),
            banks,
            sensor,
            wired,
            backlog: Backlog::default(),
            made: made.clone(),
        };
        Self {
            id: made.id,
            plant,
            view,
            orders,
            task: tokio::spawn(life.run(inbox)),
        }
    }

    /// What the device has recorded so far.
    pub fn view(&self) -> View {
        self.view
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Tells it something; a device that has ended does not listen.
    pub fn tell(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Switches it off.
    pub async fn stop(self) {
        self.tell(Order::Stop);
        let _ = self.task.await;
    }
}

/// How a boot ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Boot,
    Off,
}

/// What outlives a boot.
struct Life {
    site: Arc<Site>,
    made: Made,
    plant: Arc<Plant>,
    view: Arc<Mutex<View>>,
    records: MemoryRecords,
    banks: MemoryBanks,
    sensor: Sensor,
    /// On the gateway's wires; nobody else has any.
    wired: Vec<Wired>,
    // Kept over a restart like the records: an outbox on flash is the transport's, not this example's.
    backlog: Backlog,
}

impl Life {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.plant
                .boots
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let end = match self.boot(&mut orders).await {
                Ok(end) => end,
                Err(error) => {
                    self.see(|view| view.ended_with = Some(error.to_string()));
                    End::Off
                }
            };
            if end == End::Off {
                self.see(|view| view.connected = false);
                return;
            }
        }
    }

    fn see(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn boot(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Fallible<End> {
        self.banks.reboot(&mut Sha256::new())?;
        let now = TokioTimer::new().now();
        match identity::operational(&self.made, &mut self.records, now).await? {
            Some((slot, certificate)) => {
                self.see(|view| view.enrolled = true);
                self.work(slot, certificate, orders).await
            }
            None => self.enrol(orders).await,
        }
    }

    /// Shows the factory identity until there is an operational one that the service has taken.
    async fn enrol(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Fallible<End> {
        let (slot, idevid) = identity::factory(&self.made);
        let link = identity::client(&self.site, &self.made, slot, idevid)?;
        let keys = Arc::clone(&self.made.keys);
        let mut rotation = identity::certificates(&self.made);
        let mut node =
            Node::new(link, &mut self.records, TokioTimer::new()).with_keys(KeysOf::new(&*keys));
        let mut buffer = vec![0; 4_096];
        let mut engines = (&mut rotation,);
        node.restore(&mut engines, &mut buffer).await?;
        loop {
            let now = node.timer().now();
            let is_connected = node.transport().is_connected();
            identity::satisfy(engines.0, &self.site, &self.made, is_connected, now).await?;
            tokio::select! {
                turned = node.turn(&mut engines, &mut buffer) => turned?,
                order = orders.recv() => match order {
                    Some(Order::Stop | Order::Retire) | None => return Ok(End::Off),
                    Some(Order::Measure(_)) => {}
                },
            }
            let refused = node.transport().last_error().map(ToString::to_string);
            change(&self.view, |view| view.refused = refused);
            match engines.0.standing() {
                Standing::Enrolled => return Ok(End::Boot),
                Standing::Refused(refusal) => return Err(refusal.to_string().into()),
                _ => {}
            }
        }
    }

    /// Everything an enrolled device does.
    async fn work(
        &mut self,
        slot: SlotId,
        certificate: CertificateDer<'static>,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Fallible<End> {
        let client = identity::client(&self.site, &self.made, slot, certificate)?;
        let well = firmware::self_test(&mut self.banks);
        let running = iot_ota::slot::load(&mut self.banks)?
            .and_then(|record| running_release(&self.banks, &record))
            .map_or(0, |release| release.sequence);
        let mut twin = TwinDevice::<Room, 8>::new();
        twin.report(|room| {
            room.release = u32::try_from(running).unwrap_or(u32::MAX);
            room.temperature = self.sensor.temperature();
            room.occupied = self.sensor.occupied();
        });
        let mut jobs = Inbox::<Job, 1, 64, 8>::new();
        jobs.allow(ISSUER)?;
        let key = SoftwareVerifier::new(self.site.release_key);
        let trust = Trust::new(SigningKey::new(key), Sha256::new(), firmware::DEVICE);
        let mut update = Updater::new(&mut self.banks, trust)
            .with_block_bytes(BLOCK_BYTES)
            .with_timeout(Duration::from_secs(3));
        let mut node = Node::new(client, &mut self.records, TokioTimer::new());
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut engines = (&mut twin, &mut jobs, &mut update, &mut self.backlog);
        node.restore(&mut engines, &mut buffer).await?;
        loop {
            tokio::select! {
                turned = node.turn(&mut engines, &mut buffer) => turned?,
                order = orders.recv() => match order {
                    None | Some(Order::Stop) => return Ok(End::Off),
                    Some(Order::Measure(count)) => for _ in 0..count {
                        let number = engines.3.next_number();
                        let own = self.sensor.measure(number, self.made.id.as_str());
                        take(engines.3, own, &self.view);
                        for wired in &mut self.wired {
                            let heard = wired.forward(engines.3.next_number())?;
                            take(engines.3, heard, &self.view);
                        }
                    },
                    Some(Order::Retire) => {
                        for slot in OPERATIONAL {
                            self.made.keys.destroy(slot)?;
                        }
                        change(&self.view, |view| view.retired = true);
                        return Ok(End::Off);
                    }
                },
            }
            if let Some(desired) = engines.0.changed() {
                change(&self.view, |view| {
                    view.applied += 1;
                    view.setpoint = desired.setpoint;
                    view.interval = desired.interval;
                });
                engines.0.acknowledge(desired.version, true);
            }
            while let Some(job) = engines.1.next() {
                match job.command {
                    Job::Dim { percent } => self.plant.dim(percent),
                    Job::Unlock => self.plant.unlock(),
                }
                if self.plant.springs() {
                    return Ok(End::Boot);
                }
                engines.1.finish(job.id, Outcome::DONE)?;
            }
            match engines.2.wants() {
                Want::Confirm => engines.2.confirm(well),
                Want::Reboot => return Ok(End::Boot),
                _ => {}
            }
            let status = engines.2.status();
            let (connected, refused) = {
                let client = node.transport();
                (
                    client.is_connected(),
                    client.last_error().map(ToString::to_string),
                )
            };
            change(&self.view, |view| {
                view.connected = connected;
                view.refused = refused;
                view.packs = engines.3.next_number() - 1;
                view.waiting = engines.3.waiting();
                view.resent = engines.3.resent;
                view.release = status.running.map_or(0, |release| release.sequence);
                view.ended = status.ended.map(|ended| format!("{ended:?}"));
            });
        }
    }
}

/// Counts a reading, and keeps it when it is worth a pack.
fn take(backlog: &mut Backlog, pack: Option<Vec<u8>>, view: &Mutex<View>) {
    change(view, |view| {
        view.readings += 1;
        view.filtered += u64::from(pack.is_none());
    });
    if let Some(pack) = pack {
        backlog.push(pack);
    }
}

fn change(view: &Mutex<View>, change: impl FnOnce(&mut View)) {
    change(&mut view.lock().unwrap_or_else(PoisonError::into_inner));
}
