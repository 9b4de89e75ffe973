//! Messages and their repetition (RFC 7252 §4 and §5).

use core::time::Duration;

use iot_core::entropy::{Entropy, EntropyError};
use iot_core::{Instant, sim::SimEntropy};
use iot_transport::coap::{Code, FetchError, Step, Terms};

use super::hand::{Asked, Hand};

const BLOCK: [u8; 64] = [7; 64];

#[test]
fn a_request_is_repeated_byte_for_byte_after_waits_that_double_until_its_time_is_up() {
    for seed in 0..50 {
        let mut hand = Hand::<1, 64>::wants(0);
        hand.entropy = SimEntropy::new(seed);
        let first = hand.next().unwrap().unwrap();
        let initial = hand.waits();
        // ACK_TIMEOUT is 2 s, ACK_RANDOM_FACTOR 1.5, and MAX_RETRANSMIT 4 (RFC 7252 §4.8).
        assert!((2_000..=3_000).contains(&initial), "{initial}");
        for times in 1..=4 {
            assert_eq!(hand.next().unwrap().unwrap(), first);
            assert!(hand.is_silent());
            let wait = hand.waits();
            match times {
                4 => assert_eq!(hand.now_ms, 60_000),
                _ => assert_eq!(wait, initial << times),
            }
        }
        assert_eq!(hand.next(), Err(FetchError::TimedOut));
        // Asked once more it begins anew, with another message id and another token.
        let (before, again) = (Asked::read(&first), hand.asks());
        assert_ne!((before.id, before.token), (again.id, again.token));
    }
}

#[test]
fn repetitions_and_patience_are_bounded_as_it_was_told() {
    let terms = Terms::new().with_retransmissions(1);
    let mut hand = Hand::<1, 64>::with(terms, 0);
    for _ in 0..2 {
        assert!(hand.next().unwrap().is_some());
        hand.waits();
    }
    assert_eq!(hand.next(), Err(FetchError::TimedOut));
    let patience = Duration::from_secs(1);
    let mut hand = Hand::<1, 64>::with(Terms::new().with_patience(patience), 0);
    assert!(hand.next().unwrap().is_some());
    assert_eq!(hand.waits(), 1_000);
    assert_eq!(hand.next(), Err(FetchError::TimedOut));
}

#[test]
fn ids_follow_each_other_from_a_random_one_and_tokens_are_random() {
    let mut firsts = Vec::new();
    for seed in 0..20 {
        let mut hand = Hand::<1, 64>::wants(0);
        hand.entropy = SimEntropy::new(seed);
        let mut tokens = Vec::new();
        let mut id = None;
        for number in 0..10 {
            let asked = hand.asks();
            hand.hears(&asked.block(true, &BLOCK));
            hand.want((number + 1) * 64);
            let next = u16::from_be_bytes(asked.id);
            assert!(id.is_none_or(|id: u16| next == id.wrapping_add(1)));
            id = Some(next);
            tokens.push(asked.token);
        }
        firsts.push(tokens[0]);
        tokens.sort_unstable();
        tokens.dedup();
        assert_eq!(tokens.len(), 10);
    }
    firsts.sort_unstable();
    firsts.dedup();
    assert_eq!(firsts.len(), 20);
}

#[test]
fn after_an_empty_acknowledgement_nothing_is_repeated_and_the_answer_is_acknowledged() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&asked.accepted());
    assert!(hand.is_silent());
    hand.now_ms += 30_000;
    assert!(hand.is_silent());
    let separate = asked.message(
        0x48,
        0x45,
        [9, 9],
        &super::hand::block2(0, 64, false),
        &BLOCK,
    );
    hand.hears(&separate);
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
    assert_eq!(hand.next().unwrap().unwrap(), [0x60, 0, 9, 9]);
    assert!(hand.is_silent());
    // That acknowledgement was lost: the same message again is acknowledged again, and another one is rejected.
    hand.hears(&separate);
    assert_eq!(hand.next().unwrap().unwrap(), [0x60, 0, 9, 9]);
    hand.hears(&asked.message(0x48, 0x45, [9, 8], &[], &[1; 64]));
    assert_eq!(hand.next().unwrap().unwrap(), [0x70, 0, 9, 8]);
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
}

#[test]
fn an_answer_that_overtakes_its_acknowledgement_counts_and_one_that_is_not_confirmable_too() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&asked.message(
        0x58,
        0x45,
        [9, 9],
        &super::hand::block2(0, 64, false),
        &BLOCK,
    ));
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
    hand.hears(&asked.accepted());
    assert!(hand.is_silent());
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
}

#[test]
fn an_answer_that_was_promised_and_never_comes_is_told_when_the_time_is_up() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&asked.accepted());
    assert_eq!(hand.waits(), 60_000);
    assert_eq!(hand.next(), Err(FetchError::TimedOut));
    assert_eq!(hand.asks().offset, 0);
}

#[test]
fn a_reset_ends_the_exchange_and_one_of_another_message_does_not() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.hears(&[0x70, 0, asked.id[0], asked.id[1] ^ 1]);
    assert!(hand.is_silent());
    hand.hears(&[0x70, 0, asked.id[0], asked.id[1]]);
    assert_eq!(hand.next(), Err(FetchError::Reset));
    assert!(FetchError::Reset.is_transient());
    assert_eq!(hand.asks().offset, 0);
}

#[test]
fn only_the_message_that_was_answered_and_its_token_make_an_answer() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    let right = asked.block(false, &BLOCK);
    for at in [2, 3, 4, 11] {
        let mut wrong = right.clone();
        wrong[at] ^= 1;
        hand.hears(&wrong);
        assert!(hand.is_silent());
    }
    // A shorter token is another one.
    let mut short = right.clone();
    short[0] = 0x67;
    short.remove(11);
    hand.hears(&short);
    assert!(hand.is_silent() && hand.fetch.bytes(0).is_none());
    hand.hears(&right);
    assert_eq!(hand.fetch.bytes(0), Some(&BLOCK[..]));
}

#[test]
fn a_late_answer_of_a_former_exchange_is_none_of_the_next_one() {
    let mut hand = Hand::<1, 64>::wants(0);
    let former = hand.asks();
    hand.hears(&former.block(true, &BLOCK));
    hand.want(64);
    let asked = hand.asks();
    hand.hears(&former.block(true, &[1; 64]));
    assert_eq!(hand.fetch.bytes(64), None);
    assert!(hand.is_silent());
    hand.hears(&asked.block(false, &[2; 10]));
    assert_eq!(hand.fetch.bytes(64), Some(&[2; 10][..]));
}

#[test]
fn what_a_server_would_answer_is_rejected() {
    let mut hand = Hand::<1, 64>::wants(0);
    hand.asks();
    // A ping, a request, and codes of reserved classes; a message that is malformed.
    for code in [0x00, 0x01, 0x20, 0xc1, 0xe0] {
        hand.hears(&[0x40, code, 3, code]);
        assert_eq!(hand.next().unwrap().unwrap(), [0x70, 0, 3, code], "{code}");
        // One that is not confirmable gets no word.
        hand.hears(&[0x50, code, 3, code]);
        assert!(hand.is_silent(), "{code}");
    }
    hand.hears(&[0x40, 0x45, 4, 4, 0xff]);
    assert_eq!(hand.next().unwrap().unwrap(), [0x70, 0, 4, 4]);
    hand.hears(&[0x80, 0x45, 4, 4]);
    assert!(hand.is_silent());
}

#[test]
fn the_wait_follows_the_round_trip_and_one_after_a_repetition_moves_it_by_a_quarter() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.now_ms += 40;
    hand.hears(&asked.block(true, &BLOCK));
    hand.want(64);
    // 40 ms and four times their half; up to half of it at random.
    let asked = hand.asks();
    let wait = hand.waits();
    assert!((120..=180).contains(&wait), "{wait}");
    hand.asks();
    hand.now_ms += 600 - wait;
    hand.hears(&asked.block(true, &BLOCK));
    hand.want(128);
    hand.asks();
    // 600 and 300, a quarter of it, and three quarters of 120.
    let wait = hand.waits();
    assert!((315..=473).contains(&wait), "{wait}");
}

#[test]
fn an_answer_that_came_at_an_unknown_time_is_not_measured() {
    let mut hand = Hand::<1, 64>::wants(0);
    let asked = hand.asks();
    hand.fetch.input(None, &asked.block(true, &BLOCK));
    hand.want(64);
    hand.asks();
    assert!(hand.waits() >= 2_000);
}

#[test]
fn the_wait_has_a_floor() {
    for floor in [100, 10] {
        let terms = Terms::new().with_floor(Duration::from_millis(floor));
        let mut hand = Hand::<1, 64>::with(terms, 0);
        let asked = hand.asks();
        hand.hears(&asked.block(true, &BLOCK));
        hand.want(64);
        hand.asks();
        let wait = hand.waits();
        assert!((floor..=floor * 3 / 2).contains(&wait), "{wait}");
    }
}

#[test]
fn without_randomness_nothing_is_asked_for() {
    struct Broken;
    impl Entropy for Broken {
        fn fill(&mut self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError::new())
        }
    }
    let mut hand = Hand::<1, 64>::wants(0);
    let mut room = [0; 128];
    let error = hand
        .fetch
        .step(Instant::ZERO, &mut Broken, &mut room)
        .unwrap_err();
    assert_eq!(error, FetchError::Entropy(EntropyError::new()));
    assert_eq!(hand.asks().offset, 0);
}

#[test]
fn a_request_that_does_not_fit_is_told_and_never_sent_in_part() {
    let mut hand = Hand::<1, 64>::wants(0);
    let mut room = [0; 128];
    let whole = hand.asks().datagram.len();
    for bytes in 0..whole {
        let mut hand = Hand::<1, 64>::wants(0);
        let step = hand
            .fetch
            .step(Instant::ZERO, &mut hand.entropy, &mut room[..bytes]);
        assert_eq!(step, Err(FetchError::Request { bytes }));
        let step = hand
            .fetch
            .step(Instant::ZERO, &mut hand.entropy, &mut room[..whole]);
        assert!(matches!(step, Ok(Step::Send(_))), "{bytes}");
    }
}

#[test]
fn codes_and_errors_say_what_they_are() {
    let refused = FetchError::Refused {
        code: Code::new(0x84),
    };
    assert_eq!(refused.to_string(), "the server answers with 4.04");
    assert!(!refused.is_transient());
    for byte in [0x9d, 0xa0, 0xa3] {
        assert!(
            FetchError::Refused {
                code: Code::new(byte)
            }
            .is_transient()
        );
    }
}
