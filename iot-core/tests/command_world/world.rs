//! One run: a device and its services in a hostile world, then a quiet one in which all must end.

use std::collections::HashMap;

use iot_core::command::{Conclusion, Response};
use iot_core::sim::SimEntropy;
use iot_core::storage::fault::Fault;
use iot_core::storage::memory::MemoryRecords;
use iot_core::{CommandId, IssuerId};

use super::device::{Build, Device};
use super::fate::Fate;
use super::power::Cut;
use super::service::{Hire, Service};
use super::tally::Tally;
use super::wire::Wire;

/// The sizes of a world.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) name: &'static str,
    pub(crate) issuers: u32,
    pub(crate) build: Build,
    /// The same with room for more issuers and a wider window.
    pub(crate) larger: Build,
    /// One that must not go on from these records.
    pub(crate) wrong: Build,
    pub(crate) hire: Hire,
    /// The device has room for the results of all that is under way.
    pub(crate) keeps_all: bool,
}

/// What the world knows, and nobody in it.
pub(crate) struct Books {
    pub(crate) issuers: u32,
    pub(crate) clock_ms: u64,
    pub(crate) fates: Vec<Fate>,
    /// How many transactional effects are on record.
    pub(crate) effects: u32,
    tags: HashMap<CommandId, usize>,
    newest: HashMap<IssuerId, u32>,
    keeps_all: bool,
}

impl Books {
    /// The third issuer may not issue everything.
    pub(crate) const fn is_limited(&self, issuer: u32) -> bool {
        issuer == 3
    }

    pub(crate) fn issued(&mut self, fate: Fate) {
        let tag = self.fates.len();
        if let Some(before) = self.tags.insert(fate.id, tag) {
            // A cut before it was on record: nobody else has heard of it.
            let before = &mut self.fates[before];
            assert!(!before.sent, "{} was used twice", fate.id);
            before.void = true;
        }
        self.fates.push(fate);
    }

    pub(crate) fn tag(&self, id: CommandId) -> Option<usize> {
        self.tags.get(&id).copied()
    }

    /// An older life never runs.
    pub(crate) fn newest_runs(&mut self, id: CommandId) {
        let newest = self.newest.entry(id.issuer).or_insert(id.epoch);
        assert!(id.epoch >= *newest, "{id} of an older life ran");
        *newest = id.epoch;
    }

    pub(crate) fn concluded(&mut self, end: &Conclusion, tally: &mut Tally) {
        let fate = &mut self.fates[self.tags[&end.id]];
        tally.told_again += u64::from(fate.told.is_some());
        match end.outcome {
            Ok(outcome) => fate.told(outcome, self.keeps_all, tally),
            Err(_) => fate.unanswered = true,
        }
    }
}

pub(crate) struct World {
    sizes: Sizes,
    rng: SimEntropy,
    pub(crate) tally: Tally,
    books: Books,
    /// `None` only while it boots.
    device: Option<Device>,
    build: Build,
    services: Vec<Service>,
    to_device: Wire,
    to_services: Wire,
}

impl World {
    pub(crate) fn new(sizes: Sizes, seed: u64) -> Self {
        let mut rng = SimEntropy::new(seed);
        let books = Books {
            issuers: sizes.issuers,
            clock_ms: 1_000_000_000 + rng.below(1_000),
            fates: Vec::new(),
            effects: 0,
            tags: HashMap::new(),
            newest: HashMap::new(),
            keeps_all: sizes.keeps_all,
        };
        let services = (1..=sizes.issuers)
            .map(|number| Service::new(number, sizes.hire, books.clock_ms, &mut rng))
            .collect();
        let records = MemoryRecords::new();
        let device = Device::boot(sizes.build, records, &mut rng, &books, false);
        Self {
            sizes,
            rng,
            tally: Tally::default(),
            books,
            device: Some(device),
            build: sizes.build,
            services,
            to_device: Wire::default(),
            to_services: Wire::default(),
        }
    }

    /// Lives until `commands` were issued, then in peace until all have ended; judges everything.
    pub(crate) fn run(&mut self, commands: usize) {
        while self.books.fates.len() < commands {
            self.tick(false);
        }
        self.rest();
        for fate in &self.books.fates {
            fate.judge(&mut self.tally);
        }
        self.tally.worlds += 1;
    }

    fn tick(&mut self, calm: bool) {
        self.books.clock_ms += if calm { 1_000 } else { self.rng.below(800) };
        if !calm {
            self.mischief();
        }
        for at in 0..self.services.len() {
            if !calm && self.rng.chance(400) {
                self.issue(at, false);
            }
            if !calm && self.rng.chance(100) {
                self.services[at].cancel(&mut self.books, &mut self.rng);
            }
            self.serve(at, calm);
        }
        for _ in 0..2 * self.services.len() {
            let wire = &mut self.to_device;
            let Some(payload) = wire.arrival(&mut self.rng, calm, &mut self.tally) else {
                break;
            };
            let clock = self.books.clock_ms;
            self.device.as_mut().unwrap().receive(&payload, clock);
            // A driver may take several messages in before it acts.
            if calm || self.rng.chance(700) {
                self.work(calm);
            }
        }
        self.work(calm);
        for _ in 0..2 * self.services.len() {
            let wire = &mut self.to_services;
            let Some(payload) = wire.arrival(&mut self.rng, calm, &mut self.tally) else {
                break;
            };
            let clock = self.books.clock_ms;
            let Response { id, .. } = Response::decode(&payload).unwrap();
            // Now and then everyone hears it, and must know whom it is for.
            let astray = !calm && self.rng.chance(50);
            for service in &mut self.services {
                if astray || service.is(id.issuer) {
                    service.receive(&payload, clock);
                }
            }
        }
    }

    fn issue(&mut self, at: usize, calm: bool) -> Option<usize> {
        let service = &mut self.services[at];
        service.issue(&mut self.books, &mut self.rng, &mut self.tally, calm)
    }

    fn serve(&mut self, at: usize, calm: bool) {
        let (wire, service) = (&mut self.to_device, &mut self.services[at]);
        let (books, rng, tally) = (&mut self.books, &mut self.rng, &mut self.tally);
        let request = |payload: &[u8], rng: &mut _, tally: &mut _| {
            wire.send(rng, calm, tally, payload);
        };
        if let Err(Cut) = service.turn(books, rng, tally, calm, request) {
            let clock = self.books.clock_ms;
            service.reboot(clock, &mut self.rng, &mut self.tally, calm);
        }
    }

    fn work(&mut self, calm: bool) {
        let (wire, device) = (&mut self.to_services, self.device.as_mut().unwrap());
        let (books, rng, tally) = (&mut self.books, &mut self.rng, &mut self.tally);
        let reply = |payload: &[u8], rng: &mut _, tally: &mut _| {
            wire.send(rng, calm, tally, payload);
        };
        if let Err(Cut) = device.turn(books, rng, tally, calm, reply) {
            self.reboot(calm);
        }
    }

    fn reboot(&mut self, calm: bool) {
        let device = self.device.take().unwrap();
        self.tally.device_cuts += 1;
        let fired = device.fired();
        self.tally.device_cuts_before += u64::from(fired == Some(Fault::CutBefore));
        self.tally.device_cuts_after += u64::from(fired == Some(Fault::CutAfter));
        let records = device.into_records();
        // Records must be there that can be misunderstood.
        let ended = |fate: &Fate| fate.said.is_some();
        let wrong = !calm && self.rng.chance(50) && self.books.fates.iter().any(ended);
        if !calm && self.rng.chance(30) {
            self.tally.larger_firmware += 1;
            self.build = self.sizes.larger;
        }
        let build = if wrong { self.sizes.wrong } else { self.build };
        let device = Device::boot(build, records, &mut self.rng, &self.books, calm);
        self.tally.wrong_firmware += u64::from(wrong);
        self.tally.damaged += u64::from(device.is_damaged());
        assert_eq!(
            wrong,
            device.is_damaged(),
            "damage was not told from health"
        );
        self.device = Some(device);
    }

    fn mischief(&mut self) {
        let at = usize::try_from(self.rng.below(self.services.len() as u64)).unwrap();
        let clock = self.books.clock_ms;
        match self.rng.below(400) {
            0..6 => self.reboot(false),
            6..12 => self.services[at].reboot(clock, &mut self.rng, &mut self.tally, false),
            12..14 => {
                let service = &mut self.services[at];
                service.back_up_or_restore(&mut self.books, &mut self.rng, &mut self.tally);
            }
            14..17 => self.device.as_mut().unwrap().link_returns(clock),
            17..19 => self.services[at].link_returns(clock),
            // A long silence: patience ends, commands expire.
            19 => self.books.clock_ms += self.rng.below(30_000),
            _ => {}
        }
    }

    /// No fault any more: what is under way ends, and one more command of everyone is carried out.
    fn rest(&mut self) {
        self.reboot(true);
        for at in 0..self.services.len() {
            let clock = self.books.clock_ms;
            self.services[at].reboot(clock, &mut self.rng, &mut self.tally, true);
        }
        let mut fresh = vec![None; self.services.len()];
        for _ in 0..2_000 {
            for (at, tag) in fresh.iter_mut().enumerate() {
                let service = &mut self.services[at];
                if tag.is_none() {
                    *tag = service.issue(&mut self.books, &mut self.rng, &mut self.tally, true);
                }
            }
            self.tick(true);
            let idle = self.services.iter().all(Service::is_at_rest);
            let empty = self.to_device.is_empty() && self.to_services.is_empty();
            let device = self.device.as_ref().unwrap();
            let fates = &self.books.fates;
            let heard = |tag: &Option<usize>| tag.is_some_and(|tag| fates[tag].told.is_some());
            if idle && empty && device.is_at_rest() && fresh.iter().all(heard) {
                break;
            }
        }
        for tag in fresh {
            let fate = &self.books.fates[tag.expect("an issuer never had room again")];
            let Some(told) = fate.told else {
                panic!("a new command was never answered: {fate:?}");
            };
            let done = fate.forbidden || told == fate.expected();
            assert!(done, "a new command was not carried out: {fate:?}");
            self.tally.quiet_commands += 1;
        }
    }
}
