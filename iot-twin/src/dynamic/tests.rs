use super::*;
use crate::leaf::{Kind, Leaf};
use crate::schema::Access;
use alloc::format;
use proptest::prelude::*;

const LIMITS: Limits = Limits::new(9, 4_096, 1 << 20);

fn specs() -> Vec<Spec> {
    let spec = |id, path, kind| Spec::new(id, path, kind, Access::Desired);
    vec![
        spec(1, "/lit", Kind::Bool),
        spec(2, "/pid/kp", Kind::F32).with_range(0.0, 10.0),
        spec(3, "/pid/ki", Kind::F64).optional(),
        spec(300, "/curve", Kind::Signed)
            .with_len(3)
            .with_range(-5.0, 5.0),
        spec(5, "/name", Kind::Text).with_len(8),
        spec(6, "/mode", Kind::Enum).with_names([("Off", 0), ("Eco", 10), ("Boost", 300)]),
        spec(7, "/speed", Kind::Unsigned),
        Spec::new(8, "/flow", Kind::F32, Access::Reported).with_deadband(0.5),
    ]
}

fn twin() -> Dynamic {
    Dynamic::new(&Shape::new(specs()).unwrap())
}

fn ints(values: &[i128]) -> Value {
    Value::Array(values.iter().map(|value| Value::Int(*value)).collect())
}

#[test]
fn a_field_takes_its_values_and_no_others() {
    let mut twin = twin();
    for (path, value, held) in [
        ("/lit", true.into(), Value::Bool(true)),
        ("/pid/kp", 3.into(), Value::Float(3.0)),
        ("/pid/kp", 0.1.into(), Value::Float(f64::from(0.1_f32))),
        ("/pid/ki", 0.1.into(), Value::Float(0.1)),
        ("/pid/ki", Value::Null, Value::Null),
        ("/curve", ints(&[-5, 0, 5]), ints(&[-5, 0, 5])),
        ("/name", "eight ch".into(), Value::from("eight ch")),
        ("/mode", "Boost".into(), Value::Int(300)),
        ("/mode", 10.into(), Value::Int(10)),
        (
            "/speed",
            Value::Int(u64::MAX.into()),
            Value::Int(u64::MAX.into()),
        ),
    ] {
        assert_eq!(twin.set(path, value), Ok(()), "{path}");
        assert_eq!(twin.get(path), Some(&held), "{path}");
    }
    let before = twin.document(LIMITS).unwrap();
    for (path, value, error) in [
        ("/lit", Value::Int(1), LeafError::Kind),
        ("/lit", Value::Null, LeafError::Kind),
        ("/pid/kp", 10.5.into(), LeafError::Range),
        ("/pid/kp", f64::NAN.into(), LeafError::Range),
        ("/curve", ints(&[0, 0]), LeafError::Kind),
        ("/curve", ints(&[0, 0, 6]), LeafError::Range),
        (
            "/curve",
            Value::Array([Value::Int(6), Value::Int(0), Value::Bool(true)].into()),
            LeafError::Kind,
        ),
        ("/curve", Value::Int(1), LeafError::Kind),
        ("/name", "nine char".into(), LeafError::Range),
        ("/mode", 11.into(), LeafError::Variant),
        ("/mode", "Turbo".into(), LeafError::Variant),
        ("/mode", true.into(), LeafError::Kind),
        ("/speed", Value::Int(-1), LeafError::Range),
        ("/pid", Value::map([]), LeafError::Unknown),
        ("/nobody", 1.into(), LeafError::Unknown),
        ("lit", true.into(), LeafError::Unknown),
    ] {
        assert_eq!(twin.set(path, value), Err(error), "{path}");
    }
    assert_eq!(twin.document(LIMITS).unwrap(), before);
}

#[test]
fn a_patch_is_taken_whole_or_not_at_all() {
    let mut twin = twin();
    twin.set("/pid/ki", 1.0).unwrap();
    let pid = |entries: &[(&str, Value)]| Value::map([("pid", Value::map(entries.to_vec()))]);
    twin.merge(&pid(&[("kp", 2.5.into()), ("ki", Value::Null)]))
        .unwrap();
    assert_eq!(twin.get("/pid/kp"), Some(&Value::Float(2.5)));
    assert_eq!(twin.get("/pid/ki"), Some(&Value::Null));
    twin.merge(&pid(&[])).unwrap();
    let before = twin.document(LIMITS).unwrap();
    assert_eq!(before.get(Path::parse("/pid/ki").unwrap()), None);
    for (patch, error) in [
        (
            pid(&[("kp", 3.into()), ("kd", 1.into())]),
            LeafError::Unknown,
        ),
        (
            pid(&[("kp", 3.into()), ("ki", "x".into())]),
            LeafError::Kind,
        ),
        (Value::map([("pid", 1.into())]), LeafError::Unknown),
        (Value::map([("lit", Value::Null)]), LeafError::Kind),
        (Value::Int(1), LeafError::Unknown),
    ] {
        assert_eq!(twin.merge(&patch), Err(error), "{patch:?}");
        assert_eq!(twin.document(LIMITS).unwrap(), before);
    }
}

#[test]
fn a_shape_has_bounds_and_its_fields_do_not_overlap() {
    let spec = |id: u16, path: &str| Spec::new(id, path, Kind::Bool, Access::Desired);
    let shape = |specs: Vec<Spec>| Shape::new(specs).map(drop);
    let id = FieldId::new;
    let one = |spec: Spec| shape(vec![spec]);
    for path in ["", "/", "lit", "/a//b", "/~2", "/a/b/c/d/e/f/g/h/i"] {
        assert_eq!(
            one(spec(1, path)),
            Err(ShapeError::Path { field: id(1) }),
            "{path}"
        );
    }
    let long = format!("/{}", "x".repeat(127));
    assert_eq!(one(spec(1, &long)), Ok(()));
    assert!(one(spec(1, &format!("{long}x"))).is_err());
    for (first, second) in [
        ("/a", "/a"),
        ("/a", "/a/b"),
        ("/a/b", "/a"),
        ("/a/b/c", "/a/b"),
    ] {
        let both = vec![spec(1, first), spec(2, second)];
        assert_eq!(
            shape(both),
            Err(ShapeError::Overlap { field: id(2) }),
            "{first} {second}"
        );
    }
    assert_eq!(
        shape(vec![spec(1, "/a/b"), spec(2, "/a/bc"), spec(3, "/ab")]),
        Ok(())
    );
    let twice = vec![spec(1, "/a"), spec(1, "/b")];
    assert_eq!(shape(twice), Err(ShapeError::Repeated { field: id(1) }));
    let of = |kind| Spec::new(1, "/a", kind, Access::Desired);
    for spec in [
        of(Kind::Text),
        of(Kind::Text).with_len(1_001),
        of(Kind::Bool).with_len(65),
        of(Kind::Enum),
        of(Kind::Enum).with_names([("a", 1), ("b", 1)]),
        of(Kind::Enum).with_names([("a", 1), ("a", 2)]),
        of(Kind::F32).with_range(2.0, 1.0),
        of(Kind::F32).with_range(f64::NAN, 1.0),
        of(Kind::F32).with_deadband(-1.0),
    ] {
        assert_eq!(
            one(spec.clone()),
            Err(ShapeError::Field { field: id(1) }),
            "{spec:?}"
        );
    }
    let many = |count: u16| (0..count).map(|id| spec(id, &format!("/f{id}"))).collect();
    assert_eq!(shape(many(1_024)), Ok(()));
    assert_eq!(shape(many(1_025)), Err(ShapeError::TooMany));
}

#[test]
fn another_shape_has_another_fingerprint() {
    let print = |specs: Vec<Spec>| Shape::new(specs).unwrap().fingerprint();
    let before = print(specs());
    assert_eq!(print(specs()), before);
    for at in 0..specs().len() {
        let mut fewer = specs();
        fewer.remove(at);
        assert_ne!(print(fewer), before);
        let mut other = specs();
        other[at] = other[at].clone().with_range(0.0, 99.0);
        assert_ne!(print(other), before);
    }
}

#[test]
fn a_change_below_the_deadband_is_none() {
    let (mut twin, told) = (twin(), twin());
    let flow = twin.find(8).unwrap();
    for (value, moved) in [(0.4, false), (0.5, true), (f64::NAN, true)] {
        twin.set("/flow", value).unwrap();
        assert_eq!(twin.moved(flow, &told), moved, "{value}");
    }
    assert!(!twin.moved(flow, &twin.clone()), "not-a-number is itself");
}

/// What is told of a dynamic twin: some value of each kind, or bytes of any.
fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..24),
        crate::value::tests::any_value().prop_map(|value| value.to_cbor()),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_a_field_holds_one_of_its_values_in_no_more_than_it_may_take(
        bytes in any_bytes(), index in 0..9_usize,
    ) {
        let mut twin = twin();
        let before = twin.values.clone();
        let mut input = LeafReader::new(&bytes);
        let read = twin.decode(index, &mut input);
        prop_assert!(read.is_err() || twin.accepts(index));
        if read.is_err() {
            prop_assert_eq!(twin.values.len(), before.len());
            let same = twin.values.iter().zip(&before).all(|(one, two)| one.to_cbor() == two.to_cbor());
            prop_assert!(same);
        }
        if let Some(field) = twin.fields().get(index) {
            let mut buffer = [0; 1_024];
            let mut out = LeafWriter::new(&mut buffer);
            twin.encode(index, &mut out);
            let told = out.finish().unwrap().to_vec();
            prop_assert!(told.len() <= field.max_bytes.into());
            let mut again = twin.blank();
            prop_assert_eq!(again.decode(index, &mut LeafReader::new(&told)), Ok(()));
            prop_assert!(!again.moved(index, &twin) || field.id.get() == 8);
        }
    }
}

#[test]
fn what_is_wrong_first_in_a_list_is_told_whatever_stands_behind_it() {
    let list = Spec::new(0, "/curve", Kind::Signed, Access::Desired).with_len(3);
    let below_64_bits = [0x3b, 0x98, 0, 0, 0, 0, 0, 0, 0];
    let no_text = [0x61, 0xff];
    let read = |items: [&[u8]; 3]| {
        list.read(&mut LeafReader::new(
            &[&[0x83], &items.concat()[..]].concat(),
        ))
    };
    assert_eq!(
        read([&below_64_bits, &[0x2f], &no_text]),
        Err(LeafError::Range)
    );
    assert_eq!(
        read([&no_text, &[0x2f], &below_64_bits]),
        Err(LeafError::Kind)
    );
    assert_eq!(read([&[0], &[0x2f], &no_text]), Err(LeafError::Kind));
    // A head that is longer than it must be is no reason.
    assert_eq!(
        read([&[0x38, 1], &below_64_bits, &no_text]),
        Err(LeafError::Range)
    );
}

#[test]
fn no_value_is_one_byte_as_for_a_struct() {
    let trim = Spec::new(0, "/trim", Kind::Unsigned, Access::Desired).optional();
    let mut same = Some(7_u64);
    for (bytes, expected) in [
        (&[0x80][..], Ok(Value::Null)),
        (&[0xf6], Ok(Value::Null)),
        (&[0x98, 0], Err(LeafError::Kind)),
        (&[0x99, 0, 0], Err(LeafError::Kind)),
        (&[0x18, 5], Ok(Value::Int(5))),
    ] {
        let read = trim.read(&mut LeafReader::new(bytes));
        assert_eq!(read, expected, "{bytes:02x?}");
        let of_struct = same.decode(&mut LeafReader::new(bytes));
        assert_eq!(of_struct, expected.map(drop), "{bytes:02x?}");
    }
    assert_eq!(same, Some(5));
}

#[test]
fn a_range_is_held_against_values_of_the_fields_own_type() {
    let of = |kind, least, greatest| {
        Spec::new(0, "/a", kind, Access::Desired).with_range(least, greatest)
    };
    let read = |spec: &Spec, bytes: &[u8]| spec.read(&mut LeafReader::new(bytes)).is_ok();
    // As a struct compares: 30.1 in single precision is more than in double.
    let single = of(Kind::F32, 0.7, 30.1);
    for (number, is_within) in [
        (0.7_f32, true),
        (30.1, true),
        (0.7_f32.next_down(), false),
        (30.1_f32.next_up(), false),
    ] {
        let bytes = [&[0xfa], &number.to_be_bytes()[..]].concat();
        assert_eq!(read(&single, &bytes), is_within, "{number}");
    }
    let last = 1_u64 << 53;
    let whole = of(Kind::Unsigned, 0.5, 9_007_199_254_740_992.0);
    for (number, is_within) in [(0, false), (1, true), (last, true), (last + 1, false)] {
        let bytes = [&[0x1b], &number.to_be_bytes()[..]].concat();
        assert_eq!(read(&whole, &bytes), is_within, "{number}");
    }
    let below = of(Kind::Signed, -2.5, -0.5);
    for (number, is_within) in [(0x22, false), (0x21, true), (0x20, true), (0x00, false)] {
        assert_eq!(read(&below, &[number]), is_within, "{number}");
    }
}
