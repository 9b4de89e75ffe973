//! What a device has on record: of its twin, and of its configuration.

use core::time::Duration;

use iot_twin::config::{Config, Terms};
use iot_twin::iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Instant, Now};
use iot_twin::{Twin, TwinDevice};

#[derive(Clone, Twin)]
struct Room {
    #[twin(desired, range = 5..=30)]
    setpoint: u8,
    #[twin(desired)]
    lit: bool,
}

const FACTORY: Room = Room {
    setpoint: 20,
    lit: false,
};
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const CONFIG: RecordKey = RecordKey::new(0x6000);

/// The first byte says of which of the records the rest is. Whatever is on record, the device starts with fields in
/// their ranges, and writes records that it reads again.
pub fn run(data: &[u8]) {
    let Some((&which, value)) = data.split_first() else {
        return;
    };
    let offset = u32::from(which % 3);
    let mut device = TwinDevice::<Room, 2>::new();
    let key = TwinDevice::<Room, 2>::RECORDS
        .offset(offset)
        .expect("a key");
    device.input(NOW, &Event::Record { key, value });
    device.input(NOW, &Event::Restored);
    let mut buffer = [0; 512];
    for _ in 0..10 {
        let Step::Persist(_) = device.step(NOW, &mut buffer) else {
            break;
        };
        device.done(NOW, Done::Persisted);
    }
    assert!(device.state().accepts(0) || offset != 1 || device.state().setpoint == 0);

    let mut config = Config::new(FACTORY, CONFIG);
    let key = CONFIG.offset(offset % 2).expect("a key");
    config.input(NOW, &Event::Record { key, value });
    config.input(NOW, &Event::Restored);
    assert!(config.current().accepts(0) && config.confirmed().accepts(0));
    let Step::Persist(batch) = config.step(NOW, &mut buffer) else {
        return;
    };
    let mut again = Config::new(FACTORY, CONFIG);
    for (key, value) in batch.iter() {
        if let Some(value) = value {
            again.input(NOW, &Event::Record { key, value });
        }
    }
    again.input(NOW, &Event::Restored);
    assert_eq!(again.confirmed().setpoint, config.confirmed().setpoint);
}

/// The records of a trial and of its end, and of a twin that was edited.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    let mut buffer = [0; 512];
    let mut config = Config::new(FACTORY, CONFIG);
    config.input(NOW, &Event::Restored);
    let terms = Terms::health(Duration::from_secs(60)).restarts(1);
    let staged = config.stage(terms, |room| room.setpoint = 25, |_| true);
    staged.expect("in range");
    for _ in 0..2 {
        if let Step::Persist(batch) = config.step(NOW, &mut buffer) {
            let values = batch.iter().filter_map(|(key, value)| Some((key, value?)));
            seeds.extend(values.map(|(key, value)| {
                let which = u8::from(key != CONFIG);
                [&[which], value].concat()
            }));
            config.done(NOW, Done::Persisted);
        }
        config.applied(NOW, true);
        config.confirm();
    }
    let mut device = TwinDevice::<Room, 2>::new();
    device.input(NOW, &Event::Restored);
    device.report(|room| (room.setpoint, room.lit) = (21, true));
    if let Step::Persist(batch) = device.step(NOW, &mut buffer) {
        for (key, value) in batch.iter() {
            let which = key.get() - TwinDevice::<Room, 2>::RECORDS.get();
            let which = u8::try_from(which).expect("a small key");
            seeds.push([&[which], value.expect("a value")].concat());
        }
    }
    seeds
}

#[test]
fn every_seed_is_a_record_and_keeps_the_claims() {
    let seeds = seeds();
    assert!(seeds.len() >= 4, "{seeds:?}");
    for seed in seeds {
        run(&seed);
    }
}
