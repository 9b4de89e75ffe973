//! The broker's half of the protocol: one session for each end, routed by tenant and channel.

use alloc::collections::VecDeque;
use alloc::rc::Rc;

use iot_core::Qos;

use super::client::Up;
use super::weather::Sessions;
use super::world::{Letter, What, World, bit};

/// A packet to an end.
#[derive(Clone, Debug)]
pub(super) enum Down {
    Connack {
        resumed: bool,
    },
    /// Number zero is at most once: nobody acknowledges it.
    Publish {
        id: u64,
        letter: Rc<Letter>,
    },
    Puback {
        ticket: u64,
        refused: bool,
    },
    Suback {
        channels: u8,
    },
}

impl Down {
    pub(super) const fn describe(&self) -> (u64, u64) {
        match self {
            Self::Connack { resumed } => (0, *resumed as u64),
            Self::Publish { id, .. } => (1, *id),
            Self::Puback { ticket, refused } => (2, *ticket << 1 | *refused as u64),
            Self::Suback { channels } => (3, *channels as u64),
        }
    }
}

#[derive(Debug)]
struct Queued {
    id: u64,
    letter: Rc<Letter>,
}

/// What the broker keeps for one end.
#[derive(Debug, Default)]
pub(super) struct Session {
    exists: bool,
    /// The connection that stands, and whether it found the session there.
    connection: Option<(u32, bool)>,
    channels: u8,
    /// In the order of their numbers; the first `sent` are on the link.
    queue: VecDeque<Queued>,
    sent: usize,
    last_id: u64,
}

impl Session {
    fn epoch(&self) -> Option<u32> {
        self.connection.map(|(epoch, _)| epoch)
    }

    pub(super) const fn disconnect(&mut self) {
        self.connection = None;
        self.sent = 0;
    }

    /// Where a message is that was sent and not acknowledged.
    fn sent_place(&self, id: u64) -> Option<usize> {
        let found = self.queue.binary_search_by_key(&id, |queued| queued.id);
        found.ok().filter(|at| *at < self.sent)
    }
}

impl World {
    pub(super) fn broker_receives(&mut self, end: usize, epoch: u32, packet: Up) {
        let Some(session) = self.sessions.get_mut(end) else {
            return;
        };
        if matches!(packet, Up::Connect) {
            // A packet of an earlier attempt may arrive late: it must not take the newer one's place.
            if session.epoch().is_some_and(|newest| newest > epoch) {
                return;
            }
            let resumed = match session.connection {
                Some((known, resumed)) if known == epoch => resumed,
                _ => {
                    session.sent = 0;
                    core::mem::replace(&mut session.exists, true)
                }
            };
            session.connection = Some((epoch, resumed));
            self.send_down(end, epoch, Down::Connack { resumed });
            self.flush(end);
            return;
        }
        if session.epoch() != Some(epoch) {
            return;
        }
        match packet {
            Up::Connect => {}
            Up::Subscribe { channels } => {
                session.channels |= channels;
                self.send_down(end, epoch, Down::Suback { channels });
            }
            Up::Puback { id } => {
                if let Some(at) = session.sent_place(id) {
                    session.queue.remove(at);
                    session.sent -= 1;
                    self.flush(end);
                }
            }
            Up::Publish { ticket, letter } => {
                let refuse = self.weather.refuse;
                let refused = refuse > 0 && self.random.chance(refuse);
                let answered = letter.qos != Qos::AtMostOnce;
                if !refused {
                    self.route(letter);
                }
                if answered {
                    self.send_down(end, epoch, Down::Puback { ticket, refused });
                }
            }
        }
    }

    /// Queues a message for whoever asked for its channel.
    fn route(&mut self, letter: Rc<Letter>) {
        let Some(from) = self.clients.get(letter.from) else {
            return;
        };
        let (tenant, from_device) = (from.tenant, from.device.is_some());
        let mut found = false;
        if from_device {
            let count = self
                .tenants
                .get(tenant)
                .map_or(0, |tenant| tenant.services.len());
            for at in 0..count {
                let service = self
                    .tenants
                    .get(tenant)
                    .and_then(|tenant| tenant.services.get(at));
                if let Some(service) = service.copied() {
                    found |= self.enqueue(service, &letter);
                }
            }
        } else if let Some(device) = letter.to {
            found = self.enqueue(device, &letter);
        }
        self.counts.unrouted += u64::from(!found);
    }

    fn enqueue(&mut self, end: usize, letter: &Rc<Letter>) -> bool {
        let most = self.rules.queue;
        let Some(session) = self.sessions.get_mut(end) else {
            return false;
        };
        if !session.exists || session.channels & bit(letter.channel) == 0 {
            return false;
        }
        if letter.qos == Qos::AtMostOnce {
            match session.epoch() {
                Some(epoch) => {
                    let letter = letter.clone();
                    self.send_down(end, epoch, Down::Publish { id: 0, letter });
                }
                None => self.counts.dropped += 1,
            }
        } else if session.queue.len() >= most {
            self.counts.dropped += 1;
        } else {
            session.last_id += 1;
            session.queue.push_back(Queued {
                id: session.last_id,
                letter: letter.clone(),
            });
            self.flush(end);
        }
        true
    }

    /// Puts on the link what the window has room for.
    fn flush(&mut self, end: usize) {
        let (window, resend_ms, now) = (self.rules.window, self.rules.resend_ms, self.now);
        loop {
            let Some(session) = self.sessions.get_mut(end) else {
                return;
            };
            let Some(epoch) = session.epoch().filter(|_| session.sent < window) else {
                return;
            };
            let Some(queued) = session.queue.get(session.sent) else {
                return;
            };
            if queued.letter.expires_ms <= now {
                session.queue.remove(session.sent);
                self.counts.expired += 1;
                continue;
            }
            let (id, letter) = (queued.id, queued.letter.clone());
            session.sent += 1;
            self.send_down(end, epoch, Down::Publish { id, letter });
            self.after(resend_ms, What::Again { end, epoch, id });
        }
    }

    pub(super) fn send_again(&mut self, end: usize, epoch: u32, id: u64) {
        let Some(session) = self
            .sessions
            .get(end)
            .filter(|one| one.epoch() == Some(epoch))
        else {
            return;
        };
        let queued = session.sent_place(id).and_then(|at| session.queue.get(at));
        if let Some(queued) = queued {
            let letter = queued.letter.clone();
            self.counts.resent += 1;
            self.send_down(end, epoch, Down::Publish { id, letter });
            self.after(self.rules.resend_ms, What::Again { end, epoch, id });
        }
    }

    /// Every connection breaks; without its sessions the broker knows nobody any more.
    pub(super) fn restart(&mut self, now: u64, sessions: Sessions) {
        self.run(now);
        self.counts.restarts += 1;
        self.mix(0x5e ^ sessions as u64);
        for end in 0..self.sessions.len() {
            if let Some(session) = self.sessions.get_mut(end) {
                match sessions {
                    Sessions::Kept => session.disconnect(),
                    Sessions::Lost => {
                        self.counts.discarded += session.queue.len() as u64;
                        // Numbers go on: an old acknowledgement must not fit a new message.
                        let last_id = session.last_id;
                        *session = Session {
                            last_id,
                            ..Session::default()
                        };
                    }
                }
            }
            self.lose_link(end);
        }
    }
}
