use iot_core::command::{Answer, Issuer, Outcome, Reason, Request, Response, Terms};
use iot_core::engine::RecordKey;
use iot_core::{CommandId, DeviceId, Engine, Event, IssuerId, TenantId, Timestamp};

use super::engine::{now, run};
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
