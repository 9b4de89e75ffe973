//! Long concrete random runs, which know nothing of keys.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::explorer::{Explorer, judge};
use super::report::{Ending, Failure, Leg};
use super::sampler::{Sample, Sampler, Want};
use super::way::Run;
use super::{Subject, Violation};
use crate::sim::SimEntropy;
use crate::sim::flash::{FlashImage, Mode, Reading};

/// What a random run found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct RandomReport {
    /// Power cuts, each followed by a boot.
    pub cuts: u64,
    /// Steps of the script.
    pub steps: u64,
    /// How often the script was begun anew, because it had come to its end.
    pub restarts: u64,
    /// States whose key was looked up in those of the exploration. Only a fixpoint knows them all, and only as long
    /// as no unstable word was read at random.
    pub checked: u64,
    /// How many of them the exploration did not know: the canonical key put states together that differ.
    pub strangers: u64,
    /// The way to the first of them.
    pub stranger: Vec<Leg>,
    /// The first violation, which ends the run.
    pub failure: Option<Failure>,
}

impl<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> Explorer<S, WRITE, ERASE> {
    /// Boots, runs a few steps, and cuts the power anywhere, `cuts` times, under the same torn models and the same cap.
    pub fn random_run(&mut self, seed: u64, cuts: u64) -> RandomReport {
        let mut random = SimEntropy::new(seed);
        let mut report = RandomReport::default();
        let mut path = Vec::new();
        let (mut image, mut world) = (self.start.clone(), self.first_world.clone());
        let mut certain = true;
        while report.cuts < cuts {
            let run = self.any_run(&image, &mut random);
            certain &= image.unstable_units() == 0
                || matches!(run.reading, Reading::Erased | Reading::Value);
            self.world.set(&world);
            let want = Want::Any(random.fork());
            let life = self.live(&image, run, want, random.below(8));
            report.steps += life.choices.len() as u64;
            if let Err(violation) = life.outcome {
                path.push(run.leg(life.choices, Ending::Violation));
                report.failure = Some(Failure { path, violation });
                break;
            }
            let Some(sample) = life.sample else {
                break;
            };
            report.cuts += 1;
            // The steps that were begun after the cut belong to no way.
            let mut choices = life.choices;
            choices.truncate(life.began.iter().filter(|at| **at < sample.number).count());
            path.push(run.leg(choices, sample.ending()));
            (image, world) = (sample.image, sample.world);
            if certain && self.report.fixpoint {
                report.checked += 1;
                let known = self.key(&mut image, &world);
                if !known.is_ok_and(|(key, _)| self.seen.contains(key)) {
                    report.strangers += 1;
                    if report.stranger.is_empty() {
                        report.stranger.clone_from(&path);
                    }
                }
            }
            if life.ended && random.chance(250) {
                report.restarts += 1;
                path.clear();
                (image, world, certain) = (self.start.clone(), self.first_world.clone(), true);
            }
        }
        report
    }

    fn any_run(&self, image: &FlashImage<WRITE, ERASE>, random: &mut SimEntropy) -> Run {
        let seed = random.next_u64();
        let reading = match random.below(4) {
            0 => Reading::Erased,
            1 => Reading::Value,
            2 => Reading::Random(seed),
            _ => Reading::Flicker(seed),
        };
        let may_fail = self.config.guard_fails && image.mode() == Mode::WriteOnce;
        Run {
            reading: match image.unstable_units() {
                0 => Reading::Erased,
                _ => reading,
            },
            guard_fails: may_fail && random.chance(500),
        }
    }

    /// One boot and at most `steps` steps at random, from the world that is set.
    fn live(
        &mut self,
        image: &FlashImage<WRITE, ERASE>,
        run: Run,
        want: Want,
        steps: u64,
    ) -> Life<S::World, WRITE, ERASE> {
        let mut random = match &want {
            Want::Any(random) => random.clone().fork(),
            Want::Exactly(..) => SimEntropy::new(0),
        };
        let cap = self.config.unstable_units;
        let sampler = Sampler::new(self.world.clone(), cap, want);
        let sampler = Rc::new(RefCell::new(sampler));
        let mut flash = self.flash(image, run);
        flash.set_sink(sampler.clone());
        let mut life = Life {
            sample: None,
            choices: Vec::new(),
            began: Vec::new(),
            ended: false,
            outcome: Ok(()),
        };
        let booted = self.subject.boot(flash, &self.world);
        let mut session = judge(&self.subject, booted);
        for _ in 0..steps {
            let Ok(now) = &session else {
                break;
            };
            sampler.borrow_mut().rest(self.subject.flash(now).image());
            let choices = self.world.read(|world| self.subject.choices(now, world));
            life.ended = choices == 0;
            if life.ended {
                break;
            }
            let choice = usize::try_from(random.below(choices as u64)).unwrap_or(0);
            life.choices.push(choice);
            life.began.push(sampler.borrow().offered());
            session = session.and_then(|mut session| {
                let stepped = self.subject.step(choice, &mut session, &self.world);
                judge(&self.subject, stepped.map(|()| session))
            });
        }
        if let Ok(session) = &session {
            sampler
                .borrow_mut()
                .rest(self.subject.flash(session).image());
        }
        life.outcome = session.map(drop);
        life.sample = sampler.borrow_mut().found.take();
        life
    }
}

/// One boot and what followed.
struct Life<W, const WRITE: usize, const ERASE: usize> {
    sample: Option<Sample<W, WRITE, ERASE>>,
    choices: Vec<usize>,
    /// How many states had been offered when each step began.
    began: Vec<u64>,
    /// The script came to its end.
    ended: bool,
    outcome: Result<(), Violation>,
}

impl<W, const WRITE: usize, const ERASE: usize> Sample<W, WRITE, ERASE> {
    fn ending(&self) -> Ending {
        match self.cut {
            Some((operation, torn)) => Ending::Cut { operation, torn },
            None => Ending::Idle,
        }
    }
}
