//! A process that is killed while it writes loses nothing that it had acknowledged.
//!
//! A kill leaves what the kernel already holds, so this proves the order of the operations and the recovery;
//! the states that only a power cut leaves are built one by one in the module's own tests. `IOT_KILLS` says how
//! many lives there are of each kind of commit; 6 when it is not set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::time::Duration;
use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;

use futures::executor::block_on;
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::port::Records as _;
use iot_core::storage::directory::Directory;

/// The folder, the kind of commit and the round to go on after, for a child.
const ORDER: &str = "IOT_DIRECTORY_KILL_ORDER";
const KEYS: u32 = 3;

/// How a round is committed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// One record, each in its turn.
    Single,
    /// All records in one batch.
    Batch,
}

impl Kind {
    /// The changes of a round; some are removals, so that those are cut as well.
    fn changes(self, round: u64) -> Vec<(u32, Option<u64>)> {
        let keys = u64::from(KEYS);
        match self {
            Self::Single => {
                let key = u32::try_from(round % keys).unwrap();
                [(key, (!round.is_multiple_of(4)).then_some(round))].into()
            }
            Self::Batch => (0..KEYS)
                .map(|key| (key, (key < 2 || !round.is_multiple_of(3)).then_some(round)))
                .collect(),
        }
    }

    /// What the records are after a round.
    fn content(self, round: u64) -> [Option<u64>; KEYS as usize] {
        let mut content = [None; KEYS as usize];
        // Every record is changed at least once in so many rounds.
        for round in round.saturating_sub(u64::from(KEYS) - 1).max(1)..=round {
            for (key, value) in self.changes(round) {
                content[key as usize] = value;
            }
        }
        content
    }
}

fn write(store: &mut Directory, kind: Kind, round: u64) {
    let mut buffer = [0; 256];
    let mut writer = BatchWriter::new(&mut buffer);
    for (key, value) in kind.changes(round) {
        let key = RecordKey::new(key);
        match value {
            Some(value) => writer.put(key, &value.to_be_bytes()).unwrap(),
            None => writer.remove(key).unwrap(),
        }
    }
    block_on(store.commit(&writer.finish())).unwrap();
}

fn content(store: &mut Directory) -> [Option<u64>; KEYS as usize] {
    let mut buffer = [0; 8];
    [0, 1, 2].map(|key| {
        let value = block_on(store.read(RecordKey::new(key), &mut buffer)).unwrap();
        value.map(|value| u64::from_be_bytes(value.try_into().unwrap()))
    })
}

#[test]
#[ignore = "the child of the tests below; alone it writes a few rounds and checks them"]
fn child() {
    let alone = tempfile::tempdir().unwrap();
    let order = env::var(ORDER).unwrap_or_default();
    let order: Vec<_> = order.splitn(3, ' ').collect();
    let (kind, start, path) = match order[..] {
        [kind, start, path] => (kind, start.parse().unwrap(), Path::new(path)),
        _ => ("Batch", 0, alone.path()),
    };
    let kind = match kind {
        "Batch" => Kind::Batch,
        _ => Kind::Single,
    };
    let mut store = Directory::open(path).unwrap();
    assert_eq!(content(&mut store), kind.content(start));
    let last = if path == alone.path() { 10 } else { u64::MAX };
    let mut out = std::io::stdout();
    for round in start + 1..=last {
        write(&mut store, kind, round);
        writeln!(out, "acknowledged {round}").unwrap();
        out.flush().unwrap();
    }
    assert_eq!(content(&mut store), kind.content(last));
}

/// Lets a child go on after round `start` and kills it; returns the last round it acknowledged.
fn live(folder: &Path, kind: Kind, start: u64, life: u64) -> u64 {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(ORDER, format!("{kind:?} {start} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = start;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some((_, number)) = line.rsplit_once("acknowledged ") else {
            continue;
        };
        acknowledged = number.parse().unwrap();
        if acknowledged == start + 3 + life % 6 {
            // A commit takes up to some milliseconds; each life ends at another place in it.
            sleep(Duration::from_micros(life * 377 % 5_000));
            // SIGKILL; what it still had acknowledged is read to the end of the pipe.
            child.kill().unwrap();
        }
    }
    let ended = child.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&ended.stderr);
    let enough = acknowledged >= start + 3 + life % 6;
    let status = ended.status;
    assert!(
        enough && !status.success(),
        "the child ended by itself after {acknowledged}: {status}, {why}"
    );
    acknowledged
}

fn loses_nothing(kind: Kind) {
    // One at a time: a child that is being started holds the other folder's lock until it runs its own program.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kills = env::var("IOT_KILLS").map_or(6, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let (mut round, mut amid, mut ahead) = (0, 0, 0);
    for life in 0..kills {
        let acknowledged = live(folder.path(), kind, round, life);
        let mut names = fs::read_dir(folder.path()).unwrap();
        let is_amid = names.any(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name == "batch" || name.ends_with(".tmp")
        });
        amid += u64::from(is_amid);
        let found = content(&mut Directory::open(folder.path()).unwrap());
        let is_ahead = found == kind.content(acknowledged + 1);
        assert!(
            is_ahead || found == kind.content(acknowledged),
            "acknowledged {acknowledged}, found {found:?}"
        );
        ahead += u64::from(is_ahead);
        round = acknowledged + u64::from(is_ahead);
    }
    println!("{kind:?} kills={kills} rounds={round} amid={amid} ahead={ahead}");
    assert!(kills > 0 && round >= 3 * kills);
    assert!(kills < 100 || amid > 0, "no kill was in a commit");
}

#[test]
fn a_killed_process_loses_no_change_that_it_acknowledged() {
    loses_nothing(Kind::Single);
}

#[test]
fn a_killed_process_leaves_no_half_of_a_batch() {
    loses_nothing(Kind::Batch);
}
