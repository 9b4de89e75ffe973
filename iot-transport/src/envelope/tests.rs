use super::*;
use proptest::prelude::*;

fn priorities() -> impl Strategy<Value = Priority> {
    (0..4u8).prop_map(|code| priority_of(code).unwrap())
}

proptest! {
    #[test]
    fn every_envelope_survives_the_round_trip(
        (stream, floor, above, priority, life) in (any::<u32>(), 1..u64::MAX / 2, 0..u64::MAX / 2, priorities(), any::<u32>()),
        correlation in proptest::collection::vec(any::<u8>(), 0..=MAX_CORRELATION_BYTES),
        traced in any::<bool>(),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let trace = [7; TRACE_BYTES];
        let life = (life > 0).then(|| Duration::from_secs(life.into()));
        let envelope = Envelope::new(Position::new(stream, floor + above, floor), &payload)
            .with_priority(priority)
            .with_life(life)
            .with_correlation(&correlation)
            .with_trace(if traced { &trace } else { &[] });
        let mut buffer = [0; 200 + OVERHEAD_BYTES];
        let bytes = envelope.encode(&mut buffer).unwrap();
        prop_assert_eq!(Envelope::decode(bytes), Ok(envelope));
        for cut in 0..bytes.len() {
            prop_assert!(Envelope::decode(&bytes[..cut]).is_err());
        }
    }

    #[test]
    fn hostile_bytes_are_refused_or_read_as_they_would_be_written(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(envelope) = Envelope::decode(&bytes) {
            let mut buffer = [0; 200];
            prop_assert_eq!(envelope.encode(&mut buffer).unwrap(), &bytes[..]);
        }
    }
}

#[test]
fn the_longest_envelope_fits_its_bound() {
    let payload = [0; 70_000];
    let position = Position::new(u32::MAX, u64::MAX, u64::MAX);
    let envelope = Envelope::new(position, &payload)
        .with_priority(Priority::Critical)
        .with_life(Some(Duration::MAX))
        .with_correlation(&[0; MAX_CORRELATION_BYTES])
        .with_trace(&[0; TRACE_BYTES]);
    let mut buffer = alloc::vec![0; payload.len() + OVERHEAD_BYTES];
    assert_eq!(envelope.encode(&mut buffer).unwrap().len(), buffer.len());
}

#[test]
fn a_floor_above_the_sequence_or_of_nothing_is_refused() {
    for (sequence, floor) in [(4, 5), (4, 0), (0, 0)] {
        let position = Position {
            stream: 1,
            sequence,
            floor,
        };
        let mut buffer = [0; 64];
        assert!(
            Envelope::new(position, b"x").encode(&mut buffer).is_err(),
            "{sequence} {floor}"
        );
    }
    let mut buffer = [0; 64];
    let mut to = minicbor::Encoder::new(minicbor::encode::write::Cursor::new(&mut buffer[..]));
    to.array(9)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(4)
        .unwrap()
        .u8(5)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(0)
        .unwrap();
    to.bytes(b"")
        .unwrap()
        .bytes(b"")
        .unwrap()
        .bytes(b"x")
        .unwrap();
    let len = to.into_writer().position();
    assert_eq!(Envelope::decode(&buffer[..len]), Err(NotAnEnvelope));
}
