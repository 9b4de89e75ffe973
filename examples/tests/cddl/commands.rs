use iot_core::command::{Answer, Inbox, Issuer, Outcome, Reason, Request, Response, Terms};
use iot_core::engine::RecordKey;
use iot_core::{Channel, CommandId, DeviceId, Engine, Event, IssuerId, TenantId, Timestamp};

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

fn id(sequence: u64) -> CommandId {
    CommandId::new(ISSUER, 3, sequence)
}

fn request(request: &Request<'_>) -> Vec<u8> {
    let mut buffer = [0; 512];
    let len = request.encode(&mut buffer).unwrap();
    buffer[..len].to_vec()
}

#[test]
fn requests_are_as_described() {
    for expires in [None, Some(Timestamp::from_secs(1_800_000_000))] {
        for sequence in [1, u64::MAX] {
            let bytes = Request::new(id(sequence), UNLOCK)
                .settled_below(1)
                .expires_at(expires);
            SCHEMA.holds_message("request", &request(&bytes));
        }
    }
}

#[test]
fn every_answer_is_as_described() {
    let rejected = [
        Reason::Invalid,
        Reason::Unauthorised,
        Reason::Mismatch,
        Reason::TooOld,
    ];
    let outcomes = [
        Outcome::DONE,
        Outcome::done_with(&[7; 32]).unwrap(),
        Outcome::Failed { code: u16::MAX },
        Outcome::Expired,
        Outcome::InDoubt,
        Outcome::Forgotten,
    ];
    let rejected = rejected.map(|reason| Outcome::Rejected { reason });
    let ended = outcomes.into_iter().chain(rejected).map(Answer::Ended);
    let waiting = [
        Answer::InProgress,
        Answer::Busy,
        Answer::ClockUnknown,
        Answer::UnknownIssuer,
    ];
    for answer in ended.chain(waiting) {
        let mut buffer = [0; 64];
        let len = Response::new(id(40), answer).encode(&mut buffer).unwrap();
        SCHEMA.holds_message("response", &buffer[..len]);
    }
}

#[test]
fn the_records_of_an_inbox_are_as_described() {
    let mut jobs = Inbox::<Job, 2, 64, 8>::new();
    jobs.allow(ISSUER).unwrap();
    jobs.input(now(0), &Event::Restored);
    let (mut headers, mut entries) = (0, 0);
    for (sequence, command) in [(1, UNLOCK), (2, RESTART), (3, UNLOCK), (4, b"\x81\x61?")] {
        hand(
            &mut jobs,
            now(0),
            Channel::Command,
            &request(&Request::new(id(sequence), command)),
        );
        let mut records = run(&mut jobs, now(0)).records;
        while let Some(job) = jobs.next() {
            let outcome = match job.command {
                Job::Restart => Outcome::done_with(&[1, 2, 3]).unwrap(),
                _ => Outcome::Failed { code: 7 },
            };
            jobs.finish(job.id, outcome).unwrap();
            records.extend(run(&mut jobs, now(0)).records);
        }
        for (key, value) in records {
            if key == Inbox::<Job, 2, 64, 8>::FIRST_RECORD {
                SCHEMA.holds("inbox-header", &value);
                headers += 1;
            } else {
                SCHEMA.holds("inbox-entry", &value);
                entries += 1;
            }
        }
    }
    // Each of three commands is started and ended on record, the fourth is rejected there.
    assert_eq!((headers >= 4, entries), (true, 7));
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
    let (mut headers, mut entries) = (0, 0);
    for expires in [
        Terms::DEFAULT,
        Terms::DEFAULT.expires_at(Timestamp::from_secs(9)),
    ] {
        for job in [
            Job::Unlock,
            Job::SetValve {
                open: true,
                slowly: 300,
            },
        ] {
            door.issue(now(0), job, expires).unwrap();
            let written = run(&mut door, now(0));
            written
                .messages
                .iter()
                .for_each(|message| SCHEMA.holds_message("request", message));
            assert!(!written.messages.is_empty());
            for (key, value) in written.records {
                if key == first {
                    SCHEMA.holds("issuer-header", &value);
                    headers += 1;
                } else {
                    SCHEMA.holds("issuer-entry", &value);
                    entries += 1;
                }
            }
        }
    }
    assert_eq!((headers >= 1, entries), (true, 4));
}
