use iot_core::Timestamp;
use iot_core::component::{
    ComponentEvent, ComponentFact, ComponentId, HashAlgorithm, Measurement, Refusal, RollBack,
    Running, Version,
};
use iot_core::time::TimeBounds;

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-core/src/component/component.cddl");

fn fact(running: Option<Running>, event: ComponentEvent) -> ComponentFact {
    let component = ComponentId::from_path(&[b"radio", &[0xff]]).unwrap();
    ComponentFact::new(component, running, event, TimeBounds::UNKNOWN)
}

fn holds(fact: &ComponentFact) {
    let mut buffer = [0; ComponentFact::MAX_BYTES];
    SCHEMA.holds("fact", fact.encode(&mut buffer).unwrap());
}

fn events() -> Vec<ComponentEvent> {
    let mut events = Vec::new();
    for sequence in [0, u64::MAX] {
        events.extend([
            ComponentEvent::Offered { sequence },
            ComponentEvent::Fetching { sequence },
            ComponentEvent::Staged { sequence },
            ComponentEvent::OnTrial { sequence },
            ComponentEvent::Confirmed { sequence },
        ]);
        for &reason in RollBack::ALL {
            events.push(ComponentEvent::RolledBack { sequence, reason });
        }
        for &reason in Refusal::ALL {
            let named = Some(sequence);
            events
                .extend([named, None].map(|sequence| ComponentEvent::Refused { sequence, reason }));
        }
    }
    events
}

#[test]
fn every_event_is_as_described() {
    for event in events() {
        holds(&fact(None, event));
        holds(&fact(None, event).found());
    }
}

#[test]
fn every_thing_that_runs_is_as_described() {
    let event = ComponentEvent::Confirmed { sequence: 7 };
    for algorithm in HashAlgorithm::ALL {
        let digest = vec![7; algorithm.digest_bytes()];
        let measurement = Measurement::new(algorithm, &digest).unwrap();
        let running = Running::new(u64::MAX, measurement);
        holds(&fact(Some(running), event));
        for numbers in [&[0][..], &[i64::MAX; 6], &[1, -1, -2, -3, 0]] {
            let version = Version::new(numbers).unwrap();
            holds(&fact(Some(running.with_version(version)), event));
        }
    }
}

#[test]
fn every_time_is_as_described() {
    let moment = Timestamp::from_millis(u64::MAX);
    for at in [TimeBounds::at_least(moment), TimeBounds::exact(moment)] {
        let event = ComponentEvent::Confirmed { sequence: 7 };
        let component = ComponentId::new(&"x".repeat(64)).unwrap();
        holds(&ComponentFact::new(component, None, event, at));
    }
}

#[test]
fn no_reason_is_another_events_and_no_measurement_another_algorithms() {
    let mut buffer = [0; ComponentFact::MAX_BYTES];
    let reason = RollBack::TooOld;
    let event = ComponentEvent::RolledBack {
        sequence: 7,
        reason,
    };
    let running = Running::new(7, Measurement::sha256([9; 32]));
    let good = fact(Some(running), event)
        .encode(&mut buffer)
        .unwrap()
        .to_vec();
    assert_eq!(SCHEMA.accepts("fact", &good), Ok(()));
    for (from, to) in [
        // The reason after the last one.
        (&[0x83, 5, 7, 3][..], &[0x83, 5, 7, 4][..]),
        // A confirmation has none.
        (&[0x83, 5, 7, 3], &[0x83, 4, 7, 3]),
        (&[0x82, 1, 0x58, 32], &[0x82, 7, 0x58, 32]),
        (&[0x82, 1, 0x58, 32], &[0x82, 2, 0x58, 32]),
    ] {
        let at = good.windows(4).position(|part| part == from).unwrap();
        let bad = [&good[..at], to, &good[at + 4..]].concat();
        assert!(SCHEMA.accepts("fact", &bad).is_err(), "{to:02x?}");
        assert!(ComponentFact::decode(&bad).is_err(), "{to:02x?}");
    }
}
