//! A campaign from its first device to its last.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use iot_core::{DeviceId, Now, Timestamp};

use super::cohort::{CampaignId, Cohort};
use super::gate::{HaltReason, Verdict, judge};
use super::plan::{Plan, Reach};
use super::progress::{Member, Progress, State, Tally};
use crate::update::{Outcome, Report};

/// A release on its way through a fleet, as a state machine without I/O.
///
/// Give it every event, carry out every decision, and call it with [`Event::Tick`] at
/// [`deadline`](Self::deadline). Deadlines are wall-clock time, so that they outlive the service's
/// process; `now.wall` must come from a trusted clock. A clock that runs back stands still here.
///
/// ```
/// use iot_core::{DeviceId, Instant, Now, Timestamp, time::TimeBounds};
/// use iot_ota::rollout::{Campaign, CampaignId, Decision, Event, Plan, Wave};
/// let devices = [DeviceId::new("a")?, DeviceId::new("b")?];
/// let plan = Plan::new([Wave::count(1), Wave::percent(100)])?;
/// let mut campaign = Campaign::new(CampaignId::new(1), plan, devices);
/// let now = Now::new(Instant::ZERO, TimeBounds::exact(Timestamp::from_secs(1)));
/// let first = campaign.on(now, &Event::Tick)?;
/// let [Decision::Open { wave: 0, .. }, Decision::Offer(canary)] = first[..] else { panic!() };
/// // Only its own confirmed report opens the way for the second device.
/// let second = campaign.on(now, &Event::Succeeded(canary))?;
/// assert!(matches!(second[..], [Decision::Open { wave: 1, .. }, Decision::Offer(_)]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Campaign {
    id: CampaignId,
    plan: Plan,
    // In the order of the rollout: by cohort, then by name. Opened waves are a prefix.
    members: Vec<Member>,
    phase: Phase,
    // How many waves are open; the last of them is `members[start..end]`, and `members[..next]` were offered.
    waves: usize,
    start: usize,
    end: usize,
    next: usize,
    tally: Tally,
    in_flight: usize,
    // Offers, or orders to go back, in the order they were given; answered ones are skipped when they time out.
    timers: VecDeque<(Timestamp, usize)>,
    to_restore: VecDeque<usize>,
    soak_end: Option<Timestamp>,
    last_answer: Timestamp,
    now: Timestamp,
}

/// What a campaign is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Phase {
    /// Offering the release.
    Running,
    /// Offers nothing until it is resumed; reports still count.
    Paused,
    /// A gate closed for good.
    Halted(HaltReason),
    /// Somebody ended it.
    Aborted,
    /// Every wave is through.
    Completed,
    /// Devices that have the release are being told to go back.
    RollingBack,
    /// No device is known to have the release any more.
    RolledBack,
}

/// What a campaign learns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// Time has passed. The first one starts the campaign.
    Tick,
    /// The device's own report shows the release confirmed.
    Succeeded(DeviceId),
    /// The device reports that it could not install the release, or rolled it back; its report shows that
    /// another release runs.
    Failed(DeviceId),
    /// The device reports a failure without showing that another release runs: it counts as a failure, and
    /// the device has to be taken back all the same.
    Unwell(DeviceId),
    /// The device's own report shows that it runs again what it ran before.
    Restored(DeviceId),
    /// Offer nothing for now.
    Pause,
    /// Go on after a pause.
    Resume,
    /// Offer nothing any more; devices keep what they have.
    Abort,
    /// Offer nothing any more and take the release back.
    RollBack,
}

impl Event {
    /// What a device's report about the campaign's release means; `None` for a report about another one,
    /// and for a device that is [busy](Outcome::Busy): that is no end.
    ///
    /// A roll back by the campaign is an update to another release: its success is [`Event::Restored`], for
    /// the service to say.
    #[must_use]
    pub fn of_report(device: DeviceId, release: u64, report: &Report) -> Option<Self> {
        if report.sequence != Some(release) {
            return None;
        }
        let runs_another = report
            .running
            .is_some_and(|running| running.sequence != release);
        match report.outcome {
            Outcome::Confirmed => Some(Self::Succeeded(device)),
            Outcome::Busy => None,
            _ if runs_another => Some(Self::Failed(device)),
            _ => Some(Self::Unwell(device)),
        }
    }
}

/// What the service is to do; carrying one out twice must be harmless.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Decision {
    /// For the record: a wave has opened, and this many devices in all may now be exposed.
    Open {
        /// Which wave, from 0.
        wave: usize,
        /// How many devices the open waves have.
        devices: usize,
    },
    /// Offer the release to this device.
    Offer(DeviceId),
    /// For the record: no device will be offered the release any more.
    Halt {
        /// Why.
        reason: HaltReason,
    },
    /// Take this device back to what it ran before. Repeated until it reports so.
    RollBack(DeviceId),
    /// For the record: every wave is through.
    Complete,
    /// For the record: no device is known to have the release any more.
    RolledBack,
}

/// Why an event was refused; the campaign is as it was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The campaign does not know the device.
    #[error("the device is not part of this campaign: start another one for it")]
    UnknownDevice,
    /// The campaign has ended in a way that rules this out.
    #[error("a campaign that is {phase:?} cannot {event:?}: start a new one")]
    BadTransition {
        /// What it was doing.
        phase: Phase,
        /// What was asked.
        event: Event,
    },
}

impl Campaign {
    /// A campaign that starts with its first [`Event::Tick`]. A device named twice takes part once.
    #[must_use]
    pub fn new(id: CampaignId, plan: Plan, devices: impl IntoIterator<Item = DeviceId>) -> Self {
        let member = |device| Member {
            cohort: Cohort::of(id, &device),
            device,
            state: State::Waiting,
        };
        let mut members: Vec<Member> = devices.into_iter().map(member).collect();
        members.sort_unstable_by_key(|member| (member.cohort, member.device));
        members.dedup_by_key(|member| member.device);
        Self {
            id,
            plan,
            members,
            phase: Phase::Running,
            waves: 0,
            start: 0,
            end: 0,
            next: 0,
            tally: Tally::default(),
            in_flight: 0,
            timers: VecDeque::new(),
            to_restore: VecDeque::new(),
            soak_end: None,
            last_answer: Timestamp::EPOCH,
            now: Timestamp::EPOCH,
        }
    }

    /// Takes in one event and says what to do about it.
    ///
    /// # Errors
    ///
    /// [`EventError`]; the campaign is as it was.
    pub fn on(&mut self, now: Now, event: &Event) -> Result<Vec<Decision>, EventError> {
        let mut decisions = Vec::new();
        let phase = self.phase.on(*event)?;
        match *event {
            Event::Succeeded(device) => self.answer(device, State::Succeeded, now)?,
            Event::Failed(device) => self.answer(device, State::Failed, now)?,
            Event::Unwell(device) => self.answer(device, State::Unwell, now)?,
            Event::Restored(device) => self.answer(device, State::Restored, now)?,
            _ => {}
        }
        self.now = self.now.max(now.wall.not_before());
        self.enter(phase);
        self.expire();
        self.advance(&mut decisions);
        Ok(decisions)
    }

    /// When it wants an [`Event::Tick`] although nothing happened.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let timer = self
            .timers
            .front()
            .map(|(at, _)| at.after(self.plan.silence_limit()));
        match (timer, self.soak_end) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// The devices that were offered the release and have not answered: to be offered it again when they
    /// connect, or after a while, since an offer may be lost. Goes through the open waves.
    pub fn unanswered(&self) -> impl Iterator<Item = DeviceId> + '_ {
        let offered = self.members.iter().take(self.next);
        let unanswered = offered.filter(|member| matches!(member.state, State::Offered(_)));
        unanswered.map(|member| member.device)
    }

    /// Its number.
    #[must_use]
    pub const fn id(&self) -> CampaignId {
        self.id
    }

    /// What it is doing.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Where it stands, in figures; goes through all devices.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress::count(self.members.iter(), self.end, self.next)
    }

    fn find(&self, device: &DeviceId) -> Option<usize> {
        let key = (Cohort::of(self.id, device), *device);
        self.members
            .binary_search_by_key(&key, |member| (member.cohort, member.device))
            .ok()
    }

    fn answer(&mut self, device: DeviceId, answer: State, now: Now) -> Result<(), EventError> {
        let index = self.find(&device).ok_or(EventError::UnknownDevice)?;
        let in_wave = index >= self.start;
        let takes_back = matches!(self.phase, Phase::RollingBack | Phase::RolledBack);
        let Some(member) = self.members.get_mut(index) else {
            return Ok(());
        };
        let fails = matches!(answer, State::Failed | State::Unwell);
        let state = match (member.state, answer) {
            (State::Offered(_), State::Succeeded | State::Failed | State::Unwell) => {
                self.in_flight -= 1;
                self.tally.answered += 1;
                self.tally.failed += usize::from(fails);
                answer
            }
            // Late evidence replaces silence; silence of an earlier wave is no longer in the tally.
            (State::Silent, State::Succeeded | State::Failed | State::Unwell) => {
                self.tally.silent -= usize::from(in_wave);
                self.tally.failed += usize::from(in_wave && fails);
                answer
            }
            // A device that was well and is not any more speaks against the release, whatever its wave.
            (State::Succeeded, State::Failed | State::Unwell) => {
                self.tally.failed += 1;
                answer
            }
            (State::Restoring(_), State::Restored | State::Failed) => {
                self.in_flight -= 1;
                State::Restored
            }
            (State::ToRestore, State::Restored | State::Failed) => State::Restored,
            // An offer that was still on its way may bring the release back to a device that was through.
            (State::Failed | State::Restored, State::Succeeded | State::Unwell) if takes_back => {
                self.to_restore.push_back(index);
                State::ToRestore
            }
            // The failure stays in the tally: the device did fail, and what it runs now is what counts later.
            (State::Failed | State::Unwell, State::Succeeded)
            | (State::Failed, State::Unwell)
            | (State::Unwell, State::Failed) => answer,
            // Duplicates, and reports of devices that were never offered the release, prove nothing.
            _ => return Ok(()),
        };
        member.state = state;
        self.last_answer = self.now.max(now.wall.not_before());
        Ok(())
    }

    fn enter(&mut self, phase: Phase) {
        if phase == Phase::RollingBack && self.phase != Phase::RollingBack {
            self.begin_roll_back();
        }
        self.phase = phase;
    }

    // A device that failed and showed what else it runs cannot have the release: all others can.
    fn begin_roll_back(&mut self) {
        self.phase = Phase::RollingBack;
        self.timers.clear();
        self.in_flight = 0;
        self.soak_end = None;
        for (index, member) in self.members.iter_mut().enumerate() {
            if matches!(
                member.state,
                State::Offered(_) | State::Succeeded | State::Unwell | State::Silent
            ) {
                member.state = State::ToRestore;
                self.to_restore.push_back(index);
            }
        }
    }

    fn expire(&mut self) {
        while let Some(&(at, index)) = self.timers.front() {
            if self.now < at.after(self.plan.silence_limit()) {
                return;
            }
            self.timers.pop_front();
            let Some(member) = self.members.get_mut(index) else {
                continue;
            };
            match member.state {
                State::Offered(offered) if offered == at => {
                    member.state = State::Silent;
                    self.in_flight -= 1;
                    self.tally.answered += 1;
                    self.tally.silent += 1;
                    self.last_answer = self.now;
                }
                // It goes to the end of the queue, so that dead devices never block the living.
                State::Restoring(told) if told == at => {
                    member.state = State::ToRestore;
                    self.in_flight -= 1;
                    self.to_restore.push_back(index);
                }
                _ => {}
            }
        }
    }

    fn advance(&mut self, decisions: &mut Vec<Decision>) {
        self.soak_end = None;
        if self.phase == Phase::RolledBack && !self.to_restore.is_empty() {
            self.phase = Phase::RollingBack;
        }
        while self.phase == Phase::Running {
            let verdict = match self.waves.checked_sub(1) {
                None => Verdict::Open,
                Some(index) => match self.plan.waves().get(index) {
                    Some(wave) => judge(index, wave, &self.tally, self.last_answer, self.now),
                    None => Verdict::Open,
                },
            };
            match verdict {
                Verdict::Halt(reason) => {
                    self.phase = Phase::Halted(reason);
                    decisions.push(Decision::Halt { reason });
                    if self.plan.rolls_back_on_halt() {
                        self.begin_roll_back();
                    }
                }
                Verdict::Open => self.open(decisions),
                Verdict::Soak(end) => {
                    self.soak_end = Some(end);
                    break;
                }
                Verdict::Wait => {
                    self.offer(decisions);
                    break;
                }
            }
        }
        if self.phase == Phase::RollingBack {
            self.restore(decisions);
        }
    }

    fn open(&mut self, decisions: &mut Vec<Decision>) {
        let Some(wave) = self.plan.waves().get(self.waves) else {
            self.phase = Phase::Completed;
            decisions.push(Decision::Complete);
            return;
        };
        let reach = match wave.reach {
            Reach::Count(count) => count,
            Reach::Share(share) => self
                .members
                .partition_point(|member| member.cohort.is_within(share)),
        };
        // A wave without devices would open the next gate without evidence: each reaches at least one more.
        self.start = self.end;
        self.end = reach.max(self.start + 1).min(self.members.len());
        self.waves += 1;
        self.tally = Tally {
            devices: self.end - self.start,
            ..Tally::default()
        };
        self.last_answer = self.now;
        decisions.push(Decision::Open {
            wave: self.waves - 1,
            devices: self.end,
        });
    }

    fn offer(&mut self, decisions: &mut Vec<Decision>) {
        while self.next < self.end && self.in_flight < self.plan.in_flight_limit() {
            if let Some(member) = self.members.get_mut(self.next) {
                member.state = State::Offered(self.now);
                decisions.push(Decision::Offer(member.device));
            }
            self.timers.push_back((self.now, self.next));
            self.in_flight += 1;
            self.next += 1;
        }
    }

    fn restore(&mut self, decisions: &mut Vec<Decision>) {
        while self.in_flight < self.plan.in_flight_limit() {
            let Some(index) = self.to_restore.pop_front() else {
                break;
            };
            if let Some(member) = self.members.get_mut(index)
                && member.state == State::ToRestore
            {
                member.state = State::Restoring(self.now);
                decisions.push(Decision::RollBack(member.device));
                self.timers.push_back((self.now, index));
                self.in_flight += 1;
            }
        }
        if self.in_flight == 0 && self.to_restore.is_empty() {
            self.phase = Phase::RolledBack;
            decisions.push(Decision::RolledBack);
        }
    }
}

impl Phase {
    fn on(self, event: Event) -> Result<Self, EventError> {
        Ok(match (self, event) {
            (
                phase,
                Event::Tick
                | Event::Succeeded(_)
                | Event::Failed(_)
                | Event::Unwell(_)
                | Event::Restored(_),
            ) => phase,
            (Self::Running | Self::Paused, Event::Pause) => Self::Paused,
            (Self::Running | Self::Paused, Event::Resume) => Self::Running,
            (Self::Running | Self::Paused | Self::Halted(_) | Self::Aborted, Event::Abort) => {
                Self::Aborted
            }
            // Taking the release back is possible from everywhere, and asking twice changes nothing.
            (Self::RolledBack, Event::RollBack) => Self::RolledBack,
            (_, Event::RollBack) => Self::RollingBack,
            (phase, event) => return Err(EventError::BadTransition { phase, event }),
        })
    }
}

#[cfg(test)]
mod tests;
