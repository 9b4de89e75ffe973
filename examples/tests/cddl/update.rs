use iot_core::crypto::Sha256Digest;
use iot_ota::slot::RollBackReason;
use iot_ota::update::{FromDevice, Outcome, Report, Request, Running, ToDevice};

use super::schema::{Schema, schema};

pub(crate) const SCHEMA: Schema = schema!("iot-ota/src/update/update.cddl");

#[test]
fn messages_to_a_device_are_as_described() {
    for sequence in [0, u64::MAX] {
        for message in [
            ToDevice::Offer {
                envelope: &[1, 2, 3],
            },
            ToDevice::Block {
                sequence,
                offset: u32::MAX,
                bytes: &[1],
            },
            ToDevice::Abort { sequence },
        ] {
            let mut buffer = vec![0; 70_000];
            SCHEMA.holds_message("to-device", message.encode(&mut buffer).unwrap());
        }
    }
}

#[test]
fn the_longest_block_is_as_described() {
    let block = ToDevice::Block {
        sequence: 7,
        offset: 0,
        bytes: &vec![7; 65_536],
    };
    let mut buffer = vec![0; 70_000];
    SCHEMA.holds("to-device", block.encode(&mut buffer).unwrap());
}

#[test]
fn messages_of_a_device_are_as_described() {
    let digest: Sha256Digest = [7; 32];
    let outcomes = [
        Outcome::Confirmed,
        Outcome::RolledBack(RollBackReason::SelfTest),
        Outcome::RolledBack(RollBackReason::Unconfirmed),
        Outcome::RolledBack(RollBackReason::Damaged),
        Outcome::RolledBack(RollBackReason::TooOld),
        Outcome::NotAuthentic,
        Outcome::OtherDevice,
        Outcome::Unsupported,
        Outcome::TooOld,
        Outcome::SequenceReused,
        Outcome::TooLarge,
        Outcome::Busy,
        Outcome::BadImage,
        Outcome::Memory,
        Outcome::Aborted,
        Outcome::TooSlow,
        Outcome::Cancelled,
        Outcome::BelowCounter,
        Outcome::NotApplicable,
        Outcome::BadPayload,
        Outcome::NoKey,
    ];
    let reports = outcomes.into_iter().flat_map(|outcome| {
        let running = Some(Running::new(u64::MAX, digest));
        [
            Report::new(Some(7), outcome, running),
            Report::new(None, outcome, None),
        ]
    });
    let requests = [1, 65_536].map(|length| FromDevice::Request(Request::new(9, u32::MAX, length)));
    for message in reports.map(FromDevice::Report).chain(requests) {
        let mut buffer = [0; 128];
        SCHEMA.holds_message("from-device", message.encode(&mut buffer).unwrap());
    }
}
