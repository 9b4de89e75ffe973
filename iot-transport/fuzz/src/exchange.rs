//! Requests as a service receives them.

use iot_transport::exchange::{OVERHEAD_BYTES, Request};

/// What is decoded is what the encoder writes, and it can be answered.
pub fn run(data: &[u8]) {
    let Ok(request) = Request::decode(data) else {
        return;
    };
    let mut room = vec![0; data.len() + OVERHEAD_BYTES];
    assert_eq!(request.encode(&mut room).expect("it fits"), data);
    let answer = request.answer(request.body, &mut room).expect("it fits");
    assert!(Request::decode(answer).is_err(), "an answer is no request");
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (number, path, body) in [(0, "/", &b""[..]), (u64::MAX, "/simpleenroll", b"csr")] {
        let mut room = [0; 200];
        let request = Request::new(number, path, body).encode(&mut room);
        seeds.push(request.expect("it fits").to_vec());
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
