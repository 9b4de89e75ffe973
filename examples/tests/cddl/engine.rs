//! Engines, stepped by hand for what they write.

use iot_core::engine::{Done, RecordKey};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};

/// What an engine wanted to make durable and to send.
#[derive(Default)]
pub(crate) struct Written {
    pub(crate) records: Vec<(RecordKey, Vec<u8>)>,
    pub(crate) messages: Vec<Vec<u8>>,
}

pub(crate) fn now(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}

/// Does every step until there is none.
pub(crate) fn run(engine: &mut impl Engine, now: Now) -> Written {
    let mut written = Written::default();
    let mut buffer = vec![0; 4_096];
    for _ in 0..100 {
        let done = match engine.step(now, &mut buffer) {
            Step::Idle => return written,
            Step::Persist(batch) => {
                let values = batch
                    .iter()
                    .filter_map(|(key, value)| Some((key, value?.to_vec())));
                written.records.extend(values);
                Done::Persisted
            }
            Step::Send(message) => {
                written.messages.push(message.payload.to_vec());
                Done::Sent(Ticket::new(1))
            }
            step => panic!("{step:?}"),
        };
        engine.done(now, done);
    }
    panic!("the engine does not come to rest");
}

pub(crate) fn hand(engine: &mut impl Engine, now: Now, channel: Channel, payload: &[u8]) {
    engine.input(now, &Event::Message(Message::new(channel, payload)));
}
