//! A rotation in a world where everything goes wrong: power, key store, link, clocks, service, revocation.
//!
//! A [`World`] is one device, its key store and records, a service with its book and its front, and the link
//! between them, all chosen by a seed. First everything fails at random; then nothing does, and the device must end
//! with a certificate that the service takes. After every single thing that happens the world is held to the rule
//! that makes lock-outs impossible: what the records call current has its key, and the service has taken it.
//!
//! Its certificates are DER that a device can read, and its keys are toys: it shows the order of things, not
//! cryptography.

mod device;
mod service;
pub mod toy;

use core::time::Duration;

use iot_core::sim::SimEntropy;
use iot_core::{Channel, Message};

use self::device::Device;
use self::service::Service;
use super::want::{Session, Standing};

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
const MONTH_MS: u64 = 30 * DAY_MS;
/// 2027-01-15.
const START_MS: u64 = 1_800_000_000_000;

/// What must never happen has happened.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("seed {seed}: {what}")]
#[non_exhaustive]
pub struct Violation {
    /// Which schedule.
    pub seed: u64,
    /// What happened.
    pub what: alloc::string::String,
}

/// How often faults and events happened, to see that a run has shown something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Tally {
    /// Schedules.
    pub schedules: u64,
    /// Power cuts.
    pub cuts: u64,
    /// Certificates that were issued.
    pub certificates: u64,
    /// Heads that were written: identities that became current.
    pub commits: u64,
    /// Candidates that the service did not take.
    pub refused_candidates: u64,
    /// Schedules in which the device came back after its certificate had expired.
    pub expired: u64,
    /// Schedules in which the device was revoked.
    pub revoked: u64,
    /// Times that the clock was set wrong.
    pub clock_jumps: u64,
    /// Times that the key store failed, after it had done what was wanted or instead.
    pub store_failures: u64,
    /// Schedules in which the revoked device was admitted again.
    pub readmitted: u64,
}

impl Tally {
    /// Adds another one.
    pub const fn add(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.cuts += other.cuts;
        self.certificates += other.certificates;
        self.commits += other.commits;
        self.refused_candidates += other.refused_candidates;
        self.expired += other.expired;
        self.revoked += other.revoked;
        self.clock_jumps += other.clock_jumps;
        self.store_failures += other.store_failures;
        self.readmitted += other.readmitted;
    }
}

/// One device and its service under one seed.
#[derive(Debug)]
pub struct World {
    seed: u64,
    random: SimEntropy,
    now_ms: u64,
    device: Device,
    service: Service,
    is_up: bool,
    to_service: alloc::vec::Vec<alloc::vec::Vec<u8>>,
    to_device: alloc::vec::Vec<alloc::vec::Vec<u8>>,
    /// Faults happen.
    rough: bool,
    tally: Tally,
}

impl World {
    /// Runs the schedule of a seed.
    ///
    /// ```
    /// use iot_identity::rotate::sim::World;
    /// let tally = World::run(1)?;
    /// assert!(tally.certificates > 0);
    /// # Ok::<(), iot_identity::rotate::sim::Violation>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn run(seed: u64) -> Result<Tally, Violation> {
        let mut world = Self::new(seed);
        let outcome = world.all();
        outcome.map_err(|what| Violation {
            seed,
            what: alloc::format!("{what}; {:?}", world.device.rotation.standing()),
        })?;
        world.tally.schedules = 1;
        world.tally.cuts = world.device.cuts;
        world.tally.certificates = world.service.issued();
        world.tally.commits = world.device.commits;
        world.tally.store_failures = world.device.store_failures;
        Ok(world.tally)
    }

    fn new(seed: u64) -> Self {
        let mut random = SimEntropy::new(seed);
        let service = Service::new(&mut random);
        Self {
            seed,
            device: Device::new(START_MS, &mut random),
            random,
            now_ms: START_MS,
            service,
            is_up: true,
            to_service: alloc::vec::Vec::new(),
            to_device: alloc::vec::Vec::new(),
            rough: true,
            tally: Tally::default(),
        }
    }

    fn all(&mut self) -> Result<(), &'static str> {
        let revoked_at = if self.random.chance(150) {
            self.random.below(120)
        } else {
            u64::MAX
        };
        for moment in 0..120 {
            if moment == revoked_at {
                self.revoke();
            }
            self.disturb();
            self.pump()?;
            self.carry()?;
        }
        self.calm_down();
        self.comes_to_rest()?;
        if self.service.is_revoked {
            return self.readmit();
        }
        if self.seed.is_multiple_of(16) {
            self.lives_on()?;
            // Revoked at rest it is cut off, and gets nothing more.
            self.revoke();
            self.device.disconnected(self.now_ms);
            self.comes_to_rest()?;
            self.readmit()?;
        }
        Ok(())
    }

    /// Whoever has looked at the device admits it again, but none of the keys that it had.
    fn readmit(&mut self) -> Result<(), &'static str> {
        self.tally.readmitted += 1;
        self.service.readmit();
        self.device.rotation.apply_again();
        self.comes_to_rest()
    }

    fn revoke(&mut self) {
        self.service.is_revoked = true;
        self.tally.revoked = 1;
        self.service.frozen = self.service.issued();
        if self.random.chance(500) {
            self.device.disconnected(self.now_ms);
        }
    }

    /// Something happens outside the device.
    fn disturb(&mut self) {
        match self.random.below(40) {
            0 => {
                self.is_up = false;
                self.device.disconnected(self.now_ms);
            }
            1..=5 => self.is_up = true,
            6 => self.device.disconnected(self.now_ms),
            7 => {
                self.tally.clock_jumps += 1;
                self.device.set_clock(&mut self.random);
            }
            8..=10 => self.device.right_clock(),
            11 => self.service.stumbles(&mut self.random),
            12..=14 => self.service.recovers(),
            15 => {
                let days = self.random_days(25);
                self.passes(days);
            }
            16 if self.random.chance(150) => {
                // One to thirty-six months without power or link.
                let months = 1 + self.random.below(36);
                self.passes(Duration::from_millis(months * MONTH_MS));
                self.device.cut(self.now_ms, &mut self.random);
            }
            17 => self.passes(Duration::from_secs(86_400)),
            _ => self.passes(Duration::from_millis(self.device.pause(self.now_ms))),
        }
    }

    fn random_days(&mut self, most: u64) -> Duration {
        Duration::from_millis((1 + self.random.below(most)) * DAY_MS)
    }

    fn passes(&mut self, span: Duration) {
        let before_ms = self.now_ms;
        self.now_ms += u64::try_from(span.as_millis()).unwrap_or(0);
        let end_ms = self.device.current(&self.service);
        let end_ms = end_ms.map(|certificate| certificate.not_after_ms);
        if end_ms.is_some_and(|end_ms| (before_ms..self.now_ms).contains(&end_ms)) {
            self.tally.expired = 1;
            // A session does not outlive its certificate: the front ends it.
            self.device.disconnected(self.now_ms);
        }
    }

    /// The device does what it can, until it wants nothing.
    fn pump(&mut self) -> Result<(), &'static str> {
        for _ in 0..24 {
            let cut = if self.rough && self.random.chance(30) {
                Some(self.random.chance(500))
            } else {
                None
            };
            let mut link = Link {
                is_rough: self.rough,
                is_up: self.is_up && !(self.rough && self.random.chance(100)),
                now_ms: self.now_ms,
                service: &mut self.service,
                sent: &mut self.to_service,
                refused: &mut self.tally.refused_candidates,
            };
            let busy = self.device.once(cut, &mut link, &mut self.random)?;
            self.device.is_never_locked_out(&self.service)?;
            if self.service.is_revoked && self.service.issued() > self.service.frozen {
                return Err("a revoked device got a certificate");
            }
            if !busy {
                return Ok(());
            }
        }
        if self.rough {
            Ok(())
        } else {
            Err("it never comes to rest")
        }
    }

    /// Carries messages: lost, doubled, out of order.
    fn carry(&mut self) -> Result<(), &'static str> {
        while let Some(message) = take(&mut self.to_service, &mut self.random) {
            if !self.is_up || (self.rough && self.random.chance(250)) {
                continue;
            }
            let copies = if self.rough && self.random.chance(150) {
                2
            } else {
                1
            };
            for _ in 0..copies {
                let fails = self.rough && self.random.chance(100);
                let answer = self.service.answer(&message, self.now_ms, fails);
                self.to_device.extend(answer);
            }
        }
        while let Some(message) = take(&mut self.to_device, &mut self.random) {
            match self.random.below(if self.rough { 8 } else { 1 }) {
                1 => continue,
                // Late: it comes with a later turn, perhaps after months.
                2 => {
                    self.to_device.push(message);
                    break;
                }
                3 => self.to_device.push(message.clone()),
                _ => {}
            }
            let message = Message::new(Channel::Enrol, &message);
            self.device.hears(self.now_ms, &message);
            self.device.is_never_locked_out(&self.service)?;
        }
        Ok(())
    }

    fn calm_down(&mut self) {
        self.rough = false;
        self.is_up = true;
        self.service.recovers();
        self.device.right_clock();
        if self.random.chance(200) {
            let since = [START_MS, self.now_ms];
            let since = since.get(usize::from(self.random.chance(500)));
            self.device.no_clock(since.copied().unwrap_or(START_MS));
        }
        if self.service.is_revoked {
            // Revocation cuts live sessions; `iot-transport` shows that.
            self.device.disconnected(self.now_ms);
        }
    }

    /// Nothing fails any more: it ends with a certificate that the service takes, or refused for good.
    fn comes_to_rest(&mut self) -> Result<(), &'static str> {
        let until = self.now_ms + 12 * DAY_MS;
        let (mut asked, mut applied) = (0, 0);
        while self.now_ms < until {
            self.pump()?;
            self.carry()?;
            let standing = self.device.rotation.standing();
            if self.service.is_revoked {
                if matches!(standing, Standing::Refused(_)) {
                    asked += 1;
                    if asked > 20 {
                        return Ok(());
                    }
                    if !self.to_service.is_empty() {
                        return Err("a revoked device asks on");
                    }
                }
            } else if standing == Standing::Enrolled && self.is_served() {
                return Ok(());
            } else if matches!(standing, Standing::Refused(_)) {
                // It may have had a key left that it was never told about.
                applied += 1;
                if applied > 1 {
                    return Err("a readmitted device is refused for ever");
                }
                self.device.rotation.apply_again();
            }
            let pause = self.device.pause(self.now_ms);
            self.passes(Duration::from_millis(pause.max(1)));
        }
        if self.service.is_revoked {
            Err("a revoked device was not told")
        } else {
            Err("the network works and the device has no valid certificate")
        }
    }

    fn is_served(&self) -> bool {
        let certificate = self.device.current(&self.service);
        certificate.is_some_and(|certificate| {
            self.service.admits(Some(certificate), self.now_ms) == Session::Open
        })
    }

    /// A hundred quiet days: it never lapses, and whatever its clock says it does not renew without end.
    ///
    /// A clock that is behind, or none, may let the certificate lapse that was there at boot, because nothing
    /// tells how old that was, and the next one too, where the registrar gives out what it had issued to a retry
    /// long before; so may a clock that was ahead when the certificate came and was set back without power. The
    /// front says so, and then it is renewed in time.
    fn lives_on(&mut self) -> Result<(), &'static str> {
        let end_ms = self.device.current(&self.service);
        let end_ms = end_ms.map_or(0, |certificate| certificate.not_after_ms);
        // It may end before the device is next asked, which is twice a day here.
        let is_ending = end_ms < self.now_ms + DAY_MS;
        let mut forgiven = u32::from(self.device.doubts_its_clock() || is_ending);
        if self.random.chance(500) {
            self.device.set_clock(&mut self.random);
            forgiven = forgiven.max(2 * u32::from(self.device.is_behind()));
        } else {
            self.device.right_clock();
        }
        let before = self.service.issued();
        for _ in 0..200 {
            self.passes(Duration::from_millis(DAY_MS / 2));
            if !self.is_served() {
                forgiven = u32::checked_sub(forgiven, 1)
                    .ok_or("a certificate lapsed although everything works")?;
            }
            // A front that hangs up without a word, or a certificate that an erring service had issued, is
            // understood within a few hours.
            let patience_ms = self.now_ms + 4 * HOUR_MS;
            while self.now_ms < patience_ms {
                self.pump()?;
                self.carry()?;
                if self.device.rotation.standing() == Standing::Enrolled && self.is_served() {
                    break;
                }
                let pause = self.device.pause(self.now_ms).clamp(1_000, HOUR_MS / 4);
                self.passes(Duration::from_millis(pause));
            }
            if !self.is_served() {
                return Err("a device that works has no valid certificate");
            }
        }
        match self.service.issued() - before {
            // Thirty days of life, renewed after twenty; after seven and a half by a clock that runs ahead.
            3..=16 => Ok(()),
            0..=2 => Err("it renews too seldom to have renewed at all"),
            _ => Err("it renews without end"),
        }
    }
}

/// What a device can reach.
#[derive(Debug)]
struct Link<'w> {
    is_up: bool,
    is_rough: bool,
    now_ms: u64,
    service: &'w mut Service,
    sent: &'w mut alloc::vec::Vec<alloc::vec::Vec<u8>>,
    refused: &'w mut u64,
}

/// One of them, whichever.
fn take<T>(all: &mut alloc::vec::Vec<T>, random: &mut SimEntropy) -> Option<T> {
    let at = usize::try_from(random.below(all.len() as u64)).ok()?;
    (at < all.len()).then(|| all.swap_remove(at))
}
