//! One end's half of the protocol: keeps every message until its fate is known.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::task::Waker;

use iot_core::{Fate, Qos, Ticket};

use super::broker::Down;
use super::world::{Letter, What, World};

/// A packet to the broker.
#[derive(Clone, Debug)]
pub(super) enum Up {
    Connect,
    Publish { ticket: u64, letter: Rc<Letter> },
    Puback { id: u64 },
    Subscribe { channels: u8 },
}

impl Up {
    pub(super) const fn describe(&self) -> (u64, u64) {
        match self {
            Self::Connect => (0, 0),
            Self::Publish { ticket, .. } => (1, *ticket),
            Self::Puback { id } => (2, *id),
            Self::Subscribe { channels } => (3, *channels as u64),
        }
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Link {
    Down,
    Dialling,
    Up,
}

/// A message whose fate is not known.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) ticket: u64,
    pub(super) letter: Rc<Letter>,
    pub(super) on_wire: bool,
}

/// What waits to be returned by `next`.
#[derive(Debug)]
pub(super) enum Ready {
    Connected {
        resumed: bool,
    },
    Disconnected,
    Settled {
        ticket: Ticket,
        fate: Fate,
    },
    Message {
        epoch: u32,
        id: u64,
        letter: Rc<Letter>,
    },
}

/// At-most-once messages beyond so many events are dropped: their sender does not wait for anybody.
const MOST_READY: usize = 1_024;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) tenant: usize,
    pub(super) tenant_name: Rc<str>,
    /// `None` is a service.
    pub(super) device: Option<Rc<str>>,
    pub(super) link: Link,
    pub(super) epoch: u32,
    /// Whether the link swallows every packet.
    pub(super) silent: bool,
    /// In the order of their tickets.
    pub(super) pending: VecDeque<Pending>,
    pub(super) on_wire: usize,
    pub(super) ready: VecDeque<Ready>,
    pub(super) unread_fates: usize,
    /// The message returned last: its connection and the broker's number.
    pub(super) handed: Option<(u32, u64)>,
    pub(super) wanted: u8,
    pub(super) granted: u8,
    pub(super) last_ticket: u64,
    /// Attempts to connect since the last one that was answered.
    attempts: u32,
    pub(super) forgetful: bool,
    pub(super) waker: Option<Waker>,
}

impl Client {
    pub(super) const fn new(tenant: usize, tenant_name: Rc<str>, device: Option<Rc<str>>) -> Self {
        Self {
            tenant,
            tenant_name,
            device,
            link: Link::Down,
            epoch: 0,
            silent: false,
            pending: VecDeque::new(),
            on_wire: 0,
            ready: VecDeque::new(),
            unread_fates: 0,
            handed: None,
            wanted: 0,
            granted: 0,
            last_ticket: 0,
            attempts: 0,
            forgetful: false,
            waker: None,
        }
    }

    pub(super) fn tell(&mut self, ready: Ready) {
        self.unread_fates += usize::from(matches!(ready, Ready::Settled { .. }));
        self.ready.push_back(ready);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn place(&self, ticket: u64) -> Option<usize> {
        self.pending
            .binary_search_by_key(&ticket, |pending| pending.ticket)
            .ok()
    }

    fn settle(&mut self, ticket: u64, fate: Fate) -> bool {
        let Some(pending) = self.place(ticket).and_then(|at| self.pending.remove(at)) else {
            return false;
        };
        self.on_wire -= usize::from(pending.on_wire);
        let ticket = Ticket::new(ticket);
        self.tell(Ready::Settled { ticket, fate });
        true
    }

    /// The most urgent message that is not on the wire, the oldest of them.
    fn next_to_send(&mut self) -> Option<&mut Pending> {
        let waiting = self.pending.iter_mut().filter(|pending| !pending.on_wire);
        waiting.max_by_key(|pending| (pending.letter.priority, core::cmp::Reverse(pending.ticket)))
    }

    /// Whether a message of this connection waits to be returned, or to be acknowledged.
    fn holds(&self, epoch: u32, id: u64) -> bool {
        self.handed == Some((epoch, id))
            || self.ready.iter().any(|ready| {
                matches!(ready, Ready::Message { epoch: e, id: i, .. } if (*e, *i) == (epoch, id))
            })
    }
}

impl World {
    /// The client, if it still is in that connection and connected.
    fn connected(&mut self, end: usize, epoch: u32) -> Option<&mut Client> {
        self.clients
            .get_mut(end)
            .filter(|client| client.epoch == epoch && client.link == Link::Up)
    }

    /// Puts on the wire what the window has room for.
    pub(super) fn pump(&mut self, end: usize) {
        let (window, resend_ms) = (self.rules.window, self.rules.resend_ms);
        loop {
            let Some(client) = self.clients.get_mut(end) else {
                return;
            };
            if client.link != Link::Up || client.on_wire >= window {
                return;
            }
            let epoch = client.epoch;
            let Some(pending) = client.next_to_send() else {
                return;
            };
            let (ticket, letter) = (pending.ticket, pending.letter.clone());
            if letter.qos == Qos::AtMostOnce {
                client.settle(ticket, Fate::Delivered);
            } else {
                pending.on_wire = true;
                client.on_wire += 1;
                self.after(resend_ms, What::Resend { end, epoch, ticket });
            }
            self.send_up(end, epoch, Up::Publish { ticket, letter });
        }
    }

    pub(super) fn resend(&mut self, end: usize, epoch: u32, ticket: u64) {
        let Some(client) = self.connected(end, epoch) else {
            return;
        };
        let pending = client.place(ticket).and_then(|at| client.pending.get(at));
        let Some(pending) = pending.filter(|pending| pending.on_wire) else {
            return;
        };
        let letter = pending.letter.clone();
        self.counts.resent += 1;
        self.send_up(end, epoch, Up::Publish { ticket, letter });
        self.after(self.rules.resend_ms, What::Resend { end, epoch, ticket });
    }

    /// Asks for what is wanted and not granted.
    pub(super) fn ask(&mut self, end: usize, epoch: u32) {
        let Some(client) = self.connected(end, epoch) else {
            return;
        };
        let channels = client.wanted & !client.granted;
        if channels != 0 {
            self.send_up(end, epoch, Up::Subscribe { channels });
            self.after(self.rules.resend_ms, What::Ask { end, epoch });
        }
    }

    /// Tries to connect unless a newer attempt or a connection stands.
    pub(super) fn dial(&mut self, end: usize, epoch: u32) {
        let (retry_ms, resend_ms) = (self.rules.retry_ms, self.rules.resend_ms);
        let Some(client) = self.clients.get_mut(end) else {
            return;
        };
        if client.epoch != epoch || client.link == Link::Up {
            return;
        }
        client.epoch += 1;
        client.link = Link::Dialling;
        client.attempts += 1;
        let (epoch, pause) = (client.epoch, retry_ms << client.attempts.min(3));
        let pause = resend_ms + self.random.below(pause + 1);
        self.send_up(end, epoch, Up::Connect);
        self.after(pause, What::Dial { end, epoch });
    }

    /// An end learns that its connection is gone, and plans the next one.
    pub(super) fn lose_link(&mut self, end: usize) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(end) else {
            return;
        };
        let was_up = client.link == Link::Up;
        client.link = Link::Down;
        client.epoch += 1;
        client.on_wire = 0;
        for pending in &mut client.pending {
            pending.on_wire = false;
        }
        if was_up {
            client.tell(Ready::Disconnected);
        }
        // What was on the wire when its time ran out waited for exactly this.
        let late = |pending: &&Pending| pending.letter.expires_ms <= now;
        while let Some(ticket) = client.pending.iter().find(late).map(|one| one.ticket) {
            client.settle(ticket, Fate::Expired);
            self.counts.expired += 1;
        }
        let epoch = client.epoch;
        let pause = 1 + self.random.below(self.rules.retry_ms);
        self.after(pause, What::Dial { end, epoch });
    }

    pub(super) fn expire(&mut self, end: usize, ticket: u64) {
        let Some(client) = self.clients.get_mut(end) else {
            return;
        };
        let pending = client.place(ticket).and_then(|at| client.pending.get(at));
        // One on the wire may have arrived: it waits for the answer, or for the link to break.
        if pending.is_some_and(|pending| !pending.on_wire) {
            client.settle(ticket, Fate::Expired);
            self.counts.expired += 1;
        }
    }

    pub(super) fn client_receives(&mut self, end: usize, epoch: u32, packet: Down) {
        let Some(client) = self
            .clients
            .get_mut(end)
            .filter(|client| client.epoch == epoch)
        else {
            return;
        };
        match (packet, client.link) {
            (Down::Connack { resumed }, Link::Dialling) => {
                client.link = Link::Up;
                // An earlier attempt may have made the session that this one found: its answer was lost, and
                // with it the word that the subscriptions are gone.
                let attempts = core::mem::take(&mut client.attempts);
                let trusted = resumed && attempts == 1;
                client.tell(Ready::Connected { resumed: trusted });
                if !trusted {
                    client.granted = 0;
                }
                if !resumed && client.forgetful {
                    self.counts.forgotten += client.pending.len() as u64;
                    client.pending.clear();
                }
                self.ask(end, epoch);
                self.pump(end);
            }
            (Down::Suback { channels }, Link::Up) => client.granted |= channels,
            (Down::Puback { ticket, refused }, Link::Up) => {
                let fate = if refused {
                    Fate::Refused
                } else {
                    Fate::Delivered
                };
                if client.settle(ticket, fate) {
                    self.counts.refused += u64::from(refused);
                    self.pump(end);
                }
            }
            (Down::Publish { id: 0, letter }, Link::Up) => {
                if client.ready.len() < MOST_READY {
                    client.tell(Ready::Message {
                        epoch,
                        id: 0,
                        letter,
                    });
                } else {
                    self.counts.dropped += 1;
                }
            }
            (Down::Publish { id, letter }, Link::Up) if !client.holds(epoch, id) => {
                client.tell(Ready::Message { epoch, id, letter });
            }
            _ => {}
        }
    }
}
