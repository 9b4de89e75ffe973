//! A device with two images on flash, from the factory to the end of an update.
#![allow(dead_code, reason = "each test file uses a part")]

use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::sim::SimCounter;
use iot_ota::slot::{
    Bank, Banks, BootEvent, BootRecord, BootState, FlashBanks, Layout, Release, RollBackReason,
    boot, load, raise_counter, store,
};

use super::nor::{Fault, Nor};

pub(crate) const PAGE: u32 = 256;
/// Pages of a bank.
const BANK: u32 = 2;
const CAPACITY: u32 = BANK * PAGE;
pub(crate) const SIZE: usize = 2 * PAGE as usize - 9;
/// Boots of a life; whatever happens is over before the last one.
const BOOTS: usize = 9;

pub(crate) type Flash = Nor<1, 4, { PAGE as usize }>;
pub(crate) type OnFlash = FlashBanks<Flash, SimCounter>;

/// How images get to where they run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Way {
    Direct,
    Swap,
    Overwrite,
}

/// What the new firmware does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    Confirm,
    Reject,
    Nothing,
}

pub(crate) const END: [End; 3] = [End::Confirm, End::Reject, End::Nothing];

impl Way {
    pub(crate) const fn layout(self, running: Bank) -> Layout {
        match self {
            Self::Direct => Layout::direct(0, 3 * PAGE, 5 * PAGE, CAPACITY, running),
            Self::Swap => Layout::swap(0, 3 * PAGE, 4 * PAGE, 6 * PAGE, CAPACITY),
            Self::Overwrite => Layout::overwrite(0, 3 * PAGE, 5 * PAGE, 7 * PAGE, CAPACITY),
        }
    }

    pub(crate) const fn pages(self) -> u32 {
        match self {
            Self::Direct => 7,
            Self::Swap | Self::Overwrite => 9,
        }
    }

    /// The first page of what runs.
    pub(crate) const fn run(self, bank: Bank) -> u32 {
        match (self, bank) {
            (Self::Direct, Bank::A) | (Self::Overwrite, _) => 3,
            (Self::Direct, Bank::B) => 5,
            (Self::Swap, _) => 4,
        }
    }

    /// Whether every image runs on that page.
    pub(crate) fn runs_on(self, page: u32) -> bool {
        let run = self.run(Bank::A);
        self != Self::Direct && (run..run + BANK).contains(&page)
    }
}

/// Not SHA-256: what is tested is flash, not cryptography.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum(u64);

impl Digest for Sum {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) ^ (self.0 >> 29);
        }
    }

    fn finish(&mut self) -> Sha256Digest {
        let mut out = [0; 32];
        out[..8].copy_from_slice(&core::mem::take(&mut self.0).to_be_bytes());
        out
    }
}

pub(crate) fn image(release: u8) -> [u8; SIZE] {
    core::array::from_fn(|at| release.wrapping_mul(59).wrapping_add((at * 7 / 3) as u8))
}

/// Filled up to whole words.
fn padded(release: u8) -> Vec<u8> {
    let mut bytes = image(release).to_vec();
    bytes.resize(2 * PAGE as usize, 0xff);
    bytes
}

pub(crate) fn release(number: u8) -> Release {
    let mut sum = Sum::default();
    sum.update(&image(number));
    Release::new(number.into(), sum.finish(), SIZE as u32).with_counter(number.into())
}

/// What was seen of a device.
#[derive(Debug)]
pub(crate) struct Life {
    /// The fault was met.
    pub(crate) met: bool,
    pub(crate) operations: u32,
    /// What the last boot has booted.
    pub(crate) last: Result<Bank, String>,
    /// What must never be.
    pub(crate) broken: Option<&'static str>,
}

/// A device.
#[derive(Debug)]
pub(crate) struct Bench {
    pub(crate) flash: Flash,
    pub(crate) fuses: SimCounter,
    way: Way,
}

impl Bench {
    /// Fresh from the factory, with release 1 in bank A.
    pub(crate) fn new(way: Way) -> Self {
        let (flash, fuses) = (Flash::new(way.pages() as usize), SimCounter::new(1));
        let bench = Self { flash, fuses, way };
        let mut banks = bench.open(Bank::A);
        banks.write(Bank::A, 0, &image(1)).unwrap();
        store(&mut banks, &BootRecord::factory(Bank::A, release(1))).unwrap();
        if way == Way::Overwrite {
            // What runs is a copy of what lies in bank A.
            let mut flash = bench.flash.clone();
            embedded_storage::nor_flash::NorFlash::write(&mut flash, 5 * PAGE, &padded(1)).unwrap();
        }
        Self {
            flash: bench.flash.copy(),
            ..bench
        }
    }

    /// The same with release 2 in bank B, to be tried so often.
    pub(crate) fn staged(way: Way, trials: u8) -> Self {
        let bench = Self::new(way);
        assert!(bench.install(trials));
        Self {
            flash: bench.flash.copy(),
            ..bench
        }
    }

    pub(crate) fn open(&self, running: Bank) -> OnFlash {
        let (flash, fuses) = (self.flash.clone(), self.fuses.clone());
        FlashBanks::open(flash, self.way.layout(running), fuses).unwrap()
    }

    pub(crate) fn boot(&self) -> Result<Bank, String> {
        let booted = boot(&mut self.open(Bank::A), &mut Sum::default());
        booted.map_err(|error| format!("{error:?}"))
    }

    /// Whether a page of what runs holds what release 1 has there.
    pub(crate) fn runs_release_1_on(&self, page: u32) -> bool {
        let at = (page - self.way.run(Bank::A)) * PAGE;
        let bytes = &padded(1)[at as usize..][..PAGE as usize];
        self.flash.holds(page * PAGE, bytes)
    }

    /// From the operation with this number on, counted from now, this is wrong with a page.
    pub(crate) fn fault(&self, page: u32, fault: Fault, operation: u32) {
        let at = page * PAGE;
        self.flash.fault(at..at + PAGE, fault, operation);
    }

    pub(crate) fn cut_after(&self, operations: u32) {
        self.flash.cut_after(operations);
    }

    /// What the firmware does with a download. Whether it is to be tried.
    fn install(&self, trials: u8) -> bool {
        let mut banks = self.open(Bank::A);
        let Ok(Some(record)) = load(&mut banks) else {
            return false;
        };
        // A cut may have left it to a boot to find out that it was staged already.
        if record.state != BootState::Confirmed || record.ended.is_some() {
            return true;
        }
        let mut stored = [0; SIZE];
        let arrived = banks
            .clear(Bank::B, 0)
            .and_then(|_| banks.write(Bank::B, 0, &image(2)))
            .and_then(|()| banks.read(Bank::B, 0, &mut stored));
        if arrived.is_err() || stored != image(2) {
            return false;
        }
        let candidate = release(2);
        let stage = BootEvent::Stage { candidate, trials };
        store(&mut banks, &record.on(stage).unwrap()).is_ok()
    }

    /// The new firmware ends its trial; whether it is confirmed from now on, or `None` when that is not known.
    fn judge(&self, end: End, bank: Bank) -> Option<bool> {
        let mut banks = self.open(bank);
        let record = load(&mut banks).ok()??;
        let BootState::Trial { .. } = record.state else {
            return None;
        };
        let event = match end {
            End::Confirm => BootEvent::Confirm,
            End::Reject => BootEvent::Reject(RollBackReason::SelfTest),
            End::Nothing => return None,
        };
        let record = record.on(event).unwrap();
        store(&mut banks, &record).ok()?;
        if end == End::Confirm {
            let _ = raise_counter(&mut banks, &record);
        }
        Some(end == End::Confirm)
    }

    /// One update, and the boots after it.
    pub(crate) fn live(&self, end: End) -> Life {
        let mut life = Life {
            met: false,
            operations: 0,
            last: Err(String::new()),
            broken: None,
        };
        let (mut offered, mut ended) = (false, None);
        let mut tried = 0;
        for _ in 0..BOOTS {
            life.last = self.boot();
            let Ok(bank) = life.last else {
                self.flash.restore_power();
                continue;
            };
            let number = if bank == Bank::A { 1 } else { 2 };
            if !self.flash.holds(self.way.run(bank) * PAGE, &image(number)) {
                life.broken = Some("another image runs");
            }
            match (ended, bank) {
                (Some(true), Bank::A) => life.broken = Some("a confirmation was taken back"),
                (Some(false), Bank::B) => life.broken = Some("a rejected image runs"),
                _ => {}
            }
            tried += u32::from(bank == Bank::B && ended.is_none());
            if tried > 2 && end == End::Nothing {
                life.broken = Some("a trial without end");
            }
            offered = offered || self.install(2);
            if bank == Bank::B && ended.is_none() {
                ended = self.judge(end, bank);
            }
            self.flash.restore_power();
        }
        life.met = self.flash.fired() > 0;
        life.operations = self.flash.operations();
        life
    }
}
