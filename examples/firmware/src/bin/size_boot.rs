//! The boot loader alone, without cryptography: record, banks that are swapped, trial boots and roll-back.
//!
//! It can do what a boot loader does and no more: the flash in RAM is filled by hand.
#![no_std]
#![no_main]

use core::convert::Infallible;

use cortex_m_rt::entry;
use iot_core::crypto::{Digest, Sha256Digest};
use iot_core::port::MonotonicCounter;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::flash::RamFlash;
use iot_ota::slot::{Bank, BootEvent, BootRecord, FlashBanks, Layout, Release, boot, store};

const PAGE: u32 = 1024;
const BYTES: usize = 11 * PAGE as usize;
const RUN: u32 = 4 * PAGE;
const OTHER: u32 = 7 * PAGE;

struct Fuses;

impl MonotonicCounter for Fuses {
    type Error = Infallible;
    fn value(&mut self) -> Result<u64, Infallible> {
        Ok(opaque(1))
    }
    fn raise(&mut self, to: u64) -> Result<(), Infallible> {
        opaque(to);
        Ok(())
    }
}

/// Adds bytes up, so that only the cryptography is missing.
#[derive(Default)]
struct Sum(u8);

impl Digest for Sum {
    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_add(*byte);
        }
    }
    fn finish(&mut self) -> Sha256Digest {
        [core::mem::take(&mut self.0); 32]
    }
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut memory = [0xFF; BYTES];
    match run(&mut memory) {
        Some(boots) => board.finish(Ok(&[("boots", boots)])),
        None => board.finish(Err("boot")),
    }
}

/// The third boot must bring the first image back.
#[inline(never)]
fn run(memory: &mut [u8]) -> Option<usize> {
    let layout = opaque(Layout::swap(0, 3 * PAGE, RUN, OTHER, 3 * PAGE));
    for (at, byte) in [(RUN, 1), (OTHER + PAGE, 2)] {
        memory
            .get_mut(at as usize..)?
            .get_mut(..3 * PAGE as usize)?
            .fill(byte);
    }
    let release =
        |number: u8| Release::new(number.into(), [0; 32], 3 * PAGE).with_counter(number.into());
    let mut banks = FlashBanks::open(RamFlash::new(memory), layout, Fuses).ok()?;
    let stage = BootEvent::Stage {
        candidate: release(2),
        trials: 2,
    };
    let record = BootRecord::factory(Bank::A, release(1)).on(stage).ok()?;
    store(&mut banks, &record).ok()?;
    drop(banks);
    let mut boots = 0;
    for expected in [Bank::B, Bank::B, Bank::A] {
        let mut banks = FlashBanks::open(RamFlash::new(memory), layout, Fuses).ok()?;
        let bank = boot(&mut banks, &mut Sum::default()).ok()?;
        let runs = *memory.get(RUN as usize)? == bank as u8 + 1;
        boots += usize::from(bank == expected && runs);
    }
    (boots == 3).then_some(boots)
}
