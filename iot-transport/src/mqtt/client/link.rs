//! The client's link: it does what its session says, one step at a time.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;

use iot_core::{Channel, Fate, Qos};
use tokio::time::Instant;

use super::aliases::Aliases;
use super::clock::{Spread, earliest};
use super::connect::{Connect, ConnectError, Dialling};
use super::{Client, Ready};
use crate::mqtt::packet::PacketError;
use crate::mqtt::packet::client::{Connack, Hello, Reply, Testament, decode};
use crate::mqtt::wire::{Io, Wire};
use crate::session::{Event, Reason, Step, Welcome};
use crate::topic::MAX_TOPIC_BYTES;

/// What there is of a link; where it stands, the session knows.
pub(super) enum Link {
    Down,
    Dialling(Dialling),
    Opened(Box<dyn Io>),
    Greeting(Wire<Box<dyn Io>>),
    Up(Box<Up>),
}

/// A link on which the broker took us in.
pub(super) struct Up {
    pub(super) wire: Wire<Box<dyn Io>>,
    pub(super) packet_limit: usize,
    pub(super) aliases: Aliases,
    /// The bytes read and written that the session knows of.
    pub(super) seen: (u64, u64),
    /// Whether the DISCONNECT is in the buffer, or out.
    pub(super) parting: bool,
    /// The window was full, and not half of it is free yet.
    pub(super) full: bool,
    /// Subscriptions on their way, by packet identifier.
    pub(super) subscribing: BTreeMap<u16, Channel>,
}

impl<C: Connect> Client<C> {
    /// Does one piece of work; pending when there is none.
    pub(super) fn progress(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(ticket) = self.outbox.expire(Instant::now()) {
            self.settle(ticket, Fate::Expired);
            return Poll::Ready(());
        }
        let now = self.clock.now();
        match self.session.step(now, &mut Spread) {
            Step::Idle => return self.poll_link(cx),
            Step::Dial => {
                self.link = Link::Dialling(self.connector.connect());
                self.session.done(now);
            }
            Step::Greet => match self.greet() {
                Ok(()) => self.session.done(now),
                Err(error) => self.give_up(error),
            },
            Step::Close(reason) => {
                self.close_link(reason, cx);
                self.session.done(now);
            }
            step => {
                self.serve(step);
            }
        }
        Poll::Ready(())
    }

    fn poll_link(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let moved = match &mut self.link {
            Link::Down | Link::Opened(_) => Ok(false),
            Link::Dialling(attempt) => match attempt.as_mut().poll(cx) {
                Poll::Ready(Ok(stream)) => {
                    self.link = Link::Opened(stream);
                    self.session.input(self.clock.now(), Event::Opened);
                    Ok(true)
                }
                Poll::Ready(Err(error)) => Err(ConnectError::while_dialling(error)),
                Poll::Pending => Ok(false),
            },
            Link::Greeting(_) => self.await_welcome(cx),
            Link::Up(_) => self.pump(cx),
        };
        match moved {
            Ok(true) => Poll::Ready(()),
            Ok(false) => {
                let deadline = self.session.deadline().and_then(|at| self.clock.at(at));
                let deadline = earliest(deadline, self.outbox.next_expiry());
                self.timer.poll(deadline, cx)
            }
            Err(error) => {
                self.give_up(error);
                Poll::Ready(())
            }
        }
    }

    fn greet(&mut self) -> Result<(), ConnectError> {
        let Link::Opened(stream) = core::mem::replace(&mut self.link, Link::Down) else {
            return Ok(());
        };
        let settings = &self.settings;
        let mut room = [0; MAX_TOPIC_BYTES];
        let will = settings.will.as_ref().and_then(|will| {
            // It was addressed when it was set: see `Settings::with_will`.
            let topic = settings.will_topic(will).ok()?.write(&mut room).ok()?;
            Some(Testament {
                topic,
                payload: &will.payload,
                at_least_once: will.qos != Qos::AtMostOnce,
                retain: will.retain,
                delay_s: u32::try_from(will.delay.as_secs()).unwrap_or(u32::MAX),
            })
        });
        let mut wire = Wire::new(stream, settings.packet_bytes());
        let hello = Hello {
            version: settings.version,
            client_id: &settings.client_id,
            clean: false,
            keep_alive_s: u16::try_from(settings.keep_alive.as_secs()).unwrap_or(u16::MAX),
            session_expiry_s: u32::try_from(settings.session_expiry.as_secs()).unwrap_or(u32::MAX),
            receive_maximum: settings.window,
            packet_limit: u32::try_from(settings.packet_bytes()).unwrap_or(u32::MAX),
            login: settings
                .login
                .as_ref()
                .map(|(name, password)| (name.as_str(), password.as_slice())),
            will,
            properties: &settings.properties,
        };
        hello.put(&mut wire.out)?;
        self.link = Link::Greeting(wire);
        Ok(())
    }

    /// Moves the CONNECT out and the CONNACK in; whether anything happened.
    fn await_welcome(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectError> {
        let Link::Greeting(wire) = &mut self.link else {
            return Ok(false);
        };
        if let Poll::Ready(Err(error)) = wire.poll_write(cx) {
            // The reason for a refusal may stand in the input already: it says more than a broken pipe.
            return match wire.poll_read(cx) {
                Poll::Ready(Err(told)) => Err(ConnectError::while_greeting(told)),
                _ => Err(ConnectError::while_greeting(error)),
            };
        }
        match wire.frame()? {
            Some((first, body)) => match decode(self.settings.version, first, body)? {
                Reply::Connack(connack) if connack.code == 0 => {
                    self.welcome(&connack);
                    Ok(true)
                }
                Reply::Connack(connack) => Err(ConnectError::Refused { code: connack.code }),
                _ => Err(PacketError::Unexpected.into()),
            },
            None => match wire.poll_read(cx) {
                Poll::Ready(Ok(0)) => Err(ConnectError::Lost(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Ok(_)) => Ok(true),
                Poll::Ready(Err(error)) => Err(ConnectError::while_greeting(error)),
                Poll::Pending => Ok(false),
            },
        }
    }

    fn welcome(&mut self, connack: &Connack) {
        let Link::Greeting(wire) = core::mem::replace(&mut self.link, Link::Down) else {
            return;
        };
        self.link = Link::Up(Box::new(Up {
            seen: wire.traffic,
            wire,
            packet_limit: connack.packet_limit,
            aliases: Aliases::new(connack.aliases.min(self.settings.aliases)),
            parting: false,
            full: false,
            subscribing: BTreeMap::new(),
        }));
        let mut welcome =
            Welcome::new(connack.session_present).with_window(connack.receive_maximum);
        if let Some(seconds) = connack.keep_alive_s {
            welcome = welcome.with_keep_alive(Duration::from_secs(seconds.into()));
        }
        self.session
            .input(self.clock.now(), Event::Welcomed(welcome));
        self.link_number += 1;
        self.last_error = None;
        self.stats.connections += 1;
        let resumed = self.session.is_resumed();
        self.ready.push_back(Ready::Connected { resumed });
    }

    /// The link failed: drops what there is of it, and lets the session plan the next attempt.
    fn give_up(&mut self, error: ConnectError) {
        self.drop_link();
        self.last_error = Some(error);
        self.stats.failures += 1;
        self.session
            .input(self.clock.now(), Event::Lost { wait: None });
    }

    fn close_link(&mut self, reason: Reason, cx: &mut Context<'_>) {
        if reason.is_polite() {
            self.part(cx);
        } else {
            self.stats.failures += 1;
            self.last_error = Some(match reason {
                Reason::Silent => ConnectError::Lost(io::ErrorKind::TimedOut.into()),
                _ => ConnectError::TimedOut,
            });
        }
        self.drop_link();
    }

    fn drop_link(&mut self) {
        if self.is_connected() {
            self.outbox.wire_broke();
            self.ready.push_back(Ready::Disconnected);
        }
        self.link = Link::Down;
    }
}
