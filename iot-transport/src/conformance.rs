//! One suite of facts that every binding of the core's [`Transport`] must show.
//!
//! Whoever writes a transport implements [`Subject`]: how to make a device end and a service end, how to cut
//! the link between them, how to wait. [`run`] does the rest and tells each fact by name. What a binding
//! does not have is declared as a [`Lack`], and the report says what was therefore not shown: nothing that
//! was left out counts as passed.
//!
//! ```
//! use core::time::Duration;
//! use iot_transport::conformance::{self, Lack, Pace, Subject, Fact, Verdict};
//! use iot_transport::memory::{End, Link};
//!
//! struct Memory;
//! impl Subject for Memory {
//!     type Device = End<'static, 4, 512>;
//!     type Service = End<'static, 4, 512>;
//!     async fn open(&mut self) -> (Self::Device, Self::Service) {
//!         Box::leak(Box::new(Link::new())).split() // a test may leak
//!     }
//!     async fn set_link(&mut self, device: &mut Self::Device, _: &mut Self::Service, up: bool) {
//!         device.set_connected(up);
//!     }
//!     async fn pause(&mut self, _: Duration) {} // nothing here takes time
//!     fn lacks(&self) -> &[Lack] { &[Lack::Session, Lack::Clock] }
//!     fn pace(&self) -> Pace { Pace::IMMEDIATE }
//! }
//!
//! let report = futures::executor::block_on(conformance::run(&mut Memory));
//! assert!(report.failures().next().is_none(), "{report}");
//! assert!(matches!(report.verdict(Fact::Expiry), Some(Verdict::NotShown(_))));
//! ```

mod bench;
mod fact;
mod facts;
mod log;

use core::time::Duration;

use iot_core::Peer;
use iot_core::port::Transport;

use self::bench::Bench;

pub use fact::Fact;
pub use iot_core::conformance::Verdict;

/// What the suite says of a subject: one verdict for each [`Fact`].
pub type Report = iot_core::conformance::Report<Fact>;

/// What the suite needs of a binding.
///
/// Its methods may panic: a subject that cannot be set up has nothing to show.
pub trait Subject {
    /// The end that is a device.
    type Device: Transport;
    /// The end that is its service.
    type Service: Transport;

    /// Makes both ends of a new link that is up, or comes up while both are asked for events.
    ///
    /// Nothing of an earlier link may reach it.
    fn open(&mut self) -> impl Future<Output = (Self::Device, Self::Service)>;

    /// Breaks the link of both ends and keeps it down, or lets it come back; sessions are kept.
    ///
    /// What was on its way may be lost. Not called with [`Lack::Cut`].
    fn set_link(
        &mut self,
        device: &mut Self::Device,
        service: &mut Self::Service,
        up: bool,
    ) -> impl Future<Output = ()> {
        let _ = (device, service, up);
        async {}
    }

    /// Breaks the link, and has whoever is in the middle forget both ends; the link comes back by itself.
    ///
    /// Not called with [`Lack::Session`].
    fn lose_session(
        &mut self,
        device: &mut Self::Device,
        service: &mut Self::Service,
    ) -> impl Future<Output = ()> {
        let _ = (device, service);
        async {}
    }

    /// Lets `span` pass: a real binding sleeps, a simulated one moves its clock.
    fn pause(&mut self, span: Duration) -> impl Future<Output = ()>;

    /// The device as the service addresses it; `None` when the link has two ends only.
    fn peer(&self) -> Option<Peer<'_>> {
        None
    }

    /// What the binding does not have; nothing by default.
    fn lacks(&self) -> &[Lack] {
        &[]
    }

    /// How long the suite waits; for real networks by default.
    fn pace(&self) -> Pace {
        Pace::NETWORK
    }
}

/// What a binding does not have; the facts that need it are not shown.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Lack {
    /// The subject cannot cut the link.
    Cut,
    /// Nobody in the middle keeps a session that could be lost.
    Session,
    /// It has no clock: nothing expires.
    Clock,
    /// A message is acknowledged by somebody in the middle, not by the other end.
    EndToEnd,
    /// It refuses messages while the link is down.
    Queue,
    /// The link reorders on purpose.
    Order,
}

impl Lack {
    /// Why a fact is not shown then.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Cut => "the link cannot be cut",
            Self::Session => "there is no session to lose",
            Self::Clock => "it has no clock",
            Self::EndToEnd => "somebody in the middle acknowledges",
            Self::Queue => "it takes nothing while the link is down",
            Self::Order => "the link reorders on purpose",
        }
    }
}

/// How long the suite waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Pace {
    /// How long one [`pause`](Subject::pause) is.
    pub tick: Duration,
    /// How long something that must come may take; a fact fails afterwards.
    pub patience: Duration,
    /// How long the suite listens to be sure that nothing comes.
    pub quiet: Duration,
}

impl Pace {
    /// For a link that needs no time: 100 rounds are patience, 10 are quiet.
    pub const IMMEDIATE: Self = Self::new(
        Duration::from_millis(1),
        Duration::from_millis(100),
        Duration::from_millis(10),
    );
    /// For a server on the same machine, busy or not: a minute of patience, 300 ms of quiet.
    pub const NETWORK: Self = Self::new(
        Duration::from_millis(10),
        Duration::from_secs(60),
        Duration::from_millis(300),
    );

    /// States all three; each at least one millisecond.
    #[must_use]
    pub const fn new(tick: Duration, patience: Duration, quiet: Duration) -> Self {
        Self {
            tick,
            patience,
            quiet,
        }
    }
}

/// Shows every fact, each on a link of its own.
pub async fn run<S: Subject>(subject: &mut S) -> Report {
    run_some(subject, &Fact::ALL).await
}

/// Shows these facts, each on a link of its own.
pub async fn run_some<S: Subject>(subject: &mut S, facts: &[Fact]) -> Report {
    let mut report = Report::default();
    for fact in facts {
        let lacks = subject.lacks();
        let lack = fact.needs().iter().find(|need| lacks.contains(need));
        let verdict = match lack {
            Some(lack) => Verdict::NotShown(lack.reason()),
            None => match show(subject, *fact).await {
                Ok(()) => Verdict::Held,
                Err(verdict) => verdict,
            },
        };
        report.add(*fact, verdict);
    }
    report
}

async fn show<S: Subject>(subject: &mut S, fact: Fact) -> Result<(), Verdict> {
    let mut bench = Bench::open(subject).await?;
    facts::show(fact, &mut bench).await
}
