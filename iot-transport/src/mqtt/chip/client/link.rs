//! What the session asks for, and what becomes of the stream.

use core::task::{Context, Poll};

use iot_core::entropy::Entropy;
use iot_core::port::Timer;
use iot_core::{Channel, Instant, Peer};

use super::flow::Moved;
use super::{Client, Hand, Happened, Link};
use crate::mqtt::chip::shelf::FIRST_SUBSCRIPTION;
use crate::mqtt::chip::stream::{Broken, Stream};
use crate::session::{Event, Reason, Step};
use crate::topic::{Filter, MAX_TOPIC_BYTES};

/// Rounds in one poll, so that a stream that never runs dry cannot keep the caller.
const ROUNDS: usize = 64;

impl<S, C, E, const MESSAGES: usize, const BYTES: usize, const PACKET: usize>
    Client<'_, S, C, E, MESSAGES, BYTES, PACKET>
where
    S: Stream,
    C: Timer,
    E: Entropy,
{
    /// Moves whatever can be moved without waiting, until there is something to tell to a caller with so much `room`.
    pub(super) fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        room: usize,
    ) -> Poll<Happened> {
        for _ in 0..ROUNDS {
            self.shelf.expire(now);
            if let Some((ticket, fate)) = self.shelf.take_settled() {
                return Poll::Ready(Happened::Settled { ticket, fate });
            }
            let waits = matches!(self.hand, Hand::Arrived { .. });
            if waits && self.waiting_bytes() <= room {
                return Poll::Ready(Happened::Message);
            }
            let step = self.session.step(now, &mut self.entropy);
            if let Step::Close(reason) = step {
                self.close(cx, now, reason);
            } else if !self.take(now, step) {
                match self.advance(cx, now) {
                    // That its buffer is too small is told when there is nothing else to tell.
                    Ok(Moved::Nothing) if waits => return Poll::Ready(Happened::Message),
                    Ok(Moved::Nothing) => return Poll::Pending,
                    Ok(Moved::Something) => continue,
                    Ok(Moved::Told(happened)) => return Poll::Ready(happened),
                    Err(Broken) => self.session.input(now, Event::Lost { wait: None }),
                }
            } else {
                continue;
            }
            if self.drop_link() == Link::Up {
                return Poll::Ready(Happened::Disconnected);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Does what the session asks for; whether it was anything.
    fn take(&mut self, now: Instant, step: Step<Channel>) -> bool {
        match step {
            Step::Dial => self.link = Link::Dialling,
            Step::Greet => {
                self.head.connect(&self.settings, PACKET);
                self.link = Link::Greeting;
            }
            // A subscription waits for its turn, and a ping too; but the silence counts from now on, or a stream
            // that takes no bytes would never be given up.
            Step::Subscribe(channel) if self.is_quiet() => self.ask_for(channel),
            Step::Ping => self.owes_ping = true,
            _ => return false,
        }
        self.session.done(now);
        true
    }

    fn ask_for(&mut self, channel: Channel) {
        let own = Peer::new(&self.settings.tenant, &self.settings.device);
        let mut buffer = [0; MAX_TOPIC_BYTES];
        // The buffer is long enough for every name.
        if let Ok(filter) = Filter::device(own, channel).write(&mut buffer) {
            let id = FIRST_SUBSCRIPTION + place(channel);
            self.head.subscribe(self.settings.version, id, filter);
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Moved, Broken> {
        match self.link {
            Link::Down => Ok(Moved::Nothing),
            Link::Dialling => match self.stream.poll_open(cx)? {
                Poll::Ready(()) => {
                    self.session.input(now, Event::Opened);
                    Ok(Moved::Something)
                }
                Poll::Pending => Ok(Moved::Nothing),
            },
            Link::Greeting | Link::Up => {
                let written = self.write(cx, now)?;
                match self.read(cx, now)? {
                    Moved::Nothing if written => Ok(Moved::Something),
                    moved => Ok(moved),
                }
            }
        }
    }

    fn close(&mut self, cx: &mut Context<'_>, now: Instant, reason: Reason) {
        if reason.is_polite() && self.link == Link::Up && self.is_quiet() {
            self.head.goodbye();
            // The broker notices a missing goodbye by itself: it is tried once.
            let _ = self.stream.poll_write(cx, self.head.rest());
        }
        self.session.done(now);
    }

    /// Forgets everything about the stream, and says what it was.
    fn drop_link(&mut self) -> Link {
        self.stream.close();
        // The broker may have made a session of it all the same.
        self.doubtful |= self.link == Link::Greeting;
        self.head.clear();
        self.shelf.wire_broke();
        self.filled = 0;
        self.owes_ping = false;
        // What the caller has in hand comes again: an acknowledgement belongs to the link of its message.
        self.hand = Hand::Empty;
        self.passing = None;
        self.again = false;
        core::mem::replace(&mut self.link, Link::Down)
    }
}

/// The place of a channel among all of them; a subscription has it as its number.
pub(super) fn place(channel: Channel) -> u16 {
    let known = Channel::ALL.iter().position(|known| *known == channel);
    known.and_then(|at| u16::try_from(at).ok()).unwrap_or(0)
}
