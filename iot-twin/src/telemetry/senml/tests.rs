use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

fn read(pack: &[u8]) -> Result<Vec<Record<'_>>, ReadError> {
    Records::read(pack).collect()
}

#[test]
fn bases_are_added_and_stay_until_replaced() {
    // [{bn:"a/", bt:100, bu:"W", bv:10, bs:1, n:"x", v:1, s:2}, {n:"y", u:"V", t:-5, v:2}, {bn:"b/", n:"z", vb:true}]
    let pack = b"\x83\xa8\x21\x62a/\x22\x18\x64\x23\x61W\x24\x0a\x25\x01\x00\x61x\x02\x01\x05\x02\
        \xa4\x00\x61y\x01\x61V\x06\x24\x02\x02\xa3\x21\x62b/\x00\x61z\x04\xf5";
    let records = read(pack).unwrap();
    let [x, y, z] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(x.name.to_string(), "a/x");
    assert_eq!(
        (x.unit, x.value, x.sum),
        (Some("W"), Some(Measured::Number(11.0)), Some(3.0))
    );
    assert_eq!(
        (y.unit, y.value, y.time_s),
        (Some("V"), Some(Measured::Number(12.0)), 95.0)
    );
    assert_eq!(
        (z.name == "b/z", z.value),
        (true, Some(Measured::Bool(true)))
    );
}

#[test]
fn what_must_be_understood_is_refused_and_other_extensions_are_skipped() {
    let known = |label: &[u8]| {
        let mut pack = b"\x81\xa3\x00\x61x\x02\x01".to_vec();
        pack.extend_from_slice(label);
        pack.push(0x01);
        read(&pack).map(|records| records.len())
    };
    assert_eq!(known(b"\x61l"), Ok(1));
    assert_eq!(known(b"\x18\x63"), Ok(1));
    assert_eq!(
        known(b"\x62l_"),
        Err(ReadError::MustUnderstand { position: 1 })
    );
}

#[test]
fn a_newer_version_is_refused() {
    let pack = |version| [0x81, 0xa3, 0x20, version, 0x00, 0x61, b'x', 0x02, 0x01];
    assert!(read(&pack(10)).is_ok());
    assert_eq!(read(&pack(11)), Err(ReadError::Version { version: 11 }));
}

#[test]
fn a_decimal_fraction_is_a_number() {
    // 273.15 as [-2, 27315], the example of RFC 8949 §3.4.4.
    let pack = b"\x81\xa2\x00\x61x\x02\xc4\x82\x21\x19\x6a\xb3";
    assert_eq!(read(pack).unwrap()[0].value, Some(Measured::Number(273.15)));
}

#[test]
fn two_values_and_bad_names_and_too_many_records_are_refused() {
    let two = b"\x81\xa3\x00\x61x\x02\x01\x04\xf5";
    assert_eq!(read(two), Err(ReadError::Ambiguous { position: 1 }));
    let name = b"\x81\xa2\x00\x61-\x02\x01";
    assert_eq!(read(name), Err(ReadError::Name { position: 1 }));
    let many = b"\x82\xa2\x00\x61x\x02\x01\xa2\x00\x61x\x02\x01";
    let limited: Result<Vec<_>, _> = Records::with_limit(many, 1).collect();
    assert_eq!(limited, Err(ReadError::Limit { limit: 1 }));
}

#[test]
fn a_stream_is_read_as_far_as_it_came() {
    let stream = b"\x9f\xa2\x00\x61x\x02\x01\xff";
    assert_eq!(read(stream).unwrap().len(), 1);
    assert_eq!(read(&stream[..7]).unwrap().len(), 1);
    assert!(read(&stream[..6]).is_err());
}

#[test]
fn a_measurement_that_does_not_fit_leaves_the_pack_as_it_was() {
    let mut buffer = [0; 12];
    let mut pack = Pack::new(&mut buffer);
    pack.add(&Entry::new("x", 1.0)).unwrap();
    assert_eq!(pack.add(&Entry::new("y", 1.5)), Err(PackError::Full));
    assert_eq!(pack.add(&Entry::new("-", 1.0)), Err(PackError::Name));
    assert_eq!(
        pack.add(&Entry::new("x", f64::NAN)),
        Err(PackError::NotFinite)
    );
    assert_eq!(pack.finish(), b"\x81\xa2\x00\x61x\x02\x01");
}

#[test]
fn the_head_has_the_shortest_form_for_every_count() {
    for count in [0, 1, 23, 24, 255, 256, 300] {
        let mut buffer = [0; 4_096];
        let mut pack = Pack::new(&mut buffer);
        (0..count).for_each(|_| pack.add(&Entry::new("x", 1.0)).unwrap());
        let bytes = pack.finish();
        let head = 1 + usize::from(count >= 24) + usize::from(count >= 256);
        assert_eq!(bytes.len(), head + 6 * count);
        assert_eq!(read(bytes).unwrap().len(), count);
    }
}

#[test]
fn a_base_that_changes_holds_from_then_on() {
    let mut buffer = [0; 128];
    let mut pack = Pack::new(&mut buffer).with_name("a/").with_unit("W");
    pack.add(&Entry::new("x", 1.0)).unwrap();
    let mut pack = pack.with_name("b/").with_time_s(100.0);
    pack.add(&Entry::new("x", 2.0)).unwrap();
    pack.add(&Entry::new("y", 3.0)).unwrap();
    let mut pack = pack.with_name("").with_unit("").with_time_s(0.0);
    pack.add(&Entry::new("x", 4.0)).unwrap();
    let records = read(pack.finish()).unwrap();
    let told: Vec<_> = records
        .iter()
        .map(|record| (record.name.to_string(), record.unit, record.time_s))
        .collect();
    let expected = [
        ("a/x", Some("W"), 0.0),
        ("b/x", Some("W"), 100.0),
        ("b/y", Some("W"), 100.0),
        ("x", None, 0.0),
    ];
    assert_eq!(
        told,
        expected.map(|(name, unit, time)| (name.into(), unit, time))
    );
}

#[test]
fn a_number_that_its_base_makes_infinite_is_refused() {
    let huge = 1e308_f64.to_be_bytes();
    // [{n:"x", v:1, BASE:1e308, OWN:1e308}], for each number that has a base.
    for (base, own) in [(0x24, 0x02), (0x25, 0x05), (0x22, 0x06)] {
        let pack = |times: usize| {
            let mut pack = b"\x81".to_vec();
            pack.push(0xa2 + u8::try_from(times).unwrap() + u8::from(own != 0x02));
            pack.extend(b"\x00\x61x");
            if own != 0x02 {
                pack.extend(b"\x02\x01");
            }
            for label in [own, base].into_iter().take(1 + times) {
                pack.extend([label, 0xfb]);
                pack.extend(huge);
            }
            pack
        };
        let finite = read(&pack(0)).map(|records| records.len());
        assert_eq!(finite, Ok(1));
        assert_eq!(read(&pack(1)), Err(ReadError::Number { position: 1 }));
    }
}

#[test]
fn a_record_that_says_a_thing_twice_is_refused() {
    // Each field of the standard in a record that has it once, and in one that has it twice.
    let fields: [&[u8]; 15] = [
        b"\x20\x0a",
        b"\x21\x61y",
        b"\x22\x01",
        b"\x23\x61W",
        b"\x24\x01",
        b"\x25\x01",
        b"\x00\x61x",
        b"\x01\x61V",
        b"\x02\x01",
        b"\x03\x61t",
        b"\x04\xf5",
        b"\x05\x01",
        b"\x06\x01",
        b"\x07\x01",
        b"\x08\x41b",
    ];
    for field in fields {
        let pack = |times: usize| {
            let mut entries: Vec<&[u8]> = Vec::new();
            if field[0] != 0 {
                entries.push(b"\x00\x61x");
            }
            // A value or a sum there must be.
            if !matches!(field[0], 2..=4 | 8) {
                entries.push(b"\x02\x01");
            }
            entries.extend((0..times).map(|_| field));
            let mut pack = b"\x81".to_vec();
            pack.push(0xa0 + u8::try_from(entries.len()).unwrap());
            pack.extend(entries.concat());
            pack
        };
        assert_eq!(
            read(&pack(1)).map(|records| records.len()),
            Ok(1),
            "{field:?}"
        );
        let twice = Err(ReadError::Ambiguous { position: 1 });
        assert_eq!(read(&pack(2)), twice, "{field:?}");
    }
}

#[test]
fn every_record_of_a_pack_is_of_one_version() {
    let pack = |first: Option<u8>, second: Option<u8>| {
        let mut pack = b"\x82".to_vec();
        for version in [first, second] {
            pack.push(0xa2 + u8::from(version.is_some()));
            pack.extend(version.into_iter().flat_map(|version| [0x20, version]));
            pack.extend(b"\x00\x61x\x02\x01");
        }
        read(&pack).map(|records| records.len())
    };
    assert_eq!(pack(None, Some(10)), Ok(2));
    assert_eq!(pack(Some(5), None), Ok(2));
    for (first, second) in [(None, 5), (Some(10), 5), (Some(5), 10)] {
        let version = second.into();
        assert_eq!(
            pack(first, Some(second)),
            Err(ReadError::Version { version })
        );
    }
}

fn any_entry() -> impl Strategy<Value = (String, Option<String>, f64, u8)> {
    let name = "[a-z0-9][a-z0-9:._/-]{0,8}";
    (
        name,
        proptest::option::of("[A-Za-z%/]{1,4}"),
        -1e12..1e12,
        any::<u8>(),
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in proptest::collection::vec(any_entry(), 0..40), base in "[a-z]{0,5}", time in 0_u32..2_000_000_000) {
        let mut buffer = [0; 4_096];
        let mut pack = Pack::new(&mut buffer).with_name(&base).with_time_s(time.into()).with_unit("W");
        let value = |number: f64, kind: u8| match kind % 3 {
            0 => Measured::Number(number),
            1 => Measured::Bool(number > 0.0),
            _ => Measured::Text("text"),
        };
        for (name, unit, number, kind) in &entries {
            let mut entry = Entry::new(name, value(*number, *kind)).at_s(f64::from(*kind) / 2.0);
            entry.unit = unit.as_deref();
            pack.add(&entry).unwrap();
        }
        let records = read(pack.finish()).unwrap();
        prop_assert_eq!(records.len(), entries.len());
        for (record, (name, unit, number, kind)) in records.iter().zip(&entries) {
            prop_assert_eq!(record.name.to_string(), base.clone() + name);
            prop_assert_eq!(record.unit, unit.as_deref().or(Some("W")));
            prop_assert_eq!(record.value, Some(value(*number, *kind)));
            prop_assert_eq!(record.time_s, f64::from(time) + f64::from(*kind) / 2.0);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic_and_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(Records::read(&bytes).count() <= bytes.len() + 1);
    }
}
