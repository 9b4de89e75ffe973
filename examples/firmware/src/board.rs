//! The board: a console and an exit over semihosting, a millisecond clock, and a gauge for the stack.
//!
//! This is the only file of the project with `unsafe` in it.
#![allow(
    unsafe_code,
    reason = "the stack can only be gauged, and registers reached, through raw memory"
)]

use core::ffi::CStr;
use core::panic::PanicInfo;
use core::ptr::{self, read_volatile, write_volatile};
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::{Peripherals, asm, register};
use cortex_m_rt::exception;
use cortex_m_semihosting::nr::{self, open};
use cortex_m_semihosting::{debug, hio, syscall};

// The core runs at 12 MHz after reset (LM3S6965 data sheet, section 6.2.2).
const CYCLES_PER_MS: u32 = 12_000;

// Unlikely as data, and odd, so that no aligned address looks like it.
const PAINT: u32 = 0xC0DE_57AD;

static MILLIS: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    // Both are symbols of cortex-m-rt's link.x; only their addresses mean anything.
    static mut __euninit: u32;
    static mut _stack_start: u32;
}

/// The board after [`Board::start`].
#[derive(Debug)]
pub struct Board {
    stack_lowest: *mut u32,
    stack_top: *mut u32,
}

impl Board {
    /// Starts the clock and paints the unused stack; call it first, and once.
    ///
    /// Returns `None` when the peripherals were taken before.
    #[inline(never)]
    #[must_use]
    pub fn start() -> Option<Self> {
        let mut clock = Peripherals::take()?.SYST;
        clock.set_reload(CYCLES_PER_MS - 1);
        clock.set_clock_source(SystClkSource::Core);
        clock.clear_current();
        let board = Self {
            stack_lowest: &raw mut __euninit,
            stack_top: &raw mut _stack_start,
        };
        let used = register::msp::read() as usize;
        let mut word = board.stack_lowest;
        // 128 bytes below the stack pointer are left alone for this function's own frame to grow.
        while word.addr() + 128 < used {
            // SAFETY: the word lies between the end of all statics and the live stack, both of them words
            // of RAM (memory.x); nothing else refers to it, and no interrupt is enabled yet.
            unsafe { write_volatile(word, PAINT) };
            word = word.wrapping_add(1);
        }
        clock.enable_interrupt();
        clock.enable_counter();
        Some(board)
    }

    /// Bytes of stack that were in use at the worst moment since [`start`](Self::start).
    #[must_use]
    pub fn stack_peak_bytes(&self) -> usize {
        let mut word = self.stack_lowest;
        // SAFETY: the word is RAM between the end of all statics and the top of the stack; a volatile read
        // of a word that the stack holds by now is still a read of an initialised word of RAM.
        while word < self.stack_top && unsafe { read_volatile(word) } == PAINT {
            word = word.wrapping_add(1);
        }
        self.stack_top.addr() - word.addr()
    }

    /// Prints the facts, or the stage that failed, with the stack's high-water mark, and ends the run with
    /// the matching exit code.
    pub fn finish(&self, result: Result<&[(&str, usize)], &str>) -> ! {
        let mut room = [0; 10];
        match result {
            Ok(facts) => {
                print(&["RESULT ok"]);
                for (name, value) in facts {
                    print(&[" ", name, "=", decimal(*value, &mut room)]);
                }
            }
            Err(stage) => print(&["RESULT failed stage=", stage]),
        }
        let peak = decimal(self.stack_peak_bytes(), &mut room);
        print(&[" stack=", peak, "\n"]);
        exit(result.is_ok())
    }
}

/// Milliseconds since the board was started.
#[must_use]
pub fn millis() -> u32 {
    MILLIS.load(Ordering::Relaxed)
}

/// Sleeps until the next interrupt: at most a millisecond.
pub fn sleep() {
    asm::wfi();
}

/// Writes text to the debugger's console; without a debugger it goes nowhere.
pub fn print(parts: &[&str]) {
    if let Ok(mut console) = hio::hstdout() {
        for part in parts {
            let _ = console.write_all(part.as_bytes());
        }
    }
}

/// Ends the run: the emulator's exit code is 0 when all went well, otherwise 1.
pub fn exit(ok: bool) -> ! {
    debug::exit(if ok {
        debug::EXIT_SUCCESS
    } else {
        debug::EXIT_FAILURE
    });
    loop {
        asm::wfi();
    }
}

/// Writes a number in decimal, without the weight of `core::fmt`.
pub fn decimal(mut number: usize, room: &mut [u8; 10]) -> &str {
    let mut first = room.len();
    for digit in room.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    room.get(first..)
        .and_then(|digits| core::str::from_utf8(digits).ok())
        .unwrap_or("")
}

/// Passes a value through memory, so that nothing computed from it can be done at compile time.
#[inline(never)]
pub fn opaque<T: Copy>(value: T) -> T {
    let place = value;
    // SAFETY: `place` is a live, initialised and aligned local of type `T`, and `T` is `Copy`.
    unsafe { read_volatile(&raw const place) }
}

/// A file of the host: what survives the end of a run.
#[derive(Debug)]
pub struct File(usize);

impl File {
    /// Opens a file that exists, to be read and written; `None` when there is none.
    #[must_use]
    pub fn open(name: &CStr) -> Option<Self> {
        let name = name.to_bytes();
        let call = [name.as_ptr() as usize, open::RW_BINARY, name.len()];
        // SAFETY: the call reads the name, which ends with a zero and outlives it.
        let handle = unsafe { syscall(nr::OPEN, &call) };
        (handle != usize::MAX).then_some(Self(handle))
    }

    /// Fills `bytes` from `offset` on; says whether all of them were there.
    pub fn read(&mut self, offset: usize, bytes: &mut [u8]) -> bool {
        let call = [self.0, bytes.as_mut_ptr() as usize, bytes.len()];
        // SAFETY: the call writes at most as many bytes as `bytes` has, and `bytes` outlives it.
        self.seek(offset) && unsafe { syscall(nr::READ, &call) } == 0
    }

    /// Writes `bytes` from `offset` on; says whether all of them were written.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) -> bool {
        let call = [self.0, bytes.as_ptr() as usize, bytes.len()];
        // SAFETY: the call reads as many bytes as `bytes` has, and `bytes` outlives it.
        self.seek(offset) && unsafe { syscall(nr::WRITE, &call) } == 0
    }

    fn seek(&mut self, offset: usize) -> bool {
        // SAFETY: the call takes two numbers and touches no memory of this program.
        unsafe { syscall(nr::SEEK, &[self.0, offset]) == 0 }
    }
}

/// The first UART (LM3S6965 data sheet, chapter 12): bytes from and to the outside.
#[derive(Debug)]
pub struct Port(());

impl Port {
    const DATA: *mut u32 = ptr::with_exposed_provenance_mut(0x4000_C000);
    const FLAGS: *const u32 = ptr::with_exposed_provenance(0x4000_C018);
    const LINE: *mut u32 = ptr::with_exposed_provenance_mut(0x4000_C02C);
    const CONTROL: *mut u32 = ptr::with_exposed_provenance_mut(0x4000_C030);
    const RECEIVE_EMPTY: u32 = 1 << 4;
    const TRANSMIT_FULL: u32 = 1 << 5;

    /// Eight bits, no parity, with queues; both ways are open.
    #[must_use]
    pub fn open() -> Self {
        // SAFETY: both are registers of the UART, which nothing but this type uses.
        unsafe {
            write_volatile(Self::LINE, 0x70);
            write_volatile(Self::CONTROL, 0x301);
        }
        Self(())
    }

    /// The next byte, if there is one.
    pub fn get(&mut self) -> Option<u8> {
        // SAFETY: both are registers of the UART; reading the data takes the byte, which is there.
        unsafe {
            (read_volatile(Self::FLAGS) & Self::RECEIVE_EMPTY == 0)
                .then(|| read_volatile(Self::DATA) as u8)
        }
    }

    /// Sends a byte, if there is room for it.
    pub fn put(&mut self, byte: u8) -> bool {
        // SAFETY: both are registers of the UART; writing the data sends the byte, for which there is room.
        unsafe {
            let room = read_volatile(Self::FLAGS) & Self::TRANSMIT_FULL == 0;
            if room {
                write_volatile(Self::DATA, byte.into());
            }
            room
        }
    }
}

/// The number that the emulator was given as the last argument of the program; 0 when there is none.
#[must_use]
pub fn argument() -> u32 {
    let mut line = [0u8; 128];
    let call = [line.as_mut_ptr() as usize, line.len()];
    // SAFETY: the call writes at most as many bytes as `line` has, and the length into `call`, which is not
    // looked at again.
    unsafe { syscall(nr::GET_CMDLINE, &call) };
    let line = opaque(line);
    let digits = line.split(|&byte| byte == 0).next().unwrap_or_default();
    let digits = digits
        .rsplit(|&byte| byte == b' ')
        .next()
        .unwrap_or_default();
    digits.iter().fold(0, |number: u32, digit| {
        number
            .wrapping_mul(10)
            .wrapping_add(u32::from(digit.wrapping_sub(b'0')))
    })
}

#[exception]
fn SysTick() {
    MILLIS.fetch_add(1, Ordering::Relaxed);
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    print(&["RESULT failed stage=panic\n"]);
    exit(false)
}
