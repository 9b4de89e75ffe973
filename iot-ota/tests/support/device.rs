//! A device whose power can fail, and a service that answers it.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, VecDeque};

use iot_core::engine::{Done, RecordKey};
use iot_core::message::Fate;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};
use iot_ota::manifest::{Device, Role, Roles, Template};
use iot_ota::sim::MemoryBanks;
use iot_ota::slot::{Banks, Release};
use iot_ota::update::{
    FromDevice, Images, Payloads, Report, Request, Source, ToDevice, Trust, Updater, Want,
};

use crate::keys::{P256Key, P256Public, Sha256, sha256};

pub(crate) const KIND: Device<'static> = Device::new([0xfa; 16], [0x14; 16], &[b"firmware"]);
pub(crate) const SECTOR: u32 = 64;
pub(crate) const BLOCK: u32 = 96;
pub(crate) const TRIALS: u8 = 4;

pub(crate) type TestUpdater<P = Images> =
    Updater<'static, MemoryBanks, Roles<'static, P256Public>, Sha256, P>;

/// Bytes that differ from release to release.
pub(crate) fn image(release: u64, len: usize) -> Vec<u8> {
    (0_u64..)
        .map(|n| n.wrapping_mul(37).wrapping_add(release * 101).to_le_bytes()[0])
        .take(len)
        .collect()
}

pub(crate) fn offer(key: &P256Key, sequence: u64, kind: Device<'_>, image: &[u8]) -> Vec<u8> {
    offer_of(key, &template(sequence, kind, image))
}

pub(crate) fn template<'a>(sequence: u64, kind: Device<'a>, image: &[u8]) -> Template<'a> {
    let size = u32::try_from(image.len()).unwrap();
    Template::new(sequence, kind, sha256(image), size, "iot:firmware")
}

pub(crate) fn offer_of(key: &P256Key, template: &Template<'_>) -> Vec<u8> {
    let envelope = template
        .sign(key, Some(b"k1"), &mut Sha256::default())
        .unwrap();
    encode(&ToDevice::Offer {
        envelope: &envelope,
    })
}

pub(crate) fn encode(message: &ToDevice<'_>) -> Vec<u8> {
    let mut buffer = vec![0; 70_000];
    message.encode(&mut buffer).unwrap().to_vec()
}

/// Takes the word of one key in these roles.
pub(crate) fn believing(trusted: P256Public, roles: Vec<Role>) -> Roles<'static, P256Public> {
    // A test is over before anybody could miss them.
    let keys = Vec::leak(vec![(&b"k1"[..], trusted)]);
    Roles::new(keys, Vec::leak(roles), TimeBounds::UNKNOWN)
}

/// Steps by hand what a node does, so that every step can be the last.
pub(crate) struct Rig<P: Payloads<Sha256> = Images> {
    pub(crate) updater: Option<TestUpdater<P>>,
    payloads: P,
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    pub(crate) trusted: Roles<'static, P256Public>,
    pub(crate) kind: Device<'static>,
    /// How many bytes the driver has for a step.
    pub(crate) buffer_bytes: usize,
    pub(crate) requests: Vec<Request>,
    pub(crate) reports: Vec<Report>,
    pub(crate) now_ms: u64,
    /// The power fails before this many further commits are durable.
    pub(crate) commits_left: Option<u32>,
    /// How the messages that the device sends fare.
    pub(crate) fate: Fate,
    tickets: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct PowerCut;

impl Rig {
    pub(crate) fn factory(trusted: P256Public, capacity: u32) -> Self {
        let release = Release::new(1, [0; 32], 0);
        Self::factory_of(trusted, Role::new(1, 0b1), capacity, release)
    }

    /// With an image of 200 bytes, under sequence number and counter of `release`, and one key, which fills `role`.
    pub(crate) fn factory_of(
        trusted: P256Public,
        role: Role,
        capacity: u32,
        release: Release,
    ) -> Self {
        let old = image(release.sequence, 200);
        Self::running(trusted, role, capacity, release, &old, Images::default())
    }
}

impl<P: Payloads<Sha256> + Clone> Rig<P> {
    /// With that image, and what it makes of payloads.
    pub(crate) fn running(
        trusted: P256Public,
        role: Role,
        capacity: u32,
        release: Release,
        old: &[u8],
        payloads: P,
    ) -> Self {
        let size = u32::try_from(old.len()).unwrap();
        let Release {
            sequence, counter, ..
        } = release;
        let release = Release::new(sequence, sha256(old), size).with_counter(counter);
        let trusted = believing(trusted, vec![role]);
        let mut rig = Self {
            updater: None,
            payloads,
            records: BTreeMap::new(),
            trusted,
            kind: KIND,
            buffer_bytes: 1_200,
            requests: Vec::new(),
            reports: Vec::new(),
            now_ms: 0,
            commits_left: None,
            fate: Fate::Delivered,
            tickets: 0,
        };
        rig.start(MemoryBanks::factory(capacity, SECTOR, old, release));
        rig
    }

    fn now(&self) -> Now {
        Now::new(Instant::from_millis(self.now_ms), TimeBounds::UNKNOWN)
    }

    pub(crate) fn updater(&mut self) -> &mut TestUpdater<P> {
        self.updater.as_mut().unwrap()
    }

    pub(crate) fn banks(&self) -> &MemoryBanks {
        self.updater.as_ref().unwrap().banks()
    }

    /// Starts the firmware, without a boot loader.
    pub(crate) fn start(&mut self, banks: MemoryBanks) {
        let keys = self.trusted.clone();
        let mut updater = Updater::new(banks, Trust::new(keys, Sha256::default(), self.kind))
            .with_payloads(self.payloads.clone())
            .with_block_bytes(BLOCK)
            .with_trials(TRIALS);
        let (now, range) = (self.now(), updater.records());
        for (&key, value) in self.records.iter().filter(|(key, _)| range.contains(**key)) {
            updater.input(now, &Event::Record { key, value });
        }
        updater.input(now, &Event::Restored);
        self.updater = Some(updater);
    }

    /// Ends the program and boots with the power back.
    pub(crate) fn reboot(&mut self) {
        let mut banks = self.updater.take().unwrap().into_banks();
        banks
            .reboot(&mut Sha256::default())
            .expect("something always boots");
        self.start(banks);
    }

    /// Boots with the power as it is: it may fail in the boot loader.
    pub(crate) fn reboot_on_what_power_is_left(&mut self) -> Result<(), PowerCut> {
        let mut banks = self.updater.take().unwrap().into_banks();
        let _ = banks.reboot_with_power_as_it_is(&mut Sha256::default());
        let powered = banks.is_powered();
        self.start(banks);
        if powered { Ok(()) } else { Err(PowerCut) }
    }

    /// As [`reboot`](Self::reboot), with the power failing once more during the boot.
    pub(crate) fn reboot_interrupted(&mut self, after: u64) {
        let mut banks = self.updater.take().unwrap().into_banks();
        banks.restore_power();
        banks.cut_power_after(after);
        let _ = banks.reboot_with_power_as_it_is(&mut Sha256::default());
        banks
            .reboot(&mut Sha256::default())
            .expect("something always boots");
        self.start(banks);
    }

    pub(crate) fn cut_power_after(&mut self, bytes: u64) {
        let mut banks = self.updater.take().unwrap().into_banks();
        banks.cut_power_after(bytes);
        self.start(banks);
    }

    pub(crate) fn deliver(&mut self, payload: &[u8]) {
        let (now, message) = (self.now(), Message::new(Channel::Update, payload));
        self.updater().input(now, &Event::Message(message));
    }

    pub(crate) fn confirm(&mut self, well: bool) {
        self.updater().confirm(well);
    }

    /// Carries out steps until the engine rests; returns the requests it made.
    pub(crate) fn run(&mut self) -> Result<Vec<Request>, PowerCut> {
        let mut requests = Vec::new();
        let mut settle = VecDeque::new();
        loop {
            if !self.banks().is_powered() {
                return Err(PowerCut);
            }
            let (now, mut buffer) = (self.now(), vec![0; self.buffer_bytes]);
            let step = self.updater().step(now, &mut buffer);
            match step {
                Step::Idle => match settle.pop_front() {
                    Some(ticket) => {
                        let fate = self.fate;
                        self.updater().input(now, &Event::Settled { ticket, fate });
                    }
                    // It has more to do at once: a page to erase.
                    None if self.updater().deadline() == Some(Instant::ZERO) => {}
                    None => return Ok(requests),
                },
                Step::Persist(batch) => {
                    if let Some(left) = &mut self.commits_left {
                        match left.checked_sub(1) {
                            Some(less) => *left = less,
                            None => return Err(PowerCut),
                        }
                    }
                    for (key, value) in batch.iter() {
                        match value {
                            Some(value) => drop(self.records.insert(key, value.to_vec())),
                            None => drop(self.records.remove(&key)),
                        }
                    }
                    self.updater().done(now, Done::Persisted);
                }
                Step::Send(message) => {
                    assert_eq!(message.channel, Channel::Update);
                    match FromDevice::decode(message.payload).unwrap() {
                        FromDevice::Request(request) => {
                            requests.push(request);
                            self.requests.push(request);
                        }
                        FromDevice::Report(report) if self.fate == Fate::Delivered => {
                            self.reports.push(report);
                        }
                        _ => {}
                    }
                    self.tickets += 1;
                    let ticket = Ticket::new(self.tickets);
                    self.updater().done(now, Done::Sent(ticket));
                    settle.push_back(ticket);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Lets device and service talk until the device rests or wants something.
    pub(crate) fn talk(&mut self, offer: &[u8], source: &Source<'_>) -> Result<Want, PowerCut> {
        self.deliver(offer);
        loop {
            let requests = self.run()?;
            if requests.is_empty() {
                return Ok(self.updater().wants());
            }
            for request in requests {
                let block = source.answer(&request).unwrap();
                self.deliver(&encode(&block));
            }
        }
    }
}

pub(crate) const CAPACITY: u32 = 1_024;
pub(crate) const SIZE: usize = 700;

pub(crate) struct World {
    pub(crate) key: P256Key,
    pub(crate) image: Vec<u8>,
    pub(crate) offer: Vec<u8>,
}

impl World {
    pub(crate) fn new() -> Self {
        let (key, image) = (P256Key::generate(), image(2, SIZE));
        // Its counter rises too, so that the power may fail there.
        let offer = offer_of(&key, &template(2, KIND, &image).with_counter(7));
        Self { key, image, offer }
    }

    pub(crate) fn rig(&self) -> Rig {
        Rig::factory(self.key.public(), CAPACITY)
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source::new(2, &self.image)
    }

    /// Goes on from wherever the device is until it has reported a confirmed release 2.
    pub(crate) fn finish(&self, rig: &mut Rig) -> Result<(), PowerCut> {
        for _ in 0..12 {
            match rig.talk(&self.offer, &self.source())? {
                Want::Reboot => rig.reboot_on_what_power_is_left()?,
                Want::Confirm => {
                    rig.confirm(true);
                    rig.run()?;
                }
                _ if rig
                    .reports
                    .last()
                    .is_some_and(|report| report.outcome.is_success()) =>
                {
                    return Ok(());
                }
                other => panic!("{other:?} {:?}", rig.updater().status()),
            }
        }
        panic!("no end: {:?}", rig.updater().status());
    }
}

/// Whatever runs is one of the two releases, whole.
pub(crate) fn runs_a_whole_image(rig: &mut Rig, world: &World) -> u64 {
    let running = rig.updater().status().running.expect("it has just booted");
    let banks = rig.banks();
    let bytes = banks.bytes(banks.running());
    let bytes = &bytes[..usize::try_from(running.size).unwrap()];
    assert_eq!(sha256(bytes), running.digest);
    if running.sequence == 2 {
        assert_eq!(bytes, world.image);
    }
    running.sequence
}
