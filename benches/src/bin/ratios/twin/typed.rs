//! A change of ten of a typed twin's 108 leaves, and what it costs.

use core::error::Error;
use core::hint::black_box;

use iot_benches::plant::{Delta, Plant};
use iot_benches::{Goal, Ratio};
use iot_core::engine::{Done, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Instant, Message, Now};
use iot_twin::TwinDevice;

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

/// A delta of ten leaves, all checks included, from the message to the values in the document.
///
/// The records that make it durable are not part of it, nor are the peer's.
pub(crate) fn twin_apply() -> Result<Ratio, Box<dyn Error>> {
    let mut device = TwinDevice::<Plant, 16>::new();
    device.input(NOW, &Event::Restored);
    let mut delta = Delta::new();
    let mut ours = || {
        let message = Message::new(Channel::Twin, black_box(delta.again()));
        device.input(NOW, &Event::Message(message));
    };
    ours();
    let (document, patch) = (super::json(108), super::json(10));
    let mut peer: serde_json::Value = serde_json::from_str(&document)?;
    let ratio = Ratio::of_times(
        "twin_apply",
        Goal::AtMost(0.05),
        ours,
        || -> Result<usize, Box<dyn Error>> {
            super::merge(&mut peer, serde_json::from_str(black_box(&patch))?);
            Ok(serde_json::to_string(&peer)?.len())
        },
    );
    // All of it was taken, each time.
    durable(&mut device, &delta)?;
    Ok(ratio)
}

/// Whether everything up to the delta's last number, and each of its values, is in the records.
fn durable(device: &mut TwinDevice<Plant, 16>, delta: &Delta) -> Result<(), Box<dyn Error>> {
    let mut buffer = [0; 1_024];
    let (mut fields, mut own) = (0, false);
    if let Step::Persist(batch) = device.step(NOW, &mut buffer) {
        let number = delta.last().to_be_bytes();
        for (_, value) in batch.iter() {
            let value = value.unwrap_or_default();
            fields += usize::from(value.starts_with(b"\x87"));
            own |= value.starts_with(b"\x85") && value.windows(4).any(|bytes| bytes == number);
        }
    }
    device.done(NOW, Done::Persisted);
    if (fields, own) == (10, true) {
        Ok(())
    } else {
        Err(format!("only {fields} of ten values were taken").into())
    }
}
