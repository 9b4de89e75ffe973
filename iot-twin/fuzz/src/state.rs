//! What a service stored of a twin.

use iot_twin::sync::TwinState;
use iot_twin::{FieldId, TwinService, Value};

/// What is read is written as it was read, up to the width of numbers, and a service that goes on from it has the same.
pub fn run(data: &[u8]) {
    let Ok(state) = TwinState::from_cbor(data) else {
        return;
    };
    let bytes = state.to_cbor();
    let again = TwinState::from_cbor(&bytes).expect("its own bytes");
    // Not-a-number is not equal to itself, but its bytes are.
    assert_eq!(again.to_cbor(), bytes);
    let service = TwinService::new().restored(&state);
    assert_eq!(service.snapshot().to_cbor(), bytes);
    assert_eq!(service.version(), state.version());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![TwinService::new().snapshot().to_cbor()];
    let mut service = TwinService::new();
    for (id, value) in [
        (1, Value::from(21.5)),
        (300, Value::from(true)),
        (7, Value::Null),
    ] {
        service.set_field(FieldId::new(id), value).expect("a value");
        seeds.push(service.snapshot().to_cbor());
    }
    seeds
}

#[test]
fn every_seed_is_a_state_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(TwinState::from_cbor(&seed).is_ok());
        run(&seed);
    }
}
