//! The service's twins on record: nothing is said to a device that the registry does not hold.

use iot_core::engine::{Done, Event, Step};
use iot_core::fleet::Selector;
use iot_core::{DeviceId, Engine, Instant, Now, TenantId};
use iot_twin::registry::{
    Draft, Event as Changed, Expect, Memory, MemoryWatch, Query, Record, RecordError, Registry,
    Revision, SaveError, TwinKey, Watch as _,
};
use iot_twin::sync::Timing;
use iot_twin::{Twin, TwinService};

use crate::fleet::Fleet;
use crate::jobs::{Room, RoomDesired, SETUP, Setup, SetupDesired};
use crate::pki::{Fallible, now};

/// Where the twins are.
pub type Twins = Registry<Memory>;

/// Makes the two twins of a device, with the labels that selectors find them by.
pub async fn enter(twins: &Twins, tenant: TenantId, device: DeviceId, wing: &str) -> Fallible<()> {
    let main = TwinKey::new(tenant, device);
    let both = [
        (main.clone(), "room", TwinService::of::<Room>()),
        (main.named("setup")?, "setup", setup()),
    ];
    for (key, kind, twin) in both {
        let make = |_| {
            let mut draft = Draft::of(&twin);
            draft.set_label("wing", wing)?;
            draft.set_label("twin", kind)?;
            Ok::<_, RecordError>(Some(draft))
        };
        twins.update(&key, now(), make).await?;
    }
    Ok(())
}

fn setup() -> TwinService {
    TwinService::of::<Setup>().numbered(SETUP)
}

/// What an operator does at a console of its own: it knows the registry, and no device.
#[derive(Clone, Debug)]
pub struct Console {
    pub twins: Twins,
    pub tenant: TenantId,
}

impl Console {
    /// Desires something of one room; says of how many fields it was news.
    pub async fn room(
        &self,
        device: DeviceId,
        wish: impl Fn(&mut RoomDesired) + Send + Sync,
    ) -> Fallible<usize> {
        let key = TwinKey::new(self.tenant, device);
        let (room, edit) = (TwinService::of::<Room>(), |twin: &mut TwinService| {
            twin.desire::<Room>(&wish)
        });
        Ok(self.twins.edit(&key, now(), &room, edit).await?)
    }

    /// Desires other settings of one device.
    pub async fn setup(
        &self,
        device: DeviceId,
        wish: impl Fn(&mut SetupDesired) + Send + Sync,
    ) -> Fallible<usize> {
        let key = TwinKey::new(self.tenant, device).named("setup")?;
        let edit = |twin: &mut TwinService| twin.desire::<Setup>(&wish);
        Ok(self.twins.edit(&key, now(), &setup(), edit).await?)
    }

    /// Desires the same of all that a selector means; says of how many it was news.
    pub async fn all<T: Twin>(
        &self,
        selector: &str,
        wish: impl Fn(&mut T::Desired) + Send + Sync,
    ) -> Fallible<usize> {
        let query = Query::new(self.tenant, Selector::parse(selector)?);
        Ok(self.twins.desire::<T>(&query, now(), wish).await?)
    }
}

/// One twin that the service runs.
pub struct Kept {
    pub twin: TwinService,
    fresh: TwinService,
    key: TwinKey,
    expect: Expect,
    unsaved: bool,
}

impl Kept {
    fn new(
        key: TwinKey,
        twin: TwinService,
        tenant: TenantId,
        device: DeviceId,
        timing: Timing,
    ) -> Self {
        let fresh = twin
            .for_device(tenant, device)
            .with_timing(timing)
            .with_store();
        Self {
            twin: fresh.clone(),
            fresh,
            key,
            expect: Expect::Absent,
            unsaved: false,
        }
    }

    pub fn room(tenant: TenantId, device: DeviceId, timing: Timing) -> Self {
        let key = TwinKey::new(tenant, device);
        Self::new(key, TwinService::of::<Room>(), tenant, device, timing)
    }

    pub fn setup(tenant: TenantId, device: DeviceId, timing: Timing) -> Fallible<Self> {
        let key = TwinKey::new(tenant, device).named("setup")?;
        Ok(Self::new(key, setup(), tenant, device, timing))
    }

    /// Takes in what concerns it; what the device said has to be on record before it is answered.
    pub fn input(&mut self, now: Now, event: &Event<'_>) {
        self.twin.input(now, event);
        self.unsaved |= matches!(event, Event::Message(_));
    }

    pub fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        if self.unsaved {
            return Step::Idle;
        }
        self.twin.step(now, buffer)
    }

    pub fn done(&mut self, now: Now, done: Done<'_>) {
        self.twin.done(now, done);
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.twin.deadline()
    }

    /// Puts it on record. Who was slower than somebody else goes on from what that one has stored: the device
    /// repeats what nobody has acknowledged.
    async fn save(&mut self, twins: &Twins) -> Result<(), String> {
        if !self.unsaved {
            return Ok(());
        }
        let saved = twins.save(&self.key, self.expect, &self.twin, now());
        match saved.await {
            Ok(expect) => {
                self.expect = expect;
                self.twin.stored(&self.twin.snapshot());
            }
            Err(SaveError::Conflict) => self.load(twins).await?,
            Err(error) => return Err(error.to_string()),
        }
        self.unsaved = false;
        Ok(())
    }

    /// Begins from the record alone, as after a restart.
    async fn load(&mut self, twins: &Twins) -> Result<(), String> {
        let loaded = twins.load(&self.key, self.fresh.clone()).await;
        (self.twin, self.expect) = loaded.map_err(|error| error.to_string())?;
        self.unsaved = false;
        Ok(())
    }

    /// Takes over what somebody else has stored; false when it was this service itself.
    fn follow(&mut self, revision: Revision, record: &Record) -> Result<bool, String> {
        if matches!(self.expect, Expect::At(own) if own >= revision) {
            return Ok(false);
        }
        let state = record.state().map_err(|error| error.to_string())?;
        self.twin = self.fresh.clone().restored(&state);
        (self.expect, self.unsaved) = (Expect::At(revision), false);
        Ok(true)
    }
}

/// Keeps the service's twins and the registry in step.
pub struct Keeper {
    twins: Twins,
    watch: MemoryWatch,
}

impl Keeper {
    /// Loads all twins; what others change from now on is told by [`next`](Self::next).
    pub async fn start(twins: Twins, fleet: &mut Fleet) -> Result<Self, String> {
        let watch = twins.watch(None).await.map_err(|error| error.to_string())?;
        let keeper = Self { twins, watch };
        keeper.reload(fleet).await?;
        Ok(keeper)
    }

    /// Begins from the registry alone, as a service does that has restarted.
    pub async fn reload(&self, fleet: &mut Fleet) -> Result<(), String> {
        for member in &mut fleet.members {
            for kept in [&mut member.room, &mut member.setup] {
                kept.load(&self.twins).await?;
            }
        }
        fleet.wake_all();
        Ok(())
    }

    /// Stores what devices have said, so that it can be answered.
    pub async fn keep(&self, fleet: &mut Fleet) -> Result<(), String> {
        while let Some(index) = fleet.next_unsaved() {
            if let Some(member) = fleet.members.get_mut(index) {
                for kept in [&mut member.room, &mut member.setup] {
                    kept.save(&self.twins).await?;
                }
            }
            fleet.wake(index);
        }
        Ok(())
    }

    /// Waits for the next change in the registry.
    pub async fn next(&mut self) -> Result<Changed, String> {
        self.watch.next().await.map_err(|error| error.to_string())
    }

    /// Takes a change over.
    pub async fn follow(&self, fleet: &mut Fleet, event: &Changed) -> Result<(), String> {
        let Changed::Changed {
            key,
            revision,
            record: Some(record),
            ..
        } = event
        else {
            return self.reload(fleet).await;
        };
        let Some(member) = DeviceId::new(key.device())
            .ok()
            .and_then(|device| fleet.known(&device))
        else {
            return Ok(());
        };
        let (index, member) = member;
        let kept = match key.name() {
            None => &mut member.room,
            Some(_) => &mut member.setup,
        };
        if kept.follow(*revision, record)? {
            fleet.wake(index);
        }
        Ok(())
    }
}
