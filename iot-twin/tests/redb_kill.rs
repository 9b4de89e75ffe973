//! A process that is killed while many clients write to its registry loses nothing that it had acknowledged.
//!
//! A kill leaves what the kernel already holds, so this proves the order of operations and the recovery, not the
//! disk's own promise. `IOT_KILLS` says how many lives there are; 20 when it is not set.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly"
)]

use core::time::Duration;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use futures::executor::block_on;
use iot_twin::iot_core::Timestamp;
use iot_twin::registry::{
    Change, Cursor, Draft, Event, Expect, Half, Limits, Record, Redb, Revision, Store as _,
    TwinKey, Watch as _,
};
use iot_twin::{FieldId, TwinService, Value};

/// The file and the round to go on after, for a child.
const ORDER: &str = "IOT_REGISTRY_KILL_ORDER";
const CLIENTS: u64 = 8;
const LIMITS: Limits = Limits::new(16, 2, 100);

fn key(client: u64, half: u64) -> TwinKey {
    format!("acme/d{client}/half{half}").parse().unwrap()
}

fn record(round: u64) -> Record {
    let mut twin = TwinService::new();
    twin.set_field(FieldId::new(1), round).unwrap();
    Draft::of(&twin).finish().unwrap()
}

fn round_in(record: &Record) -> u64 {
    match record.value(Half::Desired, "1") {
        Some(Value::Int(round)) => u64::try_from(round).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// What a client's two twins say, which must be the same, and the revision of the second.
fn found(store: &Redb, client: u64) -> (u64, Option<Revision>) {
    let [one, two] = [0, 1].map(|half| block_on(store.read(&key(client, half))).unwrap());
    let round = |stored: &Option<iot_twin::registry::Stored>| {
        stored.as_ref().map_or(0, |stored| round_in(&stored.record))
    };
    assert_eq!(round(&one), round(&two), "half of a batch is there");
    (round(&two), two.map(|stored| stored.revision))
}

#[test]
#[ignore = "the child of the test below; alone it writes a few rounds and checks them"]
fn child() {
    let alone = tempfile::tempdir().unwrap();
    let path = env::var(ORDER).unwrap_or_default();
    let (path, last) = match path.as_str() {
        "" => (alone.path().join("fleet.redb"), 10),
        path => (Path::new(path).to_path_buf(), u64::MAX),
    };
    let store = Redb::open_with(path, LIMITS).unwrap();
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let store = &store;
            scope.spawn(move || {
                let (mut round, mut revision) = found(store, client);
                while round < last {
                    round += 1;
                    let expect = revision.map_or(Expect::Absent, Expect::At);
                    let batch = vec![
                        Change::put(key(client, 0), Expect::Any, record(round), Timestamp::EPOCH),
                        Change::put(key(client, 1), expect, record(round), Timestamp::EPOCH),
                    ];
                    let committed = block_on(store.commit(batch)).unwrap();
                    revision = committed.revision(1);
                    let mut out = std::io::stdout().lock();
                    let number = revision.unwrap();
                    writeln!(out, "\nacknowledged {client} {round} {number}").unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
    assert!((0..CLIENTS).all(|client| found(&store, client).0 == last));
}

/// Lets a child write and kills it; gives the last round that it acknowledged to each client, and the last change.
fn live(path: &Path, life: u64) -> ([u64; CLIENTS as usize], u64, u64) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(ORDER, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acknowledged = [0; CLIENTS as usize];
    let (mut count, mut last) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let Some(rest) = line.strip_prefix("acknowledged ") else {
            continue;
        };
        let numbers: Vec<u64> = rest
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect();
        // The last line may be cut.
        let &[client, round, revision] = &*numbers else {
            continue;
        };
        acknowledged[client as usize] = round;
        last = last.max(revision);
        count += 1;
        if count == CLIENTS * (1 + life % 5) {
            // Commits take some milliseconds; each life ends at another place in one.
            thread::sleep(Duration::from_micros(life * 377 % 9_000));
            // SIGKILL; what it still had acknowledged is read to the end of the pipe.
            child.kill().unwrap();
        }
    }
    let ended = child.wait_with_output().unwrap();
    let why = String::from_utf8_lossy(&ended.stderr);
    let enough = count >= CLIENTS * (1 + life % 5) && !ended.status.success();
    assert!(
        enough,
        "the child ended by itself after {count}: {}, {why}",
        ended.status
    );
    (acknowledged, last, count)
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let kills: u64 = env::var("IOT_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.redb");
    let mut place: Option<Cursor> = None;
    let (mut total, mut ahead, mut told) = (0, 0, 0);
    for life in 0..kills {
        let (acknowledged, last, count) = live(&path, life);
        let store = Redb::open_with(&path, LIMITS).unwrap();
        for (client, acknowledged) in (0..).zip(acknowledged) {
            let (round, _) = found(&store, client);
            // One that was not acknowledged any more may be there as well; a client that was not served yet has 0.
            let range = acknowledged..=acknowledged + 1;
            assert!(
                acknowledged == 0 || range.contains(&round),
                "client {client} was acknowledged {acknowledged} and has {round}"
            );
            ahead += u64::from(acknowledged > 0 && round > acknowledged);
        }
        let end = block_on(store.cursor()).unwrap();
        assert!(
            end.revision().get() >= last,
            "change {last} was acknowledged and is gone"
        );
        // A watcher of the last life goes on without a gap, or is told.
        if let Some(place) = place {
            let mut watch = block_on(store.watch(place)).unwrap();
            let mut next = place.revision().get();
            while next < end.revision().get() {
                match block_on(watch.next()).unwrap() {
                    Event::Changed { revision, .. } => {
                        assert_eq!(revision.get(), next + 1);
                        next += 1;
                        told += 1;
                    }
                    Event::Lost { resume } => next = resume.revision().get(),
                    other => panic!("{other:?}"),
                }
            }
        }
        place = Some(end);
        total += count;
    }
    println!("redb kills={kills} acknowledged={total} ahead={ahead} told={told}");
    assert!(kills > 0 && total >= kills * CLIENTS && told > 0);
}
