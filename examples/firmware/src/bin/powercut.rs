//! Commands of all four classes, on records on flash, with a power supply that fails at a chosen operation.
//!
//! `.ci/powercut` runs it again and again on the same files until every command has ended.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::command::{Answer, Inbox, Outcome, Request, Response};
use iot_core::engine::{BatchWriter, Done, Engine, Event, RecordKey, Step};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, CommandId, Instant, IssuerId, Message, Now, Ticket};
use iot_firmware::board::{Board, argument, exit};
use iot_firmware::cut::{FileFlash, PAGE, Supply, World};

iot_core::commands! {
    enum Job {
        #[transactional]
        Count { command: u8 },
        #[idempotent]
        SetValve { command: u8 },
        #[probed]
        Swap { command: u8 },
        #[opaque]
        Unlock { command: u8 },
    }
}

/// Bytes of the flash.
const BYTES: usize = 4 * PAGE;
/// Commands in all; the command's number is its sequence.
const COMMANDS: usize = 24;
/// The effects of transactional commands are records from here on.
const EFFECTS: u32 = 0x400;
const ISSUER: IssuerId = IssuerId::new(1);
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

const DONE: u8 = 1;
const IN_DOUBT: u8 = 2;

type Store<'s> = FlashRecords<FileFlash<'s>, 4, 48>;
type Jobs = Inbox<Job, 1, 64, 6, 4>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let supply = Supply::new(argument());
    let result = block_on(run(&supply));
    board.finish(match &result {
        Ok(facts) => Ok(facts),
        Err(stage) => Err(stage),
    })
}

/// A boot, and all commands that have not ended, from the first on.
async fn run(supply: &Supply) -> Result<[(&'static str, usize); 3], &'static str> {
    let flash = FileFlash::open(supply, BYTES).ok_or("flash")?;
    let world = World::open(supply).ok_or("world")?;
    let store = Store::open(flash, 0..BYTES as u32, Config::new());
    let mut device = Device {
        store: store.await.map_err(|_| "open")?,
        jobs: Jobs::with_effects(RecordKey::new(0x200)),
        world,
        answer: None,
    };
    device.jobs.allow(ISSUER).map_err(|_| "allow")?;
    device.restore().await.ok_or("restore")?;
    for command in 1..=COMMANDS {
        for _ in 0..8 {
            if device.world.end(command) != 0 {
                break;
            }
            let answer = device.ask(command).await.ok_or("ask")?;
            device.hear(command, answer)?;
        }
        if device.world.end(command) == 0 {
            return Err("no end");
        }
        // A late repetition of an earlier command.
        let earlier = 1 + command * 7 % command;
        let answer = device.ask(earlier).await.ok_or("repeat")?;
        device.hear(earlier, answer)?;
    }
    device.verdict().await
}

struct Device<'s> {
    store: Store<'s>,
    jobs: Jobs,
    world: World<'s>,
    answer: Option<Answer>,
}

impl Device<'_> {
    async fn restore(&mut self) -> Option<()> {
        let (range, mut value) = (self.jobs.records(), [0; 256]);
        let mut from = range.first()?;
        while let Some(key) = self.store.next_key(from).await.ok()? {
            if !range.contains(key) {
                break;
            }
            let value = self.store.read(key, &mut value).await.ok()??;
            self.jobs.input(NOW, &Event::Record { key, value });
            from = key.offset(1)?;
        }
        self.jobs.input(NOW, &Event::Restored);
        self.settle().await
    }

    /// Sends a command and carries out what the inbox hands out; the last answer to it.
    async fn ask(&mut self, command: usize) -> Option<Answer> {
        let id = CommandId::new(ISSUER, 1, command as u32);
        let number = command as u8;
        let job = match command % 4 {
            0 => Job::Count { command: number },
            1 => Job::SetValve { command: number },
            2 => Job::Swap { command: number },
            _ => Job::Unlock { command: number },
        };
        let (mut encoded, mut message) = ([0; 32], [0; 96]);
        let encoded =
            iot_core::codec::encode_into(&mut encoded, |out| out.encode(&job).map(drop)).ok()?;
        let floor = (1..command).find(|&other| self.world.end(other) == 0);
        let request = Request::new(id, encoded).settled_below(floor.unwrap_or(command) as u32);
        let len = request.encode(&mut message)?;
        let payload = message.get(..len)?;
        self.answer = None;
        let message = Message::new(Channel::Command, payload);
        self.jobs.input(NOW, &Event::Message(message));
        self.settle().await?;
        self.answer.take()
    }

    /// Does what the inbox asks for, and what it hands out, until it is quiet.
    async fn settle(&mut self) -> Option<()> {
        let mut buffer = [0; Jobs::BUFFER_BYTES + 64];
        loop {
            loop {
                let done = match self.jobs.step(NOW, &mut buffer) {
                    Step::Persist(batch) => {
                        self.store.commit(&batch).await.ok()?;
                        Done::Persisted
                    }
                    Step::Send(message) => {
                        let response = Response::decode(message.payload).ok()?;
                        self.answer = Some(response.answer);
                        Done::Sent(Ticket::new(1))
                    }
                    _ => break,
                };
                self.jobs.done(NOW, done);
            }
            let Some(job) = self.jobs.next() else {
                return Some(());
            };
            match job.command {
                Job::Count { command } => {
                    let key = RecordKey::new(EFFECTS + u32::from(command));
                    let value = [self.count(key).await? + 1];
                    self.jobs
                        .finish_with(job.id, Outcome::DONE, key, &value)
                        .ok()?;
                    continue;
                }
                Job::Swap { command } if job.resumed && self.world.effects(command.into()) > 0 => {}
                Job::SetValve { command } | Job::Swap { command } | Job::Unlock { command } => {
                    self.world.affect(command.into());
                }
            }
            self.jobs.finish(job.id, Outcome::DONE).ok()?;
        }
    }

    async fn count(&mut self, key: RecordKey) -> Option<u8> {
        let mut value = [0; 1];
        let value = self.store.read(key, &mut value).await.ok()?;
        Some(value.and_then(|value| value.first().copied()).unwrap_or(0))
    }

    fn hear(&mut self, command: usize, answer: Answer) -> Result<(), &'static str> {
        let end = match answer {
            Answer::Ended(Outcome::Done(_)) => DONE,
            Answer::Ended(Outcome::InDoubt) => IN_DOUBT,
            // Ended before, and no longer on record; or not the last word.
            _ => return Ok(()),
        };
        let same = self.world.hear(command, end);
        same.then_some(()).ok_or("two different ends")
    }

    /// Each class must have kept its promise.
    async fn verdict(&mut self) -> Result<[(&'static str, usize); 3], &'static str> {
        let (mut doubts, mut runs) = (0, 0);
        for command in 1..=COMMANDS {
            let (end, effects) = (self.world.end(command), self.world.effects(command));
            doubts += usize::from(end == IN_DOUBT);
            runs += usize::from(effects);
            let key = RecordKey::new(EFFECTS + command as u32);
            let kept = match command % 4 {
                0 => end == DONE && self.count(key).await == Some(1),
                1 => end == DONE && effects >= 1,
                2 => end == DONE && effects == 1,
                _ => end == DONE && effects == 1 || end == IN_DOUBT && effects <= 1,
            };
            if !kept {
                return Err("a class broke its promise");
            }
        }
        // The store works on after all this.
        let mut bytes = [0; 16];
        let mut batch = BatchWriter::new(&mut bytes);
        batch.put(RecordKey::new(1), b"ok").map_err(|_| "batch")?;
        self.store
            .commit(&batch.finish())
            .await
            .map_err(|_| "commit")?;
        Ok([("commands", COMMANDS), ("runs", runs), ("doubts", doubts)])
    }
}
