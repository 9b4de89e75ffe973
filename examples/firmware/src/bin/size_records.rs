//! The log and the records on it: written, compacted, read, and opened again after a power cut.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::node::block_on;
use iot_core::port::Records;
use iot_core::storage::log::Config;
use iot_core::storage::records::FlashRecords;
use iot_firmware::board::{Board, exit, opaque};
use iot_firmware::flash::RamFlash;

const BYTES: usize = 4096;
type Store<'m> = FlashRecords<RamFlash<'m>, 4, 16>;

#[entry]
fn main() -> ! {
    let Some(board) = Board::start() else {
        exit(false)
    };
    let mut memory = [0xFF; BYTES];
    let mut facts = None;
    for _ in 0..2 {
        facts = session(&mut memory);
    }
    let (keys, sum) = facts.unwrap_or_default();
    let facts = [("keys", keys), ("sum", sum)];
    board.finish(if keys > 0 { Ok(&facts) } else { Err("records") })
}

// Apart, so that the flash is not part of the frame: its 4 KiB would make each access to the frame longer.
#[inline(never)]
fn session(memory: &mut [u8]) -> Option<(usize, usize)> {
    block_on(run(memory))
}

async fn run(memory: &mut [u8]) -> Option<(usize, usize)> {
    let flash = RamFlash::new(memory);
    let mut store = Store::open(flash, 0..BYTES as u32, Config::new())
        .await
        .ok()?;
    for round in 0..200u32 {
        let mut buffer = [0; 128];
        let mut batch = BatchWriter::new(&mut buffer);
        batch
            .put(RecordKey::new(round % 7), opaque(&[round as u8; 40]))
            .ok()?;
        batch.remove(RecordKey::new(opaque(round % 11))).ok()?;
        store.commit(&batch.finish()).await.ok()?;
    }
    let (mut sum, mut from, mut value) = (0, RecordKey::new(0), [0; 64]);
    while let Some(key) = store.next_key(from).await.ok()? {
        let value = store.read(key, &mut value).await.ok()??;
        sum += value.iter().map(|&byte| usize::from(byte)).sum::<usize>();
        from = key.offset(1)?;
    }
    Some((store.len(), sum))
}
