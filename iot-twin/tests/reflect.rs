//! All fields of a struct, written and read at once.
#![cfg(feature = "derive")]
#![allow(
    clippy::unwrap_used,
    clippy::float_cmp,
    clippy::indexing_slicing,
    reason = "a test fails loudly, and compares what was never calculated with"
)]

use iot_twin::leaf::{LeafError, LeafReader, LeafWriter};
use iot_twin::{Text, Twin, reflect};

#[derive(Twin)]
struct Pump {
    #[twin(desired, id = 7, range = 0..=100)]
    speed: u8,
    #[twin(desired, id = 300)]
    name: Text<8>,
    #[twin(reported, id = 2)]
    pressure: Option<f32>,
}

fn read(pump: &mut Pump, bytes: &[u8]) -> Result<(), LeafError> {
    reflect::read(pump, &mut LeafReader::new(bytes))
}

fn pump() -> Pump {
    Pump {
        speed: 40,
        name: "north".try_into().unwrap(),
        pressure: Some(1.5),
    }
}

#[derive(Twin)]
struct Meter {
    // A bound that is no `i32`.
    #[twin(desired, range = 0..=9_007_199_254_740_992)]
    pulses: Option<u64>,
}

#[test]
fn a_bound_may_be_as_large_as_its_field() {
    let range = Meter::SCHEMA[0].range;
    assert_eq!(range, Some((0.0, 9_007_199_254_740_992.0)));
    let mut meter = Meter::INITIAL;
    let last = &mut LeafReader::new(&[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0]);
    assert_eq!(reflect::set(&mut meter, "/pulses", last), Ok(()));
    let beyond = &mut LeafReader::new(&[0x1b, 0, 0x20, 0, 0, 0, 0, 0, 1]);
    assert_eq!(
        reflect::set(&mut meter, "/pulses", beyond),
        Err(LeafError::Range)
    );
    assert_eq!(meter.pulses, Some(1 << 53));
}

#[test]
fn what_was_written_comes_back() {
    let (mut buffer, mut copy) = ([0; 64], Pump::INITIAL);
    let mut out = LeafWriter::new(&mut buffer);
    reflect::write(&pump(), &mut out);
    read(&mut copy, out.finish().unwrap()).unwrap();
    assert_eq!((copy.speed, copy.pressure), (40, Some(1.5)));
    assert_eq!(copy.name, "north");
}

#[test]
fn fields_come_in_any_order_and_unknown_ones_are_skipped() {
    let mut pump = pump();
    // 2: null, 9: [1, 2], 7: 41
    read(&mut pump, b"\x86\x02\xf6\x09\x82\x01\x02\x07\x18\x29").unwrap();
    assert_eq!((pump.speed, pump.pressure), (41, None));
    assert_eq!(pump.name, "north");
}

#[test]
fn a_value_that_is_none_of_its_field_leaves_it_and_the_next_is_read() {
    let mut pump = pump();
    // 7: 101, then 7: "x", then 300: "south"
    let bytes = b"\x86\x07\x18\x65\x07\x61x\x19\x01\x2c\x65south";
    read(&mut pump, bytes).unwrap();
    assert_eq!(pump.speed, 40);
    assert_eq!(pump.name, "south");
}

#[test]
fn what_is_no_list_of_fields_is_refused() {
    for bytes in [
        &b""[..],
        b"\xa0",
        b"\x81\x07",
        b"\x82\x07",
        b"\x82\x61x\x01",
        b"\x83\x07\x01\x02",
        b"\x82\x1a\x00\x01\x00\x00\x01",
        b"\x9b\xff\xff\xff\xff\xff\xff\xff\xfe\x07\x01",
    ] {
        assert_eq!(read(&mut pump(), bytes), Err(LeafError::Kind), "{bytes:x?}");
    }
}
