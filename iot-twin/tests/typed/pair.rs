//! A device and a service with a link that loses nothing, and storage between the device's lives.

use std::collections::BTreeMap;

use iot_twin::iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_twin::iot_core::time::TimeBounds;
use iot_twin::iot_core::{Instant, Now, Ticket};
use iot_twin::{Twin, TwinDevice, TwinService};

pub(crate) struct Pair<T: Twin> {
    pub(crate) device: TwinDevice<T, 4>,
    pub(crate) service: TwinService,
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    /// What went over the link.
    pub(crate) messages: Vec<Vec<u8>>,
    /// Whether the application answers what is desired with "applied".
    pub(crate) applies: bool,
    millis: u64,
}

impl<T: Twin> Pair<T> {
    pub(crate) fn new() -> Self {
        Self::with(BTreeMap::new(), TwinService::of::<T>())
    }

    /// A device with these records, and this service.
    pub(crate) fn with(records: BTreeMap<RecordKey, Vec<u8>>, service: TwinService) -> Self {
        let mut pair = Self {
            device: TwinDevice::new(),
            service,
            records,
            messages: Vec::new(),
            applies: true,
            millis: 0,
        };
        pair.boot();
        pair
    }

    /// The power fails and comes back.
    pub(crate) fn boot(&mut self) {
        self.device = TwinDevice::new();
        for (key, value) in &self.records {
            let record = Event::Record { key: *key, value };
            self.device.input(at(0), &record);
        }
        self.device.input(at(0), &Event::Restored);
        self.connect();
    }

    pub(crate) fn connect(&mut self) {
        let connected = Event::Connected { resumed: false };
        self.device.input(at(self.millis), &connected);
    }

    /// Everything that happens by itself.
    pub(crate) fn settle(&mut self) {
        let mut buffer = vec![0; TwinDevice::<T, 4>::BUFFER_BYTES];
        let mut wide = vec![0; 2_048];
        for _ in 0..400 {
            self.millis += 500;
            let now = at(self.millis);
            match self.device.step(now, &mut buffer) {
                Step::Persist(batch) => {
                    for (key, value) in batch.iter() {
                        self.records.insert(key, value.unwrap().to_vec());
                    }
                    self.device.done(now, Done::Persisted);
                }
                Step::Send(message) => {
                    self.messages.push(message.payload.to_vec());
                    self.service.input(now, &Event::Message(message));
                    self.device.done(now, Done::Sent(Ticket::new(0)));
                }
                _ => {}
            }
            if let Step::Send(message) = self.service.step(now, &mut wide) {
                self.messages.push(message.payload.to_vec());
                self.device.input(now, &Event::Message(message));
                self.service.done(now, Done::Sent(Ticket::new(0)));
            }
            if self.applies
                && let Some(change) = self.device.changed()
            {
                self.device.acknowledge(change.version, true);
            }
        }
        assert!(!self.applies || self.device.is_settled());
    }

    /// What became of the newest desire for a field.
    #[allow(dead_code, reason = "not every test that has a pair asks")]
    pub(crate) fn code(&self, name: &str) -> u16 {
        self.service.acknowledgement(name).unwrap().code.get()
    }
}

fn at(millis: u64) -> Now {
    Now::new(Instant::from_millis(millis), TimeBounds::UNKNOWN)
}
