//! Both halves of a twin in one simulated world, for testing firmware and services against what can go wrong.
//!
//! A [`World`] holds a device with its records, a service, and the link between them. The link loses, repeats and
//! reorders; the device's power is cut before and after whatever it does; the service loses its memory or comes back
//! from a backup. Everything is chosen by a seed, or by hand, one event at a time. After each event the world holds
//! both sides against what this crate promises, and [`settle`](World::settle) against the promise of the end: that
//! both sides are equal.
//!
//! ```
//! # #[cfg(feature = "derive")] {
//! use iot_twin::sync::sim::{Hazards, Life, World};
//! use iot_twin::{Twin, TwinService};
//! use iot_twin::iot_core::sim::{Faults, SimEntropy};
//!
//! #[derive(Twin)]
//! struct Room {
//!     #[twin(desired)]
//!     lit: bool,
//!     #[twin(reported)]
//!     count: u32,
//! }
//!
//! struct Busy;
//! impl Life<Room> for Busy {
//!     fn desire(&mut self, twin: &mut TwinService, dice: &mut SimEntropy) {
//!         twin.set("lit", dice.chance(500)).unwrap();
//!     }
//!     fn measure(&mut self, room: &mut Room, _: &mut SimEntropy) {
//!         room.count += 1;
//!     }
//! }
//!
//! let mut world = World::<Room, 4>::new(7, TwinService::of::<Room>());
//! world.set_faults(Faults::new(400, 300, 0, 1));
//! world.set_hazards(Hazards::ALL);
//! for _ in 0..1_000 {
//!     world.turn(&mut Busy)?;
//! }
//! world.settle(&mut Busy)?;
//! assert!(world.counts().cuts > 0 && world.counts().lost > 0);
//! # }
//! # Ok::<(), iot_twin::sync::sim::Violation>(())
//! ```

mod claims;
mod drive;
mod life;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use iot_core::sim::{Faults, SimClock, SimEntropy};
use iot_core::storage::memory::MemoryRecords;

use super::device::TwinDevice;
use super::service::{TwinService, TwinState};
use super::slot::Version;
use crate::reflect::Twin;
use crate::schema::FieldId;

pub use claims::Violation;
pub use life::{Hazards, Life};

/// A device, a service, and all that lies between.
pub struct World<T: Twin, const PENDING: usize> {
    clock: SimClock,
    dice: SimEntropy,
    make: fn() -> TwinDevice<T, PENDING>,
    device: TwinDevice<T, PENDING>,
    service: TwinService,
    records: MemoryRecords,
    /// What the device had on record once.
    image: Option<MemoryRecords>,
    down: Vec<Vec<u8>>,
    up: Vec<Vec<u8>>,
    faults: Faults,
    hazards: Hazards,
    /// Before and after which operation the power is cut, whatever the hazards say.
    cut_at: Option<(u64, bool)>,
    backup: TwinState,
    counts: Counts,
    known: Known,
}

/// What has happened so far: a test asserts that its faults fired.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Events of every kind.
    pub steps: u64,
    /// What the device asked its driver for: records to be written and messages to be sent.
    pub operations: u64,
    /// Power cuts of the device.
    pub cuts: u64,
    /// Times that the device lost its records.
    pub wipes: u64,
    /// Times that the device came back with older records.
    pub rolled_back: u64,
    /// Messages lost.
    pub lost: u64,
    /// Messages repeated.
    pub repeated: u64,
    /// Times that the service lost its memory.
    pub forgotten: u64,
    /// Times that the service came back from a backup.
    pub restored: u64,
}

/// What an observer remembers.
#[derive(Clone, Debug, Default)]
struct Known {
    /// The value of each reported version, and the answer under it.
    reported: BTreeMap<(FieldId, u64), Vec<u8>>,
    answered: BTreeMap<(FieldId, u64, u32), (u32, u16)>,
    /// The field and the value of each desired version.
    desired: BTreeMap<Version, (FieldId, Vec<u8>)>,
    stamps: BTreeMap<FieldId, Version>,
    /// Which life of the service used each epoch first, and which it is now.
    epochs: BTreeMap<u32, u64>,
    life: u64,
    /// What the store of a service that has one holds.
    store: Option<TwinState>,
}

impl<T: Twin, const PENDING: usize> World<T, PENDING> {
    /// A world in which nothing goes wrong yet: a fresh device that is connected, and this service.
    #[must_use]
    pub fn new(seed: u64, service: TwinService) -> Self {
        Self::with_device(seed, service, TwinDevice::new)
    }

    /// The same with a device that is made otherwise, at every boot.
    #[must_use]
    pub fn with_device(
        seed: u64,
        service: TwinService,
        make: fn() -> TwinDevice<T, PENDING>,
    ) -> Self {
        let mut world = Self {
            clock: SimClock::new(),
            dice: SimEntropy::new(seed),
            make,
            device: make(),
            backup: service.snapshot(),
            service,
            records: MemoryRecords::new(),
            image: None,
            down: Vec::new(),
            up: Vec::new(),
            faults: Faults::NONE,
            hazards: Hazards::NONE,
            cut_at: None,
            counts: Counts::default(),
            known: Known::default(),
        };
        world.boot();
        world
    }

    /// Changes what the link does from now on: loses, repeats, and, when the delays differ, reorders.
    ///
    /// How long a message takes is decided by when [`deliver_down`](Self::deliver_down) and
    /// [`deliver_up`](Self::deliver_up) are called.
    pub const fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
    }

    /// Changes what may happen to both sides from now on.
    pub const fn set_hazards(&mut self, hazards: Hazards) {
        self.hazards = hazards;
    }

    /// Has the power cut around one [operation](Counts::operations), counted from 0: before it is carried out, or
    /// after it was and before the device has heard so.
    pub const fn cut_at(&mut self, operation: u64, after: bool) {
        self.cut_at = Some((operation, after));
    }

    /// Puts another service in the place of this one, such as one that has lost its memory.
    pub fn replace_service(&mut self, service: TwinService) {
        self.service = service;
        self.known.life += 1;
    }

    /// Puts the service's twin in another process: the same twin, gone on from a state in the store.
    ///
    /// It need not be the newest one: who is late must do no harm.
    pub fn move_service(&mut self, service: TwinService) {
        self.service = service;
    }

    /// States what the store holds now, for services that have one: from now on the device's claims are held against
    /// that, and not against what the process in this world believes.
    pub fn record(&mut self, state: &TwinState) {
        self.known.store = Some(state.clone());
    }

    /// What both sides take for the time.
    #[must_use]
    pub const fn clock(&self) -> &SimClock {
        &self.clock
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &TwinDevice<T, PENDING> {
        &self.device
    }

    /// The device, for what its application does.
    pub const fn device_mut(&mut self) -> &mut TwinDevice<T, PENDING> {
        &mut self.device
    }

    /// The service.
    #[must_use]
    pub const fn service(&self) -> &TwinService {
        &self.service
    }

    /// The service, for what its users do.
    pub const fn service_mut(&mut self) -> &mut TwinService {
        &mut self.service
    }

    /// What the device has on record.
    #[must_use]
    pub const fn records(&self) -> &MemoryRecords {
        &self.records
    }

    /// Messages that are under way to the device, oldest first; to be looked at, held back or forged.
    pub const fn down(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.down
    }

    /// Messages that are under way to the service, oldest first.
    pub const fn up(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.up
    }

    /// What has happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }
}

impl<T: Twin, const PENDING: usize> fmt::Debug for World<T, PENDING> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("device", &self.device)
            .field("service", &self.service)
            .field("down", &self.down.len())
            .field("up", &self.up.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}
