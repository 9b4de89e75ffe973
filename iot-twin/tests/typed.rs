//! Structs as twins: everything a field can be, between a device and a service.
#![cfg(all(feature = "alloc", feature = "derive"))]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::float_cmp,
    reason = "a test fails loudly, on a host, and compares what was never calculated with"
)]

#[path = "typed/absent.rs"]
mod absent;
#[path = "typed/answer.rs"]
mod answer;
#[path = "typed/evolution.rs"]
mod evolution;
#[path = "typed/local.rs"]
mod local;
#[path = "typed/pair.rs"]
mod pair;

use iot_twin::leaf::{LeafError, LeafReader, LeafWriter};
use iot_twin::schema::Access;
use iot_twin::sync::{DesireError, Edit, Subscriptions};
use iot_twin::{FieldId, Sensitivity, Text, Twin, TwinEnum, TwinService, Value, reflect};
use pair::Pair;

#[derive(Clone, Copy, Debug, PartialEq, TwinEnum)]
enum Mode {
    Off = 0,
    Eco = 10,
    Boost = 300,
}

#[derive(Twin)]
struct Pid {
    #[twin(desired, id = 0, range = 0.0..=10.0)]
    kp: f32,
    #[twin(desired, id = 2)]
    ki: Option<f32>,
}

#[derive(Twin)]
struct Loop {
    #[twin(group, id = 4)]
    pid: Pid,
    #[twin(reported, id = 0, deadband = 2)]
    output: i16,
}

#[derive(Twin)]
struct Boiler {
    #[twin(group, id = 100)]
    heating: Loop,
    #[twin(group, id = 200)]
    water: Loop,
    #[twin(desired, id = 1)]
    mode: Mode,
    #[twin(desired, id = 2, range = -5..=5)]
    curve: [i8; 4],
    #[twin(desired, id = 3, secret)]
    key: Text<12>,
    #[twin(desired, id = 4, personal)]
    owner: Option<Text<40>>,
    #[twin(desired, reported, id = 5, deadband = 1)]
    valve: u8,
    #[twin(reported, id = 6)]
    seen: [bool; 2],
}

fn number(value: f64) -> Value {
    Value::Float(value)
}

#[test]
fn a_group_is_numbered_from_its_id_and_named_by_its_path() {
    let fields: Vec<_> = Boiler::SCHEMA
        .iter()
        .map(|schema| (schema.field.id.get(), schema.name.to_string()))
        .collect();
    let expected = [
        (104, "heating/pid/kp"),
        (106, "heating/pid/ki"),
        (100, "heating/output"),
        (204, "water/pid/kp"),
        (206, "water/pid/ki"),
        (200, "water/output"),
        (1, "mode"),
        (2, "curve"),
        (3, "key"),
        (4, "owner"),
        (5, "valve"),
        (6, "seen"),
    ];
    assert_eq!(fields, expected.map(|(id, name)| (id, name.to_owned())));
    assert_eq!((Boiler::COUNT, Boiler::SPAN), (12, 207));
    for (index, field) in Boiler::FIELDS.iter().enumerate() {
        assert_eq!(*field, Boiler::SCHEMA[index].field);
        assert_eq!(Boiler::index(field.id.get()), Some(index));
    }
    for nobody in [0, 7, 99, 101, 105, 107, 203, 207, 65_535] {
        assert_eq!(Boiler::index(nobody), None, "{nobody}");
    }
}

#[test]
fn every_kind_of_field_is_desired_applied_and_reported() {
    let mut pair = Pair::<Boiler>::new();
    pair.device.report(|boiler| {
        boiler.seen = [true, false];
        boiler.water.output = -7;
    });
    let set = |boiler: &mut BoilerDesired| {
        boiler.heating.pid.kp = 2.5;
        boiler.water.pid.ki = Some(0.25);
        boiler.mode = Mode::Boost;
        boiler.curve = [-5, 0, 3, 5];
        boiler.key = Text::new("s3cret").unwrap();
        boiler.owner = Some(Text::new("Zoë").unwrap());
        boiler.valve = 50;
    };
    assert_eq!(pair.service.desire::<Boiler>(set), Ok(7));
    pair.settle();
    assert!(pair.service.is_converged());
    let there = pair.device.state();
    assert_eq!(there.heating.pid.kp, 2.5);
    assert_eq!(
        (there.water.pid.ki, there.heating.pid.ki),
        (Some(0.25), None)
    );
    assert_eq!((there.mode, there.curve), (Mode::Boost, [-5, 0, 3, 5]));
    assert_eq!(there.key, "s3cret");
    let here: Boiler = pair.service.state().unwrap();
    assert_eq!(here.owner.unwrap(), "Zoë");
    assert_eq!((here.seen, here.water.output), ([true, false], -7));
    // The same after a power cut, from the records alone.
    pair.boot();
    assert_eq!(pair.device.changed().unwrap().curve, [-5, 0, 3, 5]);
    assert_eq!(pair.device.state().key, "s3cret");
}

#[test]
fn what_is_measured_is_no_edit_and_what_is_desired_stays_visible() {
    let mut pair = Pair::<Boiler>::new();
    pair.device.report(|_| {});
    pair.service.set("valve", 80_u8).unwrap();
    pair.settle();
    // Answered for, and on its way.
    assert_eq!((pair.code("valve"), pair.device.state().valve), (200, 0));
    let reports = |pair: &Pair<Boiler>| pair.service.reported("valve").unwrap().value.clone();
    for (measured, told) in [(40, 40), (41, 41), (80, 80)] {
        pair.device.report(|boiler| boiler.valve = measured);
        pair.settle();
        assert_eq!(
            (pair.code("valve"), reports(&pair)),
            (200, Value::Int(told))
        );
    }
    pair.boot();
    assert_eq!(pair.device.changed().unwrap().valve, 80);
}

#[test]
fn values_that_a_field_cannot_have_are_refused_on_both_sides() {
    let mut pair = Pair::<Boiler>::new();
    let list = |values: &[i128]| Value::Array(values.iter().map(|v| Value::Int(*v)).collect());
    for (name, value, error, code) in [
        ("heating/pid/kp", number(11.0), DesireError::Range, 422),
        ("mode", Value::Int(11), DesireError::Range, 422),
        ("mode", Value::from("Turbo"), DesireError::Range, 400),
        ("mode", Value::Bool(true), DesireError::Kind, 400),
        ("curve", list(&[0, 0, 6, 0]), DesireError::Range, 422),
        ("curve", list(&[0, 0, 0]), DesireError::Kind, 400),
        ("curve", Value::Int(1), DesireError::Kind, 400),
        ("key", Value::from("thirteen long"), DesireError::Range, 422),
        ("key", Value::Int(7), DesireError::Kind, 400),
        ("seen", list(&[0, 0]), DesireError::ReadOnly, 403),
    ] {
        assert_eq!(
            pair.service.set(name, value.clone()),
            Err(error),
            "{name} {value:?}"
        );
        let schema = Boiler::SCHEMA.iter().find(|schema| schema.name == *name);
        pair.service
            .set_field(schema.unwrap().field.id, value)
            .unwrap();
        pair.settle();
        assert_eq!(pair.code(name), code, "{name}");
    }
    let boiler = pair.device.state();
    assert_eq!((boiler.mode, boiler.curve), (Mode::Off, [0; 4]));
    // By its name or by its number.
    for value in [Value::from("Eco"), Value::Int(10)] {
        pair.service.set("mode", value).unwrap();
        pair.settle();
        assert_eq!(
            (pair.code("mode"), pair.device.state().mode),
            (200, Mode::Eco)
        );
    }
}

#[test]
fn fields_are_read_and_written_by_path() {
    let mut boiler = Boiler::INITIAL;
    let mut set = |path: &str, bytes: &[u8]| {
        let mut input = LeafReader::new(bytes);
        reflect::set(&mut boiler, path, &mut input)
    };
    assert_eq!(set("/water/pid/kp", b"\xf9\x41\x00"), Ok(()));
    assert_eq!(set("/mode", b"\x19\x01\x2c"), Ok(()));
    assert_eq!(set("/key", b"\x63abc"), Ok(()));
    assert_eq!(set("/water/pid/kp", b"\x0b"), Err(LeafError::Range));
    assert_eq!(set("/mode", b"\x01"), Err(LeafError::Variant));
    for nowhere in [
        "",
        "/",
        "mode",
        "/mode/",
        "/water",
        "/water/pid",
        "/water/kp",
        "/pid/kp",
        "/waterpid",
        "/mode/kp",
    ] {
        assert_eq!(set(nowhere, b"\x01"), Err(LeafError::Unknown), "{nowhere}");
    }
    assert_eq!((boiler.water.pid.kp, boiler.mode), (2.5, Mode::Boost));
    let get = |path: &str| {
        let mut buffer = [0; 16];
        let mut out = LeafWriter::new(&mut buffer);
        reflect::get(&boiler, path, &mut out).map(|()| out.finish().unwrap().to_vec())
    };
    assert_eq!(get("/water/pid/kp"), Ok(b"\xfa\x40\x20\x00\x00".to_vec()));
    assert_eq!(get("/key"), Ok(b"\x63abc".to_vec()));
    assert_eq!(get("/heating/pid/ki"), Ok(b"\xf6".to_vec()));
    assert_eq!(get("/heating"), Err(LeafError::Unknown));
}

#[test]
fn what_is_personal_or_secret_is_in_no_log_and_in_documents_only_when_asked_for() {
    let mut pair = Pair::<Boiler>::new();
    pair.applies = false;
    pair.device.report(|_| {});
    pair.service.set("key", "hunter2").unwrap();
    pair.service.set("owner", "Mallory").unwrap();
    pair.service.set("heating/pid/kp", 3_u8).unwrap();
    pair.settle();
    let change = pair.device.changed().unwrap();
    assert_eq!(change.key, "hunter2");
    let mut subscriptions = Subscriptions::new(1);
    let all = subscriptions.add(&TwinService::new(), "").unwrap();
    subscriptions.next(all, &pair.service);
    for log in [
        format!("{:?}", pair.service.snapshot()),
        format!("{:?}", Edit::set("key", "hunter2").if_value("Mallory")),
        format!("{:?}", pair.service.reported("key")),
        format!("{:?}", subscriptions.next(all, &pair.service).unwrap()),
        format!("{:?}", subscriptions.next(all, &pair.service).unwrap()),
        format!("{change:?}"),
        format!("{:?}", pair.device),
        format!("{:?}", pair.service),
    ] {
        assert!(
            !log.contains("hunter2") && !log.contains("Mallory"),
            "{log}"
        );
    }
    pair.device.acknowledge(change.version, true);
    pair.settle();
    let document = |reader| {
        let service = &pair.service;
        let both = (
            service.desired_document_for(reader),
            service.reported_document_for(reader),
        );
        let has = |name| both.0.get(name).is_some() || both.1.get(name).is_some();
        (has("heating"), has("owner"), has("key"))
    };
    assert_eq!(document(Sensitivity::Public), (true, false, false));
    assert_eq!(document(Sensitivity::Personal), (true, true, false));
    assert_eq!(document(Sensitivity::Secret), (true, true, true));
    assert_eq!(
        pair.service.desired_document(),
        pair.service.desired_document_for(Sensitivity::Public)
    );
    let desired = pair.service.desired_document();
    let kp = desired.get("heating").unwrap().get("pid").unwrap();
    assert_eq!(kp.get("kp"), Some(&number(3.0)));
}

#[test]
fn a_report_that_the_struct_cannot_hold_is_told_field_by_field_alone() {
    #[derive(Twin)]
    struct Tank {
        #[twin(reported, range = 0..=100)]
        level: u8,
        #[twin(reported)]
        inlet: u8,
    }
    let mut pair = Pair::<Tank>::new();
    pair.device
        .report(|tank| (tank.level, tank.inlet) = (130, 4));
    pair.settle();
    assert!(pair.service.state::<Tank>().is_none());
    assert_eq!(pair.service.reported("level").unwrap().value, &130.into());
    assert_eq!(pair.service.reported("inlet").unwrap().value, &4.into());
    pair.device.report(|tank| tank.level = 100);
    pair.settle();
    let state = pair.service.state::<Tank>().unwrap();
    assert_eq!((state.level, state.inlet), (100, 4));
}

#[derive(Twin)]
struct Older {
    #[twin(desired, id = 1)]
    mode: Mode,
}

#[test]
fn what_a_schema_does_not_know_is_taken_for_a_secret() {
    let mut pair = Pair::<Boiler>::with(Default::default(), TwinService::of::<Older>());
    pair.device
        .report(|boiler| boiler.key = Text::new("hunter2").unwrap());
    pair.service.set_field(FieldId::new(4), "Mallory").unwrap();
    pair.service.set("mode", 10_u8).unwrap();
    pair.settle();
    for reader in [Sensitivity::Public, Sensitivity::Personal] {
        let service = &pair.service;
        let desired = service.desired_document_for(reader);
        let all = format!("{desired:?}{:?}", service.reported_document_for(reader));
        assert!(
            !all.contains("hunter2") && !all.contains("Mallory"),
            "{all}"
        );
        assert!(all.contains("mode"), "{all}");
    }
    let secret = pair.service.reported_document_for(Sensitivity::Secret);
    assert_eq!(secret.get("3"), Some(&Value::from("hunter2")));
    // Where nothing is known by name, numbers are all that there is.
    let service = TwinService::new().restored(&pair.service.snapshot());
    assert_eq!(service.reported_document(), secret_by_number(&service));
}

fn secret_by_number(service: &TwinService) -> Value {
    service.reported_document_for(Sensitivity::Secret)
}

#[test]
fn the_buffer_that_is_promised_is_enough_for_the_longest_field() {
    const NAME: &str = "a text of forty bytes, no less, no more.";
    let mut pair = Pair::<Boiler>::new();
    // Epochs as long as they get.
    pair.service = TwinService::of::<Boiler>().in_epoch(0xefff_ffff);
    pair.device
        .report(|boiler| boiler.owner = Some(Text::new(NAME).unwrap()));
    pair.service.set("owner", &NAME[1..]).unwrap();
    pair.settle();
    assert_eq!(pair.device.state().owner.unwrap(), NAME[1..]);
    assert!(pair.service.is_converged());
}

#[test]
fn a_schema_says_everything_about_a_field() {
    let schema = |name: &str| {
        let found = Boiler::SCHEMA.iter().find(|schema| schema.name == *name);
        *found.unwrap()
    };
    assert_eq!(schema("valve").field.access, Access::Both);
    assert_eq!(schema("key").sensitivity, Sensitivity::Secret);
    assert_eq!(
        (schema("key").field.len, schema("curve").field.len),
        (12, 4)
    );
    assert_eq!(schema("heating/output").deadband, Some(2.0));
    assert_eq!(schema("curve").range, Some((-5.0, 5.0)));
    assert!(schema("owner").field.optional);
    let names: Vec<_> = schema("mode").variants.iter().map(|v| v.name).collect();
    assert_eq!(names, ["Off", "Eco", "Boost"]);
}
