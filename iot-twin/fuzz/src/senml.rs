//! Packs of measurements (RFC 8428).

use iot_twin::telemetry::{Entry, Pack, Records};

/// Reading ends, with or without an error, and after an error there is nothing more.
pub fn run(data: &[u8]) {
    let mut records = Records::read(data);
    let mut read = 0_usize;
    while let Some(record) = records.next() {
        read += 1;
        // Every record takes at least a byte.
        assert!(read <= data.len() + 1);
        if record.is_err() {
            assert!(records.next().is_none());
        }
    }
    assert!(Records::with_limit(data, 1).count() <= 2);
}

/// A pack with everything that ours write.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut buffer = [0; 128];
    let mut pack = Pack::new(&mut buffer)
        .with_name("boiler-7/")
        .with_unit("Cel");
    pack.add(&Entry::new("water", 21.5).at_s(-1.0))
        .expect("room");
    pack.add(&Entry::new("steam", 121.0)).expect("room");
    vec![pack.finish().to_vec(), b"\x80".to_vec()]
}

#[test]
fn every_seed_is_a_pack_and_keeps_the_claims() {
    let seeds = seeds();
    assert_eq!(Records::read(&seeds[0]).filter(Result::is_ok).count(), 2);
    seeds.iter().for_each(|seed| run(seed));
}
