//! Two ends on a bench: submits, polls both, and keeps what they were told.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::cell::{Ref, RefCell};
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use iot_core::port::{Limits, Transport, TransportError, TransportErrorKind};
use iot_core::{Channel, Message, Ticket};

use super::log::{Logs, PROBE, Side};
use super::{Lack, Pace, Subject, Verdict};

/// Payloads beyond this are not tried.
pub(super) const MOST_BYTES: usize = 16 << 20;

/// Which ends are asked for events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Who {
    Both,
    Only(Side),
}

impl Who {
    fn includes(self, side: Side) -> bool {
        self == Self::Both || self == Self::Only(side)
    }
}

/// A link under test.
pub(super) struct Bench<'s, S: Subject> {
    subject: &'s mut S,
    device: S::Device,
    service: S::Service,
    logs: RefCell<Logs>,
    buffers: [Vec<u8>; 2],
    pace: Pace,
}

pub(super) fn failed(why: impl core::fmt::Display) -> Verdict {
    Verdict::Failed(format!("{why}"))
}

impl<'s, S: Subject> Bench<'s, S> {
    /// A new link that carries messages both ways.
    pub(super) async fn open(subject: &'s mut S) -> Result<Self, Verdict> {
        let pace = subject.pace();
        let (device, service) = subject.open().await;
        let room = |limits: Limits| vec![0; limits.payload_bytes.min(MOST_BYTES) + 512];
        let buffers = [room(service.limits()), room(device.limits())];
        let mut bench = Self {
            subject,
            device,
            service,
            logs: RefCell::default(),
            buffers,
            pace,
        };
        for side in Side::BOTH {
            bench.subscribe(side.other(), side.channel()).await?;
            bench.reach(side, side.channel(), PROBE).await?;
        }
        bench.settle().await?;
        for side in Side::BOTH {
            let mut logs = bench.logs.borrow_mut();
            let log = logs.of_mut(side);
            log.heard.clear();
            log.open = true;
        }
        Ok(bench)
    }

    pub(super) fn has(&self, ability: Lack) -> bool {
        !self.subject.lacks().contains(&ability)
    }

    pub(super) const fn pace(&self) -> Pace {
        self.pace
    }

    pub(super) fn peer(&self) -> Option<iot_core::Peer<'_>> {
        self.subject.peer()
    }

    pub(super) fn logs(&self) -> Ref<'_, Logs> {
        self.logs.borrow()
    }

    pub(super) fn limits(&self, side: Side) -> Limits {
        match side {
            Side::Device => self.device.limits(),
            Side::Service => self.service.limits(),
        }
    }

    /// Gives the service end a buffer of `bytes` bytes, and returns how long the old one was.
    pub(super) fn resize_buffer(&mut self, bytes: usize) -> usize {
        let [_, service] = &mut self.buffers;
        let before = service.len();
        service.resize(bytes, 0);
        before
    }

    pub(super) async fn set_link(&mut self, up: bool) {
        self.subject
            .set_link(&mut self.device, &mut self.service, up)
            .await;
    }

    pub(super) async fn lose_session(&mut self) {
        self.subject
            .lose_session(&mut self.device, &mut self.service)
            .await;
    }

    pub(super) async fn pause(&mut self) {
        self.subject.pause(self.pace.tick).await;
    }

    pub(super) async fn subscribe(&mut self, side: Side, channel: Channel) -> Result<(), Verdict> {
        match side {
            Side::Device => self.device.subscribe(channel).await.map_err(failed),
            Side::Service => self.service.subscribe(channel).await.map_err(failed),
        }
    }

    /// Submits, and notes the ticket; the inner error is the transport's answer.
    pub(super) async fn submit(
        &mut self,
        side: Side,
        message: Message<'_>,
    ) -> Result<Result<Ticket, TransportErrorKind>, Verdict> {
        let Self {
            subject,
            device,
            service,
            pace,
            logs,
            ..
        } = self;
        // Names that outlive the borrow of the subject, which has to let time pass meanwhile.
        let names = subject.peer().map(|peer| {
            let owned = |text: &str| alloc::string::String::from(text);
            (owned(peer.tenant()), owned(peer.device()))
        });
        let message = match (&names, side) {
            (Some((tenant, device)), Side::Service) => {
                message.to(iot_core::Peer::parse(tenant, device).map_err(failed)?)
            }
            _ => message,
        };
        let clock = ticks(*subject, pace.tick, count(pace.patience, pace.tick));
        let answer = match side {
            Side::Device => race(device.submit(&message), clock).await.map(kind),
            Side::Service => race(service.submit(&message), clock).await.map(kind),
        };
        let answer = answer.ok_or_else(|| failed("submit waited for something"))?;
        if let Ok(ticket) = answer {
            logs.borrow_mut().of_mut(side).submitted.push(ticket);
        }
        Ok(answer)
    }

    /// Submits on the side's own channel; reads events while the transport is busy.
    pub(super) async fn send(&mut self, side: Side, payload: &[u8]) -> Result<Ticket, Verdict> {
        let mut rounds = count(self.pace.patience, self.pace.tick);
        loop {
            let answer = self
                .submit(side, Message::new(side.channel(), payload))
                .await?;
            match answer {
                Ok(ticket) => return Ok(ticket),
                Err(TransportErrorKind::Busy) if rounds > 0 => rounds -= 1,
                Err(kind) => return Err(failed(format!("submit was refused: {kind:?}"))),
            }
            self.drive(Who::Both, self.pace.tick, |_| false).await?;
        }
    }

    /// Sends again and again until the other end hears it: for a subscription that is still on its way.
    pub(super) async fn reach(
        &mut self,
        side: Side,
        channel: Channel,
        payload: &[u8],
    ) -> Result<(), Verdict> {
        let other = side.other();
        let before = self.logs().of(other).count(payload);
        for _ in 0..count(self.pace.patience, self.pace.quiet).max(1) {
            let answer = self.submit(side, Message::new(channel, payload)).await?;
            if let Err(kind) = answer
                && kind != TransportErrorKind::Busy
            {
                return Err(failed(format!("submit was refused: {kind:?}")));
            }
            let heard = |logs: &Logs| logs.of(other).count(payload) > before;
            if self.drive(Who::Both, self.pace.quiet, heard).await? {
                return Ok(());
            }
        }
        Err(failed(format!(
            "nothing on {channel} reaches the {}",
            other.name()
        )))
    }

    /// Polls until every message of both ends has a fate.
    pub(super) async fn settle(&mut self) -> Result<(), Verdict> {
        self.until(Who::Both, "the fate of every message", |logs| {
            logs.device.is_settled() && logs.service.is_settled()
        })
        .await
    }

    /// Polls until `done`; a failure when that takes too long.
    pub(super) async fn until(
        &mut self,
        who: Who,
        what: &str,
        done: impl Fn(&Logs) -> bool,
    ) -> Result<(), Verdict> {
        if self.drive(who, self.pace.patience, done).await? {
            Ok(())
        } else {
            Err(failed(format!("waited in vain for {what}")))
        }
    }

    /// Polls as long as it takes to be sure that nothing comes.
    pub(super) async fn quiet(&mut self, who: Who) -> Result<(), Verdict> {
        self.drive(who, self.pace.quiet, |_| false)
            .await
            .map(|_| ())
    }

    /// Polls until `done`, for at most `span`; whether it is done.
    ///
    /// It stops right after the event that made it so: the next one is not asked for.
    pub(super) async fn drive(
        &mut self,
        who: Who,
        span: Duration,
        done: impl Fn(&Logs) -> bool,
    ) -> Result<bool, Verdict> {
        let Self {
            subject,
            device,
            service,
            logs,
            buffers: [device_room, service_room],
            pace,
        } = self;
        let logs = &*logs;
        let done = || done(&logs.borrow());
        if done() {
            return Ok(true);
        }
        let mut device = pin!(listen(device, Side::Device, logs, device_room, &done));
        let mut service = pin!(listen(service, Side::Service, logs, service_room, &done));
        let mut clock = pin!(ticks(*subject, pace.tick, count(span, pace.tick)));
        poll_fn(|cx| {
            if who.includes(Side::Device)
                && let Poll::Ready(end) = device.as_mut().poll(cx)
            {
                return Poll::Ready(end.map(|()| true));
            }
            if who.includes(Side::Service)
                && let Poll::Ready(end) = service.as_mut().poll(cx)
            {
                return Poll::Ready(end.map(|()| true));
            }
            clock.as_mut().poll(cx).map(|()| Ok(false))
        })
        .await
    }

    /// Asks one end for an event, drops the question after `polls` polls, and lets a tick pass after each.
    pub(super) async fn glance(&mut self, side: Side, polls: usize) -> Result<(), Verdict> {
        let Self {
            subject,
            device,
            service,
            logs,
            buffers: [device_room, service_room],
            pace,
        } = self;
        // A listener that stops after its first event is one call of `next`.
        let logs = &*logs;
        let before = total(&logs.borrow(), side);
        let done = || total(&logs.borrow(), side) > before;
        match side {
            Side::Device => {
                let next = listen(device, side, logs, device_room, &done);
                few_polls(next, polls, *subject, pace.tick).await
            }
            Side::Service => {
                let next = listen(service, side, logs, service_room, &done);
                few_polls(next, polls, *subject, pace.tick).await
            }
        }
    }

    /// Polls one submission once and drops it; whether it was accepted at once.
    pub(super) async fn glance_submit(&mut self, payload: &[u8]) -> Result<bool, Verdict> {
        let message = Message::new(Side::Device.channel(), payload);
        let mut submit = pin!(self.device.submit(&message));
        let polled = poll_fn(|cx| Poll::Ready(submit.as_mut().poll(cx))).await;
        match polled {
            Poll::Pending => Ok(false),
            Poll::Ready(Ok(ticket)) => {
                self.logs.borrow_mut().device.submitted.push(ticket);
                Ok(true)
            }
            Poll::Ready(Err(error)) => Err(failed(error)),
        }
    }
}

fn total(logs: &Logs, side: Side) -> usize {
    let log = logs.of(side);
    log.heard.len() + log.fates.len() + log.changes.len()
}

async fn few_polls<S: Subject>(
    next: impl Future<Output = Result<(), Verdict>>,
    polls: usize,
    subject: &mut S,
    tick: Duration,
) -> Result<(), Verdict> {
    let mut next = pin!(next);
    for _ in 0..polls {
        let polled = poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await;
        if let Poll::Ready(end) = polled {
            return end;
        }
        subject.pause(tick).await;
    }
    Ok(())
}

/// Asks for events and notes them, until `done`.
async fn listen<T: Transport>(
    end: &mut T,
    side: Side,
    logs: &RefCell<Logs>,
    buffer: &mut [u8],
    done: &impl Fn() -> bool,
) -> Result<(), Verdict> {
    loop {
        match end.next(&mut *buffer).await {
            Ok(event) => logs.borrow_mut().of_mut(side).note(&event),
            Err(error) if error.kind() == TransportErrorKind::Buffer => {
                let mut logs = logs.borrow_mut();
                let log = logs.of_mut(side);
                log.cramped += 1;
                if log.cramped > 100 {
                    return Err(failed(format!(
                        "the {} needs an endless buffer",
                        side.name()
                    )));
                }
            }
            Err(error) => {
                return Err(failed(format!(
                    "next of the {} failed: {error}",
                    side.name()
                )));
            }
        }
        if done() {
            return Ok(());
        }
    }
}

fn kind<E: TransportError>(answer: Result<Ticket, E>) -> Result<Ticket, TransportErrorKind> {
    answer.map_err(|error| error.kind())
}

fn count(span: Duration, tick: Duration) -> u32 {
    let ticks = span.as_micros().div_ceil(tick.as_micros().max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

/// Ready after `count` pauses; everybody else is polled after each.
async fn ticks<S: Subject>(subject: &mut S, tick: Duration, count: u32) {
    for _ in 0..count {
        subject.pause(tick).await;
        let mut yielded = false;
        poll_fn(|cx| {
            if core::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}

/// The output of `first`, or `None` when `clock` is ready before it.
async fn race<A: Future>(first: A, clock: impl Future) -> Option<A::Output> {
    let (mut first, mut clock) = (pin!(first), pin!(clock));
    poll_fn(|cx| {
        if let Poll::Ready(output) = first.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        clock.as_mut().poll(cx).map(|_| None)
    })
    .await
}
