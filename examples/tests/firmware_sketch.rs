//! A firmware's main loop as the design sketched it: twin, commands and updates in one node, led by one `select`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may fail loudly"
)]

extern crate alloc;

use alloc::collections::VecDeque;
use core::pin::pin;

use futures::executor::block_on;
use futures::future::{Either, select};
use futures::stream::{self, StreamExt};
use iot_core::IssuerId;
use iot_core::command::{Inbox, Outcome};
use iot_core::crypto::{Digest, SignatureAlgorithm};
use iot_core::node::Node;
use iot_core::port::Transport;
use iot_core::sim::{Faults, SimClock, SimLink, SimNetwork};
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Channel, Event, Message};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use iot_ota::manifest::{Device, SigningKey, Template};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::Release;
use iot_ota::update::{
    FromDevice, Outcome as Ended, Report, Source, ToDevice, Trust, Updater, Want,
};
use iot_twin::{Twin, TwinDevice};

type Failed = Box<dyn core::error::Error>;

const ROOM: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);

iot_core::commands! { enum Job { #[idempotent] SetValve { open: bool }, #[opaque] Unlock } }

#[derive(Twin)]
struct Room {
    #[twin(desired, unit = "Cel", range = 5.0..=30.0)]
    setpoint: f32,
    #[twin(reported, unit = "Cel", deadband = 0.2)]
    temperature: f32,
}

struct Board {
    link: SimLink,
    clock: SimClock,
    records: MemoryRecords,
    banks: MemoryBanks,
    // What the sensor gives once in each life of the firmware.
    sensed: VecDeque<f32>,
    publisher: PublicKey,
}

/// One life of the firmware, from boot to restart.
async fn firmware(board: &mut Board) -> Result<(), Failed> {
    board.banks.reboot(&mut Sha256::new())?;
    board.link.reboot();
    let key = SigningKey::new(SoftwareVerifier::new(board.publisher));
    let trust = Trust::new(key, Sha256::new(), ROOM);
    let mut sensor = stream::iter(board.sensed.pop_front()).chain(stream::pending());
    let (mut measured, mut open) = (None, false);

    let mut twin = TwinDevice::<Room, 8>::new();
    let mut jobs = Inbox::<Job, 2, 64, 8>::new();
    jobs.allow(IssuerId::new(1))?;
    let mut update = Updater::new(&mut board.banks, trust);
    let mut node = Node::new(&mut board.link, &mut board.records, board.clock.clone());
    let mut engines = (&mut twin, &mut jobs, &mut update);
    let mut buffer = vec![0; 8_192];
    node.restore(&mut engines, &mut buffer).await?;
    loop {
        // A turn can be dropped at any await; which of two that are ready comes first must not be left to chance here.
        tokio::select! {
            biased;
            turned = node.turn(&mut engines, &mut buffer) => turned?,
            celsius = sensor.next() => {
                let celsius = celsius.ok_or("the sensor is gone")?;
                engines.0.report(|room| room.temperature = celsius);
                measured = Some(celsius);
            }
        }
        if let Some(change) = engines.0.changed() {
            let works = change.setpoint < 25.0;
            engines.0.acknowledge(change.version, works);
        }
        while let Some(job) = engines.1.next() {
            match job.command {
                Job::SetValve { open: wanted } => open = wanted,
                Job::Unlock => {}
            }
            engines.1.finish(job.id, Outcome::DONE)?;
        }
        match engines.2.wants() {
            Want::Confirm => {
                if let Some(celsius) = measured {
                    engines.2.confirm(celsius > -40.0 && !open);
                }
            }
            Want::Reboot => return Ok(()),
            _ => {}
        }
    }
}

/// The service's half: it offers a release and waits for what becomes of it.
async fn service(mut link: SimLink, offer: &[u8], source: Source<'_>) -> Result<Report, Failed> {
    let (mut incoming, mut outgoing) = (vec![0; 1_024], vec![0; 8_192]);
    link.submit(&Message::new(Channel::Update, offer)).await?;
    loop {
        let Event::Message(message) = link.next(&mut incoming).await? else {
            continue;
        };
        if message.channel != Channel::Update {
            continue;
        }
        match FromDevice::decode(message.payload)? {
            FromDevice::Request(request) => {
                let block = source.answer(&request)?.encode(&mut outgoing)?;
                link.submit(&Message::new(Channel::Update, block)).await?;
            }
            FromDevice::Report(report) => return Ok(report),
            _ => {}
        }
    }
}

fn image(release: u8) -> Vec<u8> {
    (0..20_000_u32)
        .map(|n| n.wrapping_mul(u32::from(release) + 6).to_le_bytes()[0])
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}

/// Offers release 2 to a device whose sensor gives these values, boot after boot.
fn delivered(sensed: [f32; 3]) -> (Report, usize) {
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256).unwrap();
    let (old, new) = (image(1), image(2));
    let clock = SimClock::new();
    let (near, far) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
    let size = |image: &[u8]| u32::try_from(image.len()).unwrap();
    let factory = Release::new(1, sha256(&old), size(&old));
    let mut board = Board {
        link: near,
        clock,
        records: MemoryRecords::new(),
        banks: MemoryBanks::factory(64 << 10, 4_096, &old, factory),
        sensed: sensed.into(),
        publisher: PublicKey::of(&key).unwrap(),
    };
    let template = Template::new(2, ROOM, sha256(&new), size(&new), "iot:firmware");
    let envelope = template.sign(&key, None, &mut Sha256::new()).unwrap();
    let mut room = vec![0; 1_024];
    let offer = ToDevice::Offer {
        envelope: &envelope,
    };
    let offer = offer.encode(&mut room).unwrap();
    let mut boots = 0;
    let device = async {
        loop {
            boots += 1;
            firmware(&mut board).await?;
        }
        #[expect(unreachable_code, reason = "it says what the loop fails with")]
        Ok::<(), Failed>(())
    };
    let report = {
        let (device, service) = (
            pin!(device),
            pin!(service(far, offer, Source::new(2, &new))),
        );
        match block_on(select(device, service)) {
            Either::Left((failed, _)) => panic!("the device stopped: {failed:?}"),
            Either::Right((report, _)) => report.unwrap(),
        }
    };
    (report, boots)
}

#[test]
fn a_firmware_that_measures_confirms_the_release_that_it_was_offered() {
    let (report, boots) = delivered([19.5, 19.7, 19.6]);
    assert_eq!(report.outcome, Ended::Confirmed);
    assert_eq!(report.running.map(|running| running.sequence), Some(2));
    assert_eq!(boots, 2);
}

#[test]
fn a_firmware_whose_sensor_is_broken_goes_back_to_the_old_release() {
    // The new firmware reads its sensor wrongly.
    let (report, boots) = delivered([19.5, -273.0, 19.6]);
    assert!(matches!(report.outcome, Ended::RolledBack(_)), "{report:?}");
    assert_eq!(report.running.map(|running| running.sequence), Some(1));
    assert_eq!(boots, 3);
}
