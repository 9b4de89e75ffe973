//! SenML packs of the standard's authors: read, resolved, written again.
#![cfg(feature = "json")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

use iot_twin::telemetry::{Entry, Measured, Pack, Record, Records};
use iot_twin::value::{Limits, Value};

fn file(path: &str) -> Vec<u8> {
    let folder = std::env::var("IOT_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/vectors").into());
    let path = format!("{folder}/senml/{path}");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn json(path: &str) -> Vec<Value> {
    let text = String::from_utf8(file(path)).unwrap();
    match Value::from_json(&text, Limits::DEFAULT) {
        Ok(Value::Array(records)) => records,
        other => panic!("{path}: {other:?}"),
    }
}

/// The JSON form of a pack with the labels that CBOR has (RFC 8428 §6).
fn to_cbor(pack: &[Value]) -> Vec<u8> {
    let mut out = minicbor::Encoder::new(Vec::new());
    out.array(pack.len() as u64).unwrap();
    for record in pack {
        let record = record.as_map().unwrap();
        out.map(record.len() as u64).unwrap();
        for (name, value) in record {
            let label = match name.as_str() {
                "bver" => Some(-1),
                "bn" => Some(-2),
                "bt" => Some(-3),
                "bu" => Some(-4),
                "bv" => Some(-5),
                "bs" => Some(-6),
                "n" => Some(0),
                "u" => Some(1),
                "v" => Some(2),
                "vs" => Some(3),
                "vb" => Some(4),
                "s" => Some(5),
                "t" => Some(6),
                "ut" => Some(7),
                _ => None,
            };
            match label {
                Some(label) => out.i64(label).unwrap(),
                None => out.str(name).unwrap(),
            };
            out.writer_mut().extend(value.to_cbor());
        }
    }
    out.into_writer()
}

/// Compares with the resolved form; records without an absolute time take the generator's clock from there.
fn assert_resolved(records: &[Record<'_>], example: &str) {
    let resolved = json(&format!("{example}.gen.resolved.json"));
    assert_eq!(records.len(), resolved.len(), "{example}");
    for (record, expected) in records.iter().zip(&resolved) {
        let text = |name: &str| expected.get(name).and_then(Value::as_str);
        assert_eq!(
            Some(record.name.to_string().as_str()),
            text("n"),
            "{example}"
        );
        assert_eq!(record.unit, text("u"), "{example}");
        let clock = expected.get("t").and_then(Value::as_f64).unwrap();
        let relative = record.time_s < iot_twin::telemetry::senml::RELATIVE_BELOW_S;
        let time = if relative {
            record.time_at_s(clock - record.time_s)
        } else {
            record.time_s
        };
        assert!((time - clock).abs() < 1e-6, "{example}: {time} {clock}");
        let Some(Measured::Number(value)) = record.value else {
            panic!("{example}: {record:?}");
        };
        let wanted = expected.get("v").and_then(Value::as_f64).unwrap();
        assert!((value - wanted).abs() < 1e-9, "{example}: {value} {wanted}");
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn the_packs_in_cbor_resolve_as_published() {
    for example in ["ex3", "ex5"] {
        let pack = file(&format!("{example}.gen.cbor"));
        let records: Vec<_> = Records::read(&pack).collect::<Result<_, _>>().unwrap();
        assert_resolved(&records, example);
    }
}

#[test]
#[ignore = "needs IOT_VECTORS"]
fn every_example_resolves_as_published_and_survives_our_writer() {
    for example in ["ex1", "ex2", "ex3", "ex4", "ex5", "ex6", "ex8", "ex9"] {
        let pack = to_cbor(&json(&format!("{example}.gen.json")));
        let records: Vec<_> = Records::read(&pack).collect::<Result<_, _>>().unwrap();
        assert_resolved(&records, example);

        let mut buffer = [0; 4_096];
        let mut written = Pack::new(&mut buffer).with_time_s(records[0].time_s);
        for record in &records {
            let name = record.name.to_string();
            let mut entry =
                Entry::new(&name, record.value.unwrap()).at_s(record.time_s - records[0].time_s);
            entry.unit = record.unit;
            written.add(&entry).unwrap();
        }
        let again: Vec<_> = Records::read(written.finish())
            .collect::<Result<_, _>>()
            .unwrap();
        assert_resolved(&again, example);
    }
}
