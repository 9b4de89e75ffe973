mod notes;

use alloc::vec::Vec;

use futures::executor::block_on;
use iot_core::engine::RecordKey;
use iot_core::node::{Node, PollTimer};
use iot_core::port::Timer as _;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now};

use self::notes::Notes;
use super::*;
use crate::envelope::Position;
use crate::layer::Layered as _;
use crate::memory::Link;
use crate::outbox::Outbox;

const TRACE: [u8; 25] = [7; 25];
const TRACE_ID: &str = "trace_id=07070707070707070707070707070707";
const PARENT_ID: &str = "parent_id=0707070707070707";

fn enveloped(correlation: &[u8], trace: &[u8]) -> Vec<u8> {
    let envelope = Envelope::new(Position::new(1, 1, 1), b"secret");
    let envelope = envelope.with_correlation(correlation).with_trace(trace);
    envelope.encode(&mut [0; 128]).unwrap().to_vec()
}

/// Sends both payloads over a link with one place, so that the second is refused, and handles the first.
fn pass(trace: Trace, first: &[u8], second: &[u8]) -> Notes {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let mut link = Link::<1, 128>::new();
        let (device, service) = link.split();
        let (mut device, mut service) = (device.layer(trace), service.layer(trace));
        block_on(async {
            let (mut buffer, mut other) = ([0; 128], [0; 128]);
            service.subscribe(Channel::Telemetry).await.unwrap();
            device.submit(&Message::telemetry(first)).await.unwrap();
            device
                .submit(&Message::telemetry(second))
                .await
                .unwrap_err();
            service.next(&mut buffer).await.unwrap();
            service.next(&mut buffer).await.unwrap();
            service
                .handling(async { tracing::info!(target: "iot_transport", "stored") })
                .await;
            let polled = futures::poll!(core::pin::pin!(service.next(&mut other)));
            assert!(polled.is_pending());
            service
                .handling(async { tracing::info!(target: "iot_transport", "idle") })
                .await;
            device.next(&mut buffer).await.unwrap();
            device.next(&mut buffer).await.unwrap();
        });
    });
    notes.tells_nothing_of("secret");
    notes
}

#[test]
fn a_request_is_found_from_its_submission_over_its_fate_to_its_receiver() {
    let notes = pass(
        Trace::new(),
        &enveloped(b"request-9", &TRACE),
        &enveloped(b"other", b""),
    );
    let request = ["correlation=request-9", TRACE_ID, PARENT_ID];
    let with = |words: &[&str]| notes.one(&[words, &request].concat());
    let submit = with(&["span submit", "channel=\"telemetry\"", "priority=Normal"]).span;
    let receive = with(&["span receive", "channel=\"telemetry\""]).span;
    assert_eq!(
        with(&["message=settled", "ticket=1", "fate=Delivered"]).span,
        submit
    );
    assert_eq!(with(&["received"]).span, receive);
    assert_eq!(notes.one(&["record", "ticket=1"]).span, submit);
    assert_eq!(notes.one(&["record", "fate=Delivered"]).span, submit);
    assert_eq!(notes.one(&["stored"]).span, receive);
    assert_eq!(notes.one(&["idle"]).span, None);
    let other = notes.one(&["span submit", "correlation=other"]);
    assert!(!other.line.contains("trace_id"), "{}", other.line);
    assert_eq!(
        notes.one(&["refused", "all 1 places are taken"]).span,
        other.span
    );
    notes.one(&["span subscribe", "channel=\"telemetry\""]);
    // The span of a message ends with its fate, and that of a received one when the caller comes back.
    assert!(
        notes.position(&["message=settled"]) < notes.position(&["close", &notes::number(submit)])
    );
    assert!(notes.position(&["close", &notes::number(receive)]) < notes.position(&["idle"]));
}

#[test]
fn what_goes_through_an_outbox_is_followed_without_a_word_about_it() {
    let notes = Notes::default();
    tracing::subscriber::with_default(notes.clone(), || {
        let mut link = Link::<4, 256>::new();
        let (device, service) = link.split();
        let mut service = service.layer(Trace::new());
        let timer = PollTimer::new(|| Now::new(Instant::ZERO, TimeBounds::UNKNOWN));
        let now = timer.now();
        let mut node = Node::new(device.layer(Trace::new()), MemoryRecords::new(), timer);
        let mut outbox = Outbox::<4, 256>::new(RecordKey::new(0x100), 7);
        let mut buffer = [0; 768];
        block_on(async {
            service.subscribe(Channel::Telemetry).await.unwrap();
            node.restore(&mut (&mut outbox,), &mut buffer)
                .await
                .unwrap();
            let context = Context::NONE.correlated(b"request-9").traced(&TRACE);
            outbox
                .push_with(now, &Message::telemetry(b"secret"), context)
                .unwrap();
            for _ in 0..20 {
                let mut room = [0; 256];
                let _ =
                    futures::poll!(core::pin::pin!(node.turn(&mut (&mut outbox,), &mut buffer)));
                let _ = futures::poll!(core::pin::pin!(service.next(&mut room)));
            }
        });
    });
    for words in [
        "span submit",
        "message=settled",
        "span receive",
        "message=received",
    ] {
        notes.one(&[words, "correlation=request-9", TRACE_ID, PARENT_ID]);
    }
    notes.tells_nothing_of("secret");
}

#[test]
fn a_payload_that_is_no_envelope_belongs_to_nothing() {
    let notes = pass(Trace::new(), b"secret", &enveloped(b"", b""));
    for line in notes.lines() {
        for word in ["correlation", "trace_id", "parent_id"] {
            assert!(!line.contains(word), "{line}");
        }
    }
    assert_eq!(
        notes.one(&["message=settled"]).span,
        notes.one(&["span submit", "bytes=6"]).span
    );
}

#[test]
fn another_format_says_itself_what_a_message_belongs_to() {
    let trace = Trace::new().with_context(|message| {
        Context::NONE.correlated(message.payload.get(..2).unwrap_or_default())
    });
    let notes = pass(trace, b"M1secret", b"\0\x01secret");
    notes.one(&["message=settled", "correlation=M1"]);
    notes.one(&["received", "correlation=M1"]);
    notes.one(&["span submit", "correlation=0x0001"]);
}

#[test]
fn what_is_under_way_is_bounded_and_what_is_not_traced_is_not_kept() {
    let mut link = Link::<2_000, 8>::new();
    let (device, _service) = link.split();
    let mut device = device.layer(Trace::new());
    let submit = |device: &mut Traced<_>, times: usize| {
        for _ in 0..times {
            block_on(Transport::submit(device, &Message::telemetry(b"x"))).unwrap();
        }
    };
    // Said explicitly: what other tests listen to counts for all of a process that says nothing.
    let nobody = tracing::subscriber::NoSubscriber::default();
    tracing::subscriber::with_default(nobody, || submit(&mut device, 10));
    assert_eq!(device.under_way.len(), 0, "nobody listens");
    tracing::subscriber::with_default(Notes::default(), || submit(&mut device, UNDER_WAY + 10));
    assert_eq!(device.under_way.len(), UNDER_WAY);
    let oldest = device.under_way.first_key_value().unwrap().0.get();
    assert_eq!(oldest, 21, "ten were never kept, and ten made room");
}
