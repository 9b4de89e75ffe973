//! What the firmware does, boot after boot.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use iot_core::command::{Inbox, Outcome};
use iot_core::crypto::{KeyStore, SlotId};
use iot_core::node::Node;
use iot_core::port::Timer;
use iot_identity::ring::{Sha256, SoftwareKeys, SoftwareVerifier};
use iot_identity::rotate::{Identity, Standing};
use iot_identity::tls::DeviceCredentials;
use iot_ota::manifest::SigningKey;
use iot_ota::slot::{load, running_release};
use iot_ota::update::{Activity, Trust, Updater};
use iot_transport::TokioTimer;
use iot_twin::sync::Timing;
use tokio::sync::mpsc;

use super::settings::{self, Then};
use super::trial::Trial;
use super::{BLOCK_BYTES, Order, Site, View, room};
use crate::backlog::Backlog;
use crate::board::{Board, Memory};
use crate::firmware::{self, Conduct, TRIALS};
use crate::flash::Storage;
use crate::identity;
use crate::jobs::{ISSUER, Job, RoomTwin, SETUP, SETUP_RECORDS, SetupTwin};
use crate::mishap::Mishaps;
use crate::pki::{Fallible, Made, OPERATIONAL};
use crate::plant::{Moment, Plant};
use crate::sensor::Sensor;
use crate::weather::Weather;
use crate::wired::Wired;
use crate::witness::{Lie, Witness};

const BUFFER_BYTES: usize = 20 * 1024;
/// How long its twins wait for an answer.
const TIMING: Timing = Timing::new(Duration::from_secs(1), Duration::from_secs(900));

/// How a boot ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Boot,
    Off,
}

/// What outlives a boot.
pub struct Life {
    pub site: Arc<Site>,
    pub made: Made,
    pub plant: Arc<Plant>,
    pub view: Arc<Mutex<View>>,
    // On a calendar a certificate that is due stays due over a restart; here somebody said so.
    pub renews: bool,
    pub applies: bool,
    // It was revoked, and the service has not spoken of a quarantine since.
    pub returns: bool,
    pub board: Board,
    /// Who knows what befell the device, and what is to befall it.
    pub witness: Witness,
    pub mishaps: Arc<Mishaps>,
    pub sensor: Sensor,
    /// On the gateway's wires; nobody else has any.
    pub wired: Vec<Wired>,
    // Kept over a restart like the records: an outbox on flash is the transport's, not this example's.
    pub backlog: Backlog,
}

impl Life {
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            self.plant
                .boots
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let end = match self.boot(&mut orders).await {
                Ok(end) => end,
                // Whatever it was about to do, the power has failed.
                Err(_) if self.made.flash.power.is_off() => End::Boot,
                Err(error) => {
                    self.see(|view| view.ended_with = Some(error.to_string()));
                    End::Off
                }
            };
            if end == End::Off {
                self.see(|view| view.connected = false);
                return;
            }
            self.made.flash.power.restore();
        }
    }

    fn see(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.lock().unwrap_or_else(PoisonError::into_inner));
    }

    async fn boot(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Fallible<End> {
        let (memory, conduct) = self.start()?;
        if conduct == Conduct::Crashes {
            return Ok(End::Boot);
        }
        let mut storage = self.made.flash.open().await?;
        let credentials = identity::credentials(&self.made, &mut storage).await?;
        let is_enrolled = credentials.identity() != Identity::Factory;
        self.see(|view| view.enrolled = is_enrolled);
        if is_enrolled && !self.applies {
            self.work(&credentials, (storage, memory, conduct), orders)
                .await
        } else {
            self.enrol(&credentials, storage, orders).await
        }
    }

    /// What happens before a firmware's first instruction.
    fn start(&mut self) -> Fallible<(Memory, Conduct)> {
        let power = &self.made.flash.power;
        if self.witness.is_staged()
            && let Some(operations) = self.mishaps.in_boot()
        {
            power.cut_after(operations);
        }
        let memory = self.board.boot();
        if power.is_off() {
            self.witness.boot_failed();
        }
        let memory = memory?;
        let conduct = believe(&self.view, self.witness.booted(&self.board))?;
        Ok((memory, conduct))
    }

    /// Does nothing but enrol, until there is an operational identity that the service has taken.
    async fn enrol(
        &mut self,
        credentials: &DeviceCredentials<SoftwareKeys>,
        storage: Storage,
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Fallible<End> {
        let (link, _) = identity::client(&self.site, credentials)?;
        let mut renewal = credentials.renewal();
        let mut node = Node::new(link, storage, TokioTimer::new());
        let mut buffer = vec![0; 4_096];
        let mut engines = (&mut renewal,);
        node.restore(&mut engines, &mut buffer).await?;
        loop {
            tokio::select! {
                turned = node.turn(&mut engines, &mut buffer) => turned?,
                order = orders.recv() => match order {
                    Some(Order::Stop | Order::Retire) | None => return Ok(End::Off),
                    Some(Order::Apply) => self.applies = true,
                    Some(Order::Measure(_) | Order::Look | Order::Renew) => {}
                },
            }
            let now = node.timer().now();
            identity::tend(engines.0, node.transport(), now);
            let refused = node.transport().last_error().map(ToString::to_string);
            let standing = engines.0.standing();
            change(&self.view, |view| {
                view.refused = refused;
                view.barred = matches!(standing, Standing::Refused(_));
            });
            match standing {
                // A revoked device asks again only when somebody stands in front of it and says so.
                Standing::Refused(_) if self.applies => engines.0.apply_again(),
                Standing::Enrolled if engines.0.identity() != credentials.identity() => {
                    // Whoever was revoked keeps quiet until it is released.
                    self.returns |= self.applies;
                    self.backlog.hold(self.returns);
                    (self.applies, self.renews) = (false, false);
                    return Ok(End::Boot);
                }
                _ => {}
            }
        }
    }

    /// Everything an enrolled device does.
    async fn work(
        &mut self,
        credentials: &DeviceCredentials<SoftwareKeys>,
        (storage, mut memory, conduct): (Storage, Memory, Conduct),
        orders: &mut mpsc::UnboundedReceiver<Order>,
    ) -> Fallible<End> {
        let (client, door) = identity::client(&self.site, credentials)?;
        let client = Weather::new(client, Arc::clone(&self.site.skies), self.sensor.chance());
        let running = load(&mut memory)?
            .and_then(|record| running_release(&memory, &record))
            .map_or(0, |release| release.sequence);
        let mut twin = RoomTwin::new().with_timing(TIMING);
        twin.report(|room| {
            room.release = u32::try_from(running).unwrap_or(u32::MAX);
            room.temperature = self.sensor.temperature();
            room.occupied = self.sensor.occupied();
        });
        let mut jobs = Inbox::<Job, 1, 64, 8>::new();
        jobs.allow(ISSUER)?;
        let key = SoftwareVerifier::new(self.site.release_key);
        let trust = Trust::new(SigningKey::new(key), Sha256::new(), firmware::DEVICE);
        let mut update = Updater::new(memory, trust)
            .with_trials(TRIALS)
            .with_block_bytes(BLOCK_BYTES)
            .with_timeout(Duration::from_secs(3));
        let mut renewal = credentials.renewal();
        let setup = SetupTwin::new().numbered(SETUP).with_timing(TIMING);
        let mut setup = setup.with_records(SETUP_RECORDS);
        let mut config = settings::factory();
        let mut node = Node::new(client, storage, TokioTimer::new());
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut engines = (
            &mut twin,
            &mut jobs,
            &mut update,
            &mut self.backlog,
            &mut renewal,
            &mut setup,
            &mut config,
        );
        node.restore(&mut engines, &mut buffer).await?;
        if self.made.flash.power.is_off() {
            return Ok(End::Boot);
        }
        let compared = self.witness.compare(&engines.2.status(), &self.board);
        believe(&self.view, compared)?;
        let mut probes = Trial::begin(conduct, node.timer().now().instant);
        // Somebody may have turned something while the power was off.
        let mut looks = true;
        if self.renews {
            engines.4.renew();
        }
        let mut shows = credentials.identity();
        loop {
            let obeyed = {
                let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
                room::obey(engines.0, &self.plant, &mut view)
            };
            if obeyed == Some(false) {
                return Ok(End::Boot);
            }
            if obeyed.is_some() {
                let quarantined = engines.0.state().quarantined;
                // What the twin had on record is from before: only what the service says of a quarantine ends it.
                self.returns &= !quarantined;
                engines.3.hold(quarantined || self.returns);
            }
            let (now, measured) = (node.timer().now(), self.sensor.temperature());
            let (plant, door) = (&self.plant, &door);
            match settings::settle(engines.5, engines.6, plant, door, measured, now) {
                Then::Nothing => {}
                Then::Look => looks = true,
                Then::Redial => {
                    looks = true;
                    node.transport().inner().reconnect(Duration::ZERO);
                }
                Then::Fall => return Ok(End::Boot),
            }
            if core::mem::take(&mut looks) {
                room::look(engines.0, engines.6, plant);
            }
            let (parts, trial) = (room::parts(engines.0, engines.6), engines.6.ending());
            change(&self.view, |view| (view.parts, view.trial) = (parts, trial));
            tokio::select! {
                turned = node.turn(&mut engines, &mut buffer) => turned?,
                () = probes.is_over() => {}
                order = orders.recv() => match order {
                    None | Some(Order::Stop) => return Ok(End::Off),
                    Some(Order::Look) => looks = true,
                    Some(Order::Measure(count)) => for _ in 0..count {
                        let number = engines.3.next_number();
                        let own = self.sensor.measure(number, self.made.id.as_str());
                        take(engines.3, own, &self.view);
                        for wired in &mut self.wired {
                            let heard = wired.forward(engines.3.next_number())?;
                            take(engines.3, heard, &self.view);
                        }
                    },
                    Some(Order::Renew) => {
                        self.renews = true;
                        engines.4.renew();
                    }
                    Some(Order::Apply) => {
                        self.applies = true;
                        return Ok(End::Boot);
                    }
                    Some(Order::Retire) => {
                        for slot in OPERATIONAL {
                            self.made.keys.destroy(slot)?;
                        }
                        change(&self.view, |view| view.retired = true);
                        return Ok(End::Off);
                    }
                },
            }
            if engines.4.has_candidate() && self.plant.springs_at(Moment::Stored) {
                return Ok(End::Boot);
            }
            let now = node.timer().now();
            identity::tend(engines.4, node.transport().inner(), now);
            let standing = engines.4.standing();
            if standing == Standing::Renewing
                && !engines.4.has_candidate()
                && self.plant.springs_at(Moment::KeyMade)
            {
                return Ok(End::Boot);
            }
            if engines.4.identity() != shows {
                shows = engines.4.identity();
                self.renews = false;
                change(&self.view, |view| view.renewed += 1);
                if self.plant.springs_at(Moment::Committed) {
                    return Ok(End::Boot);
                }
            }
            if engines.4.shown() == Some(Identity::Factory) {
                // The service does not take its certificate any more: nothing but enrolment is left to do.
                self.applies = true;
                return Ok(End::Boot);
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
            let (connected, refused) = {
                let client = node.transport().inner();
                (
                    client.is_connected(),
                    client.last_error().map(ToString::to_string),
                )
            };
            let power = &self.made.flash.power;
            let (witness, board) = (&mut self.witness, &self.board);
            let told = probes.hear(engines.2, witness, board, &self.mishaps, power);
            believe(&self.view, told)?;
            probes.report(connected);
            if probes.ends_boot(engines.2, witness, &self.mishaps, power, now.instant) {
                return Ok(End::Boot);
            }
            let status = engines.2.status();
            let has_key = |slot: &SlotId| self.made.keys.signer(*slot).is_ok();
            let keys = OPERATIONAL.iter().filter(|slot| has_key(slot)).count();
            change(&self.view, |view| {
                view.connected = connected;
                view.refused = refused;
                view.settled = standing == Standing::Enrolled && keys == 1;
                view.barred = matches!(standing, Standing::Refused(_));
                view.packs = engines.3.next_number() - 1;
                view.waiting = engines.3.waiting();
                view.resent = engines.3.resent;
                view.release = status.running.map_or(0, |release| release.sequence);
                view.idle = status.activity == Activity::Idle;
                view.ended = status.ended.map(|ended| (ended.sequence, ended.how));
                view.compared = self.witness.compared;
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

/// A device that says what is not so has nothing more to say.
fn believe<T>(view: &Mutex<View>, told: Result<T, Lie>) -> Fallible<T> {
    Ok(told.inspect_err(|lie| change(view, |view| view.lie = Some(lie.clone())))?)
}

fn change(view: &Mutex<View>, change: impl FnOnce(&mut View)) {
    change(&mut view.lock().unwrap_or_else(PoisonError::into_inner));
}
