//! One suite of facts that every [`KeyStore`] and its signers must show.
//!
//! Whoever writes a provider implements [`Subject`]: how to make an empty store, how to open it again, how to
//! use it from many threads. [`run`] does the rest and tells each fact by name. What a store does not have is
//! declared as a [`Lack`], and the report says what was therefore not shown.
//!
//! Signatures are checked by both software providers, `ring` and `rustcrypto`.
//!
//! ```
//! use iot_identity::conformance::{self, Fact, Lack, Subject, Verdict, Work};
//! use iot_identity::ring::SoftwareKeys;
//!
//! struct Software;
//! impl Subject for Software {
//!     type Store = SoftwareKeys;
//!     fn open(&mut self) -> SoftwareKeys { SoftwareKeys::new() }
//!     fn together(&self, keys: &SoftwareKeys, threads: usize, work: Work<'_, SoftwareKeys>) {
//!         conformance::together(keys, threads, work);
//!     }
//!     fn lacks(&self) -> &[Lack] { &[Lack::Durable, Lack::Limit] }
//!     fn signatures(&self) -> usize { 50 }
//! }
//!
//! let report = conformance::run(&mut Software);
//! assert!(report.failures().next().is_none(), "{report}");
//! assert!(matches!(report.verdict(Fact::Durable), Some(Verdict::NotShown(_))));
//! ```

mod bench;
mod fact;
mod facts;

use iot_core::crypto::{KeyStore, SignatureAlgorithm, SlotId};

use self::bench::Bench;

pub use fact::Fact;
pub use iot_core::conformance::Verdict;

/// What the suite says of a subject: one verdict for each [`Fact`].
pub type Report = iot_core::conformance::Report<Fact>;

/// What the suite has each thread do: it is given the store and the thread's number.
pub type Work<'w, K> = &'w (dyn Fn(&K, usize) + Sync);

/// What the suite needs of a store.
///
/// Its methods may panic: a subject that cannot be set up has nothing to show.
pub trait Subject {
    /// The store.
    type Store: KeyStore;

    /// Opens a store in which every slot is empty; keys for life are left in it.
    fn open(&mut self) -> Self::Store;

    /// Closes the store as the end of a process would, and opens it again.
    ///
    /// Not called with [`Lack::Durable`].
    fn reopen(&mut self, store: Self::Store) -> Self::Store {
        store
    }

    /// Has so many threads do the work at once; [`together`] is what to call.
    ///
    /// Not called with [`Lack::Threads`].
    fn together(&self, store: &Self::Store, threads: usize, work: Work<'_, Self::Store>) {
        (0..threads).for_each(|thread| work(store, thread));
    }

    /// Four slots that it has.
    fn slots(&self) -> [SlotId; 4] {
        [0, 1, 2, 3].map(SlotId::new)
    }

    /// A slot that it does not have. Not asked for with [`Lack::Limit`].
    fn beyond(&self) -> SlotId {
        SlotId::new(u16::MAX)
    }

    /// What its keys sign with; both algorithms by default.
    fn algorithms(&self) -> &[SignatureAlgorithm] {
        &[
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::Ed25519,
        ]
    }

    /// What the store does not have; nothing by default.
    fn lacks(&self) -> &[Lack] {
        &[]
    }

    /// How many signatures a fact may ask for that needs many.
    ///
    /// One of 128 ECDSA signatures has a number that begins with a zero byte; 2,000 leave no doubt.
    fn signatures(&self) -> usize {
        2_000
    }
}

/// What a store does not have; the facts that need it are not shown.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Lack {
    /// Its keys end with the process.
    Durable,
    /// It belongs to one thread.
    Threads,
    /// Every slot number is good.
    Limit,
    /// A key for life would stay in hardware that is needed for other things.
    Life,
}

impl Lack {
    /// Why a fact is not shown then.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Durable => "its keys end with the process",
            Self::Threads => "it belongs to one thread",
            Self::Limit => "every slot number is good",
            Self::Life => "a key for life would stay for good",
        }
    }
}

/// Shows every fact, each on a store of its own.
pub fn run<S: Subject>(subject: &mut S) -> Report {
    run_some(subject, &Fact::ALL)
}

/// Shows these facts, each on a store of its own.
pub fn run_some<S: Subject>(subject: &mut S, facts: &[Fact]) -> Report {
    let mut report = Report::default();
    for fact in facts {
        let lacks = subject.lacks();
        let lack = fact.needs().iter().find(|need| lacks.contains(need));
        let verdict = match lack {
            Some(lack) => Verdict::NotShown(lack.reason()),
            None => match facts::show(*fact, &mut Bench::new(subject)) {
                Ok(()) => Verdict::Held,
                Err(verdict) => verdict,
            },
        };
        report.add(*fact, verdict);
    }
    report
}

/// Has so many threads do the work at once on a store that threads may share.
///
/// # Panics
///
/// When the work does.
pub fn together<K: KeyStore + Sync>(store: &K, threads: usize, work: Work<'_, K>) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || work(store, thread));
        }
    });
}
