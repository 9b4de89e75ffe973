//! What drives an engine: its records, its clock, and the steps the fuzzer chooses.

use std::collections::BTreeMap;

use iot_core::engine::{Done, Failure, RecordKey};
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Fate, Instant, Message, Now, Step, Ticket, Timestamp};

use crate::input::Input;

/// How a step ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum End {
    /// It is done, and the engine is told.
    Done,
    /// It is not done, and the engine is told why.
    Failed(Failure),
    /// It is done, and the power is cut before the engine is told.
    Cut,
    /// It is done, and the engine is not told: a storage that failed, or a driver that was dropped.
    Unheard,
}

impl End {
    pub(crate) fn choose(input: &mut Input<'_>) -> Option<Self> {
        Some(match input.byte()? % 8 {
            0 => Self::Failed(Failure::StorageFull),
            1 => Self::Failed(Failure::Busy),
            2 => Self::Failed(Failure::Refused),
            3 => Self::Failed(Failure::Buffer),
            4 => Self::Unheard,
            5 => Self::Cut,
            _ => Self::Done,
        })
    }
}

/// What a step did to the world.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Deed {
    Nothing,
    /// Each key, and its value where it was not removed.
    Persisted(Vec<(RecordKey, Option<Vec<u8>>)>),
    Sent(Vec<u8>),
}

#[derive(Debug, Default)]
pub(crate) struct Driver {
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    now_ms: u64,
    /// Whether the wall clock is proved.
    wall: bool,
    tickets: u64,
}

/// The kind of deed that is a record, in every target that begins with some.
pub(crate) const RECORD: u8 = 0;

impl Driver {
    /// Takes the records that stand in front of the deeds, of which there are so many `kinds`: each in one of
    /// `places` from `first` on. `None` when one is cut short.
    pub(crate) fn begin(
        input: &mut Input<'_>,
        kinds: u8,
        first: RecordKey,
        places: u8,
    ) -> Option<Self> {
        let mut driver = Self::default();
        while input.0.first().is_some_and(|kind| kind % kinds == RECORD) {
            input.byte();
            let (offset, value) = input.byte().zip(input.short())?;
            let key = first.offset(u32::from(offset % places));
            driver
                .records
                .insert(key.expect("a small key"), value.to_vec());
        }
        Some(driver)
    }

    pub(crate) fn now(&self) -> Now {
        let wall = match self.wall {
            true => TimeBounds::exact(Timestamp::from_millis(self.now_ms)),
            false => TimeBounds::UNKNOWN,
        };
        Now::new(Instant::from_millis(self.now_ms), wall)
    }

    /// Lets time pass; the wall clock becomes known or unknown.
    pub(crate) fn pass(&mut self, byte: u8) {
        self.now_ms += u64::from(byte >> 1) * 250;
        self.wall = byte & 1 == 1;
    }

    /// Shows an engine that has just been made its records.
    pub(crate) fn restore(&self, engine: &mut impl Engine) {
        let range = engine.records();
        for (&key, value) in self.records.iter().filter(|(key, _)| range.contains(**key)) {
            engine.input(self.now(), &Event::Record { key, value });
        }
        engine.input(self.now(), &Event::Restored);
    }

    pub(crate) fn hand(&self, engine: &mut impl Engine, payload: &[u8]) {
        let message = Message::new(Channel::Command, payload);
        engine.input(self.now(), &Event::Message(message));
    }

    /// One of the events that carry nothing.
    pub(crate) fn happen(&self, engine: &mut impl Engine, byte: u8) {
        let event = match byte % 4 {
            0 => Event::Disconnected,
            1 => Event::Connected {
                resumed: byte & 4 == 0,
            },
            _ => Event::Settled {
                ticket: Ticket::new(self.tickets),
                fate: Fate::Delivered,
            },
        };
        engine.input(self.now(), &event);
        let _ = engine.deadline();
    }

    /// Asks for a step, asks again, which must give the same, and ends it so.
    pub(crate) fn step(&mut self, engine: &mut impl Engine, end: End, buffer_bytes: usize) -> Deed {
        let now = self.now();
        let (mut buffer, mut again) = (vec![0; buffer_bytes], vec![0; buffer_bytes]);
        let first = deed(engine.step(now, &mut buffer));
        if first == Deed::Nothing {
            return first;
        }
        // The contract of every engine: the same step until it is told how that ended.
        assert_eq!(deed(engine.step(now, &mut again)), first);
        if let End::Failed(failure) = end {
            engine.done(now, Done::Failed(failure));
            return Deed::Nothing;
        }
        let done = match &first {
            Deed::Persisted(batch) => {
                for (key, value) in batch {
                    match value {
                        Some(value) => self.records.insert(*key, value.clone()),
                        None => self.records.remove(key),
                    };
                }
                Done::Persisted
            }
            _ => {
                self.tickets += 1;
                Done::Sent(Ticket::new(self.tickets))
            }
        };
        if end == End::Done {
            engine.done(now, done);
        }
        first
    }
}

fn deed(step: Step<'_>) -> Deed {
    match step {
        Step::Idle => Deed::Nothing,
        Step::Persist(batch) => {
            let entries = batch.iter();
            Deed::Persisted(
                entries
                    .map(|(key, value)| (key, value.map(<[u8]>::to_vec)))
                    .collect(),
            )
        }
        Step::Send(message) => Deed::Sent(message.payload.to_vec()),
        step => panic!("not a step of this engine: {step:?}"),
    }
}
