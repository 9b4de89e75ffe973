//! An image as an installer reads it.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use iot_core::node::block_on;
use iot_core::port::{ImageSource, Timer};
use iot_core::sim::Faults;
use iot_transport::coap::sim::{SimServer, Style};
use iot_transport::coap::{CoapError, Code, FetchError};

use super::{SimError, firmware, image_of, millis, read_all};

const CALM: Faults = Faults::new(0, 0, 10, 10);

#[test]
fn reading_from_front_to_back_asks_for_no_block_twice() {
    let image = firmware(5_000);
    let mut runs = 0;
    for faults in [CALM, Faults::new(0, 100, 0, 40), Faults::new(50, 50, 5, 40)] {
        for style in [Style::Piggybacked, Style::Separate] {
            for limit in [16, 128, 512, 1_024] {
                for piece in [1, 100, 512, 700, 5_000] {
                    let server = || {
                        let server = SimServer::new(runs, faults, image.clone());
                        server.with_style(style).with_block_limit(limit)
                    };
                    let (narrow, wide) = (server(), server());
                    assert!(
                        read_all(&mut image_of::<1, 512>(&narrow, runs), piece).unwrap() == image
                    );
                    assert!(
                        read_all(&mut image_of::<4, 512>(&wide, runs), piece).unwrap() == image
                    );
                    for server in [narrow, wide] {
                        let mut asked = server.asked();
                        let all = asked.len();
                        asked.sort_unstable();
                        asked.dedup();
                        // Also none behind the end, once the server has told where that is.
                        let blocks = image.len().div_ceil(limit.min(512));
                        assert_eq!(
                            (all, asked.len()),
                            (blocks, blocks),
                            "{style:?} {limit} {piece}"
                        );
                    }
                    runs += 1;
                }
            }
        }
    }
}

#[test]
fn any_place_may_be_read_in_any_order() {
    let image = firmware(3_000);
    let server = SimServer::new(1, Faults::new(50, 50, 0, 30), image.clone());
    let mut narrow = image_of::<1, 256>(&server, 1);
    let mut wide = image_of::<4, 256>(&server, 2);
    let mut room = [0; 300];
    for step in 0..300_u32 {
        let offset = step.wrapping_mul(2_654_435_761) % 3_100;
        let there = image.get(offset as usize..).unwrap_or(&[]);
        for bytes in [
            block_on(narrow.read(offset, &mut room)).map(|bytes| room[..bytes].to_vec()),
            block_on(wide.read(offset, &mut room)).map(|bytes| room[..bytes].to_vec()),
        ] {
            let bytes = bytes.unwrap();
            assert_eq!(bytes.is_empty(), there.is_empty());
            assert!(there.starts_with(&bytes), "{offset}");
        }
        assert_eq!(block_on(narrow.read(offset, &mut [])), Ok(0));
    }
}

#[test]
fn behind_the_end_there_is_nothing_although_the_server_calls_it_an_error() {
    for (tells, bytes) in [
        (true, 1_000),
        (false, 1_000),
        (false, 100),
        (true, 0),
        (false, 0),
    ] {
        let mut server = SimServer::new(1, CALM, firmware(bytes));
        if !tells {
            server = server.without_tags();
        }
        let mut image = image_of::<4, 64>(&server, 1);
        let mut room = [0; 16];
        for offset in [1_000, 1_001, 1_024, 9_999] {
            let read = block_on(image.read(offset, &mut room));
            match image.size() {
                // The last block was not seen, and nothing else tells.
                None => {
                    let code = Code::new(0x80);
                    assert_eq!(read, Err(FetchError::Refused { code }.into()));
                    assert!(!tells);
                }
                Some(size) => {
                    assert_eq!((size, read), (bytes as u32, Ok(0)), "{offset}");
                }
            }
        }
        assert!(read_all(&mut image, 64).unwrap() == firmware(bytes));
        assert_eq!(image.size(), Some(bytes as u32));
        let asked = server.asked().len();
        assert_eq!(block_on(image.read(9_999, &mut room)), Ok(0));
        assert_eq!(server.asked().len(), asked);
    }
}

#[test]
fn an_image_that_is_replaced_is_told_and_the_new_one_may_be_read() {
    let (old, new) = (firmware(3_000), vec![1; 3_000]);
    let server = SimServer::new(1, CALM, old.clone());
    let mut image = image_of::<4, 256>(&server, 1);
    let mut room = [0; 256];
    let mut read = Vec::new();
    while read.len() < 1_000 {
        let bytes = block_on(image.read(read.len() as u32, &mut room)).unwrap();
        read.extend_from_slice(&room[..bytes]);
    }
    server.replace(new.clone());
    let error = loop {
        match block_on(image.read(read.len() as u32, &mut room)) {
            Ok(bytes) => read.extend_from_slice(&room[..bytes]),
            Err(error) => break error,
        }
    };
    assert_eq!(error, SimError::Fetch(FetchError::Changed));
    assert!(!error.is_transient());
    // What came until then is all of the old one.
    assert!(old.starts_with(&read));
    assert!(read_all(&mut image, 256).unwrap() == new);
}

#[test]
fn a_read_that_was_dropped_loses_nothing() {
    let image = firmware(2_000);
    let server = SimServer::new(1, CALM, image.clone());
    let mut source = image_of::<4, 256>(&server, 1);
    let mut room = [0; 256];
    let (mut read, mut dropped) = (Vec::new(), 0);
    loop {
        // Each future is polled at most twice, which is not enough for a round trip.
        let polled = {
            let mut reading = pin!(source.read(read.len() as u32, &mut room));
            let mut context = Context::from_waker(Waker::noop());
            match reading.as_mut().poll(&mut context) {
                Poll::Pending => reading.as_mut().poll(&mut context),
                ready => ready,
            }
        };
        match polled {
            Poll::Pending => dropped += 1,
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(bytes)) => read.extend_from_slice(&room[..bytes]),
            Poll::Ready(Err(error)) => panic!("{error}"),
        }
    }
    assert!(read == image && dropped > 1, "{dropped}");
    // Nothing that came while nobody looked was asked for again.
    let mut asked = server.asked();
    asked.dedup();
    assert_eq!(asked.len(), 8);
    assert_eq!(server.counts().sent, 16);
}

#[test]
fn a_pause_of_the_reader_is_no_silence_of_the_server() {
    let image = firmware(4_000);
    let server = SimServer::new(1, CALM, image.clone());
    let mut source = image_of::<4, 256>(&server, 1);
    let mut clock = server.clone();
    let mut room = [0; 256];
    let mut read = Vec::new();
    loop {
        match block_on(source.read(read.len() as u32, &mut room)).unwrap() {
            0 => break,
            bytes => read.extend_from_slice(&room[..bytes]),
        }
        // What was asked for ahead is lost while a page is erased, or until the next maintenance window.
        server.set_faults(Faults::new(1_000, 0, 10, 10));
        let hour = clock.now().instant + Duration::from_secs(3_600);
        block_on(clock.until(Some(hour)));
        server.set_faults(CALM);
    }
    assert!(read == image);
    let asked = server.asked().len();
    assert!(millis(&server) >= 3_600_000 && asked >= 16, "{asked}");
}

#[test]
fn an_answer_that_waited_for_the_reader_is_used_and_not_measured() {
    let image = firmware(2_000);
    let server = SimServer::new(1, CALM, image.clone());
    let mut source = image_of::<4, 256>(&server, 1);
    let mut clock = server.clone();
    let mut room = [0; 256];
    let mut read = Vec::new();
    while read.len() < image.len() {
        let bytes = block_on(source.read(read.len() as u32, &mut room)).unwrap();
        read.extend_from_slice(&room[..bytes]);
        let soon = clock.now().instant + Duration::from_secs(5);
        block_on(clock.until(Some(soon)));
    }
    assert!(read == image);
    // No message was sent again, although each answer lay there for 5 s.
    assert_eq!(server.counts().sent, 16);
    // And what is lost later is not waited for as if round trips took so long.
    server.replace(firmware(8_000));
    let changed = block_on(source.read(0, &mut room)).unwrap_err();
    assert_eq!(changed, SimError::Fetch(FetchError::Changed));
    server.set_faults(Faults::new(200, 0, 10, 10));
    let before = millis(&server);
    assert!(read_all(&mut source, 256).unwrap() == firmware(8_000));
    assert!(server.counts().lost > 5);
    assert!(
        millis(&server) - before < 5_000,
        "{}",
        millis(&server) - before
    );
}

#[test]
fn a_silent_server_is_told_in_a_minute_and_the_download_goes_on_when_it_speaks_again() {
    let image = firmware(3_000);
    let server = SimServer::new(1, CALM, image.clone());
    let mut source = image_of::<4, 256>(&server, 1);
    let mut room = [0; 256];
    let mut read = Vec::new();
    for _ in 0..3 {
        let bytes = block_on(source.read(read.len() as u32, &mut room)).unwrap();
        read.extend_from_slice(&room[..bytes]);
    }
    server.set_faults(Faults::new(1_000, 0, 10, 10));
    let error = loop {
        match block_on(source.read(read.len() as u32, &mut room)) {
            Ok(bytes) => read.extend_from_slice(&room[..bytes]),
            Err(error) => break error,
        }
    };
    assert_eq!(error, CoapError::Fetch(FetchError::TimedOut));
    assert!(error.is_transient());
    assert!(millis(&server) < 61_000, "{}", millis(&server));
    server.set_faults(CALM);
    let asked = server.asked().len();
    super::read_on(&mut source, &mut read, 256).unwrap();
    assert!(read == image);
    assert!(server.asked().len() - asked <= image.len().div_ceil(256) - 3);
}
