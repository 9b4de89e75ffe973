use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::engine::{Done, RecordKey};
use iot_core::sim::ToyKey;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};
use iot_ota::manifest::{Device, SigningKey, Template};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Release, RollBackReason};
use iot_ota::update::{
    FromDevice, Images, Outcome, Patched, Payloads, Report, Request, Running, ToDevice, Trust,
    Updater,
};

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

/// Not SHA-256: nothing is protected here.
#[derive(Clone, Default)]
struct Sum(u64);

impl Digest for Sum {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31) ^ u64::from(*byte);
        }
    }
    fn finish(&mut self) -> Sha256Digest {
        let mut out = [0; 32];
        out[..8].copy_from_slice(&core::mem::take(&mut self.0).to_be_bytes());
        out
    }
}

/// What a device persists under that key while it takes an offer, and a block after it.
fn records_of<P: Payloads<Sum>>(payloads: P, number: u32) -> Vec<Vec<u8>> {
    let sum = |bytes: &[u8]| {
        let mut digest = Sum::default();
        digest.update(bytes);
        digest.finish()
    };
    let image = [7; 300];
    let device = Device::new([1; 16], [2; 16], &[b"firmware"]);
    let banks = MemoryBanks::factory(512, 64, b"old", Release::new(1, sum(b"old"), 3));
    let trust = Trust::new(SigningKey::new(ToyKey::new(1)), Sum::default(), device);
    let mut updater = Updater::new(banks, trust)
        .with_payloads(payloads)
        .with_block_bytes(128);
    let now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
    let key = updater
        .records()
        .first()
        .and_then(|first: RecordKey| first.offset(number));
    updater.input(now, &Event::Restored);
    let template = Template::new(2, device, sum(&image), 300, "iot:f").with_counter(u64::MAX);
    let envelope = template
        .sign(&ToyKey::new(1), None, &mut Sum::default())
        .unwrap();
    let offer = ToDevice::Offer {
        envelope: &envelope,
    };
    let block = ToDevice::Block {
        sequence: 2,
        offset: 0,
        bytes: &image[..128],
    };
    let mut records = Vec::new();
    for message in [offer, block] {
        let (mut payload, mut buffer) = ([0; 1_024], [0; 1_024]);
        let payload = message.encode(&mut payload).unwrap();
        let message = Message::new(Channel::Update, payload);
        updater.input(now, &Event::Message(message));
        loop {
            let done = match updater.step(now, &mut buffer) {
                Step::Persist(batch) => {
                    let own = batch.iter().filter(|(found, _)| Some(*found) == key);
                    records.extend(own.filter_map(|(_, value)| Some(value?.to_vec())));
                    Done::Persisted
                }
                Step::Send(_) => Done::Sent(Ticket::new(1)),
                _ => break,
            };
            updater.done(now, done);
        }
    }
    records
}

#[test]
fn records_of_an_updater_are_as_described() {
    let patched = Patched::<64, 256, 384, 416>::new();
    for records in [records_of(Images::default(), 0), records_of(patched, 0)] {
        assert!(records.len() >= 2, "one before the first block, one after");
        for record in records {
            SCHEMA.holds("download", &record);
        }
    }
    let told = records_of(Images::default(), 1);
    assert!(!told.is_empty());
    for record in told {
        SCHEMA.holds("told", &record);
    }
}
