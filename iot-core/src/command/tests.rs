use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::engine::{Engine, Event, RecordKey, Step};
use crate::id::{CommandId, IssuerId};
use crate::message::{Channel, Message};
use crate::time::{Instant, Now, TimeBounds, Timestamp};

crate::commands! {
    enum Job {
        #[transactional] Note { value: u16 },
        #[idempotent] Set { open: bool, level: i8 },
        #[probed] Swap { bank: Option<u8> },
        #[opaque] Pulse,
    }
}

const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

fn id() -> impl Strategy<Value = CommandId> {
    (any::<u32>(), any::<u32>(), any::<u64>()).prop_map(|(issuer, epoch, sequence)| {
        CommandId::new(IssuerId::new(issuer), epoch, sequence)
    })
}

fn job() -> impl Strategy<Value = Job> {
    prop_oneof![
        any::<u16>().prop_map(|value| Job::Note { value }),
        any::<(bool, i8)>().prop_map(|(open, level)| Job::Set { open, level }),
        any::<Option<u8>>().prop_map(|bank| Job::Swap { bank }),
        Just(Job::Pulse),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let reasons = [
        Reason::Invalid,
        Reason::Unauthorised,
        Reason::Mismatch,
        Reason::TooOld,
    ];
    let reason = proptest::sample::select(Vec::from(reasons));
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..=Output::MAX_BYTES)
            .prop_map(|bytes| Answer::Ended(Outcome::done_with(&bytes).unwrap())),
        any::<u16>().prop_map(|code| Answer::Ended(Outcome::Failed { code })),
        (1..=u32::MAX).prop_map(|number| Answer::Progress { number }),
        reason.prop_map(|reason| Answer::Ended(Outcome::Rejected { reason })),
        proptest::sample::select(Vec::from([
            Answer::Ended(Outcome::Expired),
            Answer::Ended(Outcome::InDoubt),
            Answer::Ended(Outcome::Forgotten),
            Answer::Ended(Outcome::Cancelled),
            Answer::InProgress,
            Answer::Busy,
            Answer::ClockUnknown,
            Answer::UnknownIssuer,
            Answer::TooLate,
        ])),
    ]
}

/// A valid message with a few bytes changed: deeper than random bytes ever come.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let message = (id(), job(), answer(), any::<bool>()).prop_map(|(id, job, answer, request)| {
        let (mut command, mut bytes) = ([0; 64], [0; 128]);
        let command = crate::codec::encode_into(&mut command, |out| out.encode(&job)?.ok());
        let len = if request {
            Request::new(id, command.unwrap()).encode(&mut bytes)
        } else {
            Response::new(id, answer).encode(&mut bytes)
        };
        bytes[..len.unwrap()].to_vec()
    });
    let changes = proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (message, changes).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn hostile() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..600), damaged()]
}

proptest! {
    #[test]
    fn a_request_is_read_as_written(id in id(), job in job(), settled in any::<u64>(), moments in any::<[Option<u64>; 2]>(), cancels: bool) {
        let (mut command, mut bytes) = ([0; 64], [0; 128]);
        let command = crate::codec::encode_into(&mut command, |out| out.encode(&job)?.ok()).unwrap();
        let request = Request::new(id, command)
            .settled_below(settled)
            .not_before(moments[0].map(Timestamp::from_millis))
            .expires_at(moments[1].map(Timestamp::from_millis));
        let request = if cancels { request.cancel() } else { request };
        let len = request.encode(&mut bytes).unwrap();
        let read = Request::decode(&bytes[..len]).unwrap();
        // 0 stands for no moment, so the first millisecond of 1970 is written as the second.
        let moment = |moment: Option<Timestamp>| moment.map(|moment| moment.max(Timestamp::from_millis(1)));
        let (not_before, expires) = (moment(request.not_before), moment(request.expires));
        let request = request.not_before(not_before).expires_at(expires);
        prop_assert_eq!(read, request);
        prop_assert_eq!(cbor::whole::<Job>(read.command), Some(job));
        prop_assert!(Response::decode(&bytes[..len]).is_err());
        prop_assert!(Request::decode(&bytes[..len - 1]).is_err());
        prop_assert!(Request::decode(&bytes[..=len]).is_err());
        prop_assert_eq!(Request::decode_first(&bytes[..=len]), Ok((request, &[0][..])));
        prop_assert!(request.encode(&mut bytes[..len - 1]).is_none());
    }

    #[test]
    fn a_response_is_read_as_written(id in id(), answer in answer()) {
        let mut bytes = [0; 128];
        let response = Response::new(id, answer);
        let len = response.encode(&mut bytes).unwrap();
        prop_assert_eq!(Response::decode(&bytes[..len]), Ok(response));
        prop_assert!(Request::decode(&bytes[..len]).is_err());
        prop_assert!(Response::decode(&bytes[..len - 1]).is_err());
        prop_assert!(Response::decode(&bytes[..=len]).is_err());
    }

    #[test]
    fn what_is_read_is_written_back_the_same(bytes in hostile()) {
        let mut again = [0; 600];
        if let Ok(request) = Request::decode(&bytes) {
            let len = request.encode(&mut again).unwrap();
            prop_assert_eq!(&again[..len], &bytes[..]);
        }
        if let Ok(response) = Response::decode(&bytes) {
            let len = response.encode(&mut again).unwrap();
            prop_assert_eq!(&again[..len], &bytes[..]);
        }
    }

    #[test]
    fn hostile_messages_and_records_never_panic_an_engine(records in proptest::collection::vec((0u32..12, hostile()), 0..4), messages in proptest::collection::vec(hostile(), 0..8)) {
        let mut inbox = Inbox::<Job, 2, 16, 2>::with_effects(RecordKey::new(0));
        let mut issuer = Issuer::<Job, 2>::new(IssuerId::new(1), RecordKey::new(0));
        inbox.allow(IssuerId::new(1)).unwrap();
        let engines: [&mut dyn Engine; 2] = [&mut inbox, &mut issuer];
        for engine in engines {
            for (key, value) in &records {
                engine.input(NOW, &Event::Record { key: RecordKey::new(*key), value });
            }
            engine.input(NOW, &Event::Restored);
            for message in &messages {
                engine.input(NOW, &Event::Message(Message::new(Channel::Command, message)));
                for length in [0, 40, 1024] {
                    let mut buffer = [0; 1024];
                    match engine.step(NOW, &mut buffer[..length]) {
                        Step::Persist(_) => engine.done(NOW, crate::engine::Done::Persisted),
                        Step::Send(_) => engine.done(NOW, crate::engine::Done::Sent(crate::Ticket::new(0))),
                        _ => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_window_agrees_with_a_plain_set(steps in proptest::collection::vec((0u8..3, 0u64..100), 0..60)) {
        let mut window = Window::<20>::new(1);
        let (mut floor, mut ended) = (1, alloc::collections::BTreeSet::new());
        for (what, sequence) in steps {
            match what {
                0 => {
                    window.end(sequence);
                    if (floor..floor + 20).contains(&sequence) { ended.insert(sequence); }
                }
                1 => {
                    window.settle_below(sequence);
                    floor = floor.max(sequence);
                }
                _ => {
                    let needed = sequence.saturating_sub(19).max(floor);
                    let may = (floor..needed).all(|sequence| ended.contains(&sequence));
                    prop_assert_eq!(window.reach(sequence), may);
                    if may { floor = needed; }
                }
            }
            prop_assert_eq!(window.floor(), floor);
            for sequence in 0..130 {
                let expected = match sequence {
                    _ if sequence < floor => Standing::Settled,
                    _ if sequence >= floor + 20 => Standing::Beyond,
                    _ if ended.contains(&sequence) => Standing::Ended,
                    _ => Standing::Open,
                };
                prop_assert_eq!(window.standing(sequence), expected);
            }
        }
    }
}

#[test]
fn a_command_of_any_name_is_read_as_written() {
    crate::commands! {
        #[allow(non_camel_case_types, reason = "the length is what matters")]
        enum Named {
            #[opaque] A { a: u8, b: Option<[u16; 2]>, c: f32 },
            #[opaque, lane = 255] Twenty_three_characters,
            #[probed] Twenty_four_characters__ { after: bool },
        }
    }
    for command in [
        Named::A {
            a: 200,
            b: Some([1, 65_535]),
            c: 0.5,
        },
        Named::Twenty_three_characters,
        Named::Twenty_four_characters__ { after: true },
    ] {
        let (mut ours, mut theirs) = ([0; 64], [0; 64]);
        let ours = crate::codec::encode_into(&mut ours, |out| out.encode(&command)?.ok()).unwrap();
        let theirs = crate::codec::encode_into(&mut theirs, |out| match &command {
            Named::A { a, b, c } => out
                .array(4)?
                .str("A")?
                .encode(a)?
                .encode(b)?
                .encode(c)?
                .ok(),
            Named::Twenty_three_characters => out.array(1)?.str(command.name())?.ok(),
            Named::Twenty_four_characters__ { after } => {
                out.array(2)?.str(command.name())?.encode(after)?.ok()
            }
        })
        .unwrap();
        assert_eq!(ours, theirs);
        assert_eq!(cbor::whole::<Named>(ours), Some(command));
        assert_eq!(cbor::whole::<Named>(&ours[..ours.len() - 1]), None);
    }
    assert_eq!(Named::Twenty_three_characters.lane(), 255);
}

#[test]
fn a_window_jumps_any_distance() {
    for distance in [1, 63, 64, 65, 127, 128, 129, 255, 256, 257, u64::MAX - 1] {
        let mut window = Window::<256>::new(1);
        window.end(200);
        window.settle_below(1 + distance);
        assert_eq!(window.floor(), 1 + distance);
        let expected = if distance < 200 {
            Standing::Ended
        } else {
            Standing::Settled
        };
        assert_eq!(window.standing(200), expected, "after {distance}");
    }
}

#[test]
fn too_long_and_too_new_messages_are_told_apart() {
    let long = [0; MAX_MESSAGE_BYTES + 1];
    let error = Request::decode(&long).unwrap_err();
    assert_eq!(error, WireError::TooLong { bytes: long.len() });
    let id = CommandId::new(IssuerId::new(1), 1, 1);
    let mut bytes = [0; 64];
    let len = Response::new(id, Answer::Busy).encode(&mut bytes).unwrap();
    bytes[1] = 2;
    assert_eq!(
        Response::decode(&bytes[..len]),
        Err(WireError::Version { found: 2 })
    );
}

#[test]
fn the_encoded_bytes_are_those_of_the_published_format() {
    let id = CommandId::new(IssuerId::new(1), 2, 300);
    let (mut command, mut bytes) = ([0; 64], [0; 64]);
    let job = Job::Set {
        open: true,
        level: -1,
    };
    let command = crate::codec::encode_into(&mut command, |out| out.encode(&job)?.ok());
    let request = Request::new(id, command.unwrap()).settled_below(299);
    let len = request
        .expires_at(Some(Timestamp::from_millis(5)))
        .encode(&mut bytes)
        .unwrap();
    assert_eq!(
        bytes[..len],
        *b"\x89\x01\x00\x01\x02\x19\x01\x2c\x19\x01\x2b\x00\x05\x47\x83\x63Set\xf5\x20"
    );
    let response = Response::new(id, Answer::Ended(Outcome::done_with(b"ok").unwrap()));
    let len = response.encode(&mut bytes).unwrap();
    assert_eq!(
        bytes[..len],
        *b"\x88\x01\x01\x01\x02\x19\x01\x2c\x01\x00\x42ok"
    );
}
