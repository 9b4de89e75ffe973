//! The search for a path, with every rule applied on the way up (RFC 5280 §6.1, RFC 4158).

use heapless::Vec;
use iot_core::Timestamp;

use super::certificate::Certificate;
use super::constraints::Outside;
use super::defect::Defect;
use super::limits::{Budget, MAX_INTERMEDIATES, Spent};
use super::{Anchor, Path, PathError, PathPolicy, crl, profile, signature};

/// The last second that X.509 can write: an unknown upper bound of the time.
const LAST: u64 = 253_402_300_799;

/// The leaf first.
type Chain<'s, 'c> = Vec<&'s Certificate<'c>, { MAX_INTERMEDIATES + 1 }>;

pub(super) struct Search<'s, 'c, D> {
    policy: &'s PathPolicy<'s>,
    anchors: &'s [Anchor<D>],
    between: &'s [Certificate<'c>],
    budget: Budget,
    closest: PathError,
}

/// A rule that is broken ends this path; a budget that is spent ends them all.
enum Stop {
    Here(PathError),
    Everywhere,
}

impl From<Spent> for Stop {
    fn from(_: Spent) -> Self {
        Self::Everywhere
    }
}

impl<'s, 'c, D: AsRef<[u8]>> Search<'s, 'c, D> {
    pub(super) fn new(
        policy: &'s PathPolicy<'s>,
        anchors: &'s [Anchor<D>],
        between: &'s [Certificate<'c>],
        unread: Option<Defect>,
    ) -> Self {
        Self {
            policy,
            anchors,
            between,
            budget: Budget::new(),
            closest: unread.map_or(PathError::NoAnchor, PathError::Authority),
        }
    }

    pub(super) fn run(mut self, leaf: &'s Certificate<'c>) -> Result<Path<'c>, PathError> {
        let mut path = Chain::new();
        // There is room for a leaf, and `link` refuses what there is no room for.
        let _ = path.push(leaf);
        match self.extend(&mut path) {
            Ok(Some(anchor)) => {
                let mut certificates: [&[u8]; MAX_INTERMEDIATES + 1] = [&[]; MAX_INTERMEDIATES + 1];
                for (to, certificate) in certificates.iter_mut().zip(&path) {
                    *to = certificate.der;
                }
                Ok(Path {
                    certificates,
                    len: path.len(),
                    anchor,
                })
            }
            Ok(None) => Err(self.closest),
            Err(Spent) => Err(PathError::Exhausted),
        }
    }

    /// The place of the anchor at which `path`, lengthened where needed, ends.
    fn extend(&mut self, path: &mut Chain<'s, 'c>) -> Result<Option<usize>, Spent> {
        let Some(head) = path.last().copied() else {
            return Ok(None);
        };
        let anchors = self.anchors;
        for (place, anchor) in anchors.iter().enumerate() {
            if anchor.subject() != head.issuer {
                continue;
            }
            match self.end(anchor, path) {
                Ok(()) => return Ok(Some(place)),
                Err(Stop::Here(error)) => self.note(error),
                Err(Stop::Everywhere) => return Err(Spent),
            }
        }
        for candidate in self.between {
            let loops = path
                .iter()
                .any(|below| below.subject == candidate.subject && below.key == candidate.key);
            if candidate.subject != head.issuer || loops {
                continue;
            }
            match self.link(candidate, path) {
                Ok(()) => {}
                Err(Stop::Here(error)) => {
                    self.note(error);
                    continue;
                }
                Err(Stop::Everywhere) => return Err(Spent),
            }
            let _ = path.push(candidate);
            if let Some(found) = self.extend(path)? {
                return Ok(Some(found));
            }
            path.pop();
        }
        Ok(None)
    }

    /// Whether `path` ends at this anchor.
    fn end(&mut self, anchor: &Anchor<D>, path: &[&Certificate<'c>]) -> Result<(), Stop> {
        let broken = |defect| Stop::Here(PathError::Authority(defect));
        let top = Certificate::read(anchor.der()).map_err(broken)?;
        profile::anchor(&top, self.policy.algorithms).map_err(broken)?;
        self.issued(&top, path)?;
        let dated = self.policy.anchors_expire.then_some(&top);
        self.dates(path.iter().copied().chain(dated))
            .map_err(Stop::Here)?;
        let Some((lists, freshness)) = self.policy.status else {
            return Ok(());
        };
        let issuers = path.iter().copied().skip(1).chain([&top]);
        for (certificate, issuer) in path.iter().copied().zip(issuers) {
            let (wall, algorithms) = (self.policy.wall, self.policy.algorithms);
            let ask = crl::Question {
                certificate,
                issuer,
                wall,
                algorithms,
                freshness,
            };
            ask.answer(lists, &mut self.budget)?.map_err(Stop::Here)?;
        }
        Ok(())
    }

    /// Whether `candidate` may stand above `path`.
    fn link(&mut self, candidate: &Certificate<'_>, path: &[&Certificate<'c>]) -> Result<(), Stop> {
        self.budget.step()?;
        profile::authority(candidate).map_err(|defect| Stop::Here(PathError::Authority(defect)))?;
        let counted = usize::from(!candidate.is_self_issued()) + intermediates(path);
        if path.len() > MAX_INTERMEDIATES || counted > self.policy.max_intermediates {
            return Err(Stop::Here(PathError::PathLength));
        }
        self.issued(candidate, path)
    }

    /// Whether `issuer` has issued the last of `path`, and allows all that is below.
    fn issued(&mut self, issuer: &Certificate<'_>, path: &[&Certificate<'_>]) -> Result<(), Stop> {
        let Some(head) = path.last() else {
            return Err(Stop::Here(PathError::NoAnchor));
        };
        let named = head.extensions.authority_key.and_then(|id| id.key);
        if named.is_some() && named != issuer.extensions.subject_key {
            return Err(Stop::Here(PathError::Authority(Defect::KeyIdentifier)));
        }
        let length = issuer.extensions.basic.and_then(|basic| basic.path_len);
        if length.is_some_and(|length| intermediates(path) > usize::from(length)) {
            return Err(Stop::Here(PathError::PathLength));
        }
        if !self.policy.purpose.allows_authority(issuer) {
            return Err(Stop::Here(PathError::Purpose));
        }
        if let Some(constraints) = issuer.extensions.constraints {
            for (place, below) in path.iter().enumerate() {
                // "Not applied to self-issued certificates (unless the certificate is the final certificate)".
                if place > 0 && below.is_self_issued() {
                    continue;
                }
                constraints
                    .admit(below, &mut self.budget)
                    .map_err(|outside| match outside {
                        Outside::Name => Stop::Here(PathError::NameConstraints),
                        Outside::Spent => Stop::Everywhere,
                    })?;
            }
        }
        self.budget.signature()?;
        if signature::verifies(self.policy.algorithms, &issuer.key, &head.signed) {
            Ok(())
        } else {
            Err(Stop::Here(PathError::Signature))
        }
    }

    /// Whether all are valid at every moment that the clock's bounds allow.
    fn dates<'d>(
        &self,
        certificates: impl Iterator<Item = &'d Certificate<'d>>,
    ) -> Result<(), PathError> {
        let (mut from, mut to) = (0, LAST);
        for certificate in certificates {
            from = from.max(certificate.not_before.as_secs());
            to = to.min(certificate.not_after.as_secs());
        }
        let earliest = self.policy.wall.not_before().as_secs();
        let latest = self
            .policy
            .wall
            .not_after()
            .map_or(LAST, Timestamp::as_secs);
        if earliest > to {
            Err(PathError::Expired)
        } else if latest < from {
            Err(PathError::NotYetValid)
        } else if earliest < from || latest > to {
            Err(PathError::TimeUncertain)
        } else {
            Ok(())
        }
    }

    fn note(&mut self, error: PathError) {
        if rank(&error) > rank(&self.closest) {
            self.closest = error;
        }
    }
}

/// "Non-self-issued intermediate certificates", the leaf left out.
fn intermediates(path: &[&Certificate<'_>]) -> usize {
    let counted = path.iter().skip(1).filter(|one| !one.is_self_issued());
    counted.count()
}

/// How far a path came that ended so.
const fn rank(error: &PathError) -> u8 {
    match error {
        PathError::NoAnchor => 0,
        // Most often it is only not the issuer that was sought.
        PathError::Authority(Defect::KeyIdentifier) => 1,
        PathError::Authority(_) => 2,
        PathError::PathLength | PathError::Purpose | PathError::NameConstraints => 3,
        PathError::Signature => 4,
        PathError::Expired | PathError::NotYetValid => 5,
        PathError::TimeUncertain => 6,
        PathError::Status(_) => 7,
        _ => 8,
    }
}
