//! A file that was damaged answers with an error, at once and for good; nobody waits for a thread that is gone.

use core::time::Duration;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use futures::executor::block_on;
use iot_twin::iot_core::Timestamp;
use iot_twin::registry::{Expect, Redb, RedbError, Registry};

use super::twins::{key, record};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const TWINS: u64 = 120;
/// What the database reads and writes at once.
const PAGE: usize = 4_096;
/// Far beyond what the work takes on any machine: who is not done then waits for nobody.
const PATIENCE: Duration = Duration::from_secs(60);

fn filled(path: &Path) -> Vec<u8> {
    let registry = Registry::open(Redb::open(path).unwrap());
    for number in 0..TWINS {
        block_on(registry.put(&key(number), Expect::Any, record(number), NOW)).unwrap();
    }
    drop(registry);
    std::fs::read(path).unwrap()
}

/// How many calls failed; `None` when the file was refused.
fn lived_with(bytes: &[u8]) -> Option<u32> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.redb");
    std::fs::write(&path, bytes).unwrap();
    let (done, outcome) = mpsc::channel();
    let _unjoined = thread::spawn(move || {
        let store = match Redb::open(&path) {
            Ok(store) => store,
            Err(error) => {
                assert!(
                    matches!(error, RedbError::Corrupt | RedbError::Io(_)),
                    "{error}"
                );
                let _heard = done.send(None);
                return;
            }
        };
        let registry = Registry::open(store);
        let mut failed = 0;
        for number in 0..TWINS {
            failed += u32::from(block_on(registry.read(&key(number))).is_err());
            let key = key(number);
            let put = registry.put(&key, Expect::Any, record(7), NOW);
            failed += u32::from(block_on(put).is_err());
        }
        let _heard = done.send(Some(failed));
    });
    outcome
        .recv_timeout(PATIENCE)
        .unwrap_or_else(|_| panic!("somebody waits for ever, or panicked"))
}

#[test]
fn a_damaged_file_is_refused_or_answers_with_errors_and_nobody_waits_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let whole = filled(&folder.path().join("whole.redb"));
    assert_eq!(lived_with(&whole), Some(0));
    let (mut refused, mut failed) = (0, 0);
    let mut count = |bytes: &[u8]| match lived_with(bytes) {
        None => refused += 1,
        Some(0) => {}
        Some(_) => failed += 1,
    };
    // Most of a fresh file is empty: only what is written can be damaged.
    let written: Vec<_> = (1..whole.len() / PAGE)
        .map(|page| page * PAGE)
        .filter(|from| whole[*from..from + PAGE].iter().any(|byte| *byte != 0))
        .collect();
    // Most pages are of the past: so it is many of them, at other places each time.
    let cases = (0..12).map(|case| {
        let pages = written.iter().skip(case % 6).step_by(6);
        pages.map(|page| page + 64 + 300 * case).collect::<Vec<_>>()
    });
    for places in cases {
        let mut bytes = whole.clone();
        for from in places {
            bytes[from..from + 100]
                .iter_mut()
                .for_each(|byte| *byte ^= 0x5a);
        }
        count(&bytes);
    }
    for len in [whole.len() / 2, whole.len() - 4_096, 100] {
        count(&whole[..len]);
    }
    // Damage that hits what is in use is seen: otherwise this would show nothing.
    assert!(
        refused > 0 && failed > 0,
        "refused={refused} failed={failed}"
    );
}
