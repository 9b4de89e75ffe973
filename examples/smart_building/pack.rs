//! A reading as a SenML pack (RFC 8428), with the number that lets the service name every gap.

use std::time::Duration;

use iot_core::Instant;
use iot_twin::telemetry::Deadband;
use iot_twin::telemetry::senml::{self, Entry, Measured, Records};

const PACK_BYTES: usize = 160;
/// Virtual seconds between two readings.
const INTERVAL_S: u64 = 30;

/// One reading of a room.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pack {
    pub number: u64,
    pub temperature: f32,
    pub occupied: bool,
}

/// What is worth a pack: half a degree, or five minutes.
#[derive(Clone, Debug)]
pub struct Filter {
    deadband: Deadband,
    readings: u64,
}

pub const fn filter() -> Filter {
    Filter {
        deadband: Deadband::new(0.25, Duration::from_secs(300)),
        readings: 0,
    }
}

/// Whether the next reading is worth a pack.
pub fn is_worth(filter: &mut Filter, temperature: f32) -> bool {
    filter.readings += 1;
    let at = Instant::from_millis(filter.readings * INTERVAL_S * 1_000);
    filter.deadband.admit(at, temperature)
}

/// Writes a pack; empty when it does not fit, which no name of a device makes happen.
pub fn encode(device: &str, pack: &Pack) -> Vec<u8> {
    let mut buffer = [0; PACK_BYTES];
    let base = format!("{device}/");
    let mut writer = senml::Pack::new(&mut buffer).with_name(&base);
    let written = [
        Entry::new("number", pack.number as f64),
        Entry::new("temperature", pack.temperature).with_unit("Cel"),
        Entry::new("occupied", pack.occupied),
    ]
    .iter()
    .all(|entry| writer.add(entry).is_ok());
    if written {
        writer.finish().to_vec()
    } else {
        Vec::new()
    }
}

/// Reads a pack; `None` when it is none of ours.
#[allow(
    clippy::cast_possible_truncation,
    reason = "SenML numbers are doubles; ours are counts and tenths of degrees"
)]
pub fn decode(bytes: &[u8]) -> Option<Pack> {
    let (mut number, mut temperature, mut occupied) = (None, None, None);
    for record in Records::read(bytes) {
        let record = record.ok()?;
        let name = record.name.to_string();
        match (name.rsplit('/').next()?, record.value) {
            ("number", Some(Measured::Number(value))) => number = Some(value as u64),
            ("temperature", Some(Measured::Number(value))) => temperature = Some(value as f32),
            ("occupied", Some(Measured::Bool(value))) => occupied = Some(value),
            _ => {}
        }
    }
    Some(Pack {
        number: number?,
        temperature: temperature?,
        occupied: occupied?,
    })
}
