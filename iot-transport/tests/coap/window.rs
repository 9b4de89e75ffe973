//! Several exchanges at a time.

use iot_transport::coap::{Code, FetchError};

use super::hand::{Asked, Hand, block2};

const BLOCK: [u8; 64] = [7; 64];

fn asks_all<const WINDOW: usize>(hand: &mut Hand<WINDOW, 64>) -> Vec<Asked> {
    let mut asked = Vec::new();
    while let Some(datagram) = hand.next().unwrap() {
        asked.push(Asked::read(&datagram));
    }
    asked
}

fn offsets(asked: &[Asked]) -> Vec<u32> {
    asked.iter().map(|asked| asked.offset).collect()
}

#[test]
fn as_many_blocks_are_asked_for_as_the_window_has_places() {
    assert_eq!(offsets(&asks_all(&mut Hand::<1, 64>::wants(10))), [0]);
    assert_eq!(offsets(&asks_all(&mut Hand::<2, 64>::wants(70))), [64, 128]);
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    assert_eq!(offsets(&asked), [0, 64, 128, 192]);
    // In any order they come; the reader's place moves the window.
    for at in [2, 0, 1] {
        hand.hears(&asked[at].block(true, &[at as u8; 64]));
    }
    assert!(asks_all(&mut hand).is_empty());
    hand.want(100);
    assert_eq!(hand.fetch.bytes(100), Some(&[1; 28][..]));
    assert_eq!(offsets(&asks_all(&mut hand)), [256]);
    hand.want(192);
    assert_eq!(hand.fetch.bytes(192), None);
    assert_eq!(offsets(&asks_all(&mut hand)), [320, 384]);
}

#[test]
fn nothing_is_asked_for_behind_the_end_or_the_size_that_was_told() {
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    // The second block is the last one; what was asked for behind it is refused, which is no failure.
    hand.hears(&asked[2].answer(0x80, &[], b"no such block"));
    hand.hears(&asked[1].block(false, &[7; 10]));
    hand.hears(&asked[3].answer(0x80, &[], b"no such block"));
    hand.hears(&asked[0].block(true, &BLOCK));
    hand.want(64);
    assert!(asks_all(&mut hand).is_empty());
    assert_eq!(hand.fetch.bytes(64), Some(&[7; 10][..]));
    assert_eq!(hand.fetch.bytes(74), Some(&[][..]));
    hand.want(80);
    assert!(asks_all(&mut hand).is_empty());
    // With a size from the first block on.
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    let told = [&block2(0, 64, true)[..], &[0x52, 1, 44]].concat();
    hand.hears(&asked[0].answer(0x45, &told, &BLOCK));
    assert_eq!(hand.fetch.size(), Some(300));
    for asked in &asked[1..] {
        hand.hears(&asked.block(true, &BLOCK));
    }
    hand.want(192);
    assert_eq!(offsets(&asks_all(&mut hand)), [256]);
}

#[test]
fn what_was_refused_ahead_is_an_error_once_it_is_wanted() {
    let mut hand = Hand::<2, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.hears(&asked[1].answer(0xa3, &[], &[]));
    hand.hears(&asked[0].block(true, &BLOCK));
    // It is not asked for ahead again.
    assert!(asks_all(&mut hand).is_empty());
    hand.want(64);
    let asked = asks_all(&mut hand);
    assert_eq!(offsets(&asked), [64]);
    hand.hears(&asked[0].answer(0xa3, &[], &[]));
    let code = Code::new(0xa3);
    assert_eq!(hand.next(), Err(FetchError::Refused { code }));
    // Once it comes, others are asked for ahead again.
    let asked = asks_all(&mut hand);
    hand.hears(&asked[0].block(true, &BLOCK));
    assert_eq!(offsets(&asks_all(&mut hand)), [128]);
}

#[test]
fn a_repetition_halves_the_number_of_exchanges_and_answers_give_it_back() {
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    let repeated = {
        hand.waits();
        asks_all(&mut hand)
    };
    assert_eq!(repeated.len(), 1);
    let lost = repeated[0].offset;
    for asked in asked.iter().filter(|asked| asked.offset != lost) {
        hand.hears(&asked.block(true, &BLOCK));
    }
    hand.hears(&repeated[0].block(true, &BLOCK));
    // Halved once, and three answers without a repetition since.
    hand.want(256);
    let asked = asks_all(&mut hand);
    assert_eq!(asked.len(), 4);
    // All four are lost twice.
    for _ in 0..8 {
        hand.waits();
        asks_all(&mut hand);
    }
    for asked in &asked {
        hand.hears(&asked.block(true, &BLOCK));
    }
    hand.want(512);
    let asked = asks_all(&mut hand);
    assert_eq!(asked.len(), 1);
    hand.hears(&asked[0].block(true, &BLOCK));
    hand.want(576);
    assert_eq!(asks_all(&mut hand).len(), 2);
}

#[test]
fn the_first_round_trip_shortens_the_wait_for_what_was_asked_for_with_it() {
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.now_ms += 20;
    hand.hears(&asked[3].block(true, &BLOCK));
    let wait = hand.waits();
    // 20 ms and four times their half, up to half of it more, and 20 ms have passed.
    assert!((40..=70).contains(&wait), "{wait}");
}

fn tagged(tag: &[u8], asked: &Asked, payload: &[u8]) -> Vec<u8> {
    let block = super::hand::block2_after(4, asked.offset, 64, true);
    asked.answer(0x45, &[tag, &block].concat(), payload)
}

#[test]
fn a_change_that_a_block_ahead_shows_ends_all_exchanges() {
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.hears(&tagged(b"\x41a", &asked[0], &BLOCK));
    assert!(hand.fetch.bytes(0).is_some());
    hand.hears(&tagged(b"\x41b", &asked[1], &BLOCK));
    hand.hears(&tagged(b"\x41a", &asked[2], &BLOCK));
    assert_eq!(hand.next(), Err(FetchError::Changed));
    for offset in [0, 64, 128] {
        assert_eq!(hand.fetch.bytes(offset), None);
    }
    assert_eq!(offsets(&asks_all(&mut hand)), [0, 64, 128, 192]);
}

#[test]
fn a_change_is_told_although_something_else_has_failed_before() {
    let mut hand = Hand::<2, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.hears(&tagged(b"\x41a", &asked[0], &BLOCK));
    assert!(hand.fetch.bytes(0).is_some());
    hand.want(64);
    let ahead = asks_all(&mut hand);
    hand.hears(&asked[1].answer(0xa3, &[], &[]));
    hand.hears(&tagged(b"\x41b", &ahead[0], &BLOCK));
    assert_eq!(hand.next(), Err(FetchError::Changed));
}

#[test]
fn before_anything_is_read_a_block_of_another_image_replaces_what_came() {
    // The one that is wanted comes last: its image counts, and what came of the other one is asked for again.
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    for asked in &asked[1..] {
        hand.hears(&tagged(b"\x41a", asked, &[1; 64]));
    }
    hand.hears(&tagged(b"\x41b", &asked[0], &[2; 64]));
    assert_eq!(offsets(&asks_all(&mut hand)), [64, 128, 192]);
    assert_eq!(hand.fetch.bytes(0), Some(&[2; 64][..]));
    assert_eq!(hand.fetch.bytes(64), None);
    // It came first: what comes of another one is asked for again, once it is not read meanwhile.
    let mut hand = Hand::<2, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.hears(&tagged(b"\x41b", &asked[0], &[2; 64]));
    hand.hears(&tagged(b"\x41a", &asked[1], &[1; 64]));
    let asked = asks_all(&mut hand);
    assert_eq!(offsets(&asked), [64]);
    assert_eq!(hand.fetch.bytes(0), Some(&[2; 64][..]));
    hand.hears(&tagged(b"\x41b", &asked[0], &[3; 64]));
    assert_eq!(hand.fetch.bytes(64), Some(&[3; 64][..]));
    // It has not come: what came last counts.
    let mut hand = Hand::<4, 64>::wants(0);
    let asked = asks_all(&mut hand);
    hand.hears(&tagged(b"\x41a", &asked[1], &[1; 64]));
    hand.hears(&tagged(b"\x41b", &asked[2], &[2; 64]));
    assert_eq!(offsets(&asks_all(&mut hand)), [64]);
    assert_eq!(hand.fetch.bytes(128), Some(&[2; 64][..]));
}

#[test]
fn a_reader_that_jumps_gets_its_block_whatever_was_under_way() {
    for to in [10_000, 64, 0] {
        let mut hand = Hand::<4, 64>::wants(128);
        let asked = asks_all(&mut hand);
        for asked in &asked[1..] {
            hand.hears(&asked.block(true, &BLOCK));
        }
        hand.want(to);
        let asked = asks_all(&mut hand);
        let wanted = asked
            .iter()
            .find(|asked| asked.offset == to / 64 * 64)
            .unwrap();
        hand.hears(&wanted.block(true, &[9; 64]));
        assert_eq!(hand.fetch.bytes(to), Some(&[9; 64][to as usize % 64..]));
    }
}
