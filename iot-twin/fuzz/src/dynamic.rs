//! A device whose fields are known at run time: what it is told, and what it has on record.

use std::sync::Arc;

use iot_twin::dynamic::{Dynamic, Shape, Spec};
use iot_twin::iot_core::engine::{Done, Engine, Event, Step};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_twin::leaf::Kind;
use iot_twin::schema::Access;
use iot_twin::{Text, Twin, TwinDevice, TwinService, Value};

#[derive(Twin)]
struct Room {
    // A bound that single precision rounds up.
    #[twin(desired, range = 5.0..=30.1)]
    setpoint: f32,
    #[twin(desired)]
    name: Text<8>,
    #[twin(desired, range = -5..=5)]
    curve: [i64; 3],
    // The last whole number before doubles have gaps.
    #[twin(desired, range = 0..=9_007_199_254_740_992)]
    trim: Option<u64>,
}

fn shape() -> Arc<Shape> {
    let spec = |id, path, kind| Spec::new(id, path, kind, Access::Desired);
    Shape::new([
        spec(0, "/setpoint", Kind::F32).with_range(5.0, 30.1),
        spec(1, "/name", Kind::Text).with_len(8),
        spec(2, "/curve", Kind::Signed)
            .with_len(3)
            .with_range(-5.0, 5.0),
        spec(3, "/trim", Kind::Unsigned)
            .optional()
            .with_range(0.0, 9_007_199_254_740_992.0),
    ])
    .expect("a shape")
}

const NOW: Now = Now::new(Instant::from_millis(1), TimeBounds::UNKNOWN);

/// The first byte says whether the rest is a message or one of the records. A device that is described says and records
/// what one with the same struct does; only the fingerprint of the fields is another one.
pub fn run(data: &[u8]) {
    let Some((&which, rest)) = data.split_first() else {
        return;
    };
    let said = says(TwinDevice::<Room, 3>::new(), which, rest);
    let described = says(
        TwinDevice::<Dynamic, 3>::of(Dynamic::new(&shape())),
        which,
        rest,
    );
    assert_eq!(said, described);
}

fn says<T: Twin>(mut device: TwinDevice<T, 3>, which: u8, rest: &[u8]) -> Vec<Vec<u8>> {
    let own = TwinDevice::<T, 3>::RECORDS;
    // The twin's own record names the struct that it was written by.
    if let Some(key) = own.offset((which % 5).into()).filter(|key| *key != own) {
        device.input(NOW, &Event::Record { key, value: rest });
    }
    device.input(NOW, &Event::Restored);
    device.input(NOW, &Event::Connected { resumed: false });
    if which.is_multiple_of(5) {
        let message = Message::new(Channel::Twin, rest);
        device.input(NOW, &Event::Message(message));
    }
    let mut service = TwinService::new();
    let (mut buffer, mut said) = ([0; 512], Vec::new());
    for _ in 0..8 {
        match device.step(NOW, &mut buffer) {
            Step::Persist(batch) => {
                let records = batch.iter().filter(|(key, _)| *key != own);
                said.extend(records.filter_map(|(_, value)| Some(value?.to_vec())));
                device.done(NOW, Done::Persisted);
            }
            Step::Send(message) => {
                said.push(message.payload.to_vec());
                service.input(NOW, &Event::Message(message));
                device.done(NOW, Done::Sent(Ticket::new(0)));
            }
            _ => {}
        }
        if let Step::Send(message) = service.step(NOW, &mut buffer) {
            device.input(NOW, &Event::Message(message));
            service.done(NOW, Done::Sent(Ticket::new(0)));
        }
    }
    said
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut service = TwinService::new();
    let id = |path: &str| shape().id(path).expect("a field");
    let curve = Value::Array([-5, 0, 5].map(Value::Int).into());
    let values = [
        ("/setpoint", Value::Float(21.5)),
        ("/name", Value::from("room")),
        ("/curve", curve),
        ("/trim", Value::Null),
    ];
    for (path, value) in values {
        service.set_field(id(path), value).expect("a value");
    }
    let mut buffer = [0; 512];
    let Step::Send(message) = service.step(NOW, &mut buffer) else {
        return Vec::new();
    };
    let delta = message.payload.to_vec();
    let device = TwinDevice::<Room, 3>::new();
    let mut seeds: Vec<_> = (1..).zip(says(device, 0, &delta)).collect();
    seeds.truncate(4);
    let records = seeds
        .into_iter()
        .map(|(which, record)| [&[which], &record[..]].concat());
    records.chain([[&[0], &delta[..]].concat()]).collect()
}

#[test]
fn every_seed_is_said_by_both() {
    let seeds = seeds();
    assert!(seeds.len() >= 4);
    for seed in seeds {
        run(&seed);
    }
}
