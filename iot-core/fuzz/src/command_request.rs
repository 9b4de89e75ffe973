//! Requests on the wire.

use iot_core::command::{MAX_MESSAGE_BYTES, Request};
use iot_core::{CommandId, IssuerId, Timestamp};

/// What is accepted has no other spelling, and nothing shorter or longer is the same message.
pub fn run(data: &[u8]) {
    let Ok(request) = Request::decode(data) else {
        return;
    };
    assert!(data.len() <= MAX_MESSAGE_BYTES);
    assert!(request.settled_below <= request.id.sequence);
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let len = request.encode(&mut buffer).expect("no longer than it was");
    assert_eq!(&buffer[..len], data);
    assert!(Request::decode(&data[..data.len() - 1]).is_err());
    assert!(Request::decode(&[data, &[0]].concat()).is_err());
}

/// Requests with and without an expiry, of small and of large numbers.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (epoch, sequence) in [(1, 1), (u32::MAX, u64::MAX)] {
        for expires in [None, Some(Timestamp::from_secs(1_800_000_000))] {
            let id = CommandId::new(IssuerId::new(epoch), epoch, sequence);
            let request = Request::new(id, b"\x82\x63Set\xf5").settled_below(sequence);
            let mut buffer = [0; MAX_MESSAGE_BYTES];
            let len = request
                .expires_at(expires)
                .encode(&mut buffer)
                .expect("it fits");
            seeds.push(buffer[..len].to_vec());
        }
    }
    seeds
}

#[test]
fn every_seed_is_a_request_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Request::decode(&seed).is_ok());
        run(&seed);
    }
}
