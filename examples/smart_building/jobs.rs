//! What the service and the devices of this building agree on.

use iot_core::IssuerId;
use iot_core::engine::RecordKey;
use iot_twin::sync::SubTwin;
use iot_twin::{Twin, TwinDevice};

/// The service that issues commands.
pub const ISSUER: IssuerId = IssuerId::new(1);
/// Where a device keeps what the factory gave it, and its certificates: four records.
pub const CERTIFICATES: RecordKey = RecordKey::new(0x0001);
/// Where it keeps its settings: two records.
pub const SETTINGS: RecordKey = RecordKey::new(0x6000);
/// The twin of its settings, and where that keeps its records.
pub const SETUP: SubTwin = SubTwin::new(1);
pub const SETUP_RECORDS: RecordKey = RecordKey::new(0x7000_0000);

iot_core::commands! {
    /// What a room can be told to do. The class says what a power cut means.
    #[derive(Copy)]
    pub enum Job {
        /// Dims the lamp; doing it twice does no harm.
        #[idempotent]
        Dim {
            /// In per cent.
            percent: u8,
        },
        /// Pulses the lock; must never happen twice.
        #[opaque]
        Unlock,
    }
}

/// One room as its twin describes it, and what an edit by hand means.
#[derive(Twin, Clone, Debug)]
pub struct Room {
    /// How warm it should be: who spoke last is right.
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    pub setpoint: f32,
    /// How often it should measure: that is the service's to say.
    #[twin(desired, unit = "s", range = 0..=3600, local = FollowDesired)]
    pub interval: u16,
    /// How far the blinds are down: whoever sits there decides.
    #[twin(desired, unit = "%", range = 0..=100, local = LocalSticky)]
    pub blinds: u8,
    /// How fast the fan runs: the faster of both.
    #[twin(desired, range = 0..=5, local = Max)]
    pub fan: u8,
    /// Whether the door is bolted: if either wants it.
    #[twin(desired, local = Or)]
    pub bolted: bool,
    /// Whether it is in quarantine: then it measures, and keeps what it has measured.
    #[twin(desired)]
    pub quarantined: bool,
    /// How warm it is.
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    pub temperature: f32,
    /// Whether somebody is in.
    #[twin(reported)]
    pub occupied: bool,
    /// The release that runs.
    #[twin(reported)]
    pub release: u32,
    /// In how many of its settings the device differs from what is in force.
    #[twin(reported)]
    pub drift: u8,
}

/// What a device has to be told before it can do anything else; it is tried before it is kept.
#[derive(Twin, Clone, Debug, PartialEq)]
pub struct Setup {
    /// By which door it comes into the building's network.
    #[twin(desired, range = 0..=2, local = FollowDesired)]
    pub door: u8,
    /// How long other settings may take to be proved.
    #[twin(desired, unit = "s", range = 0..=600, local = FollowDesired)]
    pub patience_s: u16,
    /// What is added to each temperature that it measures.
    #[twin(desired, unit = "Cel", range = -100.0..=100.0, local = FollowDesired)]
    pub trim: f32,
}

/// Both as a device has them.
pub type RoomTwin = TwinDevice<Room, 8>;
pub type SetupTwin = TwinDevice<Setup, 4>;
