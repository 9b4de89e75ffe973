//! A key from the chip's randomness, and a certification request for it, written and signed.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::DeviceId;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::fixture::{NAME, REQUEST, Seed};
use iot_identity::cert::csr;
use iot_identity::rustcrypto::P256Key;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match request() {
        Some(bytes) => board.finish(Ok(&[("request", bytes)])),
        None => board.finish(Err("csr")),
    }
}

fn request() -> Option<usize> {
    let key = P256Key::generate(&mut opaque(Seed)).ok()?;
    let device = DeviceId::new(opaque(NAME)).ok()?;
    let mut buffer = [0; csr::MAX_CSR_BYTES];
    let der = csr::write(&device, &key, &mut buffer).ok()?;
    // RFC 6979 makes it a function of seed and name: what a host verified is what the chip writes.
    (der == opaque(REQUEST)).then_some(der.len())
}
