//! A device installs signed releases, and every kind of bad one ends with the reason for it.
//! The service signs manifests; the device fetches each image, boots it on trial and says how that ended. An audit on the device
//! keeps everything that happened, and its twin shows the service where that led.

use core::pin::pin;
use core::time::Duration;

use futures::executor::block_on;
use futures::future::{Either, select};
use iot_core::component::{ComponentEvent, ComponentFact, ComponentId, Trail};
use iot_core::crypto::{Digest, SignatureAlgorithm};
use iot_core::engine::{Done, Engine, Step};
use iot_core::node::Node;
use iot_core::port::{Timer, Transport};
use iot_core::sim::flash::Mode;
use iot_core::sim::{Faults, SimClock, SimCounter, SimFlash, SimLink, SimNetwork};
use iot_core::storage::memory::MemoryRecords;
use iot_core::{Channel, Event, Message};
use iot_identity::key::PublicKey;
use iot_identity::ring::{Sha256, SoftwareKey, SoftwareVerifier};
use iot_ota::manifest::{Device, SigningKey, Template};
use iot_ota::slot::{Bank, Banks, BootRecord, FlashBanks, Layout, Release, RollBackReason};
use iot_ota::slot::{boot, store};
use iot_ota::update::{Activity, Facts, FromDevice, Outcome, Probation, Report, Source, ToDevice};
use iot_ota::update::{Trust, Updater, Want};
use iot_twin::component::{ComponentState, Ending};
use iot_twin::{Twin, TwinDevice, TwinService};

type Failed = Box<dyn core::error::Error>;
/// Sequence number, envelope and image.
type Offer<'a> = (u64, &'a [u8], &'a [u8]);

const BOILER: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);
const PUMP: Device<'static> = Device::new([0xfa; 16], [0x15; 16], &[b"firmware"]);
const PAGE: u32 = 4_096;
const PAGES: u32 = 25;
/// How long a new firmware may take to find out whether it is well.
const PATIENCE: Duration = Duration::from_secs(60);
/// The progress of a firmware that is tried.
const ON_TRIAL: u32 = u32::MAX;

/// What is wrong with a release. An image begins with it: that is all its code does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    Nothing,
    /// The power fails in the middle of the download, and again in the first trial.
    PowerFails,
    FailsItsTest,
    Hangs,
    Crashes,
    OtherBytes,
    OtherSigner,
    OtherDevice,
}

/// Sequence number, security counter, what is wrong with it, and how it has to end.
const RELEASES: [(u64, u64, Fault, Outcome); 10] = {
    use {Fault::*, Outcome as O, RollBackReason as R};
    [
        (2, 2, Nothing, O::Confirmed),
        (3, 2, FailsItsTest, O::RolledBack(R::SelfTest)),
        (4, 2, Hangs, O::RolledBack(R::Unconfirmed)),
        (5, 2, Crashes, O::RolledBack(R::Unconfirmed)),
        (6, 2, OtherBytes, O::BadImage),
        (7, 2, OtherSigner, O::NotAuthentic),
        (8, 2, OtherDevice, O::OtherDevice),
        (9, 2, PowerFails, O::Confirmed),
        (2, 2, Nothing, O::TooOld),
        (10, 1, Nothing, O::BelowCounter),
    ]
};

/// What the service sees of a device.
#[derive(Twin)]
struct Boiler {
    #[twin(group, id = 16)]
    firmware: ComponentState,
}

struct Board {
    publisher: PublicKey,
    memory: FlashBanks<SimFlash<4, 4_096>, SimCounter>,
    records: MemoryRecords,
    /// What became of each release, once each and in order; in a product on flash.
    audit: Vec<ComponentFact>,
    /// Places of its progress, the last one first.
    power_fails_at: Vec<u32>,
}

fn main() -> Result<(), Failed> {
    let key = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
    let stranger = SoftwareKey::generate(SignatureAlgorithm::EcdsaP256Sha256)?;
    let mut board = factory(PublicKey::of(&key)?)?;
    let mut twin = TwinService::of::<Boiler>();
    let (mut runs, mut confirmed, mut kept) = (1, 0, 0);
    for (sequence, counter, fault, outcome) in RELEASES {
        let (kind, signer) = match fault {
            Fault::OtherDevice => (PUMP, &key),
            Fault::OtherSigner => (BOILER, &stranger),
            _ => (BOILER, &key),
        };
        let mut image = firmware(sequence, fault);
        let (digest, size) = (sha256(&image), u32::try_from(image.len())?);
        let template = Template::new(sequence, kind, digest, size, "iot:firmware");
        let template = template.with_counter(counter);
        let envelope = template.sign(signer, None, &mut Sha256::new())?;
        match fault {
            Fault::OtherBytes => image.reverse(),
            Fault::PowerFails => board.power_fails_at = vec![ON_TRIAL, size / 2],
            _ => {}
        }
        let report = deliver((sequence, &envelope, &image), &mut board, &mut twin)?;
        if report.outcome == Outcome::Confirmed {
            (runs, confirmed) = (sequence, confirmed + 1);
        }
        let ended = report.outcome;
        println!("release {sequence}, {fault:?}: {ended}; release {runs} runs");
        let audited = board.audit.iter().skip(kept);
        audited.for_each(|fact| println!("    {}", fact.event));
        kept = board.audit.len();
        assert_eq!(ended, outcome);
        assert_eq!(report.running.map(|running| running.sequence), Some(runs));
        assert!(board.power_fails_at.is_empty());
    }
    // Restarts and power cuts have told several things twice: the audit has each end once.
    let ends = board.audit.iter().filter(|fact| fact.event.is_end());
    let is_confirmed =
        |fact: &&ComponentFact| matches!(fact.event, ComponentEvent::Confirmed { .. });
    assert_eq!(
        (ends.clone().count(), ends.filter(is_confirmed).count()),
        (5, confirmed)
    );
    // The last of all it has is the end of release 9 and the refusal of release 10.
    let Boiler { firmware } = twin.state().ok_or("the device has shown nothing")?;
    let named = |release: Option<u64>| release.unwrap_or(0);
    println!(
        "twin: release {} runs; the update to {} has ended: {:?}; release {} was refused: {:?}",
        named(firmware.running),
        named(firmware.ended),
        firmware.ending.ok_or("an update has ended")?,
        named(firmware.refused),
        firmware.refusal.ok_or("a release was refused")?
    );
    let releases = RELEASES.len();
    println!("RESULT ok releases={releases} confirmed={confirmed} running={runs}");
    Ok(())
}

/// A board whose images run at one place of its flash, where another place has to do with them: they are swapped.
fn factory(publisher: PublicKey) -> Result<Board, Failed> {
    let image = firmware(1, Fault::Nothing);
    let (run, other) = (4 * PAGE, (4 + PAGES) * PAGE);
    let layout = Layout::swap(0, 3 * PAGE, run, other, PAGES * PAGE);
    let flash = SimFlash::new(2 * 25 + 5, Mode::WriteOnce);
    let mut memory = FlashBanks::open(flash, layout, SimCounter::new(1))?;
    memory.write(Bank::A, 0, &image)?;
    let release = Release::new(1, sha256(&image), u32::try_from(image.len())?).with_counter(1);
    store(&mut memory, &BootRecord::factory(Bank::A, release))?;
    Ok(Board {
        publisher,
        memory,
        records: MemoryRecords::new(),
        audit: Vec::new(),
        power_fails_at: Vec::new(),
    })
}

/// Offers one release and waits for the device's report.
fn deliver(offer: Offer<'_>, board: &mut Board, twin: &mut TwinService) -> Result<Report, Failed> {
    let clock = SimClock::new();
    let (near, far) = SimNetwork::new(1, clock.clone(), Faults::NONE).link();
    let device = pin!(device(near, clock.clone(), board));
    let service = pin!(service(far, clock, offer, twin));
    match block_on(select(device, service)) {
        Either::Left((stopped, _)) => Err(stopped.err().unwrap_or("the device stopped".into())),
        Either::Right((report, _)) => report,
    }
}

/// The boot loader, then the firmware's main loop, once per boot.
async fn device(mut link: SimLink, clock: SimClock, board: &mut Board) -> Result<(), Failed> {
    let mut buffer = vec![0; 8_192];
    loop {
        link.reboot();
        let bank = boot(&mut board.memory, &mut Sha256::new())?;
        let mut code = [0];
        board.memory.read(bank, 0, &mut code)?;
        let does = |fault: Fault| code == [fault as u8];
        if does(Fault::Crashes) {
            continue;
        }
        let key = SigningKey::new(SoftwareVerifier::new(board.publisher));
        let update = Updater::new(&mut board.memory, Trust::new(key, Sha256::new(), BOILER));
        let mut update = Facts::new(ComponentId::from_path(BOILER.component)?, update);
        let mut trail: Trail = board.audit.iter().collect();
        let mut twin = TwinDevice::<Boiler, 8>::new();
        let mut node = Node::new(&mut link, &mut board.records, clock.clone());
        let mut engines = (&mut update, &mut twin);
        node.restore(&mut engines, &mut buffer).await?;
        let mut probation = Probation::<1>::new(clock.instant() + PATIENCE);
        loop {
            while let Some(fact) = engines.0.observe(clock.now()) {
                engines.1.report(|boiler| boiler.firmware.follow(&fact));
                if trail.is_news(&fact) {
                    board.audit.push(fact);
                }
            }
            let running = engines.0.running();
            (engines.1).report(|boiler| boiler.firmware.runs(running.as_ref()));
            let progress = match engines.0.status().activity {
                Activity::Fetching { offset, .. } => offset,
                Activity::OnTrial => ON_TRIAL,
                _ => 0,
            };
            if board.power_fails_at.pop_if(|at| progress >= *at).is_some() {
                break;
            }
            match engines.0.wants() {
                Want::Confirm => {
                    match does(Fault::Hangs) {
                        true => clock.advance(PATIENCE),
                        false => probation.report(0, !does(Fault::FailsItsTest)),
                    }
                    engines.0.conclude(probation.verdict(clock.instant()));
                }
                Want::Reboot => break,
                _ => node.turn(&mut engines, &mut buffer).await?,
            }
        }
    }
}

/// Answers a device until it has reported, and its twin shows the same.
async fn service(
    mut link: SimLink,
    clock: SimClock,
    offer: Offer<'_>,
    twin: &mut TwinService,
) -> Result<Report, Failed> {
    let (sequence, envelope, image) = offer;
    let source = Source::new(sequence, image);
    let (mut incoming, mut outgoing) = (vec![0; 1_024], vec![0; 8_192]);
    let offer = ToDevice::Offer { envelope }.encode(&mut outgoing)?;
    link.submit(&Message::new(Channel::Update, offer)).await?;
    let mut reported = None;
    loop {
        let event = link.next(&mut incoming).await?;
        twin.input(clock.now(), &event);
        while let Step::Send(message) = twin.step(clock.now(), &mut outgoing) {
            let ticket = link.submit(&message).await?;
            twin.done(clock.now(), Done::Sent(ticket));
        }
        if let Event::Message(message) = event
            && message.channel == Channel::Update
        {
            match FromDevice::decode(message.payload)? {
                FromDevice::Request(request) => {
                    // A device that restarted since has to see the signature again.
                    if source.is_last(&request) {
                        let offer = ToDevice::Offer { envelope }.encode(&mut outgoing)?;
                        link.submit(&Message::new(Channel::Update, offer)).await?;
                    }
                    let block = source.answer(&request)?.encode(&mut outgoing)?;
                    link.submit(&Message::new(Channel::Update, block)).await?;
                }
                // What is not authentic has no number.
                FromDevice::Report(report) if report.sequence.is_none_or(|of| of == sequence) => {
                    reported = Some(report);
                }
                _ => {}
            }
        }
        if let Some(report) = reported
            && twin.state().is_some_and(|boiler| shows(&boiler, &report))
        {
            return Ok(report);
        }
    }
}

/// Whether a device's twin shows what it has reported.
fn shows(Boiler { firmware }: &Boiler, report: &Report) -> bool {
    let same_end = match report.outcome {
        Outcome::Confirmed => {
            (firmware.ended, firmware.ending) == (report.sequence, Some(Ending::Confirmed))
        }
        Outcome::RolledBack(_) => {
            firmware.ended == report.sequence && firmware.ending != Some(Ending::Confirmed)
        }
        _ => firmware.refused == report.sequence && firmware.refusal.is_some(),
    };
    firmware.running == report.running.map(|running| running.sequence)
        && firmware.candidate.is_none()
        && same_end
}

fn firmware(release: u64, fault: Fault) -> Vec<u8> {
    let noise = |n: u64| (n.wrapping_mul(release + 6) >> 3).to_le_bytes()[0];
    let code = core::iter::once(fault as u8);
    code.chain((1..100_000).map(noise)).collect()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}
