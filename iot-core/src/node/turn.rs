//! Restoring, and one turn of the wheel.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use super::{Effects, Engines, Keys, Node, NodeError};
use crate::crypto::Signature;
use crate::engine::{Done, Event, Failure, RecordRange, Step};
use crate::message::Channel;
use crate::port::{Records, RecordsError, RecordsErrorKind};
use crate::port::{Timer, Transport, TransportError, TransportErrorKind};
use crate::time::Instant;

/// Passes over all engines in one turn, so that engines that never come to rest cannot keep the caller.
const MAX_PASSES: usize = 256;
const MAX_ENGINES: usize = 32;
/// How soon an engine that was refused is asked again although nothing happened.
const HOLD: Duration = Duration::from_millis(250);

/// What became of asking one engine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Asked {
    /// It wants nothing.
    Idle,
    /// Its step is done, or failed in a way that the engine has to deal with.
    Stepped,
    /// There was no room for its step; there will be.
    NoRoom,
}

/// What became of asking all of them.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Some step was done.
    stepped: bool,
    /// Engines that wait for room, a bit each.
    held: u32,
    /// They would have gone on.
    restless: bool,
}

type Stopped<R, T> = NodeError<<R as Records>::Error, <T as Transport>::Error>;

impl<T: Transport, R: Records, C: Timer, K: Keys, F: Effects> Node<T, R, C, K, F> {
    /// Shows every engine its records, then lets them act; subscribes to the channels they handle.
    ///
    /// `buffer` must hold the longest record and the longest message.
    ///
    /// # Errors
    ///
    /// [`NodeError::Overlap`] and [`NodeError::TooMany`] for a set that cannot work;
    /// [`NodeError::Records`] and [`NodeError::Transport`] may be tried again, from the beginning and with
    /// new engines.
    pub async fn restore(
        &mut self,
        engines: &mut (impl Engines + ?Sized),
        buffer: &mut [u8],
    ) -> Result<(), Stopped<R, T>> {
        refuse_overlap(engines)?;
        // As `restore` does, but no engine is held over an await: behind `dyn` it is not `Send`, and this future is to be.
        for index in 0..engines.count() {
            let range = engines
                .at(index)
                .map_or(RecordRange::NONE, |engine| engine.records());
            let mut from = range.first();
            while let Some(start) = from {
                let next = self
                    .records
                    .next_key(start)
                    .await
                    .map_err(NodeError::Records)?;
                let Some(key) = next.filter(|key| range.contains(*key)) else {
                    break;
                };
                let value = self
                    .records
                    .read(key, buffer)
                    .await
                    .map_err(NodeError::Records)?;
                if let (Some(value), Some(engine)) = (value, engines.at(index)) {
                    engine.input(self.timer.now(), &Event::Record { key, value });
                }
                from = key.offset(1);
            }
            if let Some(engine) = engines.at(index) {
                engine.input(self.timer.now(), &Event::Restored);
            }
        }
        for channel in Channel::ALL {
            let mut wanted = false;
            for index in 0..engines.count() {
                wanted |= engines
                    .at(index)
                    .is_some_and(|engine| engine.handles(channel));
            }
            if wanted {
                self.transport
                    .subscribe(channel)
                    .await
                    .map_err(NodeError::Transport)?;
            }
        }
        self.restored = true;
        Ok(())
    }

    /// Does what the engines ask for, and takes in one event; waits for it, or for the nearest deadline, only
    /// when the engines asked for nothing.
    ///
    /// Returns after something was done or happened, so that the application can look at its engines in
    /// between. An engine whose step found no room is asked again after the next event, or a quarter of a
    /// second. Cancel-safe: a dropped turn loses nothing, since a step that was not reported done is asked
    /// for again.
    ///
    /// # Errors
    ///
    /// [`NodeError`]; another turn may be tried after [`NodeError::Records`].
    pub async fn turn(
        &mut self,
        engines: &mut (impl Engines + ?Sized),
        buffer: &mut [u8],
    ) -> Result<(), Stopped<R, T>> {
        if !self.restored {
            return Err(NodeError::NotRestored);
        }
        let round = self.steps(engines, buffer).await?;
        if round.restless {
            return Ok(());
        }
        let event = if round.stepped {
            // An application that keeps its engines busy must not keep the node from the network.
            glance(pin!(self.transport.next(buffer))).await
        } else {
            let deadline = nearest_deadline(engines, round.held, self.timer.now().instant);
            let next = pin!(self.transport.next(buffer));
            let wait = pin!(self.timer.until(deadline));
            race(next, wait).await
        };
        let now = self.timer.now();
        if let Some(event) = event {
            let event = event.map_err(NodeError::Transport)?;
            for index in 0..engines.count() {
                let Some(engine) = engines.at(index) else {
                    break;
                };
                let concerned = match &event {
                    Event::Message(message) => engine.handles(message.channel),
                    _ => true,
                };
                if concerned {
                    engine.input(now, &event);
                }
            }
        }
        self.steps(engines, buffer).await.map(|_| ())
    }

    /// Lets every engine take a step in turn until none wants one or finds room for one.
    async fn steps(
        &mut self,
        engines: &mut (impl Engines + ?Sized),
        buffer: &mut [u8],
    ) -> Result<Round, Stopped<R, T>> {
        let (mut round, mut refused) = (Round::default(), 0u32);
        for _ in 0..MAX_PASSES {
            let mut idle = true;
            for index in 0..engines.count() {
                let bit = 1 << (index % MAX_ENGINES);
                if round.held & bit != 0 {
                    continue;
                }
                match self.one_step(engines, index, buffer).await? {
                    Asked::Idle => {}
                    Asked::Stepped => {
                        (idle, round.stepped) = (false, true);
                        refused &= !bit;
                    }
                    // An engine that finds no room twice in a row has nothing else to offer: it waits for
                    // an event, because the event is what makes room.
                    Asked::NoRoom if refused & bit != 0 => round.held |= bit,
                    Asked::NoRoom => {
                        idle = false;
                        refused |= bit;
                    }
                }
            }
            if idle {
                return Ok(round);
            }
        }
        round.restless = true;
        Ok(round)
    }

    /// Asks one engine, and does what it wants.
    async fn one_step(
        &mut self,
        engines: &mut (impl Engines + ?Sized),
        index: usize,
        buffer: &mut [u8],
    ) -> Result<Asked, Stopped<R, T>> {
        // The step borrows the buffer, not the engine: nothing `dyn` lives across an await, so that the
        // future is `Send` whenever the node's parts are.
        let step = match engines.at(index) {
            Some(engine) => engine.step(self.timer.now(), buffer),
            None => return Ok(Asked::Idle),
        };
        let mut signature = Signature::empty();
        let done = match step {
            Step::Idle => return Ok(Asked::Idle),
            Step::Persist(batch) => match self.records.commit(&batch).await {
                Ok(()) => Done::Persisted,
                Err(error) if error.kind() == RecordsErrorKind::Full => {
                    Done::Failed(Failure::StorageFull)
                }
                Err(error) => return Err(NodeError::Records(error)),
            },
            Step::Read(key) => match self.records.read(key, buffer).await {
                Ok(value) => Done::Read(value),
                Err(error) if error.kind() == RecordsErrorKind::Buffer => {
                    Done::Failed(Failure::Buffer)
                }
                Err(error) => return Err(NodeError::Records(error)),
            },
            Step::Send(message) => match self.transport.submit(&message).await {
                Ok(ticket) => Done::Sent(ticket),
                Err(error) => match error.kind() {
                    TransportErrorKind::TooLarge | TransportErrorKind::Refused => {
                        Done::Failed(Failure::Refused)
                    }
                    TransportErrorKind::Closed => return Err(NodeError::Transport(error)),
                    _ => Done::Failed(Failure::Busy),
                },
            },
            Step::Sign { slot, message } => {
                match self.keys.sign(slot, message, &mut signature).await {
                    Ok(()) => Done::Signed(&signature),
                    Err(error) => Done::Failed(Failure::Key(error)),
                }
            }
            Step::Effect(effect) => match self.effects.perform(effect).await {
                Ok(()) => Done::Performed,
                Err(failure) => Done::Failed(failure),
            },
        };
        let no_room = matches!(done, Done::Failed(Failure::Busy | Failure::StorageFull));
        if let Some(engine) = engines.at(index) {
            engine.done(self.timer.now(), done);
        }
        Ok(if no_room {
            Asked::NoRoom
        } else {
            Asked::Stepped
        })
    }
}

fn refuse_overlap<R, T>(engines: &mut (impl Engines + ?Sized)) -> Result<(), NodeError<R, T>> {
    let count = engines.count();
    if count > MAX_ENGINES {
        return Err(NodeError::TooMany { count });
    }
    for second in 0..count {
        let range = engines
            .at(second)
            .map_or(RecordRange::NONE, |engine| engine.records());
        for first in 0..second {
            if engines
                .at(first)
                .is_some_and(|engine| engine.records().overlaps(range))
            {
                return Err(NodeError::Overlap { first, second });
            }
        }
    }
    Ok(())
}

/// When somebody wants to be asked again; whoever waits for room is not asked at once.
fn nearest_deadline(
    engines: &mut (impl Engines + ?Sized),
    held: u32,
    now: Instant,
) -> Option<Instant> {
    let mut nearest: Option<Instant> = None;
    for index in 0..engines.count() {
        let mut deadline = engines.at(index).and_then(|engine| engine.deadline());
        if held & 1 << (index % MAX_ENGINES) != 0 {
            deadline = Some(deadline.unwrap_or(now).max(now + HOLD));
        }
        nearest = match (nearest, deadline) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    nearest
}

/// What `future` has to offer without waiting.
async fn glance<A: Future + Unpin>(mut future: A) -> Option<A::Output> {
    poll_fn(|context| match pin!(&mut future).poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// The output of `first`, or `None` when `second` is ready before it.
async fn race<A: Future + Unpin, B: Future + Unpin>(
    mut first: A,
    mut second: B,
) -> Option<A::Output> {
    poll_fn(|context| {
        if let Poll::Ready(output) = pin!(&mut first).poll(context) {
            return Poll::Ready(Some(output));
        }
        if pin!(&mut second).poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}
