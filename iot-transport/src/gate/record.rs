//! Who is connected, who was refused, and where.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use iot_core::{DeviceId, Principal, TenantId};
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;

/// How many refusals are kept.
const RECORDS: usize = 256;

/// Where a client was refused.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Stage {
    /// In the TLS handshake.
    Handshake,
    /// After it, by `Admit`.
    Admit,
    /// At CONNECT: the client id, the will, or bytes that are no MQTT.
    Connect,
    /// At a PUBLISH.
    Publish,
    /// At a SUBSCRIBE or UNSUBSCRIBE.
    Subscribe,
}

/// One refusal.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Record {
    /// Where.
    pub stage: Stage,
    /// Who, where that was known already.
    pub principal: Option<Principal>,
    /// From which address.
    pub address: Option<SocketAddr>,
    /// When.
    pub at: SystemTime,
    /// Why, in words.
    pub reason: String,
}

/// What a gate holds now, and what it has done so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct GateStats {
    /// Sessions that are open now.
    pub sessions: usize,
    /// Handshakes completed, resumed ones included.
    pub handshakes: u64,
    /// Of those, how many resumed an earlier TLS session.
    pub resumed: u64,
    /// Sessions whose CONNECT was let through.
    pub admitted: u64,
    /// Connections refused in the handshake.
    pub refused_handshake: u64,
    /// Connections refused by `Admit`.
    pub refused_admit: u64,
    /// Sessions refused at CONNECT.
    pub refused_connect: u64,
    /// Sessions ended at a PUBLISH.
    pub refused_publish: u64,
    /// Sessions ended at a SUBSCRIBE or UNSUBSCRIBE.
    pub refused_subscribe: u64,
    /// Connections turned away because there were too many.
    pub turned_away: u64,
    /// Live sessions ended by `cut` and `on_revoked`.
    pub cut: u64,
}

#[derive(Debug, Default)]
pub(super) struct Books {
    inner: Mutex<(GateStats, VecDeque<Record>)>,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, (GateStats, VecDeque<Record>)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn refuse(&self, record: Record) {
        let (stats, records) = &mut *self.lock();
        let counter = match record.stage {
            Stage::Handshake => &mut stats.refused_handshake,
            Stage::Admit => &mut stats.refused_admit,
            Stage::Connect => &mut stats.refused_connect,
            Stage::Publish => &mut stats.refused_publish,
            Stage::Subscribe => &mut stats.refused_subscribe,
        };
        *counter += 1;
        if records.len() >= RECORDS {
            records.pop_front();
        }
        records.push_back(record);
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut GateStats)) {
        change(&mut self.lock().0);
    }

    pub(super) fn count_cut(&self, sessions: usize) {
        self.count(|stats| stats.cut += sessions as u64);
    }

    pub(super) fn stats(&self) -> GateStats {
        self.lock().0
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.lock().1.iter().cloned().collect()
    }
}

pub(super) type Chain = Arc<[CertificateDer<'static>]>;

/// A session that is open.
#[derive(Debug)]
pub(super) struct Live {
    principal: Principal,
    chain: Chain,
    end: watch::Sender<bool>,
}

impl Live {
    /// Ends the session; whether it was not ended already.
    fn end(&self) -> bool {
        !self.end.send_replace(true)
    }

    pub(super) fn is(&self, tenant: &TenantId, device: &DeviceId) -> bool {
        self.principal.tenant == *tenant && self.principal.device == *device
    }
}

/// Every open session.
#[derive(Debug, Default)]
pub(super) struct Registry {
    live: Mutex<BTreeMap<u64, Live>>,
    last: AtomicU64,
    /// Counts cuts, so that a session admitted before one and entered after it is noticed.
    cuts: AtomicU64,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many cuts there were; to be read before a client is admitted.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::SeqCst)
    }

    /// Enters a session; `None` when there was a cut since `cuts` was read: then admit it again.
    pub(super) fn enter(
        &self,
        principal: Principal,
        chain: Chain,
        cuts: u64,
    ) -> Option<Entered<'_>> {
        let mut live = self.lock();
        if self.cuts() != cuts {
            return None;
        }
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let (sender, end) = watch::channel(false);
        live.insert(
            number,
            Live {
                principal,
                chain,
                end: sender,
            },
        );
        Some(Entered {
            registry: self,
            number,
            end,
        })
    }

    /// Ends the sessions that `condemned` picks; returns how many.
    pub(super) fn cut(&self, condemned: impl Fn(&Live) -> bool) -> usize {
        let live = self.lock();
        // Under the lock, so that nobody enters between the count and the look.
        self.cuts.fetch_add(1, Ordering::SeqCst);
        live.values()
            .filter(|session| condemned(session) && session.end())
            .count()
    }

    /// Ends the sessions that `condemned` picks; returns how many.
    ///
    /// It is asked without the lock: it is slow, and may ask for the number of sessions. Who enters meanwhile
    /// was admitted after the cut was counted.
    pub(super) fn cut_judged(
        &self,
        condemned: impl Fn(&Principal, &[CertificateDer<'_>]) -> bool,
    ) -> usize {
        let mut suspects: Vec<(u64, Principal, Chain)> = {
            let live = self.lock();
            self.cuts.fetch_add(1, Ordering::SeqCst);
            let entries = live.iter();
            entries
                .map(|(number, live)| (*number, live.principal, live.chain.clone()))
                .collect()
        };
        suspects.retain(|(_, principal, chain)| condemned(principal, chain));
        let live = self.lock();
        suspects
            .iter()
            .filter(|(number, ..)| live.get(number).is_some_and(Live::end))
            .count()
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn count(&self, picks: impl Fn(&Principal, &[CertificateDer<'_>]) -> bool) -> usize {
        let live = self.lock();
        let picked = |live: &&Live| picks(&live.principal, &live.chain);
        live.values().filter(picked).count()
    }
}

/// A session's entry; dropping it takes it out.
#[derive(Debug)]
pub(super) struct Entered<'r> {
    registry: &'r Registry,
    number: u64,
    /// Becomes true when the session has to end.
    pub(super) end: watch::Receiver<bool>,
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
