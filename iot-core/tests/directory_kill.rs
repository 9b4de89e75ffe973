//! A process that is killed while it writes loses nothing that it had acknowledged.
//!
//! A kill leaves what the kernel already holds, so this proves the order of the operations and the recovery;
//! the states that only a power cut leaves are built one by one in the module's own tests.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use futures::executor::block_on;
use iot_core::engine::{BatchWriter, RecordKey};
use iot_core::port::Records as _;
use iot_core::storage::directory::Directory;

const FOLDER: &str = "IOT_DIRECTORY_KILL_FOLDER";
const KEYS: u32 = 3;

fn write(store: &mut Directory, round: u64) {
    let mut buffer = [0; 256];
    let mut writer = BatchWriter::new(&mut buffer);
    for key in 0..KEYS {
        // In every third round the last record is away, so that removals are cut as well.
        if key == 2 && round.is_multiple_of(3) {
            writer.remove(RecordKey::new(key)).unwrap();
        } else {
            writer
                .put(RecordKey::new(key), &round.to_be_bytes())
                .unwrap();
        }
    }
    block_on(store.commit(&writer.finish())).unwrap();
}

/// The round that all records belong to.
fn round(store: &mut Directory) -> u64 {
    let mut buffer = [0; 8];
    let mut value = |key| {
        let value = block_on(store.read(RecordKey::new(key), &mut buffer)).unwrap();
        value.map(|value| u64::from_be_bytes(value.try_into().unwrap()))
    };
    let first = value(0).unwrap_or(0);
    assert_eq!(value(1).unwrap_or(0), first);
    let expected = (!first.is_multiple_of(3)).then_some(first);
    assert_eq!(value(2), expected, "half a batch in round {first}");
    first
}

#[test]
#[ignore = "the child of the test below; alone it writes a few rounds and checks them"]
fn child() {
    let alone = tempfile::tempdir().unwrap();
    let folder = env::var_os(FOLDER);
    let path = folder.as_deref().map_or(alone.path(), Path::new);
    let mut store = Directory::open(path).unwrap();
    let start = round(&mut store);
    let rounds = if folder.is_some() {
        u64::MAX
    } else {
        start + 10
    };
    let mut out = std::io::stdout();
    for number in start + 1..=rounds {
        write(&mut store, number);
        writeln!(out, "acknowledged {number}").unwrap();
        out.flush().unwrap();
    }
    assert_eq!(round(&mut store), rounds);
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for life in 0..6u64 {
        let before = acknowledged;
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for line in lines {
            let line = line.unwrap();
            let Some((_, number)) = line.rsplit_once("acknowledged ") else {
                continue;
            };
            acknowledged = number.parse().unwrap();
            // SIGKILL; what it still had acknowledged is read to the end of the pipe.
            if acknowledged == before + 3 + life {
                child.kill().unwrap();
            }
        }
        assert!(
            !child.wait().unwrap().success(),
            "the child ended by itself"
        );
        let found = round(&mut Directory::open(folder.path()).unwrap());
        assert!(acknowledged >= before + 3 + life);
        assert!(
            found == acknowledged || found == acknowledged + 1,
            "acknowledged {acknowledged}, found {found}"
        );
        acknowledged = found;
    }
}
