use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

use futures::executor::block_on;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};

use super::*;
use crate::layer::Layered as _;
use crate::memory::Link;

/// Writes down every span and event with its fields.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>, Arc<AtomicU64>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn core::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl Notes {
    fn add(&self, line: Line) {
        self.0.lock().unwrap().push(line.0);
    }
}

impl Subscriber for Notes {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "iot_transport"
    }
    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut line = Line(attributes.metadata().name().into());
        attributes.record(&mut line);
        self.add(line);
        Id::from_u64(self.1.fetch_add(1, Ordering::Relaxed) + 1)
    }
    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut line = Line("record".into());
        values.record(&mut line);
        self.add(line);
    }
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line("event".into());
        event.record(&mut line);
        self.add(line);
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_message_its_fate_and_its_arrival_have_the_same_correlation_and_no_payload_is_told() {
    let notes = Notes::default();
    let correlation =
        |message: &Message<'_>| message.payload.first().map(|first| u64::from(*first));
    tracing::subscriber::with_default(notes.clone(), || {
        let mut link = Link::<1, 16>::new();
        let (device, service) = link.split();
        let mut device = device.layer(Trace::new().with_correlation(correlation));
        let mut service = service.layer(Trace::new().with_correlation(correlation));
        let mut buffer = [0; 16];
        block_on(async {
            service.subscribe(Channel::Telemetry).await.unwrap();
            device
                .submit(&Message::telemetry(b"Msecret"))
                .await
                .unwrap();
            device
                .submit(&Message::telemetry(b"Nsecret"))
                .await
                .unwrap_err();
            service.next(&mut buffer).await.unwrap();
            service.next(&mut buffer).await.unwrap();
            let polled = futures::poll!(core::pin::pin!(service.next(&mut buffer)));
            assert!(polled.is_pending());
            let mut buffer = [0; 16];
            device.next(&mut buffer).await.unwrap();
            device.next(&mut buffer).await.unwrap();
        });
    });
    let lines = notes.0.lock().unwrap().clone();
    let with = |words: &[&str]| {
        let found = lines
            .iter()
            .filter(|line| words.iter().all(|word| line.contains(word)));
        assert_eq!(found.count(), 1, "{words:?} in {lines:#?}");
    };
    with(&[
        "submit",
        "channel=\"telemetry\"",
        "bytes=7",
        "correlation=77",
    ]);
    with(&["record", "ticket=1"]);
    with(&["received", "correlation=77"]);
    with(&["settled", "fate=Delivered", "ticket=1", "correlation=77"]);
    with(&["refused", "all 1 places are taken"]);
    with(&["subscribe", "channel=\"telemetry\""]);
    assert!(
        lines.iter().all(|line| !line.contains("secret")),
        "{lines:#?}"
    );
}
