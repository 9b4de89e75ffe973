//! The real engines, driven as the model says: every turn must do exactly what the model foretells.

use core::time::Duration;

use futures::executor::block_on;
use iot_core::codec::encode_into;
use iot_core::command::{
    Answer, Class, Command, Conclusion, Inbox, IssueError, Issuer, Outcome, Reason, Request,
    Response, Terms,
};
use iot_core::engine::{Done, Engine, Event, Failure, RecordKey, Step};
use iot_core::node;
use iot_core::port::Records;
use iot_core::storage::memory::MemoryRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket, Timestamp};

use super::rules::{Ask, End, Id, Rules, Say};

/// A command of any class in any lane.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    class: Class,
    lane: u8,
}

const CLASSES: [Class; 4] = [
    Class::Transactional,
    Class::Idempotent,
    Class::Probed,
    Class::Opaque,
];

impl Command for Job {
    const NAMES: &'static [&'static str] = &["Job"];

    fn class(&self) -> Class {
        self.class
    }
    fn lane(&self) -> u8 {
        self.lane
    }
    fn name(&self) -> &'static str {
        "Job"
    }
}

impl<C> minicbor::Encode<C> for Job {
    fn encode<W: minicbor::encode::Write>(
        &self,
        out: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        let class = CLASSES.iter().position(|class| *class == self.class);
        let class = u8::try_from(class.unwrap()).unwrap();
        out.array(3)?.str("Job")?.u8(class)?.u8(self.lane)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Job {
    fn decode(
        bytes: &mut minicbor::Decoder<'b>,
        _: &mut C,
    ) -> Result<Self, minicbor::decode::Error> {
        bytes.array()?;
        bytes.str()?;
        let class = CLASSES[usize::from(bytes.u8()?)];
        let lane = bytes.u8()?;
        Ok(Self { class, lane })
    }
}

/// What a real driver saw, in the model's words.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Seen {
    Commit,
    Say(Id, Say),
    Send(Ask),
    Tell(Id, Option<End>),
}

const TOTAL: RecordKey = RecordKey::new(0x0900);
const SHORT: Duration = Duration::from_secs(3_600);
const LONG: Duration = Duration::from_secs(1_000_000_000);

/// The power goes after so many commits.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Cut;

fn job(rules: &Rules, id: Id) -> Job {
    Job {
        class: rules.class(id),
        lane: rules.lane(id),
    }
}

fn real(id: Id) -> CommandId {
    CommandId::new(
        IssuerId::new(id.issuer.into()),
        id.epoch.into(),
        id.sequence.into(),
    )
}

fn small(id: CommandId) -> Id {
    Id {
        issuer: u8::try_from(id.issuer.get()).unwrap(),
        epoch: u8::try_from(id.epoch).unwrap(),
        sequence: u8::try_from(id.sequence).unwrap(),
    }
}

fn end_of(outcome: Outcome) -> End {
    match outcome {
        Outcome::Done(_) => End::Done,
        Outcome::InDoubt => End::InDoubt,
        Outcome::Forgotten => End::Forgotten,
        Outcome::NO_ROOM => End::NoRoom,
        Outcome::Rejected {
            reason: Reason::TooOld,
        } => End::TooOld,
        other => panic!("an end that the model does not know: {other:?}"),
    }
}

fn outcome_of(end: End) -> Outcome {
    match end {
        End::Done => Outcome::DONE,
        End::InDoubt => Outcome::InDoubt,
        End::Forgotten => Outcome::Forgotten,
        End::NoRoom => Outcome::NO_ROOM,
        End::TooOld => Outcome::Rejected {
            reason: Reason::TooOld,
        },
    }
}

fn restore(engine: &mut dyn Engine, records: &mut MemoryRecords, now: Now) {
    block_on(node::restore(engine, records, now, &mut [0; 256])).unwrap();
}

/// Takes every step the engine wants; `cut` counts the commits that still take place.
fn pump(
    engine: &mut dyn Engine,
    records: &mut MemoryRecords,
    now: Now,
    cut: &mut Option<usize>,
    full: Option<Failure>,
    seen: &mut Vec<Seen>,
) -> Result<(), Cut> {
    let mut buffer = [0; 1024];
    loop {
        let done = match engine.step(now, &mut buffer) {
            Step::Idle => return Ok(()),
            Step::Persist(_) if let Some(failure) = full => Done::Failed(failure),
            Step::Persist(batch) => {
                block_on(records.commit(&batch)).unwrap();
                seen.push(Seen::Commit);
                if let Some(left) = cut {
                    *left -= 1;
                    if *left == 0 {
                        return Err(Cut);
                    }
                }
                Done::Persisted
            }
            Step::Send(message) => {
                read(message.payload, seen);
                Done::Sent(Ticket::new(0))
            }
            other => panic!("an unexpected step: {other:?}"),
        };
        engine.done(now, done);
    }
}

/// What a message says; one of an issuer may carry several requests.
fn read(payload: &[u8], seen: &mut Vec<Seen>) {
    let mut rest = payload;
    while let Ok((request, later)) = Request::decode_first(rest) {
        let settled = u8::try_from(request.settled_below).unwrap();
        let id = small(request.id);
        seen.push(Seen::Send(Ask { id, settled }));
        if later.is_empty() {
            return;
        }
        rest = later;
    }
    let response = Response::decode(payload).unwrap();
    let say = match response.answer {
        Answer::Ended(outcome) => Say::Ended(end_of(outcome)),
        Answer::InProgress => Say::InProgress,
        Answer::Busy => Say::Busy,
        other => panic!("an answer that the model does not know: {other:?}"),
    };
    seen.push(Seen::Say(small(response.id), say));
}

/// The serial number of an inbox's record, and everything else in it.
fn without_serial(value: &[u8]) -> (u64, Vec<u8>) {
    let mut decoder = minicbor::Decoder::new(value);
    decoder.array().unwrap();
    let [_version, _shape] = [(); 2].map(|()| decoder.u32().unwrap());
    let before = decoder.position();
    let serial = decoder.u64().unwrap();
    let rest = &value[decoder.position()..];
    (serial, [&value[..before], rest].concat())
}

/// A device with a real inbox.
pub(crate) struct RealDevice<const WINDOW: usize, const RESULTS: usize> {
    inbox: Inbox<Job, 2, WINDOW, RESULTS, 8>,
    pub(crate) records: MemoryRecords,
    /// What it did since this was last taken.
    pub(crate) seen: Vec<Seen>,
    /// How many commits take place before the power goes.
    pub(crate) cut: Option<usize>,
    /// Nothing can be written.
    full: Option<Failure>,
    now: Now,
}

impl<const WINDOW: usize, const RESULTS: usize> RealDevice<WINDOW, RESULTS> {
    /// Boots, and does what is then due.
    pub(crate) fn boot(records: MemoryRecords, cut: Option<usize>) -> (Self, Result<(), Cut>) {
        let mut inbox = Inbox::with_effects(RecordKey::new(0x0200));
        inbox.allow(IssuerId::new(1)).unwrap();
        inbox.allow(IssuerId::new(2)).unwrap();
        let mut device = Self {
            inbox,
            records,
            seen: Vec::new(),
            cut,
            full: None,
            now: Now::new(Instant::ZERO, TimeBounds::UNKNOWN),
        };
        restore(&mut device.inbox, &mut device.records, device.now);
        let booted = device.pump();
        (device, booted)
    }

    pub(crate) fn deliver(&mut self, rules: &Rules, asks: &[Ask]) -> Result<(), Cut> {
        let (mut bytes, mut used) = ([0; 256], 0);
        for ask in asks {
            let (job, mut command) = (job(rules, ask.id), [0; 32]);
            let command = encode_into(&mut command, |out| out.encode(&job)?.ok()).unwrap();
            let request = Request::new(real(ask.id), command).settled_below(ask.settled.into());
            used += request.encode(&mut bytes[used..]).unwrap();
        }
        let message = Message::new(Channel::Command, &bytes[..used]);
        self.inbox.input(self.now, &Event::Message(message));
        self.pump()
    }

    pub(crate) fn hand_out(&mut self) -> Option<(Id, bool)> {
        let pending = self.inbox.next()?;
        Some((small(pending.id), pending.resumed))
    }

    pub(crate) fn finish(&mut self, rules: &Rules, id: Id) -> Result<(), Cut> {
        if rules.class(id) == Class::Transactional {
            let total = [self.total() + 1];
            let inbox = &mut self.inbox;
            inbox
                .finish_with(real(id), Outcome::DONE, TOTAL, &total)
                .unwrap();
        } else {
            self.inbox.finish(real(id), Outcome::DONE).unwrap();
        }
        self.pump()
    }

    /// From now on the storage has no room.
    pub(crate) fn fill(&mut self) {
        self.full = Some(Failure::StorageFull);
    }

    /// From now on the storage fails, whatever is written.
    pub(crate) fn break_storage(&mut self) {
        self.full = Some(Failure::Effect);
    }

    /// It can be written again, and some time has passed.
    pub(crate) fn make_room(&mut self) -> Result<(), Cut> {
        self.full = None;
        self.now.instant = self.now.instant + Duration::from_secs(1);
        self.pump()
    }

    /// The handler gives up, without an effect.
    pub(crate) fn fail(&mut self, id: Id) -> Result<(), Cut> {
        self.inbox
            .finish(real(id), Outcome::Failed { code: 1 })
            .unwrap();
        self.pump()
    }

    pub(crate) const fn is_damaged(&self) -> bool {
        self.inbox.is_damaged()
    }

    /// How many transactional effects are on record.
    pub(crate) fn total(&self) -> u8 {
        self.records.value(TOTAL).map_or(0, |value| value[0])
    }

    /// The inbox's own records, byte for byte, but of their serial numbers only the order.
    pub(crate) fn own_records(&self) -> Vec<Option<Vec<u8>>> {
        let keys = 0x0200..0x0210;
        let values = keys.map(|key| self.records.value(RecordKey::new(key)));
        let values: Vec<_> = values.map(|value| value.map(without_serial)).collect();
        let mut serials: Vec<u64> = values.iter().flatten().map(|(serial, _)| *serial).collect();
        serials.sort_unstable();
        let ranked = values.into_iter().map(|value| {
            let (serial, mut bytes) = value?;
            let rank = serials.iter().position(|other| *other == serial)?;
            bytes.push(u8::try_from(rank).ok()?);
            Some(bytes)
        });
        ranked.collect()
    }

    fn pump(&mut self) -> Result<(), Cut> {
        let (inbox, records) = (&mut self.inbox, &mut self.records);
        let seen = &mut self.seen;
        pump(inbox, records, self.now, &mut self.cut, self.full, seen)
    }
}

/// A service with a real issuer.
pub(crate) struct RealDesk<const PENDING: usize> {
    issuer: Issuer<Job, PENDING>,
    pub(crate) records: MemoryRecords,
    pub(crate) seen: Vec<Seen>,
    pub(crate) cut: Option<usize>,
    full: Option<Failure>,
    now: Now,
}

impl<const PENDING: usize> RealDesk<PENDING> {
    pub(crate) fn boot(records: MemoryRecords, cut: Option<usize>) -> (Self, Result<(), Cut>) {
        Self::open(records, cut, None)
    }

    /// Boots from a backup and opens a new life, when the clock reads `clock` seconds.
    pub(crate) fn restore(
        records: MemoryRecords,
        cut: Option<usize>,
        clock: u8,
    ) -> (Self, Result<(), Cut>) {
        Self::open(records, cut, Some(clock))
    }

    fn open(
        records: MemoryRecords,
        cut: Option<usize>,
        clock: Option<u8>,
    ) -> (Self, Result<(), Cut>) {
        let wall = Timestamp::from_secs(clock.unwrap_or(1).into());
        let mut desk = Self {
            issuer: Issuer::new(IssuerId::new(1), RecordKey::new(0x4000)),
            records,
            seen: Vec::new(),
            cut,
            full: None,
            now: Now::new(Instant::ZERO, TimeBounds::exact(wall)),
        };
        restore(&mut desk.issuer, &mut desk.records, desk.now);
        if clock.is_some() {
            desk.issuer.open_epoch(desk.now);
        }
        let booted = desk.pump();
        (desk, booted)
    }

    pub(crate) fn issue(&mut self, rules: &Rules, foretold: Option<Id>) -> Result<(), Cut> {
        // A command's class, and with it its length, follows from its number, as in the model.
        let unused = Id {
            issuer: 1,
            epoch: 1,
            sequence: 1,
        };
        let job = job(rules, foretold.unwrap_or(unused));
        let odd = foretold.is_some_and(|id| id.sequence % 2 == 1);
        let terms = Terms::DEFAULT.give_up_after(if odd { SHORT } else { LONG });
        match (self.issuer.issue(self.now, job, terms), foretold) {
            (Ok(id), Some(foretold)) => assert_eq!(small(id), foretold),
            (Err(IssueError::Full { .. }), None) => {}
            other => panic!("issued and foretold: {other:?}"),
        }
        self.pump()
    }

    pub(crate) fn hear(&mut self, id: Id, end: End) -> Result<(), Cut> {
        let mut bytes = [0; 64];
        let response = Response::new(real(id), Answer::Ended(outcome_of(end)));
        let len = response.encode(&mut bytes).unwrap();
        let message = Message::new(Channel::Command, &bytes[..len]);
        self.issuer.input(self.now, &Event::Message(message));
        self.pump()
    }

    pub(crate) fn give_up(&mut self, only_short: bool) -> Result<(), Cut> {
        let patience = if only_short { SHORT } else { LONG };
        self.now.instant = self.now.instant + patience + Duration::from_secs(1);
        self.pump()
    }

    pub(crate) fn repeat(&mut self) -> Result<(), Cut> {
        let connected = Event::Connected { resumed: false };
        self.issuer.input(self.now, &connected);
        self.pump()
    }

    /// From now on the storage has no room.
    pub(crate) fn fill(&mut self) {
        self.full = Some(Failure::StorageFull);
    }

    /// It has room again, and some time has passed: not so much that anything is sent again.
    pub(crate) fn make_room(&mut self) {
        self.full = None;
        self.now.instant = self.now.instant + Duration::from_millis(600);
        self.pump().unwrap();
    }

    /// Its records, byte for byte.
    pub(crate) fn own_records(&self) -> Vec<Option<Vec<u8>>> {
        let keys = 0x4000..0x4008;
        keys.map(|key| self.records.value(RecordKey::new(key)).map(Into::into))
            .collect()
    }

    /// The driver's turn, then the application's, until both are through.
    fn pump(&mut self) -> Result<(), Cut> {
        loop {
            let (issuer, records) = (&mut self.issuer, &mut self.records);
            let (cut, seen) = (&mut self.cut, &mut self.seen);
            pump(issuer, records, self.now, cut, self.full, seen)?;
            let before = self.seen.len();
            while let Some(Conclusion { id, outcome, .. }) = self.issuer.concluded() {
                let end = outcome.ok().map(end_of);
                self.seen.push(Seen::Tell(small(id), end));
            }
            if self.seen.len() == before {
                return Ok(());
            }
        }
    }
}
