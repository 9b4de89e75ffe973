//! The conformance suite on both stores.

use futures::executor::block_on;
use iot_twin::registry::conformance::{self, Fact, Subject, Verdict};
use iot_twin::registry::{Limits, Memory, Redb};
use tempfile::TempDir;

struct InMemory;

impl Subject for InMemory {
    type Store = Memory;

    async fn open(&mut self) -> Memory {
        Memory::new().with_backlog(100)
    }
}

/// The same, carried over a restart by a snapshot.
struct Snapshots;

impl Subject for Snapshots {
    type Store = Memory;

    async fn open(&mut self) -> Memory {
        Memory::new().with_backlog(100)
    }

    async fn reopen(&mut self, store: Memory) -> Option<Memory> {
        Some(Memory::restored(&store.snapshot()).unwrap())
    }
}

struct InFile {
    folder: TempDir,
    files: u32,
    limits: Limits,
}

impl InFile {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join(format!("{}.redb", self.files))
    }
}

impl Subject for InFile {
    type Store = Redb;

    async fn open(&mut self) -> Redb {
        self.files += 1;
        Redb::open_with(self.path(), self.limits).unwrap()
    }

    async fn reopen(&mut self, store: Redb) -> Option<Redb> {
        drop(store);
        Some(Redb::open_with(self.path(), self.limits).unwrap())
    }
}

#[test]
fn a_registry_in_memory_shows_every_fact_but_that_it_is_durable() {
    let report = block_on(conformance::run(&mut InMemory));
    println!("{report}");
    assert_eq!(report.held().count(), Fact::ALL.len() - 1, "{report}");
    let verdict = report.verdict(Fact::Reopened);
    assert!(matches!(verdict, Some(Verdict::NotShown(_))), "{report}");
}

#[test]
fn a_registry_in_a_file_shows_every_fact() {
    // Short memories let more be given up; none at all is the shortest.
    for limits in [
        Limits::new(1_024, 2, 100),
        Limits::new(5, 0, 7),
        Limits::new(1, 9, 1),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut subject = InFile {
            folder,
            files: 0,
            limits,
        };
        let mut facts = Fact::ALL.to_vec();
        if limits.backlog < 20 {
            // These rely on more than 20 changes that watchers may be behind.
            let long = [Fact::Watch, Fact::Resume, Fact::DroppedNext, Fact::Reopened];
            facts.retain(|fact| !long.contains(fact));
        }
        let report = block_on(conformance::run_some(&mut subject, &facts));
        println!("{report}");
        let not_shown = report.not_shown().map(|(fact, _)| fact);
        let excused = [Fact::WholeBatch, Fact::Lost]
            .into_iter()
            .filter(|_| limits.batch < 3);
        assert!(not_shown.eq(excused), "{report}");
        assert!(report.failures().next().is_none(), "{report}");
    }
}

#[test]
fn a_snapshot_carries_twins_and_histories_over_a_restart() {
    let report = block_on(conformance::run_some(&mut Snapshots, &[Fact::Reopened]));
    // Only its watchers from before the snapshot's last change are told that they lost their place.
    let Some(Verdict::Failed(why)) = report.verdict(Fact::Reopened) else {
        panic!("{report}");
    };
    assert!(why.contains("Lost"), "{report}");
}
