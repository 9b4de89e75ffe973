use std::collections::BTreeSet;

use iot_core::command::{
    Answer, Class, IdTable, Inbox, Issuer, Outcome, Request, Response, Terms, every_answer,
    every_class,
};
use iot_core::engine::RecordKey;
use iot_core::{Channel, CommandId, DeviceId, Engine, Event, IssuerId, TenantId, Timestamp};
use minicbor::Decoder;

use super::engine::{hand, now, run};
use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-core/src/command/command.cddl");

iot_core::commands! {
    enum Job {
        #[idempotent]
        SetValve { open: bool, slowly: u32 },
        #[opaque]
        Unlock,
        #[probed]
        Restart,
    }
}

const ISSUER: IssuerId = IssuerId::new(70_000);
const UNLOCK: &[u8] = b"\x81\x66Unlock";
const RESTART: &[u8] = b"\x81\x67Restart";

fn id(sequence: u32) -> CommandId {
    CommandId::new(ISSUER, 3, sequence)
}

fn request(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0; 512];
    let len = request.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// The number that is this item of a flat array.
fn item(bytes: &[u8], at: u64) -> u64 {
    let mut decoder = Decoder::new(bytes);
    decoder.array().unwrap();
    (0..at).for_each(|_| decoder.skip().unwrap());
    decoder.u64().unwrap()
}

fn response(answer: Answer) -> Vec<u8> {
    let mut buffer = [0; 64];
    let len = Response::new(id(40), answer).encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

/// Every outcome, and the code of each.
fn every_outcome() -> Vec<(u64, Outcome)> {
    let ended = every_answer().filter_map(|answer| match answer {
        Answer::Ended(outcome) => Some((item(&response(answer), 5), outcome)),
        _ => None,
    });
    ended.collect()
}

const STARTED: u64 = 11;

#[test]
fn requests_and_cancels_are_as_described() {
    let moment = Some(Timestamp::from_secs(1_800_000_000));
    for (not_before, expires) in [
        (None, None),
        (None, moment),
        (moment, None),
        (moment, moment),
    ] {
        for sequence in [1, u32::MAX - 1] {
            let order = Request::new(id(sequence), UNLOCK)
                .settled_below(1)
                .not_before(not_before)
                .expires_at(expires);
            for (rule, bytes) in [
                ("request", request(&order)),
                ("cancel", request(&order.cancel())),
            ] {
                SCHEMA.holds_message(rule, &bytes);
                assert_eq!(SCHEMA.accepts("to-device", &bytes), Ok(()));
            }
        }
    }
}

#[test]
fn every_answer_is_as_described() {
    let mut codes = BTreeSet::new();
    for answer in every_answer() {
        let bytes = response(answer);
        SCHEMA.holds_message("response", &bytes);
        assert_eq!(Response::decode(&bytes), Ok(Response::new(id(40), answer)));
        codes.insert(item(&bytes, 5));
    }
    assert_eq!(codes, (1..=15).collect());
}

/// Whatever the code, the number and the result: the description and the decoder accept the same answers.
#[test]
fn no_answer_is_read_that_is_not_described_and_every_described_one_is_read() {
    let mut head = response(Answer::InProgress);
    head.truncate(head.len() - 3);
    let mut read = 0;
    for code in (0..18u32).chain([24, 256, u32::MAX]) {
        for number in [0, 1, 65_535, 65_536, u64::from(u32::MAX), 1 << 32] {
            for result in [&[][..], &[7; 32], &[7; 33]] {
                let mut bytes = head.clone();
                bytes.extend(minicbor::to_vec(code).unwrap());
                bytes.extend(minicbor::to_vec(number).unwrap());
                bytes.extend(
                    minicbor::to_vec(minicbor::bytes::ByteVec::from(result.to_vec())).unwrap(),
                );
                let described = SCHEMA.accepts("response", &bytes);
                let is_read = Response::decode(&bytes).is_ok();
                assert_eq!(is_read, described.is_ok(), "{code} {number} {result:?}");
                read += u32::from(is_read);
            }
        }
    }
    // Done with two results, failed and progress with several numbers, and the others alone.
    assert_eq!(read, 2 + 3 + 5 + 12);
}

fn inbox() -> Inbox<Job, 2, 64, 8> {
    let mut jobs = Inbox::new();
    jobs.allow(ISSUER).unwrap();
    jobs.input(now(0), &Event::Restored);
    jobs
}

#[test]
fn a_record_of_an_inbox_is_as_described_at_every_stage() {
    let (mut stages, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut hold = |records: Vec<(RecordKey, Vec<u8>)>| {
        for (_, value) in records {
            stages.insert(item(&value, 11));
            if seen.insert((item(&value, 11), value.len())) {
                SCHEMA.holds("inbox-record", &value);
            }
        }
    };
    for (_, outcome) in every_outcome() {
        let mut jobs = inbox();
        // The second waits for the first, both are of one lane; and the fourth is no command.
        for (sequence, command) in [(1, UNLOCK), (2, RESTART), (3, UNLOCK), (4, b"\x81\x61?")] {
            let order = Request::new(id(sequence), command);
            let bytes = request(&order.expires_at(Some(Timestamp::from_secs(9))));
            jobs.danger_run_when_time_is_unknown();
            hand(&mut jobs, now(0), Channel::Command, &bytes);
            hold(run(&mut jobs, now(0)).records);
        }
        let mut ran = 0;
        while let Some(job) = jobs.next() {
            jobs.finish(job.id, outcome).unwrap();
            hold(run(&mut jobs, now(0)).records);
            ran += 1;
        }
        assert_eq!(ran, 3);
    }
    let ended = every_outcome().into_iter().map(|(code, _)| code);
    assert_eq!(stages, ended.chain([0, STARTED]).collect());
}

#[test]
fn a_record_of_a_foreign_id_is_as_described_at_every_stage() {
    let (mut stages, mut classes) = (BTreeSet::new(), BTreeSet::new());
    let mut seen = BTreeSet::new();
    let mut hold = |records: Vec<(RecordKey, Vec<u8>)>| {
        for (_, value) in records {
            let (class, stage) = (item(&value, 5), item(&value, 6));
            stages.insert(stage);
            if classes.insert(class) | seen.insert((stage, value.len())) {
                SCHEMA.holds("id-record", &value);
            }
        }
    };
    for (class, (_, outcome)) in every_class().flat_map(|class| {
        let outcomes = every_outcome().into_iter();
        outcomes.map(move |outcome| (class, outcome))
    }) {
        // The longest id is as long as it may be.
        let mut jobs = IdTable::<2, 256>::new(RecordKey::new(0x300));
        jobs.input(now(0), &Event::Restored);
        jobs.danger_run_when_time_is_unknown();
        for id in [&b""[..], &[b'a'; 256]] {
            let expires = Timestamp::from_secs(1_800_000_000);
            jobs.admit(now(0), id, UNLOCK, class, expires).unwrap();
            let records = run(&mut jobs, now(0)).records;
            let starts_on_record = matches!(class, Class::Probed | Class::Opaque);
            assert_eq!(records.len(), usize::from(starts_on_record));
            hold(records);
            let job = jobs.next().unwrap();
            jobs.finish(job.id.as_bytes(), outcome).unwrap();
            hold(run(&mut jobs, now(0)).records);
            assert!(jobs.concluded().is_some());
        }
    }
    let ended = every_outcome().into_iter().map(|(code, _)| code);
    assert_eq!(stages, ended.chain([STARTED]).collect());
    assert_eq!(classes, (0..4).collect());
}

#[test]
fn the_records_of_an_issuer_are_as_described() {
    let first = RecordKey::new(0x4000);
    let (tenant, device) = (
        TenantId::new("acme").unwrap(),
        DeviceId::new("door-7").unwrap(),
    );
    let mut door = Issuer::<Job, 4>::new(ISSUER, first).to(tenant, device);
    door.input(now(0), &Event::Restored);
    let (mut headers, mut entries, mut cancels) = (0, 0, 0);
    let mut hold = |door: &mut Issuer<Job, 4>, rule| {
        let written = run(door, now(0));
        assert!(!written.messages.is_empty());
        for message in written.messages {
            SCHEMA.holds_message(rule, &message);
        }
        for (key, value) in written.records {
            if key == first {
                SCHEMA.holds("issuer-header", &value);
                headers += 1;
            } else {
                SCHEMA.holds("issuer-entry", &value);
                entries += 1;
                cancels += item(&value, 6);
            }
        }
    };
    let moment = Timestamp::from_secs(9);
    for terms in [
        Terms::DEFAULT,
        Terms::DEFAULT.not_before(moment).expires_at(moment),
    ] {
        for job in [
            Job::Unlock,
            Job::SetValve {
                open: true,
                slowly: 300,
            },
        ] {
            let id = door.issue(now(0), job, terms).unwrap();
            hold(&mut door, "request");
            door.cancel(id).unwrap();
            hold(&mut door, "cancel");
        }
    }
    // Each of four commands is put on record, and then its issuer's wish to cancel it.
    assert_eq!((headers >= 1, entries, cancels), (true, 8, 4));
}
