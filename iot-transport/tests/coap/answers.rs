//! What an answer may say of the image, and what not (RFC 7252 §5.4, RFC 7959 §2).

use iot_transport::coap::{Code, FetchError};

use super::hand::{Hand, block2, block2_after};

const BLOCK: [u8; 64] = [7; 64];

/// What the engine says to an answer for its first block, whose Block2 is the first option.
fn first(code: u8, options: &[u8], payload: &[u8]) -> Result<(), FetchError> {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&asked.answer(code, options, payload));
    hand.next()
        .map(|sent| assert!(sent.is_none() && hand.fetch.bytes(0).is_some()))
}

#[test]
fn every_code_but_content_is_an_error_with_that_code() {
    for byte in (0x40..=0x5f).chain(0x80..=0xbf) {
        let error = FetchError::Refused {
            code: Code::new(byte),
        };
        let expected = match byte {
            0x45 => Ok(()),
            _ => Err(error),
        };
        assert_eq!(
            first(byte, &block2(0, 64, true), &BLOCK),
            expected,
            "{byte:#x}"
        );
    }
}

#[test]
fn options_that_must_be_understood_end_it_and_others_are_ignored() {
    // If-Match, Uri-Host, If-None-Match, Uri-Port, OSCORE, Uri-Path, Uri-Query, Accept, EDHOC.
    for number in [1, 3, 5, 7, 9, 11] {
        let options = [&[number << 4][..], &block2_after(number, 0, 64, true)].concat();
        let number = number.into();
        assert_eq!(
            first(0x45, &options, &BLOCK),
            Err(FetchError::Option { number })
        );
        // Also where the answer is an error.
        assert_eq!(
            first(0x84, &options, &[]),
            Err(FetchError::Option { number })
        );
    }
    for number in [15, 17, 21] {
        let options = [&[0xd0, number - 13][..], &block2_after(number, 0, 64, true)].concat();
        let number = number.into();
        assert_eq!(
            first(0x45, &options, &BLOCK),
            Err(FetchError::Option { number })
        );
    }
    // Observe, Location-Path, Content-Format, Max-Age and one that nobody knows.
    for number in [6, 8, 12] {
        let options = [
            &[number << 4 | 1, 9][..],
            &block2_after(number, 0, 64, true),
        ]
        .concat();
        assert_eq!(first(0x45, &options, &BLOCK), Ok(()), "{number}");
    }
    for number in [14, 18, 22] {
        let options = [
            &[0xd1, number - 13, 9][..],
            &block2_after(number, 0, 64, true),
        ]
        .concat();
        assert_eq!(first(0x45, &options, &BLOCK), Ok(()), "{number}");
    }
}

#[test]
fn a_confirmable_answer_with_such_an_option_is_rejected() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&asked.message(0x48, 0x45, [5, 5], &[0x10], &BLOCK));
    assert_eq!(hand.next(), Err(FetchError::Option { number: 1 }));
    assert_eq!(hand.next().unwrap().unwrap(), [0x70, 0, 5, 5]);
}

#[test]
fn an_option_of_a_wrong_length_or_come_twice_is_like_an_unknown_one() {
    let more = block2(0, 64, true);
    // A second Block2, and one of four bytes.
    let twice = [&more[..], &[0x01, 0x0a]].concat();
    assert_eq!(
        first(0x45, &twice, &BLOCK),
        Err(FetchError::Option { number: 23 })
    );
    let long = [0xd4, 10, 0, 0, 0, 0x0a];
    assert_eq!(
        first(0x45, &long, &BLOCK),
        Err(FetchError::Option { number: 23 })
    );
    // Tags of no and of nine bytes are none, and the second of two is ignored: so is a size of five bytes.
    for tag in [&[0x40][..], b"\x49123456789", b"\x41a\x01b"] {
        let options = [tag, &block2_after(4, 0, 64, true), &[0x55, 1, 2, 3, 4, 5]].concat();
        assert_eq!(first(0x45, &options, &BLOCK), Ok(()), "{tag:?}");
    }
}

#[test]
fn an_answer_that_is_not_the_block_is_refused() {
    let wrong: [(&[u8], &[u8], &str); 7] = [
        (&block2(64, 64, true), &BLOCK, "another place"),
        (
            &block2(0, 128, true),
            &[7; 128],
            "longer than was asked for",
        ),
        (
            &block2(0, 64, true),
            &[7; 63],
            "less than a block that is not the last",
        ),
        (
            &block2(0, 64, true),
            &[],
            "nothing of a block that is not the last",
        ),
        (&block2(0, 64, false), &[7; 65], "more than a block"),
        (&block2(0, 32, true), &BLOCK, "more than a smaller block"),
        (&[0xd1, 10, 0x0f], &BLOCK, "a reserved size"),
    ];
    for (options, payload, what) in wrong {
        assert_eq!(
            first(0x45, options, payload),
            Err(FetchError::Answer),
            "{what}"
        );
    }
    assert_eq!(first(0x45, &[], &[7; 65]), Err(FetchError::NoBlocks));
    assert_eq!(first(0x45, &[], &[7; 64]), Ok(()));
    // Without the option, at another place than the first.
    let mut hand = Hand::<1, 64>::wants(64);
    let asked = hand.asks();
    hand.hears(&asked.answer(0x45, &[], &[7; 10]));
    assert_eq!(hand.next(), Err(FetchError::NoBlocks));
}

/// Two blocks, each with the options that stand before its Block2, and those behind.
fn two(
    tags: [&[u8]; 2],
    sizes: [&[u8]; 2],
    (more, payload): (bool, &[u8]),
) -> Result<Vec<u8>, FetchError> {
    let mut hand = Hand::<1, 64>::wants(0);
    for (at, (tag, size)) in tags.into_iter().zip(sizes).enumerate() {
        let asked = hand.asks();
        let before = if tag.is_empty() { 0 } else { 4 };
        let (more, payload) = if at == 0 {
            (true, &BLOCK[..])
        } else {
            (more, payload)
        };
        let options = [tag, &block2_after(before, asked.offset, 64, more), size].concat();
        hand.hears(&asked.answer(0x45, &options, payload));
        if at == 0 {
            assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
            hand.want(64);
        }
    }
    let sent = hand.next()?;
    assert!(sent.is_none());
    Ok(hand.fetch.bytes(64).unwrap().to_vec())
}

#[test]
fn blocks_of_two_images_are_never_mixed() {
    let (none, last) = (&[][..], (false, &[8; 20][..]));
    let (one, other, longer) = (&b"\x41a"[..], &b"\x41b"[..], &b"\x42ab"[..]);
    for same in [none, one, longer] {
        assert_eq!(two([same, same], [none, none], last), Ok(vec![8; 20]));
    }
    let changed = Err(FetchError::Changed);
    for tags in [[one, other], [one, longer], [one, none], [none, one]] {
        assert_eq!(two(tags, [none, none], last), changed, "{tags:?}");
    }
    let (size, other) = (&[0x51, 84][..], &[0x51, 85][..]);
    assert_eq!(two([one, one], [size, size], last), Ok(vec![8; 20]));
    // It need not be told again, and an estimate need not be right; but it must not be another one.
    assert_eq!(two([one, one], [size, none], last), Ok(vec![8; 20]));
    assert_eq!(two([one, one], [other, none], last), Ok(vec![8; 20]));
    assert_eq!(two([one, one], [size, other], last), changed);
}

#[test]
fn an_image_that_ends_elsewhere_than_before_is_another_one() {
    let ends = |hand: &mut Hand<1, 64>, offset, more, payload: &[u8]| {
        hand.want(offset);
        let asked = hand.asks();
        hand.hears(&asked.block(more, payload));
        hand.next().map(drop)
    };
    // Its end at 84 is known; then a block reaches up to there or beyond, or another one is the last.
    let again: [(u32, bool, &[u8], bool); 5] = [
        (0, true, &BLOCK, true),
        (64, false, &[8; 20], true),
        (64, false, &[8; 21], false),
        (64, true, &BLOCK, false),
        (0, false, &[7; 40], false),
    ];
    for (offset, more, payload, same) in again {
        let mut hand = Hand::<1, 64>::wants(64);
        assert_eq!(ends(&mut hand, 64, false, &[8; 20]), Ok(()));
        assert_eq!(hand.fetch.size(), Some(84));
        assert_eq!(hand.fetch.bytes(84), Some(&[][..]));
        assert_eq!(hand.fetch.bytes(64), Some(&[8; 20][..]));
        // Far away, so that what is here is not kept.
        hand.want(1 << 20);
        let told = ends(&mut hand, offset, more, payload);
        assert_eq!(told.is_ok(), same, "{offset} {more}");
        if !same {
            assert_eq!(told, Err(FetchError::Changed));
            assert!(hand.fetch.size().is_none() && hand.fetch.bytes(84).is_none());
        }
    }
}

#[test]
fn after_a_change_the_new_image_may_be_read_from_its_front() {
    let mut hand = Hand::<1, 64>::wants(0);
    let tagged = |tag: &[u8], offset| [tag, &block2_after(4, offset, 64, true)].concat();
    let asked = hand.asks();
    hand.hears(&asked.answer(0x45, &tagged(b"\x41a", 0), &BLOCK));
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
    hand.want(64);
    let asked = hand.asks();
    hand.hears(&asked.answer(0x45, &tagged(b"\x41b", 64), &[8; 64]));
    assert!(hand.fetch.bytes(0).is_none() && hand.fetch.bytes(64).is_none());
    assert_eq!(hand.next(), Err(FetchError::Changed));
    assert!(!FetchError::Changed.is_transient());
    hand.want(0);
    let asked = hand.asks();
    hand.hears(&asked.answer(0x45, &tagged(b"\x41b", 0), &[8; 64]));
    assert_eq!(hand.fetch.bytes(0), Some(&[8; 64][..]));
}

#[test]
fn a_server_that_wants_smaller_blocks_gets_its_way() {
    let mut hand = Hand::<1, 64>::wants(64);
    let asked = hand.asks();
    assert_eq!((asked.offset, asked.bytes), (64, 64));
    hand.hears(&asked.answer(0x45, &block2(64, 16, true), &[7; 16]));
    assert_eq!(hand.fetch.bytes(64), Some(&[7; 16][..]));
    hand.want(80);
    let asked = hand.asks();
    assert_eq!((asked.offset, asked.bytes), (80, 16));
    // A place inside a block is read from the block that holds it.
    hand.hears(&asked.block(
        true,
        &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ));
    hand.want(90);
    assert!(hand.is_silent());
    assert_eq!(hand.fetch.bytes(90), Some(&[11, 12, 13, 14, 15, 16][..]));
    // And what lies before it is asked for at the small size.
    hand.want(33);
    assert_eq!(hand.asks().offset, 32);
}

#[test]
fn blocks_have_twenty_bits_of_numbers_and_what_lies_behind_is_told() {
    let mut hand = Hand::<1, 16>::wants((1 << 24) - 1);
    assert_eq!(hand.asks().offset, (1 << 24) - 16);
    let mut hand = Hand::<1, 16>::wants(1 << 24);
    assert_eq!(hand.next(), Err(FetchError::TooFar { block_bytes: 16 }));
    let mut hand = Hand::<4, 1024>::wants(u32::MAX);
    assert_eq!(hand.next(), Err(FetchError::TooFar { block_bytes: 1_024 }));
}
