//! What is written is read again, and what is read is what another implementation reads.

use alloc::vec::Vec;

use coap_message::{MessageOption as _, ReadableMessage as _};
use coap_message_implementations::inmemory;
use proptest::prelude::*;

use super::super::block::{Block, bytes_of, exponent_of};
use super::super::write::Writer;
use super::*;

type Numbered = Vec<(u16, Vec<u8>)>;
type Parts = (u16, Vec<u8>, Numbered, Vec<u8>);

/// A message id, a token, options in rising order, and a payload.
fn parts() -> impl Strategy<Value = Parts> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    let number = prop_oneof![0_u16..40, 250..300_u16, any::<u16>()];
    let value = prop_oneof![bytes(20), bytes(300)];
    let options = proptest::collection::vec((number, value), 0..8);
    let sorted = options.prop_map(|mut options| {
        options.sort_by_key(|(number, _)| *number);
        options
    });
    (any::<u16>(), bytes(9), sorted, bytes(60))
}

fn encode((id, token, options, payload): &Parts) -> Vec<u8> {
    let mut room = [0; 4_000];
    let mut out = Writer::new(&mut room, Kind::NonConfirmable, Code::CONTENT, *id, token);
    for (number, value) in options {
        out.option(*number, value.iter().copied());
    }
    out.payload(payload);
    out.finish().unwrap().to_vec()
}

/// The options and the payload as the other implementation reads them; `None` where it finds a mistake.
fn of_another(code: u8, tail: &[u8]) -> Option<(Numbered, Vec<u8>)> {
    let message = inmemory::Message::new_from_slice(code, tail);
    let owned = |option: inmemory::MessageOption<'_>| (option.number(), option.value().to_vec());
    let options: Vec<_> = message.options().map(owned).collect();
    let is_right = options.iter().all(|(number, _)| *number != u16::MAX);
    is_right.then(|| (options, message.payload().to_vec()))
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(parts in parts()) {
        let bytes = encode(&parts);
        let (id, token, options, payload) = &parts;
        let message = Message::decode(&bytes).unwrap();
        prop_assert_eq!((message.kind, message.code), (Kind::NonConfirmable, Code::CONTENT));
        prop_assert_eq!((message.id, message.token), (*id, &token[..]));
        let read: Vec<_> = message.options.map(|(number, value)| (number, value.to_vec())).collect();
        prop_assert_eq!(&read, options);
        prop_assert_eq!(message.payload, &payload[..]);
    }

    #[test]
    fn a_buffer_that_is_too_short_gets_no_message(parts in parts(), less in 1_usize..40) {
        let bytes = encode(&parts);
        let mut room = std::vec![0; bytes.len().saturating_sub(less)];
        let mut out = Writer::new(&mut room, Kind::NonConfirmable, Code::CONTENT, parts.0, &parts.1);
        for (number, value) in &parts.2 {
            out.option(*number, value.iter().copied());
        }
        out.payload(&parts.3);
        prop_assert_eq!(out.finish(), None);
    }

    #[test]
    fn any_options_are_read_as_another_implementation_reads_them(
        tail in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..60),
            parts().prop_map(|parts| encode(&(0, Vec::new(), parts.2, parts.3))[4..].to_vec()),
        ],
        changed in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut tail = tail;
        if let (Some((at, byte)), false) = (changed, tail.is_empty()) {
            let at = at.index(tail.len());
            tail[at] = byte;
        }
        let datagram = [&[0x50, 0x45, 0, 1], &tail[..]].concat();
        let ours = Message::decode(&datagram).ok().map(|message| {
            let options: Vec<_> = message.options.map(|(number, value)| (number, value.to_vec())).collect();
            (options, message.payload.to_vec())
        });
        // It takes the last number for a mistake, and a marker without a payload for none.
        let is_odd = |ours: &(Numbered, _)| ours.0.iter().any(|(number, _)| *number == u16::MAX);
        if !ours.as_ref().is_some_and(is_odd) {
            let theirs = of_another(0x45, &tail);
            let theirs = theirs.filter(|(_, payload)| !payload.is_empty() || ours.is_some());
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_what_they_mean_is_what_they_hold(
        bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        if let Ok(message) = Message::decode(&bytes) {
            let options: usize = message.options.clone().map(|(_, value)| value.len() + 1).sum();
            prop_assert!(4 + message.token.len() + options + message.payload.len() <= bytes.len());
        }
    }

    #[test]
    fn a_block_says_where_it_lies(number in 0_u32..1 << 20, exponent in 0_u8..7, more: bool) {
        let offset = number * bytes_of(exponent);
        let block = Block::at(offset, exponent, more).unwrap();
        let value: Vec<u8> = block.bits().to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
        prop_assert_eq!(Block::read(&value), Some(block));
        prop_assert_eq!((block.offset(), block.bytes()), (offset, bytes_of(exponent)));
    }
}

#[test]
fn the_standards_messages_are_read_as_it_says() {
    // RFC 7252, figures 16 and 17 with a token of 0x20, and its empty messages.
    let get = b"\x41\x01\x7d\x35\x20\xbbtemperature";
    let message = Message::decode(get).unwrap();
    assert_eq!((message.kind, message.code), (Kind::Confirmable, Code::GET));
    assert_eq!((message.id, message.token), (0x7d35, &[0x20][..]));
    assert_eq!(
        message.options.collect::<Vec<_>>(),
        [(11, &b"temperature"[..])]
    );
    let answer = Message::decode(b"\x61\x45\x7d\x35\x20\xff22.3 C").unwrap();
    assert_eq!(
        (answer.kind, answer.code),
        (Kind::Acknowledgement, Code::CONTENT)
    );
    assert_eq!(
        (answer.options.count(), answer.payload),
        (0, &b"22.3 C"[..])
    );
    let empty = Message::decode(b"\x70\x00\x7d\x38").unwrap();
    assert_eq!(
        (empty.kind, empty.code, empty.id),
        (Kind::Reset, Code::EMPTY, 0x7d38)
    );
}

#[test]
fn each_mistake_of_form_is_found_and_a_confirmable_message_with_one_is_rejected() {
    let mistakes: [(&[u8], &str); 11] = [
        (b"\x40\x45\x00", "shorter than a header"),
        (b"\x00\x45\x00\x07", "another version"),
        (b"\xc0\x45\x00\x07", "another version"),
        (b"\x49\x45\x00\x07123456789", "a token of nine bytes"),
        (b"\x44\x45\x00\x07123", "less token than it says"),
        (
            b"\x40\x00\x00\x07\xff1",
            "an empty message with something in it",
        ),
        (b"\x41\x00\x00\x071", "an empty message with a token"),
        (b"\x40\x45\x00\x07\xff", "a marker without a payload"),
        (b"\x40\x45\x00\x07\xf1x", "a reserved delta"),
        (b"\x40\x45\x00\x07\x1fx", "a reserved length"),
        (b"\x40\x45\x00\x07\x15abc", "less option than it says"),
    ];
    for (at, (bytes, what)) in mistakes.iter().enumerate() {
        let rejected = (at > 2).then_some(7);
        assert_eq!(
            Message::decode(bytes).unwrap_err(),
            Malformed { rejected },
            "{what}"
        );
        let mut unconfirmed = bytes.to_vec();
        unconfirmed[0] |= 0x10;
        let silent = Malformed { rejected: None };
        assert_eq!(Message::decode(&unconfirmed).unwrap_err(), silent, "{what}");
    }
    // The last number there is, and one beyond it.
    let last = b"\x50\x45\x00\x07\xe0\xfe\xf2";
    assert_eq!(
        Message::decode(last).unwrap().options.next(),
        Some((u16::MAX, &b""[..]))
    );
    assert!(Message::decode(b"\x50\x45\x00\x07\xe0\xfe\xf2\x10").is_err());
    assert!(Message::decode(b"\x50\x45\x00\x07\xe0\xfe\xf3").is_err());
}

#[test]
fn a_reserved_size_is_no_block_and_numbers_end() {
    assert_eq!(Block::read(&[7]), None);
    assert_eq!(Block::read(&[0, 0, 0, 6]), None);
    assert!(Block::at((1 << 20) * 16, 0, false).is_none());
    assert!(Block::at((1 << 20) * 16 - 16, 0, false).is_some());
    for exponent in 0..7 {
        assert_eq!(exponent_of(16 << exponent), exponent);
    }
}
