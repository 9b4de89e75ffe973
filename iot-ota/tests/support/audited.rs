//! A device whose updater tells facts, an audit that keeps them, and power that fails at any operation of either.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use iot_core::component::{ComponentFact, ComponentId, Trail};
use iot_core::engine::{Done, RecordKey};
use iot_core::message::Fate;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine, Event, Instant, Message, Now, Step, Ticket};
use iot_ota::manifest::Roles;
use iot_ota::sim::{MemoryBanks, SimError};
use iot_ota::slot::{Bank, Banks, BootRecord, Ended, RECORD_BYTES, RecordCopy, load};
use iot_ota::update::{Activity, Facts, FromDevice, Report, Request, Trust, Updater};

use crate::device::{KIND, PowerCut, TRIALS};
use crate::keys::{P256Public, Sha256};

/// Banks that can be looked at while an updater has them.
#[derive(Clone)]
pub(crate) struct Shared(pub(crate) Rc<RefCell<MemoryBanks>>);

impl Banks for Shared {
    type Error = SimError;

    fn capacity(&self) -> u32 {
        self.0.borrow().capacity()
    }
    fn running(&self) -> Bank {
        self.0.borrow().running()
    }
    fn clear(&mut self, bank: Bank, from: u32) -> Result<Range<u32>, SimError> {
        self.0.borrow_mut().clear(bank, from)
    }
    fn write(&mut self, bank: Bank, offset: u32, bytes: &[u8]) -> Result<(), SimError> {
        self.0.borrow_mut().write(bank, offset, bytes)
    }
    fn read(&mut self, bank: Bank, offset: u32, out: &mut [u8]) -> Result<(), SimError> {
        self.0.borrow_mut().read(bank, offset, out)
    }
    fn read_record(
        &mut self,
        copy: RecordCopy,
        out: &mut [u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.0.borrow_mut().read_record(copy, out)
    }
    fn write_record(
        &mut self,
        copy: RecordCopy,
        bytes: &[u8; RECORD_BYTES],
    ) -> Result<(), SimError> {
        self.0.borrow_mut().write_record(copy, bytes)
    }
    fn counter(&mut self) -> Result<u64, SimError> {
        self.0.borrow_mut().counter()
    }
    fn raise_counter(&mut self, to: u64) -> Result<(), SimError> {
        self.0.borrow_mut().raise_counter(to)
    }
}

type Told = Facts<Updater<'static, Shared, Roles<'static, P256Public>, Sha256>>;

/// What a fact is held against at the moment when it is told.
pub(crate) struct Truth {
    pub(crate) record: BootRecord,
    pub(crate) banks: MemoryBanks,
}

pub(crate) struct Audited {
    trusted: Roles<'static, P256Public>,
    pub(crate) banks: Shared,
    update: Option<Told>,
    records: BTreeMap<RecordKey, Vec<u8>>,
    /// What the device has kept, once each; durable.
    pub(crate) audit: Vec<ComponentFact>,
    /// The same in memory.
    trail: Trail,
    /// Everything that was told in this life.
    pub(crate) told: Vec<ComponentFact>,
    /// The ends that the boot record has said, in order.
    pub(crate) ends: Vec<Ended>,
    /// What the service has heard.
    pub(crate) reports: Vec<Report>,
    /// Commits of records and of facts; an operation like a byte of the banks.
    commits: u64,
    /// Operations until each further cut.
    cuts: VecDeque<u64>,
    cut_at: Option<u64>,
    pub(crate) fired: usize,
    tickets: u64,
    now: Instant,
    /// Whether somebody has to agree to each release.
    pub(crate) asks: bool,
    hold: fn(&ComponentFact, &Truth),
}

impl Audited {
    /// A device from the factory, whose power fails after so many operations, and so many after that. `hold` is shown each
    /// fact, and what was true when it was told.
    pub(crate) fn new(
        trusted: Roles<'static, P256Public>,
        banks: MemoryBanks,
        cuts: &[u64],
        hold: fn(&ComponentFact, &Truth),
    ) -> Self {
        let mut device = Self {
            trusted,
            banks: Shared(Rc::new(RefCell::new(banks))),
            update: None,
            records: BTreeMap::new(),
            audit: Vec::new(),
            trail: Trail::new(),
            told: Vec::new(),
            ends: Vec::new(),
            reports: Vec::new(),
            commits: 0,
            cuts: cuts.iter().copied().collect(),
            cut_at: None,
            fired: 0,
            tickets: 0,
            now: Instant::ZERO,
            asks: false,
            hold,
        };
        device.arm();
        device.start();
        device
    }

    fn now(&self) -> Now {
        Now::new(self.now, TimeBounds::UNKNOWN)
    }

    /// How many operations there were.
    pub(crate) fn operations(&self) -> u64 {
        self.banks.0.borrow().written() + self.commits
    }

    fn arm(&mut self) {
        let until = self.cuts.pop_front();
        self.cut_at = until.map(|until| self.operations() + until);
        self.set_power();
    }

    fn set_power(&self) {
        let operations = self.operations();
        let mut banks = self.banks.0.borrow_mut();
        match self.cut_at {
            Some(at) => banks.cut_power_after(at.saturating_sub(operations)),
            None => banks.restore_power(),
        }
    }

    /// One durable operation beside the banks, unless the power fails in front of it.
    fn commit(&mut self) -> Result<(), PowerCut> {
        if !self.is_powered() {
            return Err(PowerCut);
        }
        self.commits += 1;
        self.set_power();
        Ok(())
    }

    fn is_powered(&self) -> bool {
        self.banks.0.borrow().is_powered()
    }

    pub(crate) fn record(&self) -> BootRecord {
        let mut banks = self.banks.0.borrow().clone();
        banks.restore_power();
        load(&mut banks).unwrap().expect("a record")
    }

    /// Notes an end as soon as it is on record.
    fn note_end(&mut self) {
        let ended = self.record().ended;
        if let Some(ended) = ended.filter(|ended| self.ends.last() != Some(ended)) {
            self.ends.push(ended);
        }
    }

    /// The program starts, and the audit reads what it has kept.
    pub(crate) fn start(&mut self) {
        let trust = Trust::new(self.trusted.clone(), Sha256::default(), KIND);
        let updater = Updater::new(self.banks.clone(), trust)
            .with_block_bytes(64)
            .with_trials(TRIALS);
        let updater = match self.asks {
            true => updater.with_approval(),
            false => updater,
        };
        let component = ComponentId::from_path(KIND.component).unwrap();
        let (now, mut update) = (self.now(), Facts::new(component, updater));
        assert_eq!(update.observe(now), None, "before it knows anything");
        for (&key, value) in &self.records {
            update.input(now, &Event::Record { key, value });
        }
        update.input(now, &Event::Restored);
        self.update = Some(update);
        self.trail = Trail::new();
        for fact in &self.audit {
            assert!(self.trail.is_news(fact), "{fact:?}");
        }
    }

    /// Boots; if the power fails meanwhile, again.
    pub(crate) fn reboot(&mut self) {
        self.update = None;
        loop {
            let booted =
                (self.banks.0.borrow_mut()).reboot_with_power_as_it_is(&mut Sha256::default());
            self.note_end();
            if booted.is_ok() && self.is_powered() {
                break;
            }
            assert!(!self.is_powered(), "something always boots: {booted:?}");
            self.fired += 1;
            self.arm();
        }
        self.start();
    }

    /// The power comes back, and the device boots.
    pub(crate) fn recover(&mut self) {
        assert!(!self.is_powered());
        self.fired += 1;
        self.arm();
        self.reboot();
    }

    /// So much time passes that whatever was asked for is asked for again.
    pub(crate) fn wait(&mut self) {
        self.now = self.now + Duration::from_secs(400);
    }

    pub(crate) fn update(&mut self) -> &mut Told {
        self.update.as_mut().expect("it has started")
    }

    pub(crate) fn deliver(&mut self, payload: &[u8]) -> Result<(), PowerCut> {
        let (now, message) = (self.now(), Message::new(Channel::Update, payload));
        self.update().input(now, &Event::Message(message));
        self.look()
    }

    pub(crate) fn confirm(&mut self, well: bool) -> Result<(), PowerCut> {
        self.update().confirm(well);
        self.look()
    }

    /// Has told what there is to tell, and kept what is new.
    pub(crate) fn look(&mut self) -> Result<(), PowerCut> {
        self.note_end();
        let now = self.now();
        while self.is_powered()
            && let Some(fact) = self.update().observe(now)
        {
            self.told.push(fact);
            let (record, banks) = (self.record(), self.banks.0.borrow().clone());
            (self.hold)(&fact, &Truth { record, banks });
            if self.trail.is_news(&fact) {
                self.commit()?;
                self.audit.push(fact);
            }
        }
        if self.is_powered() {
            Ok(())
        } else {
            Err(PowerCut)
        }
    }

    /// Carries out steps until the engine rests; returns the requests it made.
    pub(crate) fn run(&mut self) -> Result<Vec<Request>, PowerCut> {
        let (mut requests, mut settle) = (Vec::new(), VecDeque::new());
        loop {
            self.look()?;
            let (now, mut buffer) = (self.now(), [0; 512]);
            match self.update.as_mut().unwrap().step(now, &mut buffer) {
                Step::Idle => match settle.pop_front() {
                    Some(ticket) => {
                        let fate = Fate::Delivered;
                        self.update().input(now, &Event::Settled { ticket, fate });
                    }
                    // It has more to do at once: a page to erase.
                    None if self.update().deadline() == Some(Instant::ZERO) => {}
                    None => return Ok(requests),
                },
                Step::Persist(batch) => {
                    self.commit()?;
                    for (key, value) in batch.iter() {
                        match value {
                            Some(value) => drop(self.records.insert(key, value.to_vec())),
                            None => drop(self.records.remove(&key)),
                        }
                    }
                    self.update().done(now, Done::Persisted);
                }
                Step::Send(message) => {
                    match FromDevice::decode(message.payload).unwrap() {
                        FromDevice::Request(request) => requests.push(request),
                        FromDevice::Report(report) => self.reports.push(report),
                        other => panic!("{other:?}"),
                    }
                    self.tickets += 1;
                    let ticket = Ticket::new(self.tickets);
                    self.update().done(now, Done::Sent(ticket));
                    settle.push_back(ticket);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether it downloads something.
    pub(crate) fn is_fetching(&mut self) -> bool {
        matches!(self.update().status().activity, Activity::Fetching { .. })
    }
}
