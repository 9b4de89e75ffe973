//! A typed twin of 108 leaves in nine groups, a change of ten of them, and what it costs.

use core::error::Error;
use core::hint::black_box;

use iot_benches::{Goal, Ratio};
use iot_core::engine::{Done, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Instant, Message, Now};
use iot_twin::{Twin, TwinDevice};

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

macro_rules! group {
    ($name:ident: $($leaf:ident)+) => {
        #[derive(Twin)]
        struct $name {$(
            #[twin(desired, range = -1e6..=1e6)]
            $leaf: f32,
        )+}
    };
}
group!(Group: leaf0 leaf1 leaf2 leaf3 leaf4 leaf5 leaf6 leaf7 leaf8 leaf9 leaf10 leaf11);

#[derive(Twin)]
pub(super) struct Plant {
    #[twin(group, id = 0)]
    group0: Group,
    #[twin(group, id = 16)]
    group1: Group,
    #[twin(group, id = 32)]
    group2: Group,
    #[twin(group, id = 48)]
    group3: Group,
    #[twin(group, id = 64)]
    group4: Group,
    #[twin(group, id = 80)]
    group5: Group,
    #[twin(group, id = 96)]
    group6: Group,
    #[twin(group, id = 112)]
    group7: Group,
    #[twin(group, id = 128)]
    group8: Group,
}

/// A delta of ten leaves, and where its numbers stand.
struct Delta {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    base: u32,
    last: u32,
}

impl Delta {
    fn new() -> Self {
        let mut delta = Self {
            bytes: b"\x88\x01\x00\x01".to_vec(),
            numbers: Vec::new(),
            base: 0,
            // From here on every number has four bytes.
            last: 1_000_000,
        };
        delta.number();
        delta.number();
        delta.bytes.extend(b"\x00\xf4\x8a");
        for leaf in 0..10_u8 {
            delta
                .bytes
                .extend([0x83, 0x18, 16 * (1 + leaf % 8) + 8 + leaf / 8]);
            delta.number();
            delta.bytes.push(0xfa);
            delta.bytes.extend((f32::from(leaf) + 0.5).to_be_bytes());
        }
        delta
    }

    fn number(&mut self) {
        self.bytes.push(0x1a);
        self.numbers.push(self.bytes.len());
        self.bytes.extend([0; 4]);
    }

    /// The same change again, under the numbers that follow.
    fn next(&mut self) -> &[u8] {
        let before = self.last;
        self.last += 10;
        let numbers = [self.base, self.last].into_iter();
        let numbers = numbers.chain(before + 1..=self.last);
        self.base = self.last;
        for (at, number) in self.numbers.iter().zip(numbers) {
            if let Some(place) = self.bytes.get_mut(*at..at + 4) {
                place.copy_from_slice(&number.to_be_bytes());
            }
        }
        &self.bytes
    }
}

/// A delta of ten leaves, all checks included, from the message to the values in the document.
///
/// The records that make it durable are not part of it, nor are the peer's.
pub(crate) fn twin_apply() -> Result<Ratio, Box<dyn Error>> {
    let mut device = TwinDevice::<Plant, 16>::new();
    device.input(NOW, &Event::Restored);
    let mut delta = Delta::new();
    let mut ours = || {
        let message = Message::new(Channel::Twin, black_box(delta.next()));
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
        let number = delta.last.to_be_bytes();
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
