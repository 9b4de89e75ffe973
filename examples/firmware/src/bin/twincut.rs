//! A twin on records on flash, edited from both sides, with a power supply that fails at a chosen operation.
//!
//! `.ci/powercut` runs it again and again on the same files until both sides have agreed on every round. The service is
//! played by what is outside: it remembers in a file what it was told, and holds the device to it after each start.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::engine::{Done, Event, Step};
use iot_core::node::{block_on, restore};
use iot_core::port::Records as _;
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::time::TimeBounds;
use iot_core::{Channel, Engine as _, Instant, Message, Now, Ticket};
use iot_firmware::board::{Board, File, argument, exit};
use iot_firmware::cut::{FileFlash, PAGE, Supply, cut};
use iot_twin::leaf::{LeafReader, LeafWriter};
use iot_twin::{Code, Twin, TwinDevice};

#[derive(Twin)]
struct Room {
    #[twin(desired)]
    setpoint: u16,
    #[twin(desired, local = LocalSticky)]
    blinds: u16,
    #[twin(reported)]
    measured: u16,
}

type RoomTwin = TwinDevice<Room, 2>;
type Store<'s> = FlashRecords<FileFlash<'s>, 4, 16>;

/// Bytes of the flash.
const BYTES: usize = 4 * PAGE;
/// How often both sides edit.
const ROUNDS: u16 = 24;
/// What is desired of the blinds, once; hands have it otherwise.
const BLINDS: u16 = 7;
const FIELDS: usize = 3;
/// How often something is measured in a round.
const MEASUREMENTS: usize = 24;
const NOW: Now = Now::new(Instant::ZERO, TimeBounds::UNKNOWN);

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

/// A boot, and all rounds that are left.
async fn run(supply: &Supply) -> Result<[(&'static str, usize); 3], &'static str> {
    let flash = FileFlash::open(supply, BYTES).ok_or("flash")?;
    let mut world = World::open(supply).ok_or("world")?;
    let store = Store::open(flash, 0..BYTES as u32, Config::new());
    let mut store = store.await.map_err(|_| "open")?;
    let (mut twin, mut buffer) = (RoomTwin::new(), [0; 256]);
    let restored = restore(&mut twin, &mut store, NOW, &mut buffer).await;
    restored.map_err(|_| "restore")?;
    twin.input(NOW, &Event::Connected { resumed: false });
    // What is desired is offered anew at each start.
    world.obey(&mut twin);
    world.hold(&twin)?;
    while world.get(ROUND) <= ROUNDS {
        let (round, by_hand) = (world.get(ROUND), world.get(TURNED));
        twin.report(|room| room.blinds = by_hand);
        // Enough that numbers of reports run out within a boot, and have to be reserved anew.
        for _ in 0..MEASUREMENTS {
            let measured = world.measure();
            twin.report(|room| room.measured = measured);
            settle(&mut twin, &mut store, &mut world).await?;
        }
        for _ in 0..16 {
            settle(&mut twin, &mut store, &mut world).await?;
            if world.agrees(round) {
                break;
            }
            let mut delta = [0; 64];
            let delta = world.delta(round, &mut delta).ok_or("delta")?;
            twin.input(NOW, &Event::Message(Message::new(Channel::Twin, delta)));
        }
        if !world.agrees(round) {
            return Err("no agreement");
        }
        // The next round: another setpoint is desired, and somebody turns the blinds.
        world.set(TURNED, 100 + round);
        world.set(ROUND, round + 1);
    }
    let room = twin.state();
    if (room.setpoint, room.blinds) != (setpoint(ROUNDS), world.get(TURNED) - 1) {
        return Err("both sides differ");
    }
    Ok([
        ("rounds", ROUNDS.into()),
        ("obeyed", world.get(OBEYED).into()),
        ("reports", world.get(REPORTS).into()),
    ])
}

/// Does what the twin asks for until it is quiet, and what is desired of it.
async fn settle(
    twin: &mut RoomTwin,
    store: &mut Store<'_>,
    world: &mut World<'_>,
) -> Result<(), &'static str> {
    let mut buffer = [0; RoomTwin::BUFFER_BYTES + 64];
    loop {
        let done = match twin.step(NOW, &mut buffer) {
            Step::Persist(batch) => {
                store.commit(&batch).await.map_err(|_| "commit")?;
                Done::Persisted
            }
            Step::Send(message) => {
                world.hear(message.payload)?;
                Done::Sent(Ticket::new(1))
            }
            _ if world.obey(twin) => continue,
            _ => return Ok(()),
        };
        twin.done(NOW, done);
    }
}

/// What is desired in a round, under the number behind it: the first is the blinds'.
const fn setpoint(round: u16) -> u16 {
    1_000 + round
}

/// The service and the room, which no power cut at the device touches: numbers of 16 bits in `world.bin`.
struct World<'s> {
    file: File,
    supply: &'s Supply,
}

/// Which round it is, from 1; how the blinds were turned; what the room's heating is set to.
const ROUND: usize = 0;
const TURNED: usize = 1;
const HEATING: usize = 2;
/// How often a desire was obeyed, and how many reports were heard.
const OBEYED: usize = 3;
const REPORTS: usize = 4;
/// The highest number whose value the device said that it applied.
const APPLIED: usize = 5;
/// Up to which version reports were taken in.
const TAKEN: usize = 6;
/// What is measured: never the same twice.
const MEASURED: usize = 7;
/// The newest version of each field's value, and the value, from here on.
const TOLD: usize = 8;
const BLINDS_TOLD: usize = TOLD + 3;

impl<'s> World<'s> {
    fn open(supply: &'s Supply) -> Option<Self> {
        let file = File::open(c"world.bin")?;
        let mut world = Self { file, supply };
        if world.get(ROUND) == 0 {
            world.set(TURNED, 100);
            world.set(ROUND, 1);
        }
        Some(world)
    }

    fn get(&mut self, at: usize) -> u16 {
        let mut bytes = [0; 2];
        self.file.read(2 * at, &mut bytes);
        u16::from_le_bytes(bytes)
    }

    fn set(&mut self, at: usize, number: u16) {
        self.file.write(2 * at, &number.to_le_bytes());
    }

    fn measure(&mut self) -> u16 {
        let measured = self.get(MEASURED) + 1;
        self.set(MEASURED, measured);
        measured
    }

    /// Whatever the device has told of is still there after a start.
    fn hold(&mut self, twin: &RoomTwin) -> Result<(), &'static str> {
        let applied = self.get(APPLIED);
        if applied > 0 && twin.state().setpoint < setpoint(applied) {
            return Err("it forgot what it had applied");
        }
        if twin.state().blinds < self.get(BLINDS_TOLD) {
            return Err("it forgot what a hand had done");
        }
        Ok(())
    }

    /// Does what is desired. The power may go right before and right after it.
    fn obey(&mut self, twin: &mut RoomTwin) -> bool {
        let Some(desired) = twin.changed() else {
            return false;
        };
        if desired.setpoint != twin.state().setpoint {
            if self.supply.is_last() {
                cut();
            }
            self.set(HEATING, desired.setpoint);
            let obeyed = self.get(OBEYED);
            self.set(OBEYED, obeyed + 1);
            if self.supply.is_last() {
                cut();
            }
        }
        twin.acknowledge(desired.version, true);
        true
    }

    /// Whether the service knows of everything that was done on both sides in a round.
    fn agrees(&mut self, round: u16) -> bool {
        let told = self.get(BLINDS_TOLD);
        self.get(APPLIED) == round
            && told == self.get(TURNED)
            && self.get(HEATING) == setpoint(round)
    }

    /// Everything that is desired, as the service says it every time.
    fn delta<'b>(&mut self, round: u16, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let mut out = LeafWriter::new(buffer);
        out.array(8);
        let number = u64::from(round) + 1;
        for head in [1, 0, 1, 0, number, self.get(TAKEN).into()] {
            out.unsigned(head);
        }
        out.bool(false);
        out.array(2);
        for leaf in [[1, 1, BLINDS.into()], [0, number, setpoint(round).into()]] {
            out.array(3);
            leaf.into_iter().for_each(|part| out.unsigned(part));
        }
        out.finish()
    }

    /// Takes a report in, and holds it against what was said before.
    fn hear(&mut self, payload: &[u8]) -> Result<(), &'static str> {
        let mut input = LeafReader::new(payload);
        let is_report = input.array() == Some(11) && (input.unsigned(), input.unsigned()) == (1, 1);
        // Epoch, contiguous, floor and base.
        let [_, contiguous, floor, base] = [(); 4].map(|()| input.unsigned());
        let _ = input.bool();
        let count = input.array().filter(|_| is_report).ok_or("no report")?;
        for _ in 0..count {
            let answers = input.array() == Some(5);
            let (field, version) = (input.unsigned() as usize, input.unsigned() as u16);
            let value = if input.null() {
                0
            } else {
                input.unsigned() as u16
            };
            let (number, code) = match answers {
                true => (input.unsigned() as u16, input.unsigned() as u16),
                false => (0, 0),
            };
            if input.failed() || field >= FIELDS {
                return Err("a malformed report");
            }
            let place = TOLD + 2 * field;
            match (self.get(place), self.get(place + 1)) {
                (before, same) if version == before && value != same => {
                    return Err("a version has two values");
                }
                (before, _) if version < before => return Err("a version came back"),
                _ => {}
            }
            if field == 0 && Code::new(code).is_applied() && number > 1 {
                if u64::from(number) > contiguous {
                    return Err("it applied what it does not have");
                }
                let applied = self.get(APPLIED).max(number - 1);
                self.set(APPLIED, applied);
            }
            self.set(place + 1, value);
            self.set(place, version);
        }
        let to = input.unsigned();
        // What lies below the floor is told anew.
        let taken = u64::from(self.get(TAKEN)).max(floor.saturating_sub(1));
        if base <= taken {
            self.set(TAKEN, to as u16);
        }
        let reports = self.get(REPORTS);
        self.set(REPORTS, reports + 1);
        Ok(())
    }
}
