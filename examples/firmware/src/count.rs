//! Instructions, counted by the processor's own timer; `.ci/count` runs the images that use it.
//!
//! The emulator must be told that every instruction takes the same time (`-icount`), so that the processor's
//! timer counts instructions; no interrupt is enabled meanwhile.

use cortex_m::Peripherals;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

use crate::board::{decimal, exit, opaque, print};

const LONGEST: u32 = 0x00ff_ffff;
/// As many instructions as the calibration takes: cortex-m's delay is a subtraction and a branch for every two.
const KNOWN: u32 = 10_000;

/// Starts the timer; call it first, and once.
pub fn start() {
    let Some(peripherals) = Peripherals::take() else {
        exit(false)
    };
    let mut timer = peripherals.SYST;
    timer.set_reload(LONGEST);
    timer.clear_current();
    timer.set_clock_source(SystClkSource::Core);
    timer.enable_counter();
}

/// The timer's ticks while `work` is done.
#[inline(never)]
pub fn ticks(work: impl FnOnce()) -> u32 {
    let before = SYST::get_current();
    work();
    // It counts down.
    before.wrapping_sub(SYST::get_current()) & LONGEST
}

/// Prints what was counted, with the measure that it is divided by, and ends the program.
pub fn finish(ok: bool, counts: &[(&str, u32)]) -> ! {
    let known = ticks(|| spin(opaque(KNOWN)));
    let nothing = ticks(|| spin(opaque(0)));
    let measure = [("calibration", known - nothing), ("instructions", KNOWN)];
    let mut room = [0; 10];
    print(&[if ok { "RESULT ok" } else { "RESULT failed" }]);
    for (name, ticks) in counts.iter().chain(&measure) {
        print(&[" ", name, "=", decimal(*ticks as usize, &mut room)]);
    }
    print(&["\n"]);
    exit(ok)
}

/// A known number of instructions.
#[inline(never)]
fn spin(instructions: u32) {
    cortex_m::asm::delay(instructions);
}
