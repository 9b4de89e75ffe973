//! Envelopes, and what a receiver makes of their numbers.

use iot_transport::envelope::{Envelope, OVERHEAD_BYTES, Position};
use iot_transport::gaps::GapTracker;

/// What is decoded is what the encoder writes, and no number makes a tracker panic or tell a gap that is none.
pub fn run(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else {
        return;
    };
    let mut room = vec![0; data.len() + OVERHEAD_BYTES];
    assert_eq!(envelope.encode(&mut room).expect("it fits"), data);
    let mut tracker = GapTracker::<2>::new();
    let position = envelope.position;
    for sequence in [position.sequence / 2, position.sequence, position.floor] {
        let position = Position::new(position.stream, sequence, position.floor);
        let _ = tracker.receive(position, |gap| assert!(gap.first <= gap.last));
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let plain = Envelope::new(Position::new(7, 1, 1), b"21.5");
    let full = Envelope::new(Position::new(u32::MAX, 1 << 40, 1 << 39), b"open")
        .with_correlation(b"request-9")
        .with_trace(&[3; 25]);
    let encode = |envelope: Envelope<'_>| {
        let mut room = [0; 200];
        envelope.encode(&mut room).expect("it fits").to_vec()
    };
    vec![encode(plain), encode(full)]
}

#[test]
fn every_seed_is_an_envelope_and_keeps_the_claims() {
    for seed in seeds() {
        assert!(Envelope::decode(&seed).is_ok());
        run(&seed);
    }
}
