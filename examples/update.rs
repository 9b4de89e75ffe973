//! A device installs a signed release, and rolls back one that is no good.
//! The service signs manifests; the device fetches each image, boots it on trial and says how that ended.

use core::pin::pin;

use futures::executor::block_on;
use futures::future::{Either, select};
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
use iot_ota::slot::{Release, RollBackReason};
use iot_ota::update::{FromDevice, Outcome, Report, Source, ToDevice, Trust, Updater, Want};

type Failed = Box<dyn core::error::Error>;

const BOILER: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);
const BAD: u64 = 3;

struct Board {
    publisher: PublicKey,
    banks: MemoryBanks,
    records: MemoryRecords,
}

fn main() -> Result<(), Failed> {
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
    let factory = firmware(1);
    let release = Release::new(1, sha256(&factory), u32::try_from(factory.len())?);
    let mut board = Board {
        publisher: PublicKey::of(&key)?,
        banks: MemoryBanks::factory(128 << 10, 4_096, &factory, release),
        records: MemoryRecords::new(),
    };
    let report = deliver(2, &key, &mut board)?;
    assert_eq!(report.outcome, Outcome::Confirmed);
    println!("release 2: {}", report.outcome);
    let report = deliver(BAD, &key, &mut board)?;
    let rolled_back = Outcome::RolledBack(RollBackReason::SelfTest);
    assert_eq!(report.outcome, rolled_back);
    assert_eq!(report.running.map(|running| running.sequence), Some(2));
    println!("release 3: {}; release 2 runs", report.outcome);
    println!("RESULT ok releases=2 confirmed=1 rolled_back=1");
    Ok(())
}

/// Offers one release and waits for the device's report.
fn deliver(sequence: u64, key: &SoftwareKey, board: &mut Board) -> Result<Report, Failed> {
    let image = firmware(sequence);
    let (digest, size) = (sha256(&image), u32::try_from(image.len())?);
    let template = Template::new(sequence, BOILER, digest, size, "iot:firmware");
    let envelope = template.sign(key, None, &mut Sha256::new())?;
    let clock = SimClock::new();
    let (near, far) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
    let device = pin!(device(near, clock, board));
    let service = pin!(service(far, &envelope, Source::new(sequence, &image)));
    match block_on(select(device, service)) {
        Either::Left((stopped, _)) => Err(stopped.err().unwrap_or("the device stopped".into())),
        Either::Right((report, _)) => report,
    }
}

/// The firmware's main loop, once per boot.
async fn device(mut link: SimLink, clock: SimClock, board: &mut Board) -> Result<(), Failed> {
    let mut buffer = vec![0; 8_192];
    loop {
        board.banks.reboot(&mut Sha256::new())?;
        link.reboot();
        let key = SigningKey::new(SoftwareVerifier::new(board.publisher));
        let mut update = Updater::new(&mut board.banks, Trust::new(key, Sha256::new(), BOILER));
        let mut node = Node::new(&mut link, &mut board.records, clock.clone());
        let mut engines = (&mut update,);
        node.restore(&mut engines, &mut buffer).await?;
        loop {
            let running = engines.0.status().running.map(|release| release.sequence);
            match engines.0.wants() {
                Want::Confirm => engines.0.confirm(running != Some(BAD)),
                Want::Reboot => break,
                _ => node.turn(&mut engines, &mut buffer).await?,
            }
        }
    }
}

async fn service(mut link: SimLink, envelope: &[u8], source: Source<'_>) -> Result<Report, Failed> {
    let (mut incoming, mut outgoing) = (vec![0; 256], vec![0; 8_192]);
    let offer = ToDevice::Offer { envelope }.encode(&mut outgoing)?;
    link.submit(&Message::new(Channel::Update, offer)).await?;
    loop {
        if let Event::Message(message) = link.next(&mut incoming).await? {
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
}

fn firmware(release: u64) -> Vec<u8> {
    (0..100_000_u64)
        .map(|n| (n.wrapping_mul(release + 6) >> 3).to_le_bytes()[0])
        .collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}
