//! One connection to the hub.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;

use mqtt_protocol_core::mqtt::packet::Property;
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::board::{Attached, Bequest};
use super::session::{Letter, Session};
use super::{Hub, count, will};
use crate::mqtt::packet::server::{self, Connect, Request, Welcome, Will, Wish};
use crate::mqtt::packet::{self, Outgoing, PacketError, Publish, Version};
use crate::mqtt::wire::{Io, Wire};

/// Above this many bytes waiting to be written nothing more is read or taken from the queue.
const BACKLOG_BYTES: usize = 64 * 1_024;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    /// The client said goodbye.
    Goodbye,
    /// The stream broke or ended.
    Broken,
    /// The client broke a rule; MQTT 5 is told this reason.
    Fault(u8),
    /// The client was silent, or did not read.
    TimedOut,
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
struct Held<'h> {
    hub: &'h Hub,
    session: Arc<Session>,
    connection: u64,
    will: Option<Will>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let shared = &self.hub.shared;
        let will = self.will.take().map(will::letter);
        let left = shared.board.detach(&self.session, self.connection, will);
        count(&shared.counters.discarded, left.discarded);
        match left.will {
            Bequest::Never => {}
            Bequest::Now(letter) => will::publish(shared, &letter),
            Bequest::After(wait) => will::wait(shared, &self.session, self.connection, wait),
        }
    }
}

struct Connection<'h, S> {
    hub: &'h Hub,
    wire: Wire<S>,
    version: Version,
    held: Option<Held<'h>>,
    wake: Arc<Notify>,
    window: usize,
    packet_limit: usize,
    /// What stands for which topic, at most as many as the settings allow.
    aliases: BTreeMap<u16, Arc<str>>,
    keep_alive: Option<Duration>,
    last_received: Instant,
    last_written: Instant,
    timer: Pin<Box<Sleep>>,
}

pub(super) async fn serve<S: Io>(hub: &Hub, stream: S) {
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
        aliases: BTreeMap::new(),
        keep_alive: None,
        last_received: now,
        last_written: now,
        timer: Box::pin(sleep_until(now + settings.connect_timeout)),
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
        let deadline = match (
            silence.map(|(at, span)| at + span),
            stall.map(|(at, span)| at + span),
        ) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Poll::Pending,
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

    fn handle(&mut self, packet: Request) -> Result<(), End> {
        let shared = &self.hub.shared;
        let held = match (packet, &mut self.held) {
            (Request::Connect(connect), None) => return self.greet(connect),
            (_, None) => return Err(End::Fault(0x82)),
            (packet, Some(held)) => (packet, held),
        };
        match held {
            (Request::Publish(publish), held) => {
                let session = held.session.clone();
                self.publish(&publish, &session)
            }
            (Request::Puback { id, .. }, held) => {
                if held.session.state().acknowledged(id) {
                    count(&shared.counters.delivered, 1);
                }
                Ok(())
            }
            (Request::Subscribe { id, wishes }, held) => {
                let session = held.session.clone();
                self.subscribe(id, &wishes, &session)
            }
            (Request::Unsubscribe { id, filters }, held) => {
                shared.board.unsubscribe(&held.session, &filters);
                server::put_unsuback(&mut self.wire.out, self.version, id, filters.len())?;
                Ok(())
            }
            (Request::Pingreq, _) => {
                server::put_pingresp(&mut self.wire.out);
                Ok(())
            }
            (Request::Disconnect { code }, held) => {
                // 4: the client wants its will published although it says goodbye.
                if code != 4 {
                    held.will = None;
                }
                Err(End::Goodbye)
            }
            _ => Err(End::Fault(0x82)),
        }
    }

    fn greet(&mut self, connect: Connect) -> Result<(), End> {
        let shared = &self.hub.shared;
        let settings = &shared.settings;
        self.version = connect.version;
        let number = shared
            .counters
            .numbers
            .fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        let assigned = connect
            .client_id
            .is_empty()
            .then(|| alloc::format!("auto-{number}"));
        // A client without a name cannot come back to its session [MQTT-3.1.3-8].
        if assigned.is_some() && !connect.clean && connect.version == Version::V3 {
            server::put_refusal(&mut self.wire.out, self.version, 2, 0x85);
            return Err(End::Fault(0x85));
        }
        if connect.will.as_ref().is_some_and(|will| will.qos > 1) {
            server::put_refusal(&mut self.wire.out, self.version, 5, 0x9b);
            return Err(End::Fault(0x9b));
        }
        if connect
            .will
            .as_ref()
            .is_some_and(|will| will.topic.is_empty() || will.topic.contains(['+', '#', '\0']))
        {
            return Err(End::Fault(0x81));
        }
        let asked = connect
            .session_expiry_s
            .map(|seconds| Duration::from_secs(seconds.into()));
        let expiry = asked.map_or(settings.session_expiry, |asked| {
            asked.min(settings.session_expiry)
        });
        let client_id = assigned.as_deref().unwrap_or(&connect.client_id);
        let attached = shared.board.attach(
            client_id,
            connect.clean,
            Some(expiry),
            (number, self.wake.clone()),
            settings.sessions,
        );
        let Some(Attached {
            session,
            present,
            took_over,
            discarded,
            wills,
        }) = attached
        else {
            server::put_refusal(&mut self.wire.out, self.version, 3, 0x97);
            return Err(End::Fault(0x97));
        };
        for letter in &wills {
            will::publish(shared, letter);
        }
        count(&shared.counters.discarded, discarded);
        count(&shared.counters.taken_over, u64::from(took_over));
        count(&shared.counters.accepted, 1);
        self.window = usize::from(settings.window.min(connect.receive_maximum));
        self.packet_limit = connect.packet_limit;
        self.keep_alive =
            (connect.keep_alive_s > 0).then(|| Duration::from_secs(connect.keep_alive_s.into()));
        server::put_connack(
            &mut self.wire.out,
            self.version,
            Welcome {
                session_present: present,
                receive_maximum: settings.window,
                packet_limit: u32::try_from(settings.packet_bytes).unwrap_or(u32::MAX),
                aliases: settings.aliases,
                assigned: assigned.as_deref(),
            },
        )?;
        let state = session.state();
        for (id, letter) in &state.on_wire {
            put_letter(&mut self.wire.out, self.version, letter, Some(*id), true);
        }
        drop(state);
        self.held = Some(Held {
            hub: self.hub,
            session,
            connection: number,
            will: connect.will,
        });
        Ok(())
    }

    fn publish(&mut self, publish: &Publish, session: &Session) -> Result<(), End> {
        let shared = &self.hub.shared;
        if publish.qos() == 2 {
            return Err(End::Fault(0x9b));
        }
        let letter = letter(self.topic(publish)?, publish);
        count(&shared.counters.published, 1);
        let reached = shared.board.publish(
            &letter,
            Some(session.number),
            &shared.settings,
            &shared.counters,
        );
        if let Some(id) = publish.id() {
            // 0x10: nobody subscribes.
            let code = if reached == 0 { 0x10 } else { 0 };
            packet::put_puback(&mut self.wire.out, self.version, id, code);
        }
        Ok(())
    }

    /// The topic that a PUBLISH names, or that its alias stands for.
    fn topic(&mut self, publish: &Publish) -> Result<Arc<str>, End> {
        let most = self.hub.shared.settings.aliases;
        let unknown = End::Fault(0x94);
        match (publish.alias(), publish.topic()) {
            (None, topic) => Ok(topic.into()),
            (Some(alias), _) if alias == 0 || alias > most => Err(unknown),
            (Some(alias), "") => self.aliases.get(&alias).cloned().ok_or(unknown),
            (Some(alias), topic) => {
                let topic: Arc<str> = topic.into();
                self.aliases.insert(alias, topic.clone());
                Ok(topic)
            }
        }
    }

    fn subscribe(&mut self, id: u16, wishes: &[Wish], session: &Arc<Session>) -> Result<(), End> {
        let shared = &self.hub.shared;
        let board = &shared.board;
        let Some((granted, retained)) = board.subscribe(session, wishes, shared.settings.filters)
        else {
            return Err(End::TakenOver);
        };
        server::put_suback(&mut self.wire.out, self.version, id, &granted)?;
        let mut state = session.state();
        for letter in retained {
            count(&shared.counters.routed, 1);
            count(
                &shared.counters.overflowed,
                state.push(letter, shared.settings.queue),
            );
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
        if !state.is_live(held.connection) {
            return Err(End::TakenOver);
        }
        while self.wire.backlog() < BACKLOG_BYTES
            && state.on_wire.len() < self.window
            && let Some(letter) = state.pop()
        {
            if letter.is_expired(now) {
                count(&counters.expired, 1);
                continue;
            }
            if outgoing(&letter, Some(1), false).bytes(self.version) > self.packet_limit {
                // "the Server MUST discard it without sending it" [MQTT-3.1.2-25].
                count(&counters.overflowed, 1);
                continue;
            }
            let id = if letter.qos == 0 {
                count(&counters.delivered, 1);
                None
            } else {
                Some(state.sent(letter.clone()))
            };
            put_letter(&mut self.wire.out, self.version, &letter, id, false);
        }
        Ok(())
    }

    async fn finish(mut self, end: End) {
        let counters = &self.hub.shared.counters;
        let greeted = self.held.is_some();
        let code = match end {
            End::Fault(code) => Some(code),
            End::TimedOut => Some(0x8d),
            End::TakenOver => Some(0x8e),
            End::Stopping => Some(0x8b),
            End::Goodbye | End::Broken => None,
        };
        match end {
            End::Fault(_) => count(&counters.refused, 1),
            End::TimedOut => count(&counters.timed_out, 1),
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

fn outgoing(letter: &Letter, id: Option<u16>, dup: bool) -> Outgoing<'_> {
    let left = |at: Instant| {
        at.saturating_duration_since(Instant::now())
            .as_secs()
            .max(1)
    };
    Outgoing {
        topic: &letter.topic,
        payload: letter.payload.as_slice(),
        id,
        dup,
        retain: letter.retain,
        properties: &letter.properties,
        expiry_s: letter
            .expires
            .map(|at| u32::try_from(left(at)).unwrap_or(u32::MAX)),
        alias: None,
    }
}

fn put_letter(out: &mut Vec<u8>, version: Version, letter: &Letter, id: Option<u16>, dup: bool) {
    outgoing(letter, id, dup).put(version, out);
}

/// A received message as the hub keeps it: properties that travel on stay encoded, the expiry is counted here.
fn letter(topic: Arc<str>, publish: &Publish) -> Letter {
    let mut expires = None;
    let mut kept = Vec::new();
    for property in publish.properties() {
        match property {
            Property::MessageExpiryInterval(seconds) => {
                expires = Instant::now().checked_add(Duration::from_secs(seconds.val().into()));
            }
            Property::PayloadFormatIndicator(_)
            | Property::ContentType(_)
            | Property::ResponseTopic(_)
            | Property::CorrelationData(_)
            | Property::UserProperty(_) => kept.extend(property.to_continuous_buffer()),
            _ => {}
        }
    }
    Letter {
        topic,
        payload: publish.payload().clone(),
        qos: publish.qos(),
        retain: publish.retain(),
        properties: kept.into(),
        expires,
    }
}
