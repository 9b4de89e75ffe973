//! An image over CoAP into the spare bank of a device, over a link that loses datagrams, through power cuts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use core::error::Error;
use core::fmt::{self, Display};

use iot_core::crypto::{Digest as _, Sha256Digest};
use iot_core::engine::RecordKey;
use iot_core::node::block_on;
use iot_core::port::{ImageSource, Records as _};
use iot_core::sim::{Faults, SimEntropy};
use iot_core::storage::memory::FixedRecords;
use iot_identity::ring::Sha256;
use iot_ota::image::{Expected, FillError, Intake, Plain, fill};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Bank, Release};
use iot_transport::coap::{CoapError, CoapImage, FetchError, Target, Terms, sim::SimServer};

const PAGE: usize = 1_024;
const KEY: RecordKey = RecordKey::new(7);

fn sha256(bytes: &[u8]) -> Sha256Digest {
    let mut digest = Sha256::new();
    digest.update(bytes);
    digest.finish()
}

fn firmware(bytes: u32, salt: u32) -> Vec<u8> {
    let byte = |n: u32| (n.wrapping_add(salt).wrapping_mul(2_654_435_761) >> 24) as u8;
    (0..bytes).map(byte).collect()
}

/// A new life of the device after each power cut: what it has fetched stays, all else is forgotten.
async fn install<const WINDOW: usize>(
    server: &SimServer,
    image: &[u8],
    banks: &mut MemoryBanks,
    lives: u64,
) -> Result<(), FetchError> {
    let size = image.len() as u32;
    let expected = Expected::new(size, size, sha256(image));
    let mut records = FixedRecords::<4, 512>::new();
    for life in 0.. {
        let mut room = [0; 512];
        let saved = records.read(KEY, &mut room).await.unwrap().unwrap_or(&[]);
        let mut intake = Intake::<Plain, Sha256, PAGE, 4>::resume(
            Plain::new(),
            Sha256::new(),
            expected,
            banks,
            saved,
        )
        .unwrap();
        let target = Target::new("coap://images.example/boiler/7.bin").unwrap();
        let entropy = SimEntropy::new(life);
        let coap = CoapImage::<_, _, _, WINDOW, 512, 640>::sized(
            server.clone(),
            server.clone(),
            entropy,
            target,
            Terms::new(),
        );
        // The power fails after so many reads, in all lives but the last.
        let mut source = Short {
            coap,
            left: if life < lives { 9 } else { u32::MAX },
        };
        let mut block = [0; PAGE];
        match fill(
            &mut source,
            &mut intake,
            banks,
            &mut records,
            KEY,
            &mut block,
        )
        .await
        {
            Ok(()) => {
                intake.finish(banks).unwrap();
                return Ok(());
            }
            Err(FillError::Source(Cut::Power)) => {}
            Err(FillError::Source(Cut::Coap(CoapError::Fetch(error)))) => return Err(error),
            Err(error) => panic!("{error:?}"),
        }
    }
    unreachable!("it has as many lives as it needs")
}

/// Gives so many pieces, and then the power fails.
struct Short<S> {
    coap: S,
    left: u32,
}

#[derive(Debug)]
enum Cut<E> {
    Power,
    Coap(E),
}

impl<E: Display> Display for Cut<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Power => f.write_str("the power failed"),
            Self::Coap(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for Cut<E> {}

impl<S: ImageSource> ImageSource for Short<S> {
    type Error = Cut<S::Error>;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.left = self.left.checked_sub(1).ok_or(Cut::Power)?;
        self.coap.read(offset, buffer).await.map_err(Cut::Coap)
    }
}

fn banks(running: &[u8]) -> MemoryBanks {
    let release = Release::new(1, sha256(running), running.len() as u32);
    MemoryBanks::factory(32 * 1_024, PAGE as u32, running, release)
}

#[test]
fn an_image_over_coap_is_installed_through_bad_weather_and_power_cuts() {
    let (old, new) = (firmware(5_000, 1), firmware(27_000, 2));
    for seed in 0..20 {
        let server = SimServer::new(seed, Faults::new(100, 50, 10, 60), new.clone());
        let mut banks = banks(&old);
        let installed = match seed % 2 {
            0 => block_on(install::<1>(&server, &new, &mut banks, 3)),
            _ => block_on(install::<4>(&server, &new, &mut banks, 3)),
        };
        installed.unwrap();
        assert!(banks.bytes(Bank::B).starts_with(&new));
        assert!(server.counts().lost > 0);
        // A power cut costs what was asked for and not written: at most the window, and what a page had of it.
        let (asked, blocks) = (server.asked().len(), new.len().div_ceil(512));
        assert!(
            asked <= blocks + 3 * (4 + PAGE / 512),
            "{asked} of {blocks}"
        );
    }
}

#[test]
fn an_image_that_is_replaced_in_the_middle_is_never_installed_in_part() {
    let (old, new, newer) = (firmware(5_000, 1), firmware(27_000, 2), firmware(27_000, 3));
    let server = SimServer::new(1, Faults::new(0, 0, 10, 10), new.clone());
    let mut banks = banks(&old);
    // Each life reads a few blocks; in the second one there is another image.
    let swap = async {
        let target = Target::new("coap://images.example/boiler/7.bin").unwrap();
        let mut coap = CoapImage::new(
            server.clone(),
            server.clone(),
            SimEntropy::new(1),
            target,
            Terms::new(),
        );
        let mut block = [0; 1_024];
        coap.read(0, &mut block).await.unwrap();
        server.replace(newer.clone());
        coap.read(1_024, &mut block).await.unwrap_err()
    };
    assert_eq!(block_on(swap), CoapError::Fetch(FetchError::Changed));
    block_on(install::<4>(&server, &newer, &mut banks, 0)).unwrap();
    assert!(banks.bytes(Bank::B).starts_with(&newer));
}
