use std::borrow::Cow;

use futures::executor::block_on;
use iot_core::{Channel, Engine as _, Event, Message, Timestamp};
use iot_twin::registry::{Change, Draft, Expect, Limits, Memory, Record, Redb, Store, TwinKey};
use iot_twin::schema::{Access, Field, FieldId, Schema as TwinSchema};
use iot_twin::{TwinService, Value};
use minicbor::{Decoder, Encoder};
use redb::{Database, ReadableTable as _, TableDefinition};

use super::engine::now;
use super::schema::{Schema, schema};

pub(crate) const FILE: Schema = schema!("iot-twin/src/registry/redb/format.cddl");
pub(crate) const RECORD: Schema = schema!("iot-twin/src/registry/record.cddl");
pub(crate) const SNAPSHOT: Schema = schema!("iot-twin/src/registry/memory/snapshot.cddl");
pub(crate) const STATE: Schema = schema!("iot-twin/src/sync/service/state.cddl");

const FIELDS: [TwinSchema; 2] = [
    TwinSchema::new(Field::of::<f32>(1, Access::Desired), "setpoint"),
    TwinSchema::new(Field::of::<f32>(2, Access::Reported), "temperature"),
];

/// A twin with an answer, a report, and a value of every kind.
fn twin() -> TwinService {
    let mut twin = TwinService::with_schema(Cow::Borrowed(&FIELDS));
    twin.set("setpoint", 21.5).unwrap();
    let mut payload = [0; 64];
    let mut out = Encoder::new(&mut payload[..]);
    out.array(11)
        .unwrap()
        .u8(1)
        .unwrap()
        .u8(1)
        .unwrap()
        .u32(0)
        .unwrap()
        .u64(0)
        .unwrap();
    out.u64(1)
        .unwrap()
        .u64(0)
        .unwrap()
        .bool(false)
        .unwrap()
        .array(2)
        .unwrap();
    out.array(5)
        .unwrap()
        .u16(1)
        .unwrap()
        .u64(3)
        .unwrap()
        .f32(21.5)
        .unwrap();
    out.u64(1).unwrap().u16(200).unwrap();
    out.array(3)
        .unwrap()
        .u16(2)
        .unwrap()
        .u64(4)
        .unwrap()
        .f32(19.25)
        .unwrap();
    out.u64(4).unwrap().null().unwrap().null().unwrap();
    let used = 64 - out.writer().len();
    let message = Message::new(Channel::Twin, &payload[..used]);
    twin.input(now(0), &Event::Message(message));
    assert!(twin.reported("temperature").is_some());
    let list = Value::Array(vec![1.into(), true.into(), Value::Float(0.5)]);
    for (id, value) in [
        (3, Value::from(true)),
        (4, list),
        (5, Value::from(-70_000)),
        (6, Value::Null),
        (7, Value::from("x")),
    ] {
        twin.set_field(FieldId::new(id), value).unwrap();
    }
    twin
}

fn record() -> Record {
    let mut draft = Draft::of(&twin());
    draft.set_label("site", "north").unwrap();
    draft.set_label("a.b-c_d", "9").unwrap();
    draft.join("lab").unwrap();
    draft.finish().unwrap()
}

#[test]
fn a_stored_state_and_record_are_as_described() {
    STATE.holds("state", &TwinService::new().snapshot().to_cbor());
    // Values may be null: six desired ones, one of them an empty list, two reported ones, and what is in a list.
    STATE.holds_with_free("state", &twin().snapshot().to_cbor(), 11);
    // The labels as well may be none.
    RECORD.holds_with_free("record", record().as_cbor(), 12);
    let empty = Draft::of(&TwinService::new()).finish().unwrap();
    RECORD.holds_with_free("record", empty.as_cbor(), 1);
}

/// Two twins with a past, and one that was removed.
fn fill(store: &impl Store) {
    let keys: [TwinKey; 3] = ["acme/a", "acme/a/config", "acme/b"].map(|key| key.parse().unwrap());
    for second in 1..=3 {
        for key in &keys {
            let at = Timestamp::from_secs(second);
            let change = Change::put(key.clone(), Expect::Any, record(), at);
            block_on(store.commit(vec![change])).unwrap();
        }
    }
    let gone = Change::remove(keys[2].clone(), Expect::Any, Timestamp::from_secs(9));
    block_on(store.commit(vec![gone])).unwrap();
}

#[test]
fn a_snapshot_of_a_registry_is_as_described() {
    let memory = Memory::new();
    fill(&memory);
    let bytes = memory.snapshot();
    let mut input = Decoder::new(&bytes);
    let mut items = Vec::new();
    while input.position() < bytes.len() {
        let start = input.position();
        input.skip().unwrap();
        items.push(&bytes[start..input.position()]);
    }
    let (header, rows) = items.split_first().unwrap();
    SNAPSHOT.holds("header", header);
    assert_eq!(rows.len(), 2);
    for row in rows {
        SNAPSHOT.holds("row", row);
    }
}

#[test]
fn what_stands_in_a_registrys_file_is_as_described() {
    const TWINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("twins");
    const CHANGES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("changes");
    const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.redb");
    let store = Redb::open_with(&path, Limits::new(10, 2, 6)).unwrap();
    fill(&store);
    drop(store);
    let file = Database::open(&path).unwrap();
    let transaction = file.begin_read().unwrap();
    let (mut rows, mut changes) = (0, 0);
    for entry in transaction.open_table(TWINS).unwrap().iter().unwrap() {
        FILE.holds("row", entry.unwrap().1.value());
        rows += 1;
    }
    for entry in transaction.open_table(CHANGES).unwrap().iter().unwrap() {
        FILE.holds("change", entry.unwrap().1.value());
        changes += 1;
    }
    // Six for watchers, and three older ones that are current or history.
    assert_eq!((rows, changes), (2, 9));
    let meta = transaction.open_table(META).unwrap();
    FILE.holds("state", meta.get("state").unwrap().unwrap().value());
}
