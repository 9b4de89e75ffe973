//! The image without any block: what the others are measured against.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_firmware::board::{Board, exit, millis};

#[entry]
fn main() -> ! {
    match Board::start() {
        Some(board) => board.finish(Ok(&[("millis", millis() as usize)])),
        None => exit(false),
    }
}
