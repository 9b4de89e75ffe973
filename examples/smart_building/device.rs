//! One device, as the rest of the program sees it.

mod life;
mod room;
mod settings;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};

use iot_core::DeviceId;
use iot_identity::key::PublicKey;
use iot_ota::slot::EndedAs;
use iot_twin::config::Ending;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use self::life::Life;
use crate::backlog::Backlog;
use crate::board::Board;
use crate::firmware::Known;
use crate::mishap::Mishaps;
use crate::pki::{Made, Pki};
use crate::plant::{Parts, Plant};
use crate::power::Power;
use crate::sensor::Sensor;
use crate::weather::Skies;
use crate::wired::Wired;
use crate::witness::{Lie, Witness};

/// So much of an image is asked for at once.
pub const BLOCK_BYTES: u32 = 16 * 1024;

/// What every device of the building is given.
pub struct Site {
    pub pki: Pki,
    /// The addresses of its doors, by their numbers.
    pub doors: [String; 3],
    pub skies: Arc<Skies>,
    pub release_key: PublicKey,
    /// Every image that may run in the building.
    pub known: Arc<[Known]>,
}

impl Site {
    pub fn main_door(&self) -> String {
        let [main, ..] = &self.doors;
        main.clone()
    }
}

/// What somebody outside tells a device to do.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Measure so many times and submit what is worth it.
    Measure(u32),
    /// Look at what its parts are set to, because somebody has turned one.
    Look,
    /// Renew the certificate now, whatever the calendar says.
    Renew,
    /// Somebody in front of the device has it apply once more, although it was revoked.
    Apply,
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
    /// What its twin says of the room's parts, and how its last trial of settings ended.
    pub parts: Parts,
    pub trial: Option<Ending>,
    /// Packs submitted, not yet confirmed by the service, and sent again.
    pub packs: u64,
    pub waiting: usize,
    pub resent: u64,
    /// Readings taken here and on the wires, and those of them that were not worth a pack.
    pub readings: u64,
    pub filtered: u64,
    /// What its twin says of a quarantine.
    pub quarantined: bool,
    /// No renewal is under way, and no key is left of an earlier one.
    pub settled: bool,
    /// Certificates renewed, and whether the service said that it is revoked.
    pub renewed: u64,
    pub barred: bool,
    /// The release that runs, and whether nothing is to become of another one.
    pub release: u64,
    pub idle: bool,
    /// How the last update ended.
    pub ended: Option<(u64, EndedAs)>,
    /// What it said about its firmware and is not so, and how often it was asked.
    pub lie: Option<Lie>,
    pub compared: u64,
    /// Why the last connection failed.
    pub refused: Option<String>,
    pub retired: bool,
    pub ended_with: Option<String>,
}

/// A handle on a device that lives in a task of its own.
pub struct Device {
    pub id: DeviceId,
    pub plant: Arc<Plant>,
    pub power: Power,
    pub board: Board,
    pub mishaps: Arc<Mishaps>,
    view: Arc<Mutex<View>>,
    orders: mpsc::UnboundedSender<Order>,
    task: JoinHandle<()>,
}

impl Device {
    /// Switches a device on that has just been manufactured.
    pub fn start(
        site: Arc<Site>,
        made: Made,
        board: Board,
        sensor: Sensor,
        wired: Vec<Wired>,
    ) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let (plant, view) = (
            Arc::new(Plant::default()),
            Arc::new(Mutex::new(View::default())),
        );
        let mishaps = Arc::new(Mishaps::default());
        let life = Life {
            plant: Arc::clone(&plant),
            view: Arc::clone(&view),
            renews: false,
            applies: false,
            returns: false,
            witness: Witness::new(Arc::clone(&site.known)),
            board: board.clone(),
            mishaps: Arc::clone(&mishaps),
            site,
            sensor,
            wired,
            backlog: Backlog::default(),
            made: made.clone(),
        };
        Self {
            id: made.id,
            plant,
            power: made.flash.power,
            board,
            mishaps,
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
