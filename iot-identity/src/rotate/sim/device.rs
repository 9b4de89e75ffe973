//! The device: a rotation, its key store and records, and a clock.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use iot_core::crypto::{Signature, SlotId};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::sim::SimEntropy;
use iot_core::time::TimeBounds;
use iot_core::{DeviceId, Instant, Message, Now, Ticket, Timestamp};

use super::super::pair::Side;
use super::super::record::{Head, Held};
use super::super::{Identity, Policy, RenewAfterExpiry, Rotation, Session, Want};
use super::service::{Certificate, Service};
use super::{DAY_MS, HOUR_MS, Link, START_MS, toy};

const BYTES: usize = 384;
const FIRST: RecordKey = RecordKey::new(0x100);
const SLOTS: [SlotId; 2] = [SlotId::new(1), SlotId::new(2)];

/// What the wall clock claims.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Right,
    /// So many milliseconds from the truth.
    Off(i64),
    /// Not before a moment, and no more is known.
    Since(u64),
}

#[derive(Debug)]
pub(super) struct Device {
    pub(super) rotation: Rotation<SimEntropy, BYTES>,
    keys: BTreeMap<u16, u64>,
    next_key: u64,
    records: BTreeMap<RecordKey, Vec<u8>>,
    policy: Policy,
    clock: Clock,
    booted_ms: u64,
    pub(super) cuts: u64,
    pub(super) commits: u64,
    pub(super) store_failures: u64,
    /// The store has made a key and said that it failed.
    has_lied: bool,
    /// Records or keys changed since they were last looked at.
    has_changed: bool,
}

fn engine(policy: Policy, random: &mut SimEntropy) -> Rotation<SimEntropy, BYTES> {
    // The name is legal, so the default is never taken.
    let device = DeviceId::new("boiler-7").unwrap_or_else(|_| unreachable!());
    Rotation::new(device, SLOTS, FIRST, policy, random.fork())
}

impl Device {
    pub(super) fn new(now_ms: u64, random: &mut SimEntropy) -> Self {
        let after_expiry = if random.chance(500) {
            RenewAfterExpiry::Allowed
        } else {
            RenewAfterExpiry::Never
        };
        let policy = Policy::default().after_expiry(after_expiry);
        let mut device = Self {
            rotation: engine(policy, random),
            keys: BTreeMap::new(),
            next_key: 1 + random.below(1 << 40),
            records: BTreeMap::new(),
            policy,
            clock: Clock::Right,
            booted_ms: now_ms,
            cuts: 0,
            commits: 0,
            store_failures: 0,
            has_lied: false,
            has_changed: false,
        };
        device.boot(now_ms, random);
        device
    }

    fn boot(&mut self, now_ms: u64, random: &mut SimEntropy) {
        self.booted_ms = now_ms;
        self.rotation = engine(self.policy, random);
        let now = self.now(now_ms);
        for (&key, value) in &self.records {
            self.rotation.input(now, &Event::Record { key, value });
        }
        self.rotation.input(now, &Event::Restored);
    }

    pub(super) fn cut(&mut self, now_ms: u64, random: &mut SimEntropy) {
        self.cuts += 1;
        self.boot(now_ms, random);
    }

    fn now(&self, now_ms: u64) -> Now {
        let instant = Instant::from_millis(now_ms - self.booted_ms);
        let wall = match self.clock {
            Clock::Right => TimeBounds::exact(Timestamp::from_millis(now_ms)),
            Clock::Off(by) => {
                TimeBounds::exact(Timestamp::from_millis(now_ms.saturating_add_signed(by)))
            }
            Clock::Since(ms) => TimeBounds::at_least(Timestamp::from_millis(ms)),
        };
        Now::new(instant, wall)
    }

    pub(super) fn set_clock(&mut self, random: &mut SimEntropy) {
        let by = i64::try_from(random.below(15 * 365 * DAY_MS)).unwrap_or(0);
        self.clock = match random.below(4) {
            0 => Clock::Off(by),
            1 => Clock::Off(-by),
            2 => Clock::Off(by / 200),
            _ => Clock::Since(START_MS),
        };
    }

    /// Whether the clock was ahead when the current certificate came.
    pub(super) fn doubts_its_clock(&self) -> bool {
        let held = self.on_record();
        held.is_some_and(|(_, held)| held.term.doubted != Timestamp::EPOCH)
    }

    /// Whether the clock claims less time than has passed.
    pub(super) const fn is_behind(&self) -> bool {
        match self.clock {
            Clock::Right => false,
            Clock::Off(by) => by < 0,
            Clock::Since(_) => true,
        }
    }

    pub(super) const fn right_clock(&mut self) {
        self.clock = Clock::Right;
    }

    pub(super) const fn no_clock(&mut self, now_ms: u64) {
        self.clock = Clock::Since(now_ms);
    }

    pub(super) fn disconnected(&mut self, now_ms: u64) {
        let now = self.now(now_ms);
        self.rotation.input(now, &Event::Disconnected);
    }

    pub(super) fn hears(&mut self, now_ms: u64, message: &Message<'_>) {
        let now = self.now(now_ms);
        self.rotation.input(now, &Event::Message(*message));
    }

    /// How long nothing happens by itself.
    pub(super) fn pause(&self, now_ms: u64) -> u64 {
        let at = self
            .rotation
            .deadline()
            .map_or(u64::MAX, Instant::as_millis);
        let pause = at.saturating_sub(now_ms - self.booted_ms);
        pause.min(HOUR_MS)
    }

    /// The certificate that the records call current.
    pub(super) fn current<'s>(&self, service: &'s Service) -> Option<&'s Certificate> {
        let (_, held) = self.on_record()?;
        service.find(held.chain().next()?)
    }

    fn on_record(&self) -> Option<(SlotId, Held<BYTES>)> {
        let head = Head::read(self.records.get(&FIRST)?).ok()?;
        let [a, b] = SLOTS;
        let (by, slot) = match head.current {
            Side::A => (1, a),
            Side::B => (2, b),
        };
        let record = self.records.get(&FIRST.offset(by)?)?;
        Some((slot, Held::read(record)?))
    }

    /// What the records call current has its key, and the service has taken it.
    pub(super) fn is_never_locked_out(&mut self, service: &Service) -> Result<(), &'static str> {
        if !core::mem::take(&mut self.has_changed) || !self.records.contains_key(&FIRST) {
            return Ok(());
        }
        let (slot, held) = self.on_record().ok_or("the current slot has no record")?;
        if self.keys.get(&slot.get()) != Some(&toy::number(held.term.key())) {
            return Err("the current certificate has no key");
        }
        let certificate = held.chain().next().and_then(|der| service.find(der));
        match certificate {
            None => Err("the current certificate was never issued"),
            Some(certificate) if !certificate.was_taken => {
                Err("the service never took the current certificate")
            }
            Some(_) => Ok(()),
        }
    }

    /// Does one thing; false when there is none. A cut comes before it takes effect, or after that and before
    /// the engine hears of it.
    pub(super) fn once(
        &mut self,
        cut: Option<bool>,
        link: &mut Link<'_>,
        random: &mut SimEntropy,
    ) -> Result<bool, &'static str> {
        if cut == Some(true) {
            self.cut(link.now_ms, random);
            return Ok(true);
        }
        let now = self.now(link.now_ms);
        let mut buffer = [0; 1_024];
        let mut signature = Signature::empty();
        let fails = cut.is_none() && link.is_up && random.chance(20) && random.chance(300);
        let done = match self.rotation.step(now, &mut buffer) {
            Step::Idle => None,
            _ if fails => Some(Done::Failed(Failure::StorageFull)),
            Step::Persist(batch) => {
                self.has_changed = true;
                for (key, value) in batch.iter() {
                    if key == FIRST {
                        self.commits += 1;
                    }
                    match value {
                        Some(value) => self.records.insert(key, value.to_vec()),
                        None => self.records.remove(&key),
                    };
                }
                Some(Done::Persisted)
            }
            Step::Send(message) if link.is_up => {
                link.sent.push(message.payload.to_vec());
                Some(Done::Sent(Ticket::new(1)))
            }
            Step::Send(_) => Some(Done::Failed(Failure::Busy)),
            Step::Sign { slot, .. } if self.keys.contains_key(&slot.get()) => {
                let fits = signature.set(&[7; 64]);
                Some(Done::Signed(&signature)).filter(|_| fits)
            }
            _ => return Err("it asks for what cannot be done"),
        };
        let Some(done) = done else {
            return self.does_what_is_wanted(cut, link, random);
        };
        if cut == Some(false) {
            self.cut(link.now_ms, random);
        } else {
            self.rotation.done(now, done);
        }
        Ok(true)
    }

    fn does_what_is_wanted(
        &mut self,
        cut: Option<bool>,
        link: &mut Link<'_>,
        random: &mut SimEntropy,
    ) -> Result<bool, &'static str> {
        let now = self.now(link.now_ms);
        let want = self.rotation.wants(now);
        // Before the key store has done it, or afterwards, without a word.
        let fails = link.is_rough && random.chance(100);
        let late = fails && random.chance(500);
        if fails && !late && want.is_some_and(|want| !matches!(want, Want::Session(_))) {
            return Ok(self.store_fails(now));
        }
        let (slot, told) = match want {
            None => return Ok(false),
            Some(Want::Session(identity)) => {
                let outcome = self.opens(identity, link)?;
                if cut == Some(false) {
                    self.cut(link.now_ms, random);
                } else {
                    self.rotation.session(now, identity, outcome);
                }
                return Ok(true);
            }
            Some(Want::Inspect(slot)) => (slot, self.keys.get(&slot.get()).copied()),
            Some(Want::Generate(slot)) => {
                if self.keys.contains_key(&slot.get()) {
                    if self.has_lied {
                        return Ok(self.store_fails(now));
                    }
                    return Err("it makes a key where there is one");
                }
                self.has_lied = late;
                self.has_changed = true;
                self.next_key += 1;
                self.keys.insert(slot.get(), self.next_key);
                (slot, Some(self.next_key))
            }
            Some(Want::Destroy(slot)) => {
                self.has_changed = true;
                self.keys.remove(&slot.get());
                (slot, None)
            }
        };
        if cut == Some(false) {
            self.cut(link.now_ms, random);
        } else if late {
            self.store_fails(now);
        } else {
            self.rotation.holds(now, slot, told.and_then(toy::public));
        }
        Ok(true)
    }

    fn store_fails(&mut self, now: Now) -> bool {
        self.store_failures += 1;
        self.rotation.key_store_failed(now);
        true
    }

    fn opens(&self, identity: Identity, link: &mut Link<'_>) -> Result<Session, &'static str> {
        let der = match identity {
            Identity::Factory => None,
            Identity::Own(slot) => {
                let first = self.rotation.chain(slot).next();
                let der = first.ok_or("it shows a slot that has no chain")?;
                let certificate = link.service.find(der).ok_or("it shows a strange chain")?;
                if self.keys.get(&slot.get()) != Some(&certificate.key) {
                    return Err("it shows a certificate whose key it does not have");
                }
                Some(der)
            }
        };
        if !link.is_up {
            return Ok(Session::Unreachable);
        }
        let outcome = link.service.is_shown(der, link.now_ms);
        if der.is_some() && !matches!(outcome, Session::Open | Session::ToRenew) {
            *link.refused += 1;
        }
        Ok(outcome)
    }
}
