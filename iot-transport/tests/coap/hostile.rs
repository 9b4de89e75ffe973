//! Datagrams that no server should send.

use core::convert::Infallible;

use iot_core::Instant;
use iot_core::node::block_on;
use iot_core::port::ImageSource;
use iot_core::sim::{Faults, SimEntropy};
use iot_transport::coap::sim::SimServer;
use iot_transport::coap::{CoapImage, Datagrams, Fetch, Step, Target, Terms};
use proptest::prelude::*;

use super::{URL, firmware, image_of, read_all};

/// A link on which some of what arrives is changed, cut or made longer.
struct Rotten {
    server: SimServer,
    random: SimEntropy,
    spoilt: usize,
}

impl Datagrams for Rotten {
    type Error = Infallible;

    async fn send(&mut self, datagram: &[u8]) -> Result<(), Infallible> {
        self.server.send(datagram).await
    }

    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let bytes = self.server.receive(buffer).await?;
        if bytes == 0 || !self.random.chance(300) {
            return Ok(bytes);
        }
        self.spoilt += 1;
        match self.random.below(3) {
            0 => return Ok(self.random.below(bytes as u64) as usize),
            1 => {
                return Ok(buffer
                    .len()
                    .min(bytes + 1 + self.random.below(2_000) as usize));
            }
            _ => {}
        }
        for _ in 0..=self.random.below(3) {
            // Mostly in the header and the options.
            let at = self.random.below(bytes.min(30) as u64) as usize;
            buffer[at] = self.random.next_u64() as u8;
        }
        Ok(bytes)
    }
}

#[test]
fn a_rotten_link_ends_in_bytes_or_an_error_and_never_in_a_panic() {
    let image = firmware(4_000);
    let (mut spoilt, mut failed) = (0, 0);
    for seed in 0..300 {
        let server = SimServer::new(seed, Faults::new(50, 50, 0, 30), image.clone());
        let rotten = Rotten {
            server: server.clone(),
            random: SimEntropy::new(seed),
            spoilt: 0,
        };
        let target = Target::new(URL).unwrap();
        let entropy = SimEntropy::new(seed);
        let mut source = CoapImage::<_, _, _, 4, 256, 512>::sized(
            rotten,
            server.clone(),
            entropy,
            target,
            Terms::new(),
        );
        let (mut at, mut room) = (0, [0; 300]);
        // A spoilt block may name a wrong end, but nothing comes twice or from nowhere.
        for _ in 0..200 {
            match block_on(source.read(at, &mut room)) {
                Ok(0) => break,
                Ok(bytes) => {
                    assert!(bytes <= 256);
                    at += bytes as u32;
                }
                Err(_) => failed += 1,
            }
        }
        spoilt += source.datagrams().spoilt;
        assert!(server.counts().longest <= 64);
    }
    assert!(spoilt > 1_000 && failed > 100, "{spoilt} {failed}");
}

#[test]
fn a_datagram_that_may_have_been_cut_is_not_believed() {
    /// Gives the whole image in one datagram, of which only the front fits.
    struct Whole {
        asked: Vec<u8>,
        told: bool,
    }
    impl Datagrams for Whole {
        type Error = Infallible;
        async fn send(&mut self, datagram: &[u8]) -> Result<(), Infallible> {
            self.asked = datagram.to_vec();
            Ok(())
        }
        async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
            if self.asked.is_empty() || core::mem::replace(&mut self.told, true) {
                return core::future::pending().await;
            }
            buffer.fill(7);
            buffer[..2].copy_from_slice(&[0x68, 0x45]);
            buffer[2..12].copy_from_slice(&self.asked[2..12]);
            // A Content-Format of sixty bytes, so that the front alone could be a small image.
            buffer[12..14].copy_from_slice(&[0xcd, 47]);
            buffer[74] = 0xff;
            Ok(buffer.len())
        }
    }
    let clock = SimServer::new(1, Faults::new(0, 0, 0, 0), Vec::new());
    let server = Whole {
        asked: Vec::new(),
        told: false,
    };
    let target = Target::new(URL).unwrap();
    let mut image = CoapImage::<_, _, _, 1, 256, 320>::sized(
        server,
        clock,
        SimEntropy::new(1),
        target,
        Terms::new(),
    );
    block_on(image.read(0, &mut [0; 16])).unwrap_err();
    assert_eq!(image.size(), None);
}

/// Datagrams of somebody who sees nothing: anything, or an answer to a token that was guessed.
fn forged() -> impl Strategy<Value = Vec<u8>> {
    let noise = proptest::collection::vec(any::<u8>(), 0..60);
    let answer = (0_u8..4, any::<[u8; 10]>(), any::<u8>(), any::<bool>());
    let answer = answer.prop_map(|(kind, random, block, error)| {
        let mut datagram = vec![0x48 | kind << 4, if error { 0x84 } else { 0x45 }];
        datagram.extend_from_slice(&random);
        datagram.extend_from_slice(&[0xd1, 10, block, 0xff, 1, 2, 3]);
        datagram
    });
    // Resets and empty acknowledgements need no token: they can only delay.
    let harmless = |datagram: &Vec<u8>| datagram.get(1) != Some(&0);
    prop_oneof![noise, answer].prop_filter("no empty message", harmless)
}

proptest! {
    #[test]
    fn who_does_not_know_the_token_changes_nothing(
        seed: u64,
        forged in proptest::collection::vec(forged(), 1..20),
    ) {
        let image = firmware(2_000);
        let server = SimServer::new(seed, Faults::new(0, 0, 10, 10), image.clone());
        let mut source = image_of::<4, 256>(&server, seed);
        let (mut read, mut room) = (Vec::new(), [0; 256]);
        for datagram in forged.iter().cycle() {
            server.inject(datagram.clone());
            let bytes = block_on(source.read(read.len() as u32, &mut room)).unwrap();
            read.extend_from_slice(&room[..bytes]);
            if bytes == 0 {
                break;
            }
        }
        prop_assert!(read == image);
        // What is not confirmable is answered by nobody: no more than one message each.
        prop_assert!(server.counts().sent <= 16 + 16);
    }

    #[test]
    fn any_datagrams_at_any_time_make_no_panic_and_no_long_datagram(
        script in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..100), any::<u8>(), 0_u64..3_000), 0..40),
    ) {
        let mut fetch = Fetch::<3, 64>::new(Target::new(URL).unwrap(), Terms::new());
        let (mut entropy, mut room) = (SimEntropy::new(1), [0; 128]);
        let (mut now, mut last) = (Instant::ZERO, Vec::new());
        for (mut bytes, what, span) in script {
            now = Instant::from_millis(now.as_millis() + span);
            fetch.want(now, u32::from(what) * 16);
            for _ in 0..8 {
                match fetch.step(now, &mut entropy, &mut room) {
                    Ok(Step::Send(datagram)) => {
                        prop_assert!(datagram.len() <= 64);
                        last = datagram.to_vec();
                    }
                    Ok(_) => break,
                    Err(_) => {}
                }
            }
            // Every other one has the id and the token of the last request.
            if what % 2 == 0 && bytes.len() >= 12 && last.len() >= 12 {
                bytes[2..12].copy_from_slice(&last[2..12]);
                (bytes[0], bytes[1]) = (0x68, 0x45);
            }
            fetch.input(Some(now), &bytes);
            prop_assert!(fetch.bytes(0).is_none_or(|bytes| bytes.len() <= 64));
        }
    }
}

#[test]
fn the_engine_ends_whatever_the_entropy_is_worth() {
    // The same bytes for ever: ids still differ, tokens do not.
    struct Zeros;
    impl iot_core::entropy::Entropy for Zeros {
        fn fill(&mut self, out: &mut [u8]) -> Result<(), iot_core::entropy::EntropyError> {
            out.fill(0);
            Ok(())
        }
    }
    let image = firmware(3_000);
    let server = SimServer::new(1, Faults::new(0, 100, 5, 5), image.clone());
    let target = Target::new(URL).unwrap();
    let mut source = CoapImage::<_, _, _, 4, 256, 512>::sized(
        server.clone(),
        server,
        Zeros,
        target,
        Terms::new(),
    );
    assert!(read_all(&mut source, 256).unwrap() == image);
}
