//! What is acknowledged outlives the power: on a disk that forgets what was not synced, cut at every operation.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::io::{Error, ErrorKind};
use std::sync::{Mutex, MutexGuard};

use ::redb::{Database, StorageBackend};
use futures::executor::block_on;
use iot_core::Timestamp;

use super::{Redb, RedbError};
use crate::registry::{Change, Draft, Expect, Half, Limits, Record, Store as _, TwinKey};
use crate::schema::FieldId;
use crate::sync::TwinService;
use crate::value::Value;

const ROUNDS: u64 = 2;
const LIMITS: Limits = Limits::new(16, 1, 2);

/// What reached the disk, and between what the store said.
#[derive(Debug)]
enum Op {
    Len(usize),
    Write(usize, Vec<u8>),
    Synced,
    Acknowledged(u64),
}

/// A disk in memory that writes down what it is asked.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<Mutex<(Vec<u8>, Vec<Op>)>>);

impl Disk {
    fn holding(image: &[u8]) -> Self {
        Self(Arc::new(Mutex::new((image.to_vec(), Vec::new()))))
    }

    fn lock(&self) -> MutexGuard<'_, (Vec<u8>, Vec<Op>)> {
        self.0.lock().unwrap()
    }

    fn open(&self) -> Result<Redb, RedbError> {
        let backend = self.clone();
        Redb::over(
            move || Database::builder().create_with_backend(backend),
            LIMITS,
        )
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.lock().0.len() as u64)
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let start = usize::try_from(offset).unwrap();
        let disk = self.lock();
        let found = disk.0.get(start..start + len);
        found
            .map(<[u8]>::to_vec)
            .ok_or(ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.do_it(Op::Len(usize::try_from(len).unwrap()))
    }

    fn sync_data(&self, eventual: bool) -> Result<(), Error> {
        // One that is to come eventually holds nothing back from being forgotten.
        if eventual {
            Ok(())
        } else {
            self.do_it(Op::Synced)
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.do_it(Op::Write(usize::try_from(offset).unwrap(), data.to_vec()))
    }
}

impl Disk {
    fn do_it(&self, op: Op) -> Result<(), Error> {
        let mut disk = self.lock();
        land(&mut disk.0, &op);
        disk.1.push(op);
        Ok(())
    }
}

fn land(image: &mut Vec<u8>, op: &Op) {
    match op {
        Op::Len(len) => image.resize(*len, 0),
        Op::Write(offset, data) => {
            let end = offset + data.len();
            image.resize(image.len().max(end), 0);
            image[*offset..end].copy_from_slice(data);
        }
        Op::Synced | Op::Acknowledged(_) => {}
    }
}

fn keys() -> [TwinKey; 2] {
    ["acme/one", "acme/two"].map(|key| key.parse().unwrap())
}

fn record(round: u64) -> Record {
    let mut twin = TwinService::new();
    twin.set_field(FieldId::new(1), round).unwrap();
    Draft::of(&twin).finish().unwrap()
}

/// The round that both twins are of; 0 before the first.
fn round(store: &Redb) -> u64 {
    let [one, two] = keys().map(|key| {
        let found = block_on(store.read(&key)).unwrap();
        found.map_or(0, |stored| match stored.record.value(Half::Desired, "1") {
            Some(Value::Int(round)) => u64::try_from(round).unwrap(),
            other => panic!("{other:?}"),
        })
    });
    assert_eq!(one, two, "half of a batch is there");
    one
}

#[test]
fn what_is_acknowledged_is_there_after_a_power_cut_at_any_operation_of_the_disk() {
    let disk = Disk::default();
    let store = disk.open().unwrap();
    for round in 1..=ROUNDS {
        let put = |key| Change::put(key, Expect::Any, record(round), Timestamp::EPOCH);
        block_on(store.commit(keys().map(put).into())).unwrap();
        disk.lock().1.push(Op::Acknowledged(round));
    }
    drop(store);
    let log = core::mem::take(&mut disk.lock().1);
    let (mut synced, mut landed) = (Vec::new(), Vec::new());
    let (mut acknowledged, mut forgotten, mut ahead) = (0, 0, 0);
    for op in &log {
        land(&mut landed, op);
        let images = match op {
            Op::Len(len) => {
                // A file system brings lengths to the disk before what is written behind them; redb rests on it.
                synced.resize(*len, 0);
                vec![synced.clone()]
            }
            // Everything that was written, or the last of it alone: a disk keeps no order.
            Op::Write(..) => {
                let mut last = synced.clone();
                land(&mut last, op);
                forgotten += usize::from(acknowledged > 0);
                vec![landed.clone(), last]
            }
            Op::Synced => {
                synced.clone_from(&landed);
                Vec::new()
            }
            // Nothing that was not synced; until something is, no later cut leaves less.
            Op::Acknowledged(round) => {
                acknowledged = *round;
                vec![synced.clone()]
            }
        };
        // Whoever never got an answer may have no store yet.
        for image in images.iter().filter(|_| acknowledged > 0) {
            let store = Disk::holding(image).open().unwrap();
            let found = round(&store);
            assert!(
                (acknowledged..=acknowledged + 1).contains(&found),
                "{acknowledged} was acknowledged, and {found} is there"
            );
            ahead += usize::from(found > acknowledged);
        }
    }
    assert_eq!(acknowledged, ROUNDS);
    // The cuts did cost something, and fell into commits too.
    assert!(forgotten > 0 && ahead > 0, "{forgotten} {ahead}");
}
