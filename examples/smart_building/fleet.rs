//! All devices of the service as one engine: what arrives goes to the member it names, and each member
//! that has something to do gets its steps in turn.

use std::collections::{BTreeSet, HashMap, VecDeque};

use iot_core::authz::{Action, Authorizer, OwnLane};
use iot_core::command::Terms;
use iot_core::engine::{Done, Engine, Event, RecordKey, RecordRange, Step};
use iot_core::{Channel, CommandId, DeviceId, Instant, Message, Now, Peer, Principal, Ticket};
use iot_identity::enrol::Confined;

use crate::desk::Desk;
use crate::jobs::Job;
use crate::member::{Member, Part};
use crate::pki::Fallible;

/// A member's records: the first key of the first member, and how many each has.
const FIRST_RECORD: u32 = 0x1_0000;
const RECORDS_EACH: u32 = 0x100;

/// Every device the service knows.
pub struct Fleet {
    pub members: Vec<Member>,
    pub desk: Desk,
    /// Who the service is, and what it asks before it issues a command.
    who: Principal,
    rule: Confined<OwnLane>,
    names: HashMap<DeviceId, usize>,
    due: VecDeque<usize>,
    is_due: Vec<bool>,
    alarms: BTreeSet<(Instant, usize)>,
    alarm_of: Vec<Option<Instant>>,
    asked: Option<(usize, Part)>,
    tickets: HashMap<Ticket, usize>,
    scratch: Vec<u8>,
    /// Whose twins have taken something in that is not on record.
    unsaved: VecDeque<usize>,
    /// Messages received and sent, by channel number.
    pub received: [u64; Channel::ALL.len()],
    pub sent: [u64; Channel::ALL.len()],
}

impl Fleet {
    pub fn new(
        who: Principal,
        rule: Confined<OwnLane>,
        devices: impl IntoIterator<Item = DeviceId>,
        desk: Desk,
    ) -> Fallible<Self> {
        let members = (0u32..)
            .zip(devices)
            .map(|(index, id)| {
                let first = RecordKey::new(FIRST_RECORD + index * RECORDS_EACH);
                Member::new(who.tenant, id, first)
            })
            .collect::<Fallible<Vec<_>>>()?;
        let names = members
            .iter()
            .enumerate()
            .map(|(index, member)| (member.id, index))
            .collect();
        let count = members.len();
        Ok(Self {
            members,
            desk,
            who,
            rule,
            names,
            due: VecDeque::new(),
            is_due: vec![false; count],
            alarms: BTreeSet::new(),
            alarm_of: vec![None; count],
            asked: None,
            tickets: HashMap::new(),
            scratch: vec![0; 64 * 1024],
            unsaved: VecDeque::new(),
            received: [0; Channel::ALL.len()],
            sent: [0; Channel::ALL.len()],
        })
    }

    /// The member of that name, to be asked for steps because something is about to change.
    pub fn member(&mut self, device: &DeviceId) -> Option<&mut Member> {
        let index = *self.names.get(device)?;
        self.wake(index);
        self.members.get_mut(index)
    }

    /// How many members satisfy `condition`.
    pub fn count(&self, condition: impl Fn(&Member) -> bool) -> usize {
        self.members
            .iter()
            .filter(|member| condition(member))
            .count()
    }

    /// Issues a command to one device.
    pub fn issue(&mut self, now: Now, device: &DeviceId, job: Job) -> Fallible<CommandId> {
        let peer = Peer::new(&self.who.tenant, device);
        if !self
            .rule
            .decide(&self.who, &Action::Command { peer })
            .is_allowed()
        {
            return Err(format!("{device} is given no command").into());
        }
        let member = self
            .member(device)
            .ok_or("a device the service does not know")?;
        Ok(member.issuer.issue(now, job, Terms::DEFAULT)?)
    }

    /// Carries out what the desk decided: offers, and answers to newcomers.
    pub fn settle_desk(&mut self, now: Now) {
        while let Some((device, post)) = self.desk.next_post(now) {
            if let Some(member) = self.member(&device) {
                member.post.push_back(post);
            }
        }
    }

    /// The member of that name and its place; it is not asked for steps.
    pub fn known(&mut self, device: &DeviceId) -> Option<(usize, &mut Member)> {
        let index = *self.names.get(device)?;
        Some((index, self.members.get_mut(index)?))
    }

    /// The next member whose twins are not on record.
    pub fn next_unsaved(&mut self) -> Option<usize> {
        self.unsaved.pop_front()
    }

    pub fn wake(&mut self, index: usize) {
        if let Some(is_due) = self.is_due.get_mut(index)
            && !core::mem::replace(is_due, true)
        {
            self.due.push_back(index);
        }
    }

    pub fn wake_all(&mut self) {
        for index in 0..self.members.len() {
            self.wake(index);
        }
    }

    fn set_alarm(&mut self, index: usize, at: Option<Instant>) {
        let Some(alarm) = self.alarm_of.get_mut(index) else {
            return;
        };
        if let Some(old) = core::mem::replace(alarm, at) {
            self.alarms.remove(&(old, index));
        }
        if let Some(at) = at {
            self.alarms.insert((at, index));
        }
    }

    fn ring(&mut self, now: Instant) {
        while let Some(&(at, index)) = self.alarms.first() {
            if at > now {
                break;
            }
            self.set_alarm(index, None);
            self.wake(index);
        }
    }

    fn deliver(&mut self, now: Now, message: &Message<'_>) {
        let Some(device) = message
            .peer
            .and_then(|peer| DeviceId::new(peer.device()).ok())
        else {
            return;
        };
        let Some(&index) = self.names.get(&device) else {
            return;
        };
        count(&mut self.received, message.channel);
        if let Some(member) = self.members.get_mut(index) {
            member.receive(now, message, &mut self.desk);
            if message.channel == Channel::Twin {
                self.unsaved.push_back(index);
            }
        }
        self.wake(index);
        self.settle_desk(now);
    }
}

fn count(counts: &mut [u64], channel: Channel) {
    let number = Channel::ALL.iter().position(|known| *known == channel);
    if let Some(count) = number.and_then(|number| counts.get_mut(number)) {
        *count += 1;
    }
}

impl Engine for Fleet {
    fn handles(&self, _: Channel) -> bool {
        true
    }

    fn records(&self) -> RecordRange {
        let count = u32::try_from(self.members.len()).unwrap_or(0);
        RecordRange::new(RecordKey::new(FIRST_RECORD), count * RECORDS_EACH)
    }

    fn input(&mut self, now: Now, event: &Event<'_>) {
        match event {
            Event::Message(message) => self.deliver(now, message),
            Event::Record { key, .. } => {
                let index = (key.get() - FIRST_RECORD) / RECORDS_EACH;
                if let Some(member) = self.members.get_mut(index as usize) {
                    member.issuer.input(now, event);
                }
            }
            Event::Settled { ticket, .. } => {
                if let Some(index) = self.tickets.remove(ticket)
                    && let Some(member) = self.members.get_mut(index)
                {
                    member.input(now, event);
                    self.wake(index);
                }
            }
            _ => {
                for member in &mut self.members {
                    member.input(now, event);
                }
                self.wake_all();
            }
        }
    }

    fn step<'b>(&mut self, now: Now, buffer: &'b mut [u8]) -> Step<'b> {
        self.ring(now.instant);
        self.settle_desk(now);
        self.asked = None;
        while let Some(&index) = self.due.front() {
            let Some(member) = self.members.get_mut(index) else {
                return Step::Idle;
            };
            // A step may be asked for twice; the first time only tells whether there is one.
            if let Some(part) = member.busy_part(now, &mut self.scratch) {
                self.asked = Some((index, part));
                break;
            }
            self.due.pop_front();
            if let Some(is_due) = self.is_due.get_mut(index) {
                *is_due = false;
            }
            let deadline = member.deadline();
            self.set_alarm(index, deadline);
        }
        let Some((index, part)) = self.asked else {
            return Step::Idle;
        };
        let Some(member) = self.members.get_mut(index) else {
            return Step::Idle;
        };
        member.step(part, now, buffer)
    }

    fn done(&mut self, now: Now, done: Done<'_>) {
        let Some((index, part)) = self.asked.take() else {
            return;
        };
        if let Done::Sent(ticket) = done {
            self.tickets.insert(ticket, index);
        }
        // Whoever was refused goes to the end of the queue: others may have something else to offer.
        if matches!(done, Done::Failed(_)) {
            self.due.rotate_left(1);
        }
        if let Some(member) = self.members.get_mut(index) {
            if matches!(done, Done::Sent(_)) {
                count(&mut self.sent, part.channel());
            }
            member.done(part, now, done);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let alarm = self.alarms.first().map(|(at, _)| *at);
        [alarm, self.desk.deadline()].into_iter().flatten().min()
    }
}
