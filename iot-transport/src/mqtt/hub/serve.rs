//! One connection to the hub.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep};

use super::board::Bequest;
use super::session::{Full, Next, Session};
use super::will::{self, Legacy, Vouch};
use super::{Hub, count};
use crate::mqtt::packet::{self, PacketError, Version, server};
use crate::mqtt::wire::{Io, Wire};

/// Above this many bytes waiting to be written nothing more is read or taken from the queue.
const BACKLOG_BYTES: usize = 64 * 1_024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum End {
    /// The client said goodbye.
    Goodbye,
    /// The stream broke or ended.
    Broken,
    /// The client broke a rule; MQTT 5 is told this reason.
    Fault(u8),
    /// The client was silent, or did not read.
    TimedOut,
    /// More waited for the client than this bound lets.
    Slow(Full),
    /// A newer connection has the session.
    TakenOver,
    /// The hub ends every connection.
    Stopping,
}

impl From<PacketError> for End {
    fn from(error: PacketError) -> Self {
        Self::Fault(match error {
            PacketError::Malformed => 0x81,
            PacketError::TooLarge { .. } => 0x95,
            PacketError::Unexpected => 0x82,
            PacketError::Version => 0x84,
        })
    }
}

/// Holds a session for a connection; dropping it gives the session back, whatever ended the connection.
pub(super) struct Held<'h> {
    pub(super) hub: &'h Hub,
    pub(super) session: Arc<Session>,
    pub(super) connection: u64,
    pub(super) will: Option<Legacy>,
    /// Whether the session was to outlive its connection when that began.
    pub(super) outlives: bool,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let shared = &self.hub.shared;
        let (bequest, left) = shared
            .board
            .detach(&self.session, self.connection, self.will.take());
        shared.settle(left);
        match bequest {
            Bequest::Never => {}
            Bequest::Now(legacy) => will::publish(shared, legacy),
            Bequest::After(wait) => will::wait(shared, &self.session, self.connection, wait),
        }
    }
}

pub(super) struct Connection<'h, S> {
    pub(super) hub: &'h Hub,
    pub(super) wire: Wire<S>,
    pub(super) version: Version,
    pub(super) held: Option<Held<'h>>,
    pub(super) wake: Arc<Notify>,
    pub(super) window: usize,
    pub(super) packet_limit: usize,
    /// Says whether a will may be spoken once it is due.
    pub(super) vouch: Option<Vouch>,
    /// What stands for which topic, at most as many as the settings allow.
    pub(super) aliases: BTreeMap<u16, Arc<str>>,
    pub(super) keep_alive: Option<Duration>,
    last_received: Instant,
    last_written: Instant,
    timer: Pin<Box<Sleep>>,
}

pub(super) async fn serve<S: Io>(hub: &Hub, stream: S, vouch: Option<Vouch>) {
    let now = Instant::now();
    let settings = &hub.shared.settings;
    let mut connection = Connection {
        hub,
        wire: Wire::new(stream, settings.packet_bytes),
        version: Version::V3,
        held: None,
        wake: Arc::new(Notify::new()),
        window: usize::from(settings.window),
        packet_limit: usize::MAX,
        vouch,
        aliases: BTreeMap::new(),
        keep_alive: None,
        last_received: now,
        last_written: now,
        timer: Box::pin(sleep(settings.connect_timeout)),
    };
    let end = connection.run().await;
    connection.finish(end).await;
}

impl<S: Io> Connection<'_, S> {
    async fn run(&mut self) -> End {
        let mut life = self.hub.shared.life.subscribe();
        loop {
            if let Err(end) = self.receive().and_then(|()| self.fill()) {
                return end;
            }
            let wake = self.wake.clone();
            let mut woken = pin!(wake.notified());
            let mut stopping = pin!(life.changed());
            let waited = poll_fn(|cx| {
                if stopping.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Err(End::Stopping));
                }
                let moved = self.poll_io(cx)?;
                if woken.as_mut().poll(cx).is_ready() || moved {
                    return Poll::Ready(Ok(()));
                }
                self.poll_deadline(cx)
            });
            if let Err(end) = waited.await {
                return end;
            }
        }
    }

    /// Writes, then reads if there is room for the answers; whether either made progress.
    fn poll_io(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let (backlog, written) = (self.wire.backlog(), self.wire.traffic.1);
        if let Poll::Ready(Err(_)) = self.wire.poll_write(cx) {
            return Err(End::Broken);
        }
        if self.wire.traffic.1 != written || self.wire.backlog() == 0 {
            self.last_written = Instant::now();
        }
        let mut moved = backlog >= BACKLOG_BYTES && self.wire.backlog() < BACKLOG_BYTES;
        if self.wire.backlog() < BACKLOG_BYTES {
            match self.wire.poll_read(cx) {
                Poll::Ready(Ok(0) | Err(_)) => return Err(End::Broken),
                Poll::Ready(Ok(_)) => {
                    self.last_received = Instant::now();
                    moved = true;
                }
                Poll::Pending => {}
            }
        }
        Ok(moved)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let settings = &self.hub.shared.settings;
        let silence = match (&self.held, self.keep_alive) {
            (None, _) => Some((self.last_received, settings.connect_timeout)),
            // "If the Keep Alive value is non-zero and the Server does not receive a Control Packet within one
            // and a half times the Keep Alive time period, it MUST disconnect" [MQTT-3.1.2-24].
            (Some(_), Some(span)) => Some((self.last_received, span + span / 2)),
            (Some(_), None) => None,
        };
        let stall =
            (self.wire.backlog() > 0).then_some((self.last_written, settings.write_timeout));
        let due = |(at, span): (Instant, Duration)| at.checked_add(span);
        let deadlines = [silence.and_then(due), stall.and_then(due)];
        let Some(deadline) = deadlines.into_iter().flatten().min() else {
            return Poll::Pending;
        };
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx).map(|()| Err(End::TimedOut))
    }

    fn receive(&mut self) -> Result<(), End> {
        while self.wire.backlog() < BACKLOG_BYTES {
            let Some((first, body)) = self.wire.frame()? else {
                break;
            };
            let packet = server::decode(self.version, first, body);
            self.handle(packet?)?;
        }
        Ok(())
    }

    /// Encodes queued letters while the window and the buffer have room.
    fn fill(&mut self) -> Result<(), End> {
        let Some(held) = &self.held else {
            return Ok(());
        };
        let counters = &self.hub.shared.counters;
        let now = Instant::now();
        let mut state = held.session.state();
        match &state.live {
            Some(live) if live.connection == held.connection => {
                if let Some(full) = live.slow {
                    return Err(End::Slow(full));
                }
            }
            _ => return Err(End::TakenOver),
        }
        while self.wire.backlog() < BACKLOG_BYTES
            && let Some(next) = state.next(self.window)
        {
            let letter = match &next {
                Next::New(letter) if letter.is_expired(now) => {
                    count(&counters.expired, 1);
                    continue;
                }
                Next::New(letter) => Some(letter),
                Next::Again(sent) => sent.letter.as_ref(),
            };
            let bytes = letter.map_or(0, |letter| letter.wire_bytes(self.version));
            if bytes > self.packet_limit {
                // "the Server MUST discard it without sending it" [MQTT-3.1.2-25], whatever an earlier
                // connection of this client would have taken.
                count(&counters.overflowed, 1);
                continue;
            }
            let out = &mut self.wire.out;
            match next {
                Next::New(letter) if letter.qos == 0 => {
                    count(&counters.delivered, 1);
                    letter.put(self.version, None, false, out);
                }
                Next::New(letter) => {
                    let id = state.sent(letter.clone());
                    letter.put(self.version, Some(id), false, out);
                }
                Next::Again(sent) => {
                    match &sent.letter {
                        Some(letter) => letter.put(self.version, Some(sent.id), true, out),
                        None => server::put_ack(out, self.version, server::PUBREL, sent.id, 0),
                    }
                    state.sent_again(sent);
                }
            }
        }
        Ok(())
    }

    async fn finish(mut self, end: End) {
        let counters = &self.hub.shared.counters;
        let greeted = self.held.is_some();
        let code = match end {
            End::Fault(code) => Some(code),
            End::TimedOut => Some(0x8d),
            // Quota exceeded.
            End::Slow(_) => Some(0x97),
            End::TakenOver => Some(0x8e),
            End::Stopping => Some(0x8b),
            End::Goodbye | End::Broken => None,
        };
        match end {
            End::Fault(_) => count(&counters.refused, 1),
            End::TimedOut => count(&counters.timed_out, 1),
            End::Slow(Full::Messages) => count(&counters.slow_messages, 1),
            End::Slow(Full::Bytes) => count(&counters.slow_bytes, 1),
            _ => {}
        }
        if end == End::Stopping
            && let Some(held) = &mut self.held
        {
            held.will = None;
        }
        // The session must be free before the slow goodbye: the client may be back already.
        drop(self.held.take());
        if let Some(code) = code
            && greeted
            && self.version == Version::V5
        {
            packet::put_disconnect(&mut self.wire.out, self.version, code);
        }
        let goodbye = poll_fn(|cx| {
            if end != End::Broken && self.wire.poll_write(cx)?.is_pending() {
                return Poll::Pending;
            }
            self.wire.poll_shutdown(cx)
        });
        // A client that does not read its goodbye is not worth waiting for.
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }
}
