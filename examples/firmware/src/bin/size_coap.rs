//! An image over CoAP, block by block, from a server of a few lines: read to its end with one message lost.
#![no_std]
#![no_main]

use core::convert::Infallible;
use core::future::pending;

use cortex_m_rt::entry;
use iot_core::node::{PollTimer, block_on};
use iot_core::port::ImageSource;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::uart::Jitter;
use iot_firmware::world::now;
use iot_transport::coap::{CoapImage, Datagrams, Target, Terms};

const BLOCK: usize = 256;
const BLOCKS: u8 = 5;

/// Answers the message that it has, unless that is to be lost.
struct Server {
    asked: [u8; 64],
    bytes: usize,
    lost: bool,
}

impl Datagrams for Server {
    type Error = Infallible;

    async fn send(&mut self, datagram: &[u8]) -> Result<(), Infallible> {
        for (to, from) in self.asked.iter_mut().zip(datagram) {
            *to = opaque(*from);
        }
        self.bytes = datagram.len();
        Ok(())
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if self.bytes < 16 || !core::mem::replace(&mut self.lost, true) {
            self.bytes = 0;
            return pending().await;
        }
        // Block2 stands before Size2, the last byte: none or one byte, because the numbers are small.
        let bits = match self.asked.get(self.bytes - 3..self.bytes - 1) {
            Some(&[0xc1, bits]) => bits,
            _ => 0,
        };
        let more = u8::from(bits >> 4 < BLOCKS - 1) << 3;
        let head = [0x68, 0x45];
        let token = self.asked.get(2..12).unwrap_or(&[]);
        let options = [0xd1, 10, bits | more, 0xff];
        let payload = [opaque(0x5a); BLOCK];
        let datagram = head.iter().chain(token).chain(&options).chain(&payload);
        let mut count = 0;
        for (to, from) in buffer.iter_mut().zip(datagram) {
            *to = *from;
            count += 1;
        }
        self.bytes = 0;
        Ok(count)
    }
}

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    match run() {
        Some(read) if read == BLOCK * usize::from(BLOCKS) => board.finish(Ok(&[("read", read)])),
        _ => board.finish(Err("coap")),
    }
}

#[inline(never)]
fn run() -> Option<usize> {
    let server = Server {
        asked: [0; 64],
        bytes: 0,
        lost: false,
    };
    let target = Target::new(opaque("coap://images.example/boiler/7.bin")).ok()?;
    let (timer, entropy) = (PollTimer::new(now), Jitter::default());
    let mut image = CoapImage::<_, _, _, 1, BLOCK, { BLOCK + 128 }>::sized(
        server,
        timer,
        entropy,
        target,
        Terms::new(),
    );
    let (mut read, mut room) = (0, [0; 100]);
    loop {
        let offset = u32::try_from(read).ok()?;
        match block_on(image.read(offset, &mut room)).ok()? {
            0 => return Some(read),
            bytes => read += bytes,
        }
    }
}
