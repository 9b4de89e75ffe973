//! A way to a violation, walked once more.

use alloc::rc::Rc;
use core::cell::RefCell;

use super::explorer::{Explorer, judge};
use super::report::{Ending, Leg};
use super::sampler::{Sampler, Want};
use super::way::Run;
use super::world::Moment;
use super::{Subject, Violation};
use crate::sim::flash::FlashImage;

impl<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> Explorer<S, WRITE, ERASE> {
    /// Walks a path from the start: for a debugger, or to see whether a repair helps.
    ///
    /// The violation at its end; `None` if nothing is wrong there any more, or the path cannot be walked.
    pub fn replay(&mut self, path: &[Leg]) -> Option<Violation> {
        let (mut image, mut world) = (self.start.clone(), self.first_world.clone());
        for leg in path {
            match self.walk(&image, &world, leg) {
                Ok(next) => (image, world) = next?,
                Err(violation) => return Some(violation),
            }
        }
        None
    }

    /// The state that the leg ends in, if it can be walked; the violation if it ends so.
    fn walk(
        &mut self,
        image: &FlashImage<WRITE, ERASE>,
        world: &Moment<S::World>,
        leg: &Leg,
    ) -> Result<Option<Walked<S::World, WRITE, ERASE>>, Violation> {
        let want = match leg.ending {
            Ending::Cut { operation, torn } => Want::Exactly(operation, torn),
            _ => Want::Exactly(u32::MAX, crate::sim::flash::Torn::NotStarted),
        };
        self.world.set(world);
        let sampler = Sampler::new(self.world.clone(), u32::MAX, want);
        let sampler = Rc::new(RefCell::new(sampler));
        let run = Run {
            reading: leg.reading,
            guard_fails: leg.guard_fails,
        };
        let mut flash = self.flash(image, run);
        flash.set_sink(sampler.clone());
        let booted = self.subject.boot(flash, &self.world);
        let mut session = judge(&self.subject, booted);
        for choice in &leg.choices {
            session = session.and_then(|mut session| {
                let stepped = self.subject.step(*choice, &mut session, &self.world);
                judge(&self.subject, stepped.map(|()| session))
            });
        }
        if let Some(sample) = sampler.borrow_mut().found.take() {
            return Ok(Some((sample.image, sample.world)));
        }
        let session = session?;
        let image = self.subject.flash(&session).image().clone();
        let idle = leg.ending == Ending::Idle;
        Ok(idle.then(|| (image, self.world.now())))
    }
}

type Walked<W, const WRITE: usize, const ERASE: usize> = (FlashImage<WRITE, ERASE>, Moment<W>);
