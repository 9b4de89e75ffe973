//! Facts about a component, their measurements, versions and names.

use iot_core::codec::{Limits, check};
use iot_core::component::{
    ComponentEvent, ComponentFact, ComponentId, HashAlgorithm, Measurement, Refusal, RollBack,
    Running, Trail, Version,
};
use iot_core::time::TimeBounds;

/// What is read is deterministic CBOR and written back to the letter; what is shown of a version is read as the same
/// version; a name that was made of a path is a name; a trail keeps no repetition of the last fact.
pub fn run(data: &[u8]) {
    if let Ok(fact) = ComponentFact::decode(data) {
        assert_eq!(check(data, Limits::default()), Ok(()));
        let mut buffer = [0; ComponentFact::MAX_BYTES];
        assert_eq!(fact.encode(&mut buffer), Ok(data));
        if let Some(version) = fact.running.and_then(|running| running.version) {
            same(version);
        }
        let mut trail = Trail::new();
        assert!(trail.is_news(&fact));
        let is_refusal = matches!(fact.event, ComponentEvent::Refused { .. });
        assert_eq!(trail.is_news(&fact.found()), is_refusal);
    }
    if let Some(measurement) = Measurement::decode(data) {
        let mut buffer = [0; Measurement::MAX_BYTES];
        assert_eq!(measurement.encode(&mut buffer), Ok(data));
    }
    let segments: Vec<&[u8]> = data.split(|byte| *byte == 0x20).collect();
    if let Ok(name) = ComponentId::from_path(&segments) {
        assert_eq!(ComponentId::new(name.as_str()), Ok(name));
    }
    if let Ok(Ok(version)) = core::str::from_utf8(data).map(str::parse::<Version>) {
        assert_eq!(version.to_string().as_bytes(), data);
        same(version);
    }
}

fn same(version: Version) {
    let again: Version = version.to_string().parse().expect("what was shown");
    assert_eq!(again.numbers(), version.numbers());
}

/// A fact of every kind, a measurement, a version, a path.
pub fn seeds() -> Vec<Vec<u8>> {
    let component = ComponentId::from_path(&[b"radio", &[0]]).expect("a name");
    let version: Version = "1.2.0-rc.3".parse().expect("a version");
    let sequence = 300;
    let events = [
        ComponentEvent::Offered { sequence },
        ComponentEvent::Fetching { sequence },
        ComponentEvent::Staged { sequence },
        ComponentEvent::OnTrial { sequence },
        ComponentEvent::Confirmed { sequence },
        ComponentEvent::RolledBack {
            sequence,
            reason: RollBack::Damaged,
        },
        ComponentEvent::Refused {
            sequence: None,
            reason: Refusal::NotAuthentic,
        },
        ComponentEvent::Refused {
            sequence: Some(sequence),
            reason: Refusal::CalledOff,
        },
    ];
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (at, event) in events.into_iter().enumerate() {
        let algorithm = HashAlgorithm::ALL[at % HashAlgorithm::ALL.len()];
        let digest = vec![7; algorithm.digest_bytes()];
        let measurement = Measurement::new(algorithm, &digest).expect("a digest");
        let running = Running::new(299, measurement).with_version(version);
        let running = (at % 4 > 0).then_some(running);
        let fact = ComponentFact::new(component, running, event, TimeBounds::UNKNOWN);
        let mut buffer = [0; ComponentFact::MAX_BYTES];
        seeds.push(fact.encode(&mut buffer).expect("room").to_vec());
        seeds.push(measurement.encode(&mut buffer).expect("room").to_vec());
    }
    seeds.push(version.to_string().into_bytes());
    seeds.push(b"radio 0xff \0".to_vec());
    seeds
}

#[test]
fn the_seeds_hold_a_fact_of_every_kind_and_keep_the_claims() {
    let seeds = seeds();
    let facts = seeds
        .iter()
        .filter(|seed| ComponentFact::decode(seed).is_ok());
    let measurements = seeds
        .iter()
        .filter(|seed| Measurement::decode(seed).is_some());
    assert_eq!((facts.count(), measurements.count()), (8, 8));
    seeds.iter().for_each(|seed| run(seed));
}
