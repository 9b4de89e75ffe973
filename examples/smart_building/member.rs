//! One device as the service knows it.

use std::collections::VecDeque;
use std::time::Duration;

use iot_core::command::{Conclusion, Issuer};
use iot_core::engine::{Done, Engine, Event, RecordKey, Step};
use iot_core::lifecycle::Stage;
use iot_core::{Channel, DeviceId, Instant, Message, Now, Peer, TenantId};
use iot_twin::sync::Timing;

use crate::backlog::encode_confirmation;
use crate::desk::Desk;
use crate::jobs::{ISSUER, Job};
use crate::keeper::Kept;
use crate::ledger::Ledger;
use crate::pack;
use crate::pki::Fallible;

/// How long the service collects packs before it confirms them.
const CONFIRM_AFTER: Duration = Duration::from_millis(100);

/// A message that belongs to no engine.
#[derive(Debug)]
pub struct Post {
    pub channel: Channel,
    pub payload: Vec<u8>,
}

/// Which part of a member a step came from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Room,
    Setup,
    Issuer,
    Post(Channel),
    Confirmation,
}

impl Part {
    pub const fn channel(self) -> Channel {
        match self {
            Self::Room | Self::Setup => Channel::Twin,
            Self::Issuer => Channel::Command,
            Self::Post(channel) => channel,
            Self::Confirmation => Channel::Telemetry,
        }
    }
}

/// One device.
pub struct Member {
    pub id: DeviceId,
    tenant: TenantId,
    pub stage: Stage,
    pub room: Kept,
    pub setup: Kept,
    pub issuer: Issuer<Job, 4>,
    pub conclusions: Vec<Conclusion>,
    pub ledger: Ledger,
    /// Degrees by pack number.
    pub series: Vec<(u64, f64)>,
    pub post: VecDeque<Post>,
    /// How many extra copies of each command go out.
    pub copies: usize,
    echo: Vec<u8>,
    /// Extra copies that went out.
    pub echoed: u64,
    confirm_at: Option<Instant>,
}

impl Member {
    pub fn new(tenant: TenantId, id: DeviceId, first_record: RecordKey) -> Fallible<Self> {
        let timing = Timing::new(Duration::from_secs(2), Duration::from_secs(900));
        Ok(Self {
            id,
            tenant,
            stage: Stage::Manufactured,
            room: Kept::room(tenant, id, timing),
            setup: Kept::setup(tenant, id, timing)?,
            issuer: Issuer::new(ISSUER, first_record).to(tenant, id),
            conclusions: Vec::new(),
            ledger: Ledger::default(),
            series: Vec::new(),
            post: VecDeque::new(),
            copies: 0,
            echo: Vec::new(),
            echoed: 0,
            confirm_at: None,
        })
    }

    /// Takes a message of this device in.
    pub fn receive(&mut self, now: Now, message: &Message<'_>, desk: &mut Desk) {
        match message.channel {
            Channel::Telemetry => {
                if let Some(pack) = pack::decode(message.payload) {
                    if self.ledger.take(pack.number) {
                        self.series.push((pack.number, f64::from(pack.temperature)));
                    }
                    self.confirm_at.get_or_insert(now.instant + CONFIRM_AFTER);
                }
            }
            Channel::Enrol => desk.enrol(self.id, message.payload, now),
            Channel::Update => desk.update(self.id, message.payload, now),
            _ => self.input(now, &Event::Message(*message)),
        }
    }

    /// Shows an event to the engines it concerns.
    pub fn input(&mut self, now: Now, event: &Event<'_>) {
        let concerns = |channel: Channel| match event {
            Event::Message(message) => message.channel == channel,
            _ => true,
        };
        if concerns(Channel::Twin) {
            self.room.input(now, event);
            self.setup.input(now, event);
        }
        if concerns(Channel::Command) {
            self.issuer.input(now, event);
            while let Some(conclusion) = self.issuer.concluded() {
                self.conclusions.push(conclusion);
            }
        }
    }

    /// The first part that has something to do.
    pub fn busy_part(&mut self, now: Now, scratch: &mut [u8]) -> Option<Part> {
        if let Some(post) = self.post.front() {
            return Some(Part::Post(post.channel));
        }
        if !matches!(self.issuer.step(now, scratch), Step::Idle) {
            return Some(Part::Issuer);
        }
        if !matches!(self.room.step(now, scratch), Step::Idle) {
            return Some(Part::Room);
        }
        if !matches!(self.setup.step(now, scratch), Step::Idle) {
            return Some(Part::Setup);
        }
        let confirms = self.confirm_at.is_some_and(|at| now.instant >= at);
        confirms.then_some(Part::Confirmation)
    }

    /// The step of one part.
    pub fn step<'b>(&mut self, part: Part, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        match part {
            Part::Room => self.room.step(now, buffer),
            Part::Setup => self.setup.step(now, buffer),
            Part::Issuer => {
                let step = self.issuer.step(now, buffer);
                if let Step::Send(message) = &step
                    && self.copies > 0
                {
                    self.echo = message.payload.to_vec();
                }
                step
            }
            Part::Post(channel) => match self.post.front() {
                Some(post) => address(&self.tenant, &self.id, channel, &post.payload, buffer),
                None => Step::Idle,
            },
            Part::Confirmation => {
                let mut room = [0; 16];
                match encode_confirmation(self.ledger.contiguous(), &mut room) {
                    Some(bytes) => {
                        address(&self.tenant, &self.id, Channel::Telemetry, bytes, buffer)
                    }
                    None => Step::Idle,
                }
            }
        }
    }

    /// Learns how the step of one part ended.
    pub fn done(&mut self, part: Part, now: Now, done: Done<'_>) {
        let sent = matches!(done, Done::Sent(_));
        match part {
            Part::Room => self.room.done(now, done),
            Part::Setup => self.setup.done(now, done),
            Part::Issuer => {
                self.issuer.done(now, done);
                if sent {
                    let echo = core::mem::take(&mut self.echo);
                    self.echoed += self.copies as u64;
                    for _ in 0..self.copies {
                        self.post.push_back(Post {
                            channel: Channel::Command,
                            payload: echo.clone(),
                        });
                    }
                }
            }
            Part::Post(_) if sent => {
                self.post.pop_front();
            }
            Part::Confirmation if sent => self.confirm_at = None,
            Part::Post(_) | Part::Confirmation => {}
        }
    }

    pub fn deadline(&self) -> Option<Instant> {
        [
            self.room.deadline(),
            self.setup.deadline(),
            self.issuer.deadline(),
            self.confirm_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}

/// A message to one device: name, tenant and payload all lie in the driver's buffer.
fn address<'b>(
    tenant: &TenantId,
    device: &DeviceId,
    channel: Channel,
    payload: &[u8],
    buffer: &'b mut [u8],
) -> Step<'b> {
    compose(tenant, device, channel, payload, buffer).map_or(Step::Idle, Step::Send)
}

fn compose<'b>(
    tenant: &TenantId,
    device: &DeviceId,
    channel: Channel,
    payload: &[u8],
    buffer: &'b mut [u8],
) -> Option<Message<'b>> {
    let (tenant, rest) = put(tenant.as_str().as_bytes(), buffer)?;
    let (device, rest) = put(device.as_str().as_bytes(), rest)?;
    let (payload, _) = put(payload, rest)?;
    let text = |bytes| core::str::from_utf8(bytes).ok();
    let peer = Peer::parse(text(tenant)?, text(device)?).ok()?;
    Some(Message::new(channel, payload).to(peer))
}

fn put<'b>(bytes: &[u8], room: &'b mut [u8]) -> Option<(&'b [u8], &'b mut [u8])> {
    let (room, rest) = room.split_at_mut_checked(bytes.len())?;
    room.copy_from_slice(bytes);
    Some((room, rest))
}
