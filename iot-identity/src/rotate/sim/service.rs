//! The service: a registrar's book, and a front that admits or refuses.

use alloc::vec::Vec;

use iot_core::sim::SimEntropy;

use super::super::want::Session;
use super::{DAY_MS, toy};
use crate::enrol::{Answer, Refusal, Request, granted};
use crate::key::PublicKey;

const LIFE_MS: u64 = 30 * DAY_MS;
const KEYS: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct Certificate {
    pub(super) key: u64,
    pub(super) not_after_ms: u64,
    issued_ms: u64,
    der: Vec<u8>,
    /// The fronts take it; a service's mistake otherwise.
    is_good: bool,
    /// A front has answered on a session that showed it.
    pub(super) was_taken: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    book: Vec<Certificate>,
    pub(super) is_revoked: bool,
    /// So many of the first in the book are denied for ever.
    barred: usize,
    /// How many were issued when the device was revoked.
    pub(super) frozen: u64,
    /// Takes an expired certificate, to renew it.
    takes_expired: bool,
    /// Hangs up instead of saying why.
    is_silent: bool,
    /// Issues what its fronts do not take.
    is_mistaken: bool,
    /// Refuses everybody.
    is_confused: bool,
}

impl Service {
    pub(super) fn new(random: &mut SimEntropy) -> Self {
        Self {
            book: Vec::new(),
            is_revoked: false,
            barred: 0,
            frozen: 0,
            takes_expired: random.chance(500),
            is_silent: random.chance(100),
            is_mistaken: false,
            is_confused: false,
        }
    }

    pub(super) fn issued(&self) -> u64 {
        self.book.len() as u64
    }

    /// Takes the device back, without any key that it had.
    pub(super) fn readmit(&mut self) {
        (self.is_revoked, self.barred) = (false, self.book.len());
    }

    fn is_barred(&self, key: u64) -> bool {
        self.book.iter().take(self.barred).any(|one| one.key == key)
    }

    pub(super) fn find(&self, der: &[u8]) -> Option<&Certificate> {
        self.book
            .iter()
            .rev()
            .find(|certificate| certificate.der == der)
    }

    pub(super) fn stumbles(&mut self, random: &mut SimEntropy) {
        self.is_mistaken = random.chance(300);
        self.is_confused = random.chance(300);
    }

    pub(super) fn recovers(&mut self) {
        (self.is_mistaken, self.is_confused) = (false, false);
    }

    /// What a front says to a certificate of its own, or to the factory's.
    pub(super) fn admits(&self, certificate: Option<&Certificate>, now_ms: u64) -> Session {
        let outcome = if self.is_revoked {
            Session::Revoked
        } else if self.is_confused {
            Session::Refused
        } else {
            match certificate {
                None => Session::Open,
                Some(certificate) if self.is_barred(certificate.key) => Session::Revoked,
                Some(certificate) if !certificate.is_good => Session::Refused,
                Some(certificate) if certificate.not_after_ms < now_ms => {
                    if self.takes_expired {
                        Session::ToRenew
                    } else {
                        Session::Expired
                    }
                }
                Some(_) => Session::Open,
            }
        };
        if self.is_silent && matches!(outcome, Session::Refused | Session::Expired) {
            return Session::Unreachable;
        }
        outcome
    }

    /// Somebody shows this certificate, or the factory's.
    pub(super) fn is_shown(&mut self, der: Option<&[u8]>, now_ms: u64) -> Session {
        let Some(der) = der else {
            return self.admits(None, now_ms);
        };
        let Some(at) = self
            .book
            .iter()
            .rposition(|certificate| certificate.der == der)
        else {
            return Session::Refused;
        };
        let outcome = self.admits(self.book.get(at), now_ms);
        if outcome == Session::Open
            && let Some(certificate) = self.book.get_mut(at)
        {
            certificate.was_taken = true;
        }
        outcome
    }

    pub(super) fn answer(&mut self, message: &[u8], now_ms: u64, fails: bool) -> Option<Vec<u8>> {
        let request = Request::decode(message).ok()?;
        let outcome = match toy::requested(request.csr) {
            None => Err(Refusal::Request),
            Some(_) if self.is_revoked => Err(Refusal::Revoked),
            Some(_) if fails => Err(Refusal::Later),
            Some(_) if self.is_confused => Err(Refusal::NotAllowed),
            Some(key) if self.is_barred(toy::number(&key)) => Err(Refusal::Revoked),
            Some(key) => self.grant(&key, now_ms),
        };
        match outcome {
            Ok(der) => granted(request.number, &[&der]),
            Err(refusal) => {
                let mut buffer = [0; 16];
                let answer = Answer::refused(request.number, refusal);
                answer.encode(&mut buffer).ok().map(<[u8]>::to_vec)
            }
        }
    }

    fn grant(&mut self, key: &PublicKey, now_ms: u64) -> Result<Vec<u8>, Refusal> {
        let number = toy::number(key);
        let known = self.book.iter().rev().find(|one| one.key == number);
        if let Some(known) = known
            && now_ms < known.issued_ms + LIFE_MS / 3 * 2
        {
            return Ok(known.der.clone());
        }
        let live = |one: &&Certificate| one.key != number && one.not_after_ms >= now_ms;
        if self.book.iter().skip(self.barred).filter(live).count() >= KEYS {
            return Err(Refusal::TooMany);
        }
        let not_after_ms = now_ms + LIFE_MS;
        // A little backdated, as for devices whose clock is behind.
        let from_ms = now_ms - 300_000;
        let der = toy::certificate(self.issued() + 1, key, from_ms, not_after_ms);
        self.book.push(Certificate {
            key: number,
            not_after_ms,
            issued_ms: now_ms,
            der: der.clone(),
            is_good: !self.is_mistaken,
            was_taken: false,
        });
        Ok(der)
    }
}
