use core::time::Duration;
use std::collections::BTreeMap;

use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Fate, Instant, Message, Now, Peer, Priority, Ticket, Timestamp};
use iot_transport::outbox::{Context, Cursor, Outbox};

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-transport/src/outbox/outbox.cddl");

type Records = BTreeMap<u32, Vec<u8>>;

fn drive(outbox: &mut Outbox<4, 256>, now: Now, records: &mut Records) -> Vec<Ticket> {
    let (mut buffer, mut sent) = ([0; 1_024], Vec::new());
    loop {
        let value;
        let done = match outbox.step(now, &mut buffer) {
            Step::Idle => return sent,
            Step::Persist(batch) => {
                for (key, value) in batch.iter() {
                    records.insert(key.get(), value.unwrap().to_vec());
                }
                Done::Persisted
            }
            Step::Read(key) => {
                value = records.get(&key.get()).cloned();
                Done::Read(value.as_deref())
            }
            Step::Send(message) => {
                assert!(!message.payload.is_empty());
                sent.push(Ticket::new(sent.len() as u64));
                Done::Sent(Ticket::new(sent.len() as u64 - 1))
            }
            other => panic!("{other:?}"),
        };
        outbox.done(now, done);
    }
}

#[test]
fn every_record_of_an_outbox_is_as_described() {
    let wall = TimeBounds::exact(Timestamp::from_secs(1_800_000_000));
    let now = Now::new(Instant::from_millis(90_000), wall);
    let mut outbox = Outbox::<4, 256>::new(RecordKey::new(0), u32::MAX);
    outbox.input(now, &Event::Restored);
    outbox.push(now, &Message::telemetry(b"21.5")).unwrap();
    let addressed = Message::new(Channel::Enrol, b"csr")
        .with_priority(Priority::Critical)
        .to(Peer::parse("acme", "boiler-7").unwrap())
        .expires_in(Duration::from_secs(60));
    let context = Context::NONE.correlated(&[9; 16]).traced(&[3; 25]);
    outbox.push_with(now, &addressed, context).unwrap();
    let mut records = Records::new();
    for ticket in drive(&mut outbox, now, &mut records) {
        let fate = if ticket.get() == 0 {
            Fate::Delivered
        } else {
            Fate::Refused
        };
        outbox.input(now, &Event::Settled { ticket, fate });
    }
    assert_eq!(outbox.settled_after(Cursor::START), None);
    drive(&mut outbox, now, &mut records);
    let mut rules = Vec::new();
    for (key, value) in &records {
        let rule = match key {
            0 => "outbox-head",
            1..513 => "outbox-fates",
            _ => "outbox-message",
        };
        SCHEMA.holds(rule, value);
        rules.push(rule);
    }
    assert_eq!(
        rules,
        [
            "outbox-head",
            "outbox-fates",
            "outbox-message",
            "outbox-message"
        ]
    );
}
