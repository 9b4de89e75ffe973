//! A download, before a server that may say anything at any time.

use iot_transport::coap::{Fetch, FetchError, Step, Target, Terms};
use iot_transport::iot_core::Instant;
use iot_transport::iot_core::entropy::{Entropy, EntropyError};

const URL: &str = "coap://images.example/7.bin";
const BLOCK: usize = 32;

/// Counts up, so that a token names its exchange.
struct Count(u8);

impl Entropy for Count {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), EntropyError> {
        for byte in out {
            self.0 = self.0.wrapping_add(1);
            *byte = self.0;
        }
        Ok(())
    }
}

/// A place that the reader goes to in units of 8 bytes, what to do with a datagram, how long it takes in 64 ms, and its length.
fn split(data: &[u8]) -> Option<([u8; 4], &[u8], &[u8])> {
    let (&head, rest) = data.split_first_chunk::<4>()?;
    let (datagram, rest) = rest.split_at(usize::from(head[3]).min(rest.len()));
    Some((head, datagram, rest))
}

/// What is sent is a short request or an empty message; what is read is at most a block, and of a payload that came for
/// that place; after a change nothing of before is there.
pub fn run(mut data: &[u8]) {
    let target = Target::new(URL).expect("a URL");
    let mut fetch = Fetch::<3, BLOCK>::new(target, Terms::new());
    let (mut entropy, mut room, mut now) = (Count(0), [0; 80], 0);
    let mut asked: Vec<Vec<u8>> = Vec::new();
    let mut heard: Vec<Vec<u8>> = Vec::new();
    while let Some(([place, what, span, _], datagram, rest)) = split(data) {
        data = rest;
        now += u64::from(span) * 64;
        let (at, instant) = (u32::from(place) * 8, Instant::from_millis(now));
        fetch.want(instant, at);
        for _ in 0..12 {
            match fetch.step(instant, &mut entropy, &mut room) {
                Ok(Step::Send(sent)) if sent.len() == 4 => {
                    assert!(
                        matches!(sent, [0x60 | 0x70, 0, ..]),
                        "an acknowledgement or a reset"
                    );
                }
                Ok(Step::Send(sent)) => {
                    assert!(
                        sent[..2] == [0x48, 1] && sent.len() <= 50,
                        "a short request"
                    );
                    asked.push(sent.to_vec());
                }
                Ok(Step::Wait(until)) => {
                    assert!(until > instant, "it waits for what is over");
                    assert_eq!(fetch.next_deadline(), Some(until));
                    break;
                }
                Ok(_) => break,
                Err(FetchError::Changed) => {
                    assert!((0..4_000).all(|at| fetch.bytes(at).is_none()), "of before");
                    heard.clear();
                }
                Err(_) => {}
            }
        }
        let mut datagram = datagram.to_vec();
        // Most are made answers to something that was asked for: nobody guesses a token.
        let back = asked.len().checked_sub(1 + usize::from(what >> 4 & 3));
        let asked = back.and_then(|at| asked.get(at));
        if let (true, Some(asked), true) = (what & 3 != 0, asked, datagram.len() >= 12) {
            datagram[0] = if what & 4 == 0 { 0x68 } else { 0x48 };
            datagram[2..12].copy_from_slice(&asked[2..12]);
        }
        heard.push(datagram.clone());
        fetch.input((what & 8 == 0).then_some(instant), &datagram);
        if let Some(bytes) = fetch.bytes(at) {
            assert!(bytes.len() <= BLOCK);
            let came = |datagram: &Vec<u8>| datagram.ends_with(bytes);
            assert!(heard.iter().any(came), "bytes from nowhere");
        }
    }
}

/// One step of a script: the reader's place in units of 8 bytes, what to do, how long it takes, and a datagram.
fn step(place: u8, what: u8, span: u8, datagram: &[u8]) -> Vec<u8> {
    let len = u8::try_from(datagram.len()).expect("short");
    [&[place, what, span, len], datagram].concat()
}

/// An answer with that Block2, for a message id and a token that are put in later.
fn block(bits: u8, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![
        0x68, 0x45, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 7, 0xd1, 6, bits, 0x51, 80,
    ];
    datagram.push(0xff);
    datagram.extend_from_slice(payload);
    datagram
}

pub fn seeds() -> Vec<Vec<u8>> {
    // Three blocks of 32, 32 and 16 bytes, of which the first is asked for first; SZX is 1.
    let first = step(0, 0x21, 0, &block(0x09, &[1; 32]));
    let second = step(4, 0x11, 1, &block(0x19, &[2; 32]));
    let last = step(8, 0x01, 1, &block(0x21, &[3; 16]));
    let whole = [&first[..], &second, &last, &step(10, 0, 0, &[])].concat();
    // A separate answer, a ping, silence for a minute, and a change.
    let separate = [
        step(0, 0, 0, &[0x60, 0, 0x01, 0x02]),
        step(0, 0x25, 2, &block(0x09, &[1; 32])),
        step(0, 0, 1, &[0x40, 0, 9, 9]),
    ]
    .concat();
    let silent: Vec<u8> = (0..30).flat_map(|_| step(0, 0, 255, &[0x50])).collect();
    let mut other = block(0x19, &[9; 32]);
    other[13] = 8;
    let changed = [&first[..], &step(4, 0x11, 0, &other), &step(0, 0, 0, &[])].concat();
    // Smaller blocks than were asked for.
    let small = [
        step(0, 0x21, 0, &block(0x08, &[1; 16])),
        step(2, 0x01, 0, &block(0x18, &[2; 16])),
    ];
    vec![whole, separate, silent, changed, small.concat()]
}

#[test]
fn the_seeds_keep_the_claims() {
    for seed in seeds() {
        run(&seed);
    }
}
