//! An outbox that is shown records of anybody, and then driven.

use std::collections::BTreeMap;

use iot_transport::envelope::Envelope;
use iot_transport::iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_transport::iot_core::time::TimeBounds;
use iot_transport::iot_core::{Channel, Fate, Instant, Message, Now, Ticket};
use iot_transport::outbox::{Cursor, Outbox, Overflow};

const FIRST: u32 = 0x100;
type Records = BTreeMap<u32, Vec<u8>>;

/// The first byte says how many records follow, each with two bytes of key and one of length; the rest is a script.
fn parse(data: &[u8]) -> (Records, &[u8]) {
    let mut records = Records::new();
    let Some((count, mut rest)) = data.split_first() else {
        return (records, &[]);
    };
    for _ in 0..*count {
        let Some((&[a, b, len], more)) = rest.split_first_chunk() else {
            break;
        };
        let (value, more) = more.split_at(usize::from(len).min(more.len()));
        records.insert(
            FIRST + u32::from(u16::from_be_bytes([a, b])) % 1_537,
            value.to_vec(),
        );
        rest = more;
    }
    (records, rest)
}

/// Whatever it is shown, it comes to rest, sends only what it can prove to be a message, and tells no fate twice.
pub fn run(data: &[u8]) {
    let (mut records, script) = parse(data);
    let mut outbox = Outbox::<4, 128>::new(RecordKey::new(FIRST), 7)
        .on(Channel::Telemetry, Overflow::Oldest)
        .on(Channel::Command, Overflow::LowestPriority);
    let mut now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    for (key, value) in &records {
        outbox.input(
            now,
            &Event::Record {
                key: RecordKey::new(*key),
                value,
            },
        );
    }
    outbox.input(now, &Event::Restored);
    let before = records.clone();
    let (mut tickets, mut taken, mut told) = (0, Vec::new(), Vec::new());
    let mut cursor = Cursor::START;
    for byte in script.iter().take(200) {
        match byte % 5 {
            0 => {
                let payload = vec![*byte; usize::from(byte / 5)];
                let channel = Channel::ALL[usize::from(byte / 5) % Channel::ALL.len()];
                let _ = outbox.push(now, &Message::new(channel, &payload));
            }
            1 => {
                now = Now::new(
                    now.instant
                        .after(core::time::Duration::from_secs(u64::from(*byte))),
                    now.wall,
                )
            }
            2 if !taken.is_empty() => {
                let ticket = taken.remove(usize::from(byte / 5) % taken.len());
                let fate = [Fate::Delivered, Fate::Expired, Fate::Evicted, Fate::Refused]
                    [usize::from(byte / 64)];
                outbox.input(now, &Event::Settled { ticket, fate });
            }
            3 => {
                while let Some(settled) = outbox.settled_after(cursor) {
                    assert!(settled.cursor > cursor);
                    cursor = settled.cursor;
                    told.push(settled.sequence);
                }
            }
            _ => {}
        }
        drive(&mut outbox, &mut records, now, (&mut tickets, &mut taken));
    }
    if outbox.is_damaged() {
        assert_eq!(
            (records, taken.len()),
            (before, 0),
            "a damaged outbox changes and sends nothing"
        );
    }
}

fn drive(
    outbox: &mut Outbox<4, 128>,
    records: &mut Records,
    now: Now,
    (tickets, taken): (&mut u64, &mut Vec<Ticket>),
) {
    for round in 0.. {
        assert!(round < 2_000, "it does not come to rest");
        let mut buffer = [0; 640];
        let value;
        let done = match outbox.step(now, &mut buffer) {
            Step::Idle => return,
            Step::Persist(batch) => {
                for (key, value) in batch.iter() {
                    match value {
                        Some(value) => drop(records.insert(key.get(), value.to_vec())),
                        None => drop(records.remove(&key.get())),
                    }
                }
                Done::Persisted
            }
            Step::Read(key) => {
                value = records.get(&key.get()).cloned();
                Done::Read(value.as_deref())
            }
            Step::Send(message) => {
                assert!(
                    Envelope::decode(message.payload).is_ok(),
                    "it sends no envelope"
                );
                let ticket = Ticket::new(*tickets);
                *tickets += 1;
                taken.push(ticket);
                Done::Sent(ticket)
            }
            _ => Done::Failed(Failure::Effect),
        };
        outbox.done(now, done);
    }
}

/// The records of an outbox in use, and scripts.
pub fn seeds() -> Vec<Vec<u8>> {
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let mut outbox = Outbox::<4, 128>::new(RecordKey::new(FIRST), 7);
    outbox.input(now, &Event::Restored);
    let (mut records, mut tickets, mut taken) = (Records::new(), 0, Vec::new());
    for payload in [&b"1"[..], b"22", b"333"] {
        outbox
            .push(now, &Message::telemetry(payload).expires_in_h(1))
            .expect("room");
        drive(&mut outbox, &mut records, now, (&mut tickets, &mut taken));
    }
    let fate = Fate::Delivered;
    outbox.input(
        now,
        &Event::Settled {
            ticket: taken[0],
            fate,
        },
    );
    assert_eq!(outbox.settled_after(Cursor::START), None);
    drive(&mut outbox, &mut records, now, (&mut tickets, &mut taken));
    let mut seed = vec![records.len() as u8];
    for (key, value) in &records {
        seed.extend(((key - FIRST) as u16).to_be_bytes());
        seed.push(value.len() as u8);
        seed.extend(value);
    }
    seed.extend([0, 50, 2, 1, 3, 250, 2, 67, 3]);
    vec![seed, vec![0, 0, 50, 100, 2, 1, 3, 250, 2, 3]]
}

#[test]
fn the_seeds_are_records_that_an_outbox_reads() {
    let seeds = seeds();
    seeds.iter().for_each(|seed| run(seed));
    let (records, script) = parse(&seeds[0]);
    assert!(records.len() >= 5 && script.len() == 9, "{records:?}");
}
