//! What travels between device and registrar.

use iot_identity::enrol::{Answer, Refusal, Request};

/// A message has one encoding, and is a request or an answer, never both.
pub fn run(data: &[u8]) {
    let mut buffer = [0; 16_384];
    let request = Request::decode(data);
    if let Ok(request) = request {
        assert!(!request.csr.is_empty());
        assert_eq!(request.encode(&mut buffer), Ok(data));
    }
    let Ok(answer) = Answer::decode(data) else {
        return;
    };
    assert!(request.is_err(), "a request that is an answer");
    assert_eq!(answer.encode(&mut buffer), Ok(data));
    if let Ok(certificates) = answer.certificates() {
        let all: Vec<_> = certificates.collect();
        assert!((1..=4).contains(&all.len()));
        assert!(all.iter().all(|one| (1..=2_048).contains(&one.len())));
    }
}

/// A request, refusals, and an answer with two certificates.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![[&[0x83, 1, 7, 0x82, 0x42, 1, 2, 0x43][..], b"abc"].concat()];
    let mut buffer = [0; 64];
    let request = Request::new(7, b"a CSR").encode(&mut buffer);
    seeds.push(request.expect("it fits").to_vec());
    for refusal in [Refusal::Request, Refusal::Revoked, Refusal::Later] {
        let answer = Answer::refused(u32::MAX, refusal).encode(&mut buffer);
        seeds.push(answer.expect("it fits").to_vec());
    }
    seeds
}

#[test]
fn every_seed_is_a_message_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Request::decode(&seed).is_ok() || Answer::decode(&seed).is_ok());
        run(&seed);
    }
    let answer = &seeds()[0];
    let chain = Answer::decode(answer).unwrap();
    assert!(chain.certificates().unwrap().eq([&[1, 2][..], b"abc"]));
}
