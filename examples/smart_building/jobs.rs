//! What the service and the devices of this building agree on.

use iot_core::IssuerId;
use iot_core::engine::RecordKey;
use iot_twin::Twin;

/// The service that issues commands.
pub const ISSUER: IssuerId = IssuerId::new(1);
/// Where a device keeps what the factory gave it, and its certificates: four records.
pub const CERTIFICATES: RecordKey = RecordKey::new(0x0001);

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

/// One room as its twin describes it.
#[derive(Twin, Clone, Debug)]
pub struct Room {
    /// How warm it should be.
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    pub setpoint: f32,
    /// How often it should measure.
    #[twin(desired, unit = "s", range = 1..=3600)]
    pub interval: u16,
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
}
