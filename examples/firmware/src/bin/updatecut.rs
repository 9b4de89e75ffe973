//! An update on flash, from the signed offer to its end, with a power supply that fails at a chosen operation.
//!
//! `.ci/updatecut` runs it again and again on the same files. One life is the boot loader, then the firmware. The argument
//! is the number of operations of the flash there is power for, as twice that number; one more makes the new release
//! reject itself.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::crypto::{Digest, Sha256Digest, SignatureAlgorithm};
use iot_core::engine::{Done, Engine, Event, Step};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Instant, Message, Now, Ticket};
use iot_firmware::board::{Board, argument, decimal, exit, print};
use iot_firmware::cut::{FileCounter, FileFlash, PAGE, Supply};
use iot_firmware::fixture::{
    DEVICE, RELEASE_KEY, SEQUENCE, SMALL_IMAGE_BYTES as IMAGE_BYTES, SMALL_MANIFEST, image_byte,
};
use iot_identity::key::PublicKey;
use iot_identity::rustcrypto::{P256Verifier, Sha256};
use iot_ota::manifest::SigningKey;
use iot_ota::slot::{
    Bank, Banks, BootRecord, EndedAs, FlashBanks, Layout, Release, RollBackReason, boot, load,
    store,
};
use iot_ota::update::{Activity, ToDevice, Trust, Updater};

/// What the device leaves the factory with.
const FIRST: u64 = SEQUENCE - 1;
const PAGES: u32 = IMAGE_BYTES / PAGE as u32;
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);
const BLOCK: u32 = PAGE as u32;
/// Three pages for the record, one for the journal, what runs, and the other image with a page to spare.
const RUN: u32 = 4 * BLOCK;
const OTHER: u32 = RUN + IMAGE_BYTES;
const BYTES: usize = (4 + 2 * PAGES as usize + 1) * PAGE;
const LAYOUT: Layout = Layout::swap(0, 3 * BLOCK, RUN, OTHER, IMAGE_BYTES);

type Flash<'s> = FlashBanks<FileFlash<'s>, FileCounter>;
type Firmware<'s> = Updater<'static, Flash<'s>, SigningKey<P256Verifier>, Sha256>;

/// How a life ends.
enum End {
    Reboot,
    Over,
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let (well, supply) = (argument() % 2 == 0, Supply::new(argument() / 2));
    match live(&supply, well) {
        Ok(End::Over) => board.finish(Ok(&[
            ("release", if well { SEQUENCE } else { FIRST } as usize),
            ("operations", supply.used() as usize),
        ])),
        Ok(End::Reboot) => {
            let mut room = [0; 10];
            let used = decimal(supply.used() as usize, &mut room);
            print(&["REBOOT operations=", used, "\n"]);
            exit(true)
        }
        Err(stage) => board.finish(Err(stage)),
    }
}

fn live(supply: &Supply, well: bool) -> Result<End, &'static str> {
    let mut banks = open(supply)?;
    if load(&mut banks).map_err(|_| "load")?.is_none() {
        factory(&mut banks).ok_or("factory")?;
        return Ok(End::Reboot);
    }
    let bank = boot(&mut banks, &mut Sha256::new()).map_err(|_| "boot")?;
    drop(banks);
    let mut updater = start(open(supply)?).ok_or("start")?;
    if updater.banks().running() != bank {
        return Err("running");
    }
    let status = updater.status();
    let runs = status.running.ok_or("nothing runs")?.sequence;
    right_image(supply, runs).ok_or("wrong image")?;
    match (status.activity, status.ended.map(|ended| ended.how)) {
        (Activity::Idle, None) if runs == FIRST => {
            install(&mut updater).ok_or("install")?;
            Ok(End::Reboot)
        }
        (Activity::OnTrial, _) if runs == SEQUENCE => {
            updater.confirm(well);
            Ok(End::Reboot)
        }
        (Activity::Idle, Some(EndedAs::Confirmed)) if well && runs == SEQUENCE => Ok(End::Over),
        (Activity::Idle, Some(EndedAs::RolledBack(RollBackReason::SelfTest)))
            if !well && runs == FIRST =>
        {
            Ok(End::Over)
        }
        _ => Err("status"),
    }
}

fn open(supply: &Supply) -> Result<Flash<'_>, &'static str> {
    let flash = FileFlash::open(supply, BYTES).ok_or("flash")?;
    let counter = FileCounter::open().ok_or("counter")?;
    FlashBanks::open(flash, LAYOUT, counter).map_err(|_| "open")
}

/// The byte of a release's image.
fn byte_of(release: u64, offset: u32) -> u8 {
    match release {
        SEQUENCE => image_byte(offset),
        _ => image_byte(offset) ^ 0x55,
    }
}

fn block_of(release: u64, offset: u32) -> [u8; PAGE] {
    let mut block = [0; PAGE];
    for (at, byte) in (offset..).zip(&mut block) {
        *byte = byte_of(release, at);
    }
    block
}

fn factory(banks: &mut Flash<'_>) -> Option<()> {
    let mut digest = Sha256::new();
    for page in 0..PAGES {
        let block = block_of(FIRST, page * BLOCK);
        digest.update(&block);
        banks.write(Bank::A, page * BLOCK, &block).ok()?;
    }
    let digest: Sha256Digest = digest.finish();
    let release = Release::new(FIRST, digest, IMAGE_BYTES);
    store(banks, &BootRecord::factory(Bank::A, release)).ok()
}

fn start(banks: Flash<'_>) -> Option<Firmware<'_>> {
    let key = PublicKey::new(SignatureAlgorithm::EcdsaP256Sha256, RELEASE_KEY)?;
    let keys = SigningKey::new(P256Verifier::new(&key)?);
    let trust = Trust::new(keys, Sha256::new(), DEVICE);
    let mut updater = Updater::new(banks, trust).with_block_bytes(BLOCK);
    updater.input(NOW, &Event::Restored);
    pump(&mut updater)?;
    Some(updater)
}

/// Every byte of what runs, read past the banks.
fn right_image(supply: &Supply, release: u64) -> Option<()> {
    use embedded_storage::nor_flash::ReadNorFlash;
    let mut flash = FileFlash::open(supply, BYTES)?;
    let right = (0..PAGES).all(|page| {
        let mut stored = [0; PAGE];
        let read = ReadNorFlash::read(&mut flash, RUN + page * BLOCK, &mut stored);
        read.is_ok() && stored == block_of(release, page * BLOCK)
    });
    right.then_some(())
}

/// The offer, and the blocks that are asked for.
fn install(updater: &mut Firmware<'_>) -> Option<()> {
    hear(
        updater,
        &ToDevice::Offer {
            envelope: SMALL_MANIFEST,
        },
    )?;
    while let Activity::Fetching { release, offset } = updater.status().activity {
        let block = block_of(SEQUENCE, offset);
        let block = ToDevice::Block {
            sequence: release.sequence,
            offset,
            bytes: &block,
        };
        hear(updater, &block)?;
    }
    match updater.status().activity {
        Activity::Staged { release } if release.sequence == SEQUENCE => Some(()),
        _ => None,
    }
}

fn hear(updater: &mut Firmware<'_>, message: &ToDevice<'_>) -> Option<()> {
    let mut buffer = [0; 1024];
    let payload = message.encode(&mut buffer).ok()?;
    let message = Message::new(Channel::Update, payload);
    updater.input(NOW, &Event::Message(message));
    pump(updater)
}

fn pump(updater: &mut Firmware<'_>) -> Option<()> {
    let mut buffer = [0; 256];
    loop {
        let done = match updater.step(NOW, &mut buffer) {
            Step::Persist(_) => Done::Persisted,
            Step::Send(_) => Done::Sent(Ticket::new(1)),
            // It has more to do at once: a page to erase.
            Step::Idle if updater.deadline() == Some(Instant::ZERO) => continue,
            Step::Idle => return Some(()),
            _ => return None,
        };
        updater.done(NOW, done);
    }
}
