//! Telemetry through an outbox on flash, over MQTT 5 on the UART, with a power supply that fails.
//!
//! `.ci/uplink` runs it again and again on the same flash file, against a real broker, and holds what arrived there
//! against what this says.
#![no_std]
#![no_main]

use core::time::Duration;

use cortex_m_rt::entry;
use iot_core::engine::RecordKey;
use iot_core::node::{Node, PollTimer};
use iot_core::port::Timer;
use iot_core::retry::Policy;
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_core::{DeviceId, Fate, Message, TenantId};
use iot_firmware::board::{Board, argument, exit, sleep};
use iot_firmware::cut::{FileFlash, PAGE, Supply};
use iot_firmware::uart::{Jitter, Uart};
use iot_firmware::world::{Stuck, now, poll};
use iot_transport::mqtt::chip::{Client, Settings};
use iot_transport::outbox::{Cursor, Outbox, PushError};
use iot_transport::session::Terms;

/// Messages of each boot that the power lasts for.
const MESSAGES: u32 = 20;
const PAGES: usize = 8;
/// Milliseconds, one each round: a broker that is there answers sooner.
const ROUNDS: usize = 30_000;

const RETRY: Policy = Policy::new(Duration::from_millis(50), Duration::from_millis(500));
const TERMS: Terms = Terms::new(RETRY)
    .with_keep_alive(Duration::from_secs(10))
    .with_window(4);

type Store<'s> = FlashRecords<FileFlash<'s>, PAGES, 48>;
type Messages = Outbox<16, 512>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let operations = argument();
    let result = run(&Supply::new(operations), operations);
    board.finish(match &result {
        Ok(facts) => Ok(facts),
        Err(Stuck(stage)) => Err(stage),
    })
}

/// A boot: pushes its messages, and drives until each message of this boot and of those before has its fate.
fn run(supply: &Supply, operations: u32) -> Result<[(&'static str, usize); 2], Stuck> {
    let bytes = PAGES * PAGE;
    let flash = FileFlash::open(supply, bytes).ok_or(Stuck("flash"))?;
    let store = poll(Store::open(flash, 0..bytes as u32, Config::new()))?;
    let store = store.map_err(|_| Stuck("open"))?;

    let names = (TenantId::new("acme"), DeviceId::new("chip"));
    let (Ok(tenant), Ok(device)) = names else {
        return Err(Stuck("names"));
    };
    let settings = Settings::device(tenant, device).with_terms(TERMS);
    let (uart, timer) = (Uart::new(supply), PollTimer::new(now));
    let client = Client::<_, _, _, 8, 512, 256>::new(uart, timer, Jitter::default(), settings);

    let mut node = Node::new(client, store, timer);
    let mut outbox =
        Messages::new(RecordKey::new(0x100), 0x5eed).settles_within(Duration::from_millis(20));
    let mut buffer = [0; 1_536];
    let mut engines = (&mut outbox,);
    poll(node.restore(&mut engines, &mut buffer))?.map_err(|_| Stuck("restore"))?;

    let (mut last, mut pushed, mut delivered) = (0, 0_u32, 0);
    let mut cursor = Cursor::START;
    for _ in 0..ROUNDS {
        // What tells this message from one of another boot that may have had its sequence.
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&operations.to_be_bytes());
        payload[4..].copy_from_slice(&pushed.to_be_bytes());
        if pushed < MESSAGES {
            match engines
                .0
                .push(node.timer().now(), &Message::telemetry(&payload))
            {
                Ok(sequence) => (last, pushed) = (sequence.get(), pushed + 1),
                // Fates of the last boot are there again after a reboot; they are read below.
                Err(PushError::Full { .. } | PushError::Busy | PushError::Unread { .. }) => {}
                Err(PushError::Damaged) => return Err(Stuck("damaged")),
                Err(_) => return Err(Stuck("push")),
            }
        }
        // A turn that waits is dropped; the next one goes on where it stood.
        match poll(node.turn(&mut engines, &mut buffer)) {
            Ok(turned) => turned.map_err(|_| Stuck("turn"))?,
            Err(_) => sleep(),
        }
        while let Some(settled) = engines.0.settled_after(cursor) {
            cursor = settled.cursor;
            if settled.fate != Fate::Delivered {
                return Err(Stuck("a message was not delivered"));
            }
            delivered += 1;
        }
        if pushed == MESSAGES && engines.0.is_empty() {
            return Ok([("last", last as usize), ("fates", delivered)]);
        }
    }
    Err(Stuck("the outbox did not drain"))
}
