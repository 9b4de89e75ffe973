//! One suite of facts that every [`Store`] must show.
//!
//! Whoever writes a store implements [`Subject`]: how to open an empty one, and if it is durable, how to open it
//! again. [`run`] does the rest and tells each fact by name. What a store does not have is reported as not shown:
//! nothing that was left out counts as passed.
//!
//! ```
//! use iot_twin::registry::Memory;
//! use iot_twin::registry::conformance::{self, Fact, Subject, Verdict};
//!
//! struct InMemory;
//! impl Subject for InMemory {
//!     type Store = Memory;
//!     async fn open(&mut self) -> Memory {
//!         Memory::new().with_backlog(100)
//!     }
//! }
//!
//! let report = futures::executor::block_on(conformance::run(&mut InMemory));
//! assert!(report.failures().next().is_none(), "{report}");
//! assert!(matches!(report.verdict(Fact::Reopened), Some(Verdict::NotShown(_))));
//! ```

mod bench;
mod fact;
mod facts;

use core::future::Future;
use core::time::Duration;

pub use fact::Fact;
pub use iot_core::conformance::Verdict;

use self::bench::Bench;
use super::Store;

/// What the suite says of a subject: one verdict for each [`Fact`].
pub type Report = iot_core::conformance::Report<Fact>;

/// What the suite needs of a store.
///
/// Its methods may panic: a subject that cannot be set up has nothing to show.
pub trait Subject {
    /// The store.
    type Store: Store;

    /// Opens an empty store. With a backlog of at most 10,000 changes, more can be shown.
    fn open(&mut self) -> impl Future<Output = Self::Store>;

    /// Closes a store and opens it again with what was in it; `None` for one that keeps nothing.
    fn reopen(&mut self, store: Self::Store) -> impl Future<Output = Option<Self::Store>> {
        drop(store);
        async { None }
    }

    /// Lets a millisecond pass; by default the thread sleeps, which a store that needs its caller's runtime must
    /// do otherwise.
    fn pause(&mut self) -> impl Future<Output = ()> {
        std::thread::sleep(Duration::from_millis(1));
        async {}
    }
}

/// Shows every fact, each on a store of its own.
pub async fn run<S: Subject>(subject: &mut S) -> Report {
    run_some(subject, &Fact::ALL).await
}

/// Shows these facts, each on a store of its own.
pub async fn run_some<S: Subject>(subject: &mut S, facts: &[Fact]) -> Report {
    let mut report = Report::default();
    for fact in facts {
        let store = subject.open().await;
        let mut bench = Bench::new(subject, store);
        let verdict = match facts::show(*fact, &mut bench).await {
            Ok(()) => Verdict::Held,
            Err(verdict) => verdict,
        };
        report.add(*fact, verdict);
    }
    report
}
