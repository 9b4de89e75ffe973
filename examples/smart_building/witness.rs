//! What the simulation knows about a device's firmware, against what the device says about it.
//!
//! The witness looks at the bytes that the processor runs and at what befell the device; it reads no record.

use std::sync::Arc;

use iot_ota::slot::{EndedAs, Release, RollBackReason};
use iot_ota::update::{Activity, Status, Verdict};

use crate::board::Board;
use crate::firmware::{Conduct, FACTORY, Known, TRIALS};

/// What a device says and the simulation knows better.
pub type Lie = String;

/// Who stands beside a device.
#[derive(Clone, Debug)]
pub struct Witness {
    known: Arc<[Known]>,
    /// The release that has to run when none is tried, the one that does run, and the one that is tried.
    confirmed: u64,
    runs: u64,
    trial: Option<Trial>,
    /// A release that is being fetched, and how far it was; one that is whole.
    fetched: Option<(Release, u32)>,
    staged: Option<u64>,
    ended: Option<(u64, EndedAs)>,
    /// How many statuses were compared after a start.
    pub compared: u64,
}

#[derive(Clone, Copy, Debug)]
struct Trial {
    release: u64,
    boots: u8,
    /// Boots that the power ended: the boot loader may have counted them.
    torn: u8,
    judged: Judged,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Judged {
    Not,
    /// It has rejected itself, and that is on record.
    Sick,
    /// The power failed while it was confirmed: it is, or it is not.
    InDoubt,
}

impl Witness {
    pub const fn new(known: Arc<[Known]>) -> Self {
        Self {
            known,
            confirmed: FACTORY,
            runs: FACTORY,
            trial: None,
            fetched: None,
            staged: None,
            ended: None,
            compared: 0,
        }
    }

    /// Whether a new image waits for the next boot.
    pub const fn is_staged(&self) -> bool {
        self.staged.is_some()
    }

    /// The power failed while the boot loader was at work.
    pub fn boot_failed(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.torn += 1;
        } else if let Some(release) = self.staged {
            self.trial = Some(Trial {
                release,
                boots: 0,
                torn: 1,
                judged: Judged::Not,
            });
        }
    }

    /// The boot loader has started something: what it is, and whether it may run.
    pub fn booted(&mut self, board: &Board) -> Result<Conduct, Lie> {
        let mut known = self.known.iter();
        let found = known.find(|known| board.runs(&known.bytes));
        let found = found.ok_or("it runs bytes that nobody has signed")?.clone();
        self.runs = found.release.sequence;
        match (self.trial, self.staged.take()) {
            (trial, _) if self.runs == self.confirmed => {
                if let Some(trial) = trial {
                    self.rolled_back(trial)?;
                }
            }
            (Some(trial), _) if trial.release == self.runs && trial.boots < TRIALS => {
                let boots = trial.boots + 1;
                self.trial = Some(Trial { boots, ..trial });
            }
            (None, Some(staged)) if staged == self.runs => {
                self.trial = Some(Trial {
                    release: staged,
                    boots: 1,
                    torn: 0,
                    judged: Judged::Not,
                });
            }
            (trial, staged) => {
                return Err(format!(
                    "release {} runs; {} is confirmed, on trial is {trial:?}, staged is {staged:?}",
                    self.runs, self.confirmed
                ));
            }
        }
        Ok(found.conduct())
    }

    fn rolled_back(&mut self, trial: Trial) -> Result<(), Lie> {
        let reason = match trial.judged {
            Judged::Sick => RollBackReason::SelfTest,
            _ if trial.boots + trial.torn >= TRIALS => RollBackReason::Unconfirmed,
            _ => return Err(format!("it was given up in the middle of {trial:?}")),
        };
        self.trial = None;
        self.ended = Some((trial.release, EndedAs::RolledBack(reason)));
        Ok(())
    }

    /// The firmware has judged itself, and the power has lasted or failed meanwhile.
    pub fn judged(&mut self, verdict: Verdict, lasted: bool) {
        let Some(trial) = &mut self.trial else {
            return;
        };
        match (verdict, lasted) {
            (Verdict::Pending, _) => {}
            (Verdict::Well, true) => self.is_confirmed(),
            (Verdict::Well, false) => trial.judged = Judged::InDoubt,
            (Verdict::Failed, _) => trial.judged = Judged::Sick,
            // Whoever was too late is rolled back as if it had used all its boots.
            _ => trial.torn = TRIALS,
        }
    }

    fn is_confirmed(&mut self) {
        if let Some(trial) = self.trial.take() {
            self.confirmed = trial.release;
            self.ended = Some((trial.release, EndedAs::Confirmed));
        }
    }

    /// Compares what a device says that has just started.
    pub fn compare(&mut self, status: &Status, board: &Board) -> Result<(), Lie> {
        let is_on_trial = status.activity == Activity::OnTrial;
        // Nobody but the device can know; from here on it has to stand by it.
        if let Some(trial) = self.trial
            && trial.judged == Judged::InDoubt
        {
            match is_on_trial {
                true => {
                    self.trial = Some(Trial {
                        judged: Judged::Not,
                        ..trial
                    })
                }
                false => self.is_confirmed(),
            }
        }
        let running = self.release(self.runs);
        same("what runs", &status.running, &running)?;
        let ended = status.ended.map(|ended| (ended.sequence, ended.how));
        same("how the last update ended", &ended, &self.ended)?;
        let counter = board.counter().map_err(|error| error.to_string())?;
        let least = self.release(self.confirmed).map(|release| release.counter);
        same("the security counter", &Some(counter), &least)?;
        match (status.activity, self.trial, self.fetched) {
            (Activity::OnTrial, Some(_), _) | (Activity::Idle, None, None) => {}
            (Activity::Fetching { release, offset }, None, Some((known, before)))
                if release == known =>
            {
                self.has(board, release, offset)?;
                let again = before.saturating_sub(offset);
                if again > crate::device::BLOCK_BYTES {
                    return Err(format!("{again} bytes have to be fetched again"));
                }
            }
            (activity, trial, fetched) => {
                return Err(format!(
                    "it says that it is {activity:?}; on trial is {trial:?}, fetched was {fetched:?}"
                ));
            }
        }
        self.compared += 1;
        Ok(())
    }

    /// It fetches a release, and has so many bytes.
    pub const fn fetches(&mut self, release: Release, offset: u32) {
        self.fetched = Some((release, offset));
    }

    /// Takes in what a running device says that it does now.
    pub fn hear(&mut self, status: &Status, board: &Board) -> Result<(), Lie> {
        match status.activity {
            Activity::Fetching { release, offset } => self.fetches(release, offset),
            Activity::Staged { release } => {
                let (fetched, _) = self.fetched.take().ok_or("nothing was fetched")?;
                if fetched != release {
                    return Err(format!(
                        "{release:?} is staged, and {fetched:?} was fetched"
                    ));
                }
                self.has(board, release, release.size)?;
                self.staged = Some(release.sequence);
            }
            // It was not what it should have been.
            Activity::Idle => self.fetched = None,
            _ => {}
        }
        Ok(())
    }

    /// The first bytes of a release have to be in the bank that does not run.
    fn has(&self, board: &Board, release: Release, bytes: u32) -> Result<(), Lie> {
        let mut known = self.known.iter();
        let found = known.find(|known| known.release == release);
        let found = found.ok_or("it fetches what nobody has signed")?;
        let part = found.bytes.get(..bytes as usize);
        if part.is_some_and(|part| board.keeps(part)) {
            return Ok(());
        }
        Err(format!("{bytes} bytes of {release:?} are not in its bank"))
    }

    fn release(&self, sequence: u64) -> Option<Release> {
        let mut known = self.known.iter();
        let found = known.find(|known| known.release.sequence == sequence);
        found.map(|known| known.release)
    }
}

fn same<T: core::fmt::Debug + PartialEq>(what: &str, said: &T, known: &T) -> Result<(), Lie> {
    if said == known {
        return Ok(());
    }
    Err(format!("{what}: it says {said:?}, and it is {known:?}"))
}
