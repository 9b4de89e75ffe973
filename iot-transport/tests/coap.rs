//! Images over CoAP: one exchange by hand, and whole downloads in simulated weather.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly, and its numbers are small"
)]

#[path = "coap/answers.rs"]
mod answers;
#[path = "coap/exchange.rs"]
mod exchange;
#[path = "coap/hand.rs"]
mod hand;
#[path = "coap/hostile.rs"]
mod hostile;
#[path = "coap/reading.rs"]
mod reading;
#[path = "coap/weather.rs"]
mod weather;
#[path = "coap/window.rs"]
mod window;

use iot_core::node::block_on;
use iot_core::port::{ImageSource, Timer};
use iot_core::sim::SimEntropy;
use iot_transport::coap::sim::SimServer;
use iot_transport::coap::{CoapError, CoapImage, Target, Terms};

const URL: &str = "coap://images.example/boiler/7.bin";

type Simulated<const WINDOW: usize, const BLOCK: usize> =
    CoapImage<'static, SimServer, SimServer, SimEntropy, WINDOW, BLOCK, 1_152>;

fn image_of<const WINDOW: usize, const BLOCK: usize>(
    server: &SimServer,
    seed: u64,
) -> Simulated<WINDOW, BLOCK> {
    let target = Target::new(URL).unwrap();
    let entropy = SimEntropy::new(seed);
    CoapImage::sized(
        server.clone(),
        server.clone(),
        entropy,
        target,
        Terms::new(),
    )
}

/// Bytes that differ from place to place.
fn firmware(bytes: usize) -> Vec<u8> {
    (0..bytes as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Reads on to the end of the image, in pieces of at most `piece` bytes; what has come is in `read`.
fn read_on<S: ImageSource>(
    source: &mut S,
    read: &mut Vec<u8>,
    piece: usize,
) -> Result<(), S::Error> {
    let mut block = vec![0; piece];
    loop {
        match block_on(source.read(read.len() as u32, &mut block))? {
            0 => return Ok(()),
            bytes => read.extend_from_slice(&block[..bytes]),
        }
    }
}

fn read_all<S: ImageSource>(source: &mut S, piece: usize) -> Result<Vec<u8>, S::Error> {
    let mut read = Vec::new();
    read_on(source, &mut read, piece).map(|()| read)
}

fn millis(server: &SimServer) -> u64 {
    server.now().instant.as_millis()
}

type SimError = CoapError<core::convert::Infallible>;
