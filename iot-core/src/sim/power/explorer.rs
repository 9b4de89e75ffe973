//! Breadth first through every crash state.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::frontier::{Frontier, Pending};
use super::key::KeyHasher;
use super::merged::Merged;
use super::report::{Ending, Failure, Report};
use super::seen::{Keys, Met, Seen};
use super::way::{NO_STEP, Origin, Run};
use super::world::{Moment, WorldCell};
use super::{Config, Subject, Violation};
use crate::sim::flash::{FlashImage, Mode, Reading, SimFlash};

/// Explores the closure of a subject's crash states.
///
/// The [module](super) shows how it is used.
#[derive(Debug)]
pub struct Explorer<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> {
    pub(super) subject: S,
    pub(super) config: Config,
    pub(super) start: FlashImage<WRITE, ERASE>,
    pub(super) first_world: Moment<S::World>,
    pub(super) world: WorldCell<S::World>,
    frontier: Rc<RefCell<Frontier<S::World, WRITE, ERASE>>>,
    pub(super) seen: Seen,
    pub(super) sessions: Keys,
    queue: VecDeque<Node<S::World, WRITE, ERASE>>,
    pub(super) merged: Merged<S::World, WRITE, ERASE>,
    pub(super) origins: Vec<Origin>,
    pub(super) trail: Vec<(u32, usize)>,
    reader: SimFlash<WRITE, ERASE>,
    // Fewer bits than 128 are for the test that the audit finds collisions.
    pub(super) key_mask: u128,
    // Off for the test that leaving boots out changes nothing.
    pub(super) shortcuts: bool,
    pub(super) report: Report,
}

/// A state that waits to be booted.
#[derive(Debug)]
pub(super) struct Node<W, const WRITE: usize, const ERASE: usize> {
    pub(super) image: FlashImage<WRITE, ERASE>,
    pub(super) world: Moment<W>,
    pub(super) origin: u32,
}

impl<S: Subject<WRITE, ERASE>, const WRITE: usize, const ERASE: usize> Explorer<S, WRITE, ERASE> {
    /// Begins with `start`, most often an erased flash, and with what the outside knows then.
    #[must_use]
    pub fn new(
        subject: S,
        start: FlashImage<WRITE, ERASE>,
        world: S::World,
        config: Config,
    ) -> Self {
        let world = WorldCell::new(world);
        let frontier = Frontier::new(world.clone(), config.unstable_units, config.filter_bits);
        Self {
            subject,
            config,
            first_world: world.now(),
            world,
            frontier: Rc::new(RefCell::new(frontier)),
            seen: Seen::new(config.audit),
            sessions: Keys::default(),
            queue: VecDeque::new(),
            merged: Merged::new(),
            origins: Vec::new(),
            trail: Vec::new(),
            reader: SimFlash::read_only(start.clone()),
            key_mask: u128::MAX,
            shortcuts: true,
            report: Report::new(start.mode(), WRITE, config.unstable_units),
            start,
        }
    }

    /// Explores until there is no new state, or until the budget of states or failures is used up.
    ///
    /// Called again, it goes on with a larger budget only if one was set by [`set_states`](Self::set_states).
    pub fn run(&mut self) -> Report {
        if self.origins.is_empty() {
            self.begin();
        }
        self.drain();
        if self.report.fixpoint {
            self.check_merged();
            // States that were found so late are states all the same.
            self.drain();
        }
        let frontier = self.frontier.borrow();
        self.report.states = self.seen.len();
        self.report.transitions = frontier.transitions;
        self.report.capped = frontier.capped;
        drop(frontier);
        self.report.clone()
    }

    /// Allows more states, or fewer, for the next [`run`](Self::run).
    pub const fn set_states(&mut self, states: usize) {
        self.config.states = states;
    }

    fn drain(&mut self) {
        self.report.fixpoint = false;
        while !self.is_over() {
            let Some(node) = self.queue.pop_front() else {
                self.report.fixpoint = true;
                break;
            };
            self.report.expanded += 1;
            self.expand(&node);
        }
    }

    fn begin(&mut self) {
        let origin = Origin {
            parent: 0,
            trail: NO_STEP,
            run: Run::PLAIN,
            ending: Ending::Idle,
        };
        let (image, world) = (self.start.clone(), self.first_world.clone());
        self.add(image, world, origin, 0);
    }

    fn is_over(&self) -> bool {
        self.report.failures.len() >= self.config.failures.max(1)
            || self.seen.len() >= self.config.states
    }

    /// Boots a state in every way its doubtful words allow.
    pub(super) fn expand(&mut self, node: &Node<S::World, WRITE, ERASE>) {
        let may_fail = self.config.guard_fails && node.image.mode() == Mode::WriteOnce;
        let seed = node.image.hash() ^ node.world.hash;
        #[expect(clippy::cast_possible_truncation, reason = "a seed needs no more")]
        let seed = seed as u64;
        for number in 0..self.readings(&node.image) {
            let reading = self.reading(number, seed);
            let mut run = Run {
                reading,
                guard_fails: false,
            };
            let mut touched = self.boot(node, run, number);
            if may_fail && (touched.guard || !self.shortcuts) {
                run.guard_fails = true;
                touched.unstable |= self.boot(node, run, number).unstable;
            }
            // Where no doubtful word was read, other pictures of them change nothing.
            if !touched.unstable && self.shortcuts {
                break;
            }
        }
    }

    fn readings(&self, image: &FlashImage<WRITE, ERASE>) -> u8 {
        let samples = self.config.random_readings;
        match image.unstable_units() {
            0 => 1,
            // Other samples of random pictures lead to other states, and prove nothing about keys.
            _ if self.merged.checking => 2,
            _ => 2u8
                .saturating_add(samples)
                .saturating_add(self.config.flicker_readings),
        }
    }

    const fn reading(&self, number: u8, seed: u64) -> Reading {
        let seed = seed ^ ((number as u64) << 56);
        match number {
            0 => Reading::Erased,
            1 => Reading::Value,
            _ if number - 2 < self.config.random_readings => Reading::Random(seed),
            _ => Reading::Flicker(seed),
        }
    }

    /// One boot, and every way the script can go on from there.
    fn boot(&mut self, node: &Node<S::World, WRITE, ERASE>, run: Run, number: u8) -> Touch {
        let mut origin = Origin {
            parent: node.origin,
            trail: NO_STEP,
            run,
            ending: Ending::Idle,
        };
        self.report.boots += 1;
        self.world.set(&node.world);
        let mut flash = self.flash(&node.image, run);
        flash.set_sink(self.frontier.clone());
        let booted = self.subject.boot(flash, &self.world);
        self.take_in(origin);
        let Some(session) = self.accept(booted, origin) else {
            return Touch::default();
        };
        let operations = self.subject.flash(&session).operations();
        self.report.boot_operations = self.report.boot_operations.max(operations);
        let mut touch = Touch::default();
        let mut open = Vec::new();
        if let Some(world) = self.rest(&session, origin, number, &mut touch) {
            open.push((session, world, NO_STEP));
        }
        while let Some((session, world, trail)) = open.pop() {
            self.world.set(&world);
            let choices = self.world.read(|now| self.subject.choices(&session, now));
            let mut last = Some(session);
            for choice in 0..choices {
                let next = match choice + 1 == choices {
                    true => last.take(),
                    false => last.clone(),
                };
                let Some(mut session) = next else {
                    break;
                };
                origin.trail = self.extend(trail, choice);
                self.report.steps += 1;
                self.world.set(&world);
                let stepped = self.subject.step(choice, &mut session, &self.world);
                self.take_in(origin);
                let Some(session) = self.accept(stepped.map(|()| session), origin) else {
                    continue;
                };
                if let Some(world) = self.rest(&session, origin, number, &mut touch) {
                    open.push((session, world, origin.trail));
                }
            }
        }
        touch
    }

    pub(super) fn flash(
        &self,
        image: &FlashImage<WRITE, ERASE>,
        run: Run,
    ) -> SimFlash<WRITE, ERASE> {
        let mut flash = SimFlash::from_image(image.clone());
        flash.set_torn(self.config.torn);
        flash.set_reading(run.reading);
        flash.set_guard_fails(run.guard_fails);
        flash.set_most_operations(self.config.operations);
        flash
    }

    fn extend(&mut self, trail: u32, choice: usize) -> u32 {
        let end = u32::try_from(self.trail.len()).unwrap_or(NO_STEP);
        self.trail.push((trail, choice));
        end
    }

    /// The session, unless it or its flash is in violation.
    fn accept(
        &mut self,
        outcome: Result<S::Session, Violation>,
        origin: Origin,
    ) -> Option<S::Session> {
        match judge(&self.subject, outcome) {
            Ok(session) => Some(session),
            Err(violation) => {
                self.fail(violation, origin);
                None
            }
        }
    }

    fn fail(&mut self, violation: Violation, origin: Origin) {
        let ending = Ending::Violation;
        let path = self.path(Origin { ending, ..origin });
        self.report.failures.push(Failure { path, violation });
    }

    /// Adds the state at rest. The world, if nobody went on from the same state and RAM before.
    fn rest(
        &mut self,
        session: &S::Session,
        origin: Origin,
        number: u8,
        touch: &mut Touch,
    ) -> Option<Moment<S::World>> {
        let flash = self.subject.flash(session);
        let (touched, image) = (flash.touched(), flash.image().clone());
        touch.unstable |= touched.unstable;
        touch.guard |= touched.guard;
        let doubt = (image.unstable_units() > 0, image.has_doubt());
        let world = self.world.now();
        let origin_kind = 1 + usize::from(origin.trail != NO_STEP);
        let hash = image.hash();
        self.frontier
            .borrow_mut()
            .admit(hash, image.unstable_units());
        let key = self.add(image, world.clone(), origin, origin_kind);

        let mut hasher = KeyHasher::new();
        hasher.image(key);
        // Doubtful words mean nothing to the session where there are none.
        hasher.word(u64::from(number) * u64::from(doubt.0));
        hasher.word(u64::from(origin.run.guard_fails && doubt.1));
        self.subject.session_key(session, &mut hasher);
        if self.sessions.insert(hasher.key()) {
            return Some(world);
        }
        // Whoever went on from here may have read doubtful words, and so would this session.
        touch.unstable |= doubt.0;
        touch.guard |= doubt.1;
        None
    }

    /// Gives keys to what the frontier was told.
    fn take_in(&mut self, origin: Origin) {
        let mut pending = core::mem::take(&mut self.frontier.borrow_mut().pending);
        for Pending {
            image,
            world,
            torn,
            operation,
        } in pending.drain(..)
        {
            let ending = Ending::Cut { operation, torn };
            self.add(image, world, Origin { ending, ..origin }, 3 + torn.kind());
        }
        self.frontier.borrow_mut().pending = pending;
    }

    fn add(
        &mut self,
        mut image: FlashImage<WRITE, ERASE>,
        world: Moment<S::World>,
        origin: Origin,
        kind: usize,
    ) -> u128 {
        let (key, audit) = match self.key(&mut image, &world) {
            Ok(keys) => keys,
            Err(violation) => {
                self.fail(violation, origin);
                return 0;
            }
        };
        match self.seen.insert(key, audit) {
            Met::First => {
                let number = u32::try_from(self.origins.len()).unwrap_or(u32::MAX);
                self.origins.push(origin);
                if let Some(count) = self.report.origins.get_mut(kind) {
                    *count += 1;
                }
                if self.merged.checking {
                    self.report.weak_keys += 1;
                    if self.report.weak.is_empty() {
                        self.report.weak = self.path(origin);
                    }
                }
                self.queue.push_back(Node {
                    image,
                    world,
                    origin: number,
                });
            }
            Met::Again => self.sample(image, world, origin),
            Met::Collision => self.report.collisions += 1,
        }
        key
    }

    /// The canonical key, and its second hash.
    pub(super) fn key(
        &mut self,
        image: &mut FlashImage<WRITE, ERASE>,
        world: &Moment<S::World>,
    ) -> Result<(u128, u64), Violation> {
        let mut hasher = KeyHasher::new();
        hasher.image(world.hash);
        // The cap makes two states differ whose instabilities mean nothing: one may still become unstable.
        hasher.word(u64::from(image.unstable_units()));
        self.reader.set_reading(Reading::Erased);
        self.reader.swap_image(image);
        self.subject
            .key(&mut self.reader, &world.world, &mut hasher);
        self.reader.swap_image(image);
        match self.reader.touched().refused {
            true => Err(Violation::new(
                "Subject::key tried to write: it may read alone",
            )),
            false => Ok((hasher.key() & self.key_mask, hasher.audit())),
        }
    }
}

/// Whether a boot and what followed depended on doubtful words.
#[derive(Clone, Copy, Debug, Default)]
struct Touch {
    unstable: bool,
    guard: bool,
}

/// A session is in violation when its flash is.
pub(super) fn judge<S, const WRITE: usize, const ERASE: usize>(
    subject: &S,
    outcome: Result<S::Session, Violation>,
) -> Result<S::Session, Violation>
where
    S: Subject<WRITE, ERASE>,
{
    let session = outcome?;
    match subject.flash(&session).violation() {
        Some(breach) => Err(Violation::new(breach)),
        None => Ok(session),
    }
}
