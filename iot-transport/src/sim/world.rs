//! What happens when: one queue of things to come, one source of randomness.

use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use iot_core::sim::{Faults, SimEntropy};
use iot_core::{Channel, Priority, Qos};

use super::broker::{Down, Session};
use super::client::{Client, Up};
use super::weather::{Storm, Weather};
use super::{Counts, Rules};

/// One message, shared by all who hold it.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) channel: Channel,
    pub(super) priority: Priority,
    pub(super) qos: Qos,
    pub(super) payload: Rc<[u8]>,
    /// Whose it is.
    pub(super) from: usize,
    /// The device it is for, when a service sent it to one that is known.
    pub(super) to: Option<usize>,
    /// When its time is over; never is `u64::MAX`.
    pub(super) expires_ms: u64,
}

/// What will happen. `epoch` is the number of the connection that it belongs to.
#[derive(Debug)]
pub(super) enum What {
    ToBroker {
        end: usize,
        epoch: u32,
        packet: Up,
    },
    ToEnd {
        end: usize,
        epoch: u32,
        packet: Down,
    },
    /// An end sends a message again unless it was acknowledged.
    Resend {
        end: usize,
        epoch: u32,
        ticket: u64,
    },
    /// The broker does.
    Again {
        end: usize,
        epoch: u32,
        id: u64,
    },
    /// An end asks for its subscriptions again unless they were granted.
    Ask {
        end: usize,
        epoch: u32,
    },
    Dial {
        end: usize,
        epoch: u32,
    },
    Expire {
        end: usize,
        ticket: u64,
    },
    /// Both sides give a silent link up.
    Silence {
        end: usize,
        epoch: u32,
    },
    Heal {
        end: usize,
    },
    Storm {
        storm: Storm,
        season: u32,
    },
}

#[derive(Debug)]
struct Due {
    at: u64,
    number: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Who belongs to one tenant.
#[derive(Debug, Default)]
pub(super) struct Tenant {
    pub(super) devices: BTreeMap<Rc<str>, usize>,
    pub(super) services: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) random: SimEntropy,
    pub(super) faults: Faults,
    pub(super) rules: Rules,
    pub(super) weather: Weather,
    /// Counts changes of the weather, so that storms of an earlier one do not break.
    pub(super) season: u32,
    pub(super) clients: Vec<Client>,
    /// What the broker keeps for each client, at the same index.
    pub(super) sessions: Vec<Session>,
    pub(super) tenants: Vec<Tenant>,
    names: BTreeMap<Rc<str>, usize>,
    queue: BinaryHeap<Reverse<Due>>,
    number: u64,
    pub(super) counts: Counts,
    pub(super) digest: u64,
}

impl World {
    pub(super) fn new(seed: u64, faults: Faults, rules: Rules) -> Self {
        Self {
            now: 0,
            random: SimEntropy::new(seed),
            faults,
            rules,
            weather: Weather::CALM,
            season: 0,
            clients: Vec::new(),
            sessions: Vec::new(),
            tenants: Vec::new(),
            names: BTreeMap::new(),
            queue: BinaryHeap::new(),
            number: 0,
            counts: Counts::default(),
            digest: 0,
        }
    }

    pub(super) fn add_end(&mut self, now: u64, tenant: &str, device: Option<&str>) -> usize {
        self.run(now);
        let me = self.clients.len();
        let number = match self.names.get(tenant) {
            Some(number) => *number,
            None => {
                self.names.insert(tenant.into(), self.tenants.len());
                self.tenants.push(Tenant::default());
                self.tenants.len() - 1
            }
        };
        let device: Option<Rc<str>> = device.map(Into::into);
        if let Some(tenant) = self.tenants.get_mut(number) {
            match &device {
                Some(device) => {
                    tenant.devices.insert(device.clone(), me);
                }
                None => tenant.services.push(me),
            }
        }
        self.clients
            .push(Client::new(number, tenant.into(), device));
        self.sessions.push(Session::default());
        self.at(now, What::Dial { end: me, epoch: 0 });
        me
    }

    pub(super) fn at(&mut self, at: u64, what: What) {
        self.number += 1;
        let number = self.number;
        self.queue.push(Reverse(Due { at, number, what }));
    }

    pub(super) fn after(&mut self, span: u64, what: What) {
        self.at(self.now.saturating_add(span), what);
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(due)| due.at.max(self.now))
    }

    /// Lets everything happen that is due.
    pub(super) fn run(&mut self, now: u64) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= now) {
            if let Some(Reverse(due)) = self.queue.pop() {
                self.now = self.now.max(due.at);
                self.happen(due.what);
            }
        }
        self.now = self.now.max(now);
    }

    fn happen(&mut self, what: What) {
        let (kind, end, number) = describe(&what);
        self.mix(kind << 56 ^ self.now);
        self.mix((end as u64) << 40 ^ number);
        match what {
            What::ToBroker { end, epoch, packet } => self.broker_receives(end, epoch, packet),
            What::ToEnd { end, epoch, packet } => self.client_receives(end, epoch, packet),
            What::Resend { end, epoch, ticket } => self.resend(end, epoch, ticket),
            What::Again { end, epoch, id } => self.send_again(end, epoch, id),
            What::Ask { end, epoch } => self.ask(end, epoch),
            What::Dial { end, epoch } => self.dial(end, epoch),
            What::Expire { end, ticket } => self.expire(end, ticket),
            What::Silence { end, epoch } => self.fall_silent(end, epoch),
            What::Heal { end } => self.heal(end),
            What::Storm { storm, season } => self.storm(storm, season),
        }
    }

    /// Takes `word` into the digest; FNV-1a over words.
    pub(super) const fn mix(&mut self, word: u64) {
        self.digest = (self.digest ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    /// When a packet arrives that is sent now: never, once, or twice where that is allowed.
    fn ways(&mut self, end: usize, twice: bool) -> [Option<u64>; 2] {
        self.counts.packets += 1;
        let silent = self.clients.get(end).is_none_or(|client| client.silent);
        let faults = self.faults;
        if silent || (faults.loss > 0 && self.random.chance(faults.loss)) {
            self.counts.lost += 1;
            return [None, None];
        }
        let doubled = twice && faults.duplicate > 0 && self.random.chance(faults.duplicate);
        self.counts.doubled += u64::from(doubled);
        let spread = u64::from(faults.delay_max_ms.saturating_sub(faults.delay_min_ms));
        let mut way = || {
            let more = if spread > 0 {
                self.random.below(spread + 1)
            } else {
                0
            };
            self.now + u64::from(faults.delay_min_ms) + more
        };
        let first = way();
        [Some(first), doubled.then(way)]
    }

    pub(super) fn send_up(&mut self, end: usize, epoch: u32, packet: Up) {
        let once = matches!(&packet, Up::Publish { letter, .. } if letter.qos == Qos::AtMostOnce);
        let [first, second] = self.ways(end, !once);
        if let Some(at) = second {
            let packet = packet.clone();
            self.at(at, What::ToBroker { end, epoch, packet });
        }
        if let Some(at) = first {
            self.at(at, What::ToBroker { end, epoch, packet });
        }
    }

    pub(super) fn send_down(&mut self, end: usize, epoch: u32, packet: Down) {
        let once = matches!(packet, Down::Publish { id: 0, .. });
        let [first, second] = self.ways(end, !once);
        if let Some(at) = second {
            let packet = packet.clone();
            self.at(at, What::ToEnd { end, epoch, packet });
        }
        if let Some(at) = first {
            self.at(at, What::ToEnd { end, epoch, packet });
        }
    }
}

/// What the digest takes in: a code, whose it is, and which.
const fn describe(what: &What) -> (u64, usize, u64) {
    match what {
        What::ToBroker { end, packet, .. } => {
            let (kind, number) = packet.describe();
            (kind, *end, number)
        }
        What::ToEnd { end, packet, .. } => {
            let (kind, number) = packet.describe();
            (0x10 + kind, *end, number)
        }
        What::Resend { end, ticket, .. } => (0x20, *end, *ticket),
        What::Again { end, id, .. } => (0x21, *end, *id),
        What::Ask { end, epoch } => (0x22, *end, *epoch as u64),
        What::Dial { end, epoch } => (0x23, *end, *epoch as u64),
        What::Expire { end, ticket } => (0x24, *end, *ticket),
        What::Silence { end, epoch } => (0x25, *end, *epoch as u64),
        What::Heal { end } => (0x26, *end, 0),
        What::Storm { storm, season } => (0x27, *storm as usize, *season as u64),
    }
}

/// The bit of a channel in a set of them.
pub(super) const fn bit(channel: Channel) -> u8 {
    match channel {
        Channel::Twin => 1,
        Channel::Command => 2,
        Channel::Telemetry => 4,
        Channel::Update => 8,
        Channel::Health => 16,
        Channel::Enrol => 32,
        // `Channel` may grow; what is unknown is never subscribed.
        _ => 0,
    }
}
