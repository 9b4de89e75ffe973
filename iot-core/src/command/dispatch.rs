use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll};

use super::class::Command;
use super::inbox::{Inbox, Pending};
use super::outcome::{Outcome, Reason};
use crate::id::CommandId;

type Work<'h> = Pin<Box<dyn Future<Output = Outcome> + Send + 'h>>;
type Handler<'h, C> = Box<dyn FnMut(Call<C>) -> Work<'h> + Send + 'h>;

/// Carries out commands with an async handler for each name, several at a time where their lanes differ.
///
/// The [`Inbox`] stays the engine, and keeps every promise; this only calls what was registered.
/// Between two turns of the node call [`exchange`](Self::exchange); beside a turn poll
/// [`work`](Self::work), which drives the handlers, for example with `select` of `futures` or `embassy-futures`.
///
/// A handler returns how its command ended, and no record: a transactional command, whose effect is committed with
/// its end, is taken from [`Inbox::next`] and finished by [`Inbox::finish_with`]. Handlers are `Send`, so that they
/// may run on any executor. A name without a handler is [`missing`](Self::missing).
///
/// ```
/// use iot_core::IssuerId;
/// use iot_core::command::{Dispatch, Inbox, Outcome};
///
/// iot_core::commands! { enum Job { #[idempotent] SetValve { open: bool }, #[opaque, lane = 1] Unlock } }
///
/// let mut jobs = Inbox::<Job, 2, 64, 8>::new();
/// jobs.allow(IssuerId::new(1))?;
/// let mut handlers = Dispatch::new();
/// handlers.on("SetValve", async |call| match call.command {
///     Job::SetValve { open } => Outcome::done_with(&[u8::from(open)]).unwrap_or(Outcome::DONE),
///     Job::Unlock => Outcome::DONE,
/// })?;
/// // In the application's loop, with a node and its buffer:
/// //     handlers.exchange(engines.0);
/// //     select(node.turn(&mut engines, &mut buffer), handlers.work()).await;
/// handlers.exchange(&mut jobs);
/// assert_eq!(handlers.running(), 0);
/// assert!(handlers.missing().eq(["Unlock"]));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub struct Dispatch<'h, C> {
    handlers: Vec<(&'static str, Handler<'h, C>)>,
    running: Vec<Running<'h>>,
    ended: Vec<(CommandId, Outcome)>,
}

struct Running<'h> {
    id: CommandId,
    work: Work<'h>,
    shared: Arc<Shared>,
    told: u32,
}

#[derive(Debug, Default)]
struct Shared {
    cancelled: AtomicBool,
    progress: AtomicU32,
}

/// A command that a handler carries out.
#[derive(Debug)]
#[non_exhaustive]
pub struct Call<C> {
    /// Its identity.
    pub id: CommandId,
    /// What to do.
    pub command: C,
    /// The power was cut after it had been started (only [`Class::Probed`](super::Class::Probed)): find out
    /// whether the effect took place before doing anything.
    pub resumed: bool,
    shared: Arc<Shared>,
}

impl<C> Call<C> {
    /// Tells the issuer how far it has come, on a scale of the device's own; 0 says nothing.
    pub fn progress(&self, number: u32) {
        self.shared.progress.store(number, Ordering::Relaxed);
    }

    /// Whether the issuer wants it back.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancelled.load(Ordering::Relaxed)
    }

    /// Waits until the issuer wants it back.
    pub async fn cancelled(&self) {
        // Polled anew after every exchange, so nobody has to wake it.
        poll_fn(|_| {
            if self.is_cancelled() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

/// The device has no command of that name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the device has no command '{name}': its commands are {known:?}")]
#[non_exhaustive]
pub struct NoSuchCommand {
    /// The name.
    pub name: &'static str,
    /// The names there are.
    pub known: &'static [&'static str],
}

impl<'h, C: Command> Dispatch<'h, C> {
    /// No handlers: every command is rejected as [`Reason::Invalid`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            handlers: Vec::new(),
            running: Vec::new(),
            ended: Vec::new(),
        }
    }

    /// The names that nobody carries out: their commands are rejected as [`Reason::Invalid`], for good.
    pub fn missing(&self) -> impl Iterator<Item = &'static str> {
        let is_missing = |name: &&str| !self.handlers.iter().any(|(known, _)| known == name);
        C::NAMES.iter().copied().filter(is_missing)
    }

    /// Has `handler` carry out the commands of a name, instead of whoever did.
    ///
    /// # Errors
    ///
    /// [`NoSuchCommand`]; nothing was changed.
    pub fn on<F, W>(&mut self, name: &'static str, mut handler: F) -> Result<(), NoSuchCommand>
    where
        F: FnMut(Call<C>) -> W + Send + 'h,
        W: Future<Output = Outcome> + Send + 'h,
    {
        let known = C::NAMES;
        if !known.contains(&name) {
            return Err(NoSuchCommand { name, known });
        }
        let begin = move |call| -> Work<'h> { Box::pin(handler(call)) };
        self.handlers.retain(|(other, _)| *other != name);
        self.handlers.push((name, Box::new(begin)));
        Ok(())
    }

    /// Gives the inbox what has ended and how far the rest has come, and takes what it hands out.
    ///
    /// Call it after every turn of the node and whenever [`work`](Self::work) returns.
    pub fn exchange<const I: usize, const W: usize, const R: usize, const E: usize>(
        &mut self,
        inbox: &mut Inbox<C, I, W, R, E>,
    ) {
        for (id, outcome) in self.ended.drain(..) {
            // It can only fail for another inbox than the command came from.
            let _ = inbox.finish(id, outcome);
        }
        while let Some(job) = inbox.next() {
            let id = job.id;
            if self.begin(job).is_none() {
                let reason = Reason::Invalid;
                let _ = inbox.finish(id, Outcome::Rejected { reason });
            }
        }
        for running in &mut self.running {
            let cancelled = inbox.is_cancelled(running.id);
            running.shared.cancelled.store(cancelled, Ordering::Relaxed);
            if let Some(number) = running.news() {
                running.told = number;
                let _ = inbox.progress(running.id, number);
            }
        }
    }

    /// Drives the handlers until one has ended or told how far it has come; while none runs, for ever.
    ///
    /// Cancel-safe: a dropped future loses nothing.
    pub async fn work(&mut self) {
        poll_fn(|context| self.poll_work(context)).await;
    }

    /// How many commands are being carried out.
    #[must_use]
    pub const fn running(&self) -> usize {
        self.running.len()
    }

    fn begin(&mut self, job: Pending<C>) -> Option<()> {
        let name = job.command.name();
        let mut handlers = self.handlers.iter_mut();
        let (_, handler) = handlers.find(|(of, _)| *of == name)?;
        let shared = Arc::new(Shared::default());
        let call = Call {
            id: job.id,
            command: job.command,
            resumed: job.resumed,
            shared: Arc::clone(&shared),
        };
        self.running.push(Running {
            id: job.id,
            work: handler(call),
            shared,
            told: 0,
        });
        Some(())
    }

    fn poll_work(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let ended = &mut self.ended;
        self.running.retain_mut(|running| {
            let polled = running.work.as_mut().poll(context);
            if let Poll::Ready(outcome) = polled {
                ended.push((running.id, outcome));
            }
            polled.is_pending()
        });
        let has_news = self.running.iter().any(|running| running.news().is_some());
        if ended.is_empty() && !has_news {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

impl Running<'_> {
    /// How far it has come, when that was not told yet.
    fn news(&self) -> Option<u32> {
        let number = self.shared.progress.load(Ordering::Relaxed);
        (number != self.told).then_some(number)
    }
}

impl<C: Command> Default for Dispatch<'_, C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for Dispatch<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.handlers.iter().map(|(name, _)| name);
        let running = self.running.iter().map(|running| running.id);
        f.debug_struct("Dispatch")
            .field("handlers", &names.collect::<Vec<_>>())
            .field("running", &running.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
