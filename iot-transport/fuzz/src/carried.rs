//! What a gateway carries, as a service receives it.

use iot_transport::bridge::{Carried, OVERHEAD_BYTES};
use iot_transport::iot_core::Peer;

/// What is decoded is what the encoder writes, within the room that is promised to be enough.
pub fn run(data: &[u8]) {
    let Ok(carried) = Carried::decode(data) else {
        return;
    };
    let mut room = vec![0; carried.payload.len() + OVERHEAD_BYTES];
    assert_eq!(carried.encode(&mut room).expect("it fits"), data);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (device, payload) in [("d", &b""[..]), ("boiler-7", b"21.5"), ("d", &[7; 300])] {
        let peer = Peer::parse("acme", device).expect("names");
        let mut room = [0; 500];
        let bytes = Carried::new(peer, payload).encode(&mut room);
        seeds.push(bytes.expect("it fits").to_vec());
    }
    seeds
}

#[test]
fn every_seed_is_carried_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Carried::decode(&seed).is_ok());
        run(&seed);
    }
}
