//! Each value comes back as it was, from the bytes that the standard says.

use super::*;
use proptest::prelude::*;

const HALF: u8 = 0xf9;
const DOUBLE: u8 = 0xfb;

fn there_and_back<L: Leaf>(value: &L) -> L {
    let mut buffer = [0; 64];
    let mut out = LeafWriter::new(&mut buffer);
    value.encode(&mut out);
    let bytes = out.finish().unwrap();
    assert!(bytes.len() <= L::MAX_BYTES);
    assert_eq!(LeafReader::new(bytes).value(), bytes);
    read(bytes).unwrap()
}

fn read<L: Leaf>(bytes: &[u8]) -> Result<L, LeafError> {
    let mut value = L::INITIAL;
    value.decode(&mut LeafReader::new(bytes)).map(|()| value)
}

#[test]
fn half_precision_is_read_as_the_standards_table_says() {
    // RFC 8949, appendix A.
    for (bytes, value) in [
        ([0xf9, 0x00, 0x00], 0.0),
        ([0xf9, 0x3c, 0x00], 1.0),
        ([0xf9, 0x3e, 0x00], 1.5),
        ([0xf9, 0x7b, 0xff], 65_504.0),
        ([0xf9, 0x00, 0x01], 5.960_464_477_539_063e-8),
        ([0xf9, 0x04, 0x00], 0.000_061_035_156_25),
        ([0xf9, 0xc4, 0x00], -4.0),
    ] {
        assert_eq!(read::<f64>(&bytes), Ok(value));
    }
    assert_eq!(read::<f32>(&[0xf9, 0x7c, 0x00]), Err(LeafError::Range));
    assert!(float::double(HALF, 0x7e00).unwrap().is_nan());
    assert_eq!(
        float::double(HALF, 0xfc00).unwrap().to_bits(),
        f64::NEG_INFINITY.to_bits()
    );
}

#[test]
fn a_whole_number_is_a_number_and_a_text_is_none() {
    assert_eq!(read::<f32>(&[0x15]), Ok(21.0));
    assert_eq!(read::<f32>(b"\x61a"), Err(LeafError::Kind));
    assert_eq!(read::<u8>(&[0x19, 1, 0]), Err(LeafError::Range));
    assert_eq!(read::<u8>(&[0x20]), Err(LeafError::Range));
    assert_eq!(read::<i8>(&[0x38, 0x80]), Err(LeafError::Range));
    assert_eq!(read::<bool>(&[0x01]), Err(LeafError::Kind));
    // Cut off.
    for bytes in [
        &[][..],
        &[0x19, 1],
        &[0x1a, 0, 0, 1],
        &[0x39, 1],
        &[0xfa, 0, 0],
    ] {
        assert_eq!(read::<u16>(bytes), Err(LeafError::Kind));
        assert_eq!(read::<i16>(bytes), Err(LeafError::Kind));
        assert_eq!(read::<f32>(bytes), Err(LeafError::Kind));
    }
}

#[test]
fn what_is_no_value_leaves_the_field_as_it_was() {
    let mut text = Text::<4>::new("warm").unwrap();
    for (bytes, error) in [
        (&b"\x65seven"[..], LeafError::Range),
        (b"\x62\xff\xff", LeafError::Kind),
        (b"\x64abc", LeafError::Kind),
        (b"\x01", LeafError::Kind),
    ] {
        assert_eq!(text.decode(&mut LeafReader::new(bytes)), Err(error));
        assert_eq!(text, "warm");
    }
    let mut list = [1_u8, 2];
    for (bytes, error) in [
        (&b"\x83\x01\x01\x01"[..], LeafError::Kind),
        (b"\x82\x03\xf5", LeafError::Kind),
        (b"\x82\x03\x19\x01\x00", LeafError::Range),
        (b"\x82\x03", LeafError::Kind),
    ] {
        assert_eq!(list.decode(&mut LeafReader::new(bytes)), Err(error));
        assert_eq!(list, [1, 2]);
    }
}

#[test]
fn a_value_that_cannot_be_compared_counts_as_moved_once() {
    assert!(f32::NAN.moved(&1.0, 0.5));
    assert!(!f32::NAN.moved(&f32::NAN, 0.5));
    assert!(1.0_f32.moved(&f32::NAN, 0.5));
    assert!(!f32::NAN.within(&0.0, &f32::INFINITY));
}

#[test]
fn a_shorter_text_leaves_nothing_of_the_longer_one() {
    let mut text = Text::<8>::new("password").unwrap();
    text.set("on").unwrap();
    assert_eq!(text, Text::new("on").unwrap());
    assert_eq!(std::format!("{text:?} {text}"), "\"on\" on");
}

proptest! {
    #[test]
    fn every_leaf_comes_back(a: bool, b: u64, c: i64, d: i8, e in proptest::num::f64::NORMAL, f in proptest::num::f32::NORMAL, g: Option<u16>, h: [i16; 3], i in "[a-zäß]{0,6}") {
        prop_assert_eq!(there_and_back(&a), a);
        prop_assert_eq!(there_and_back(&b), b);
        prop_assert_eq!(there_and_back(&c), c);
        prop_assert_eq!(there_and_back(&d), d);
        prop_assert!(there_and_back(&e).same(&e));
        prop_assert!(there_and_back(&f).same(&f));
        prop_assert_eq!(there_and_back(&g), g);
        prop_assert_eq!(there_and_back(&h), h);
        prop_assert_eq!(there_and_back(&Some(h)), Some(h));
        let text = Text::<12>::new(&i).unwrap();
        prop_assert_eq!(there_and_back(&text), text);
    }

    #[test]
    fn numbers_are_rounded_as_the_compiler_rounds_them(wide: u64, narrow in proptest::num::f64::ANY, short: u64, shift in 0_u32..64) {
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "that is what is compared")]
        for (ours, theirs) in [
            ((0x1b, wide), wide as f32),
            ((0x3b, wide), (-1 - i128::from(wide)) as f32),
            ((0x1b, short >> shift), (short >> shift) as f32),
            ((DOUBLE, wide), f64::from_bits(wide) as f32),
            ((DOUBLE, narrow.to_bits()), narrow as f32),
            // Where single precision becomes subnormal and where it ends.
            ((DOUBLE, (0x36 << 56) | wide >> 8), f64::from_bits((0x36 << 56) | wide >> 8) as f32),
            ((DOUBLE, (0x38 << 56) | wide >> 8), f64::from_bits((0x38 << 56) | wide >> 8) as f32),
            ((DOUBLE, (0x47 << 56) | wide >> 8), f64::from_bits((0x47 << 56) | wide >> 8) as f32),
        ] {
            let (first, argument) = ours;
            let ours = float::single(first, argument).unwrap();
            prop_assert!(ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan(), "{ours} {theirs}");
        }
    }

    #[test]
    fn floats_rank_as_they_are_compared(one: f32, two: f32, three: f64, four: f64) {
        prop_assert_eq!(one.reaches(&two), one >= two || one.is_nan());
        prop_assert_eq!(three.reaches(&four), three >= four || three.is_nan());
        prop_assert_eq!(one.same(&two), one == two);
        prop_assert_eq!(one.within(&two, &f32::INFINITY), one >= two);
    }

    #[test]
    fn a_deadband_is_measured_to_the_last_place(one in -1e6_f32..1e6, by in -2.0_f32..2.0, step in 0.0_f32..2.0, wild in proptest::num::f32::ANY, other in proptest::num::f32::ANY) {
        for (one, two, step) in [(one, one + by, step), (one, one + by, by.abs()), (wild, other, step), (wild, one, other.abs()), (wild, wild / 2.0, wild.abs() / 2.0)] {
            if [one, two, step].into_iter().any(f32::is_nan) || step.is_infinite() {
                continue;
            }
            let distance = (f64::from(one) - f64::from(two)).abs();
            // Below, the last place of the larger number is what counts.
            let blur = f64::from(one.abs().max(two.abs())) * 2.0_f64.powi(-29);
            let moved = one.moved(&two, step);
            if distance >= f64::from(step) + blur && one != two {
                prop_assert!(moved, "{one} {two} {step}");
            } else if distance < f64::from(step) - blur || one == two {
                prop_assert!(!moved, "{one} {two} {step}");
            }
        }
        prop_assert!(one.moved(&f32::INFINITY, step));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..16)) {
        let _ = read::<Option<f32>>(&bytes);
        let _ = read::<i16>(&bytes);
        let _ = read::<bool>(&bytes);
        let _ = read::<Text<4>>(&bytes);
        let _ = read::<Option<[f64; 2]>>(&bytes);
        let mut input = LeafReader::new(&bytes);
        prop_assert!(bytes.starts_with(input.value()));
    }

    #[test]
    fn another_value_is_another(a: f32, b: i32, c: [u8; 2]) {
        prop_assert!(!a.other().same(&a));
        prop_assert!(!b.other().same(&b));
        prop_assert!(!c.other().same(&c));
        prop_assert!(!Text::<1>::EMPTY.other().same(&Text::EMPTY));
    }
}
