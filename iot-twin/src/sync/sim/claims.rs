//! What must hold at every moment, and at the end.

use alloc::string::String;
use alloc::vec::Vec;

use super::World;
use crate::leaf::LeafReader;
use crate::reflect::Twin;
use crate::schema::FieldId;
use crate::sync::service::TwinState;
use crate::sync::slot::{Code, Version};
use crate::sync::wire::service::FullReport;
use crate::sync::wire::{self, Delta, DesiredLeaf};
use crate::value::{Limits, Value};

/// What was promised and did not hold.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A desired field of the device went back to an older version of its epoch.
    #[error("the desired field {field:?} went back from {from} to {to}")]
    WentBack {
        /// Which field.
        field: FieldId,
        /// The version before.
        from: Version,
        /// The version now.
        to: Version,
    },
    /// The device claims to have everything up to a version, and does not.
    #[error("everything up to {claimed} was claimed without {missing} of {field:?}")]
    Claimed {
        /// The claim.
        claimed: Version,
        /// What is missing.
        missing: Version,
        /// Of which field.
        field: FieldId,
    },
    /// One desired version stands for two values.
    #[error("the desired version {version} of {field:?} stands for two values")]
    TwoValues {
        /// Which field.
        field: FieldId,
        /// The version.
        version: Version,
    },
    /// One reported version stands for two values, or has two answers.
    #[error("the reported version {version} of {field:?} stands for two values")]
    ToldTwice {
        /// Which field.
        field: FieldId,
        /// The version.
        version: u64,
    },
    /// A message that no peer could read was sent.
    #[error("a message was sent that is not one")]
    Malformed,
    /// Both sides do not come to rest, although nothing goes wrong any more.
    #[error("both sides do not come to rest")]
    Unsettled,
    /// Both sides are at rest and not equal.
    #[error("both sides are at rest, and {field:?} differs: {what}")]
    Differs {
        /// In which field.
        field: FieldId,
        /// How.
        what: String,
    },
}

impl<T: Twin, const PENDING: usize> World<T, PENDING> {
    /// Holds both sides against what must be true at every moment; [`turn`](Self::turn) does so by itself.
    ///
    /// # Errors
    ///
    /// [`Violation`] with the first that is not true.
    pub fn check(&mut self) -> Result<(), Violation> {
        let claimed = self.device.progress();
        let life = self.known.life;
        let epoch = self.service.version().epoch();
        let first = *self.known.epochs.entry(epoch).or_insert(life);
        // Lives of a service that share an epoch may collide until they meet the digest.
        let is_comparable = first == life && self.desired_version().epoch() == claimed.epoch();
        let view = self.device.view();
        for field in view.into_iter().filter(|_| self.device.is_durable()) {
            let before = self.known.stamps.insert(field.id, field.stamp);
            if let Some(before) = before.filter(|&before| before > field.stamp) {
                return Err(Violation::WentBack {
                    field: field.id,
                    from: before,
                    to: field.stamp,
                });
            }
            let wished = self.desired_leaf(field.id).filter(|_| is_comparable);
            if let Some(missing) = wished
                && missing.number() <= claimed.number()
                && field.stamp < missing
            {
                return Err(Violation::Claimed {
                    claimed,
                    missing,
                    field: field.id,
                });
            }
        }
        Ok(())
    }

    /// Holds both sides against each other, as they must be once both are at rest.
    ///
    /// # Errors
    ///
    /// [`Violation`] with the first difference.
    pub fn check_equal(&self) -> Result<(), Violation> {
        for field in self.device.view() {
            let differs = |what: String| Violation::Differs {
                field: field.id,
                what,
            };
            let told = self.service.told(field.id);
            if field.told > 0 && told.as_ref() != Some(&(field.told, field.value.clone())) {
                return Err(differs(alloc::format!(
                    "{field:?} was reported as {told:?}"
                )));
            }
            let Some((wished, value)) = self.service.leaf(field.id) else {
                continue;
            };
            let answer = self.service.acknowledgement_of(field.id);
            if field.stamp != wished || answer.is_none_or(|answer| answer.code != field.code) {
                return Err(differs(alloc::format!(
                    "{wished} is desired and answered {answer:?}, {field:?}"
                )));
            }
            let is_held = value != [wire::NULL];
            let wanted = match value {
                [wire::NONE] => &[wire::NULL],
                value => value,
            };
            if is_held && field.code == Code::APPLIED && !same(&field.value, wanted) {
                return Err(differs(alloc::format!("{value:?} was applied, {field:?}")));
            }
        }
        Ok(())
    }

    /// What is desired: what the store holds, where several processes share one; none of them need know all of it.
    fn desired_version(&self) -> Version {
        let store = self.known.store.as_ref();
        store.map_or(self.service.version(), TwinState::version)
    }

    /// Under which version a field is desired.
    fn desired_leaf(&self, id: FieldId) -> Option<Version> {
        let Some(store) = &self.known.store else {
            return self.service.leaf(id).map(|(version, _)| version);
        };
        let field = store.desired().find(|field| field.id == id)?;
        Some(Version::new(store.version().epoch(), field.version))
    }

    pub(super) fn observe_report(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let report = FullReport::read(payload, self.device.number()).ok_or(Violation::Malformed)?;
        for leaf in &report.fields {
            let twice = Violation::ToldTwice {
                field: leaf.id,
                version: leaf.version,
            };
            let key = (leaf.id, leaf.version);
            let first = self.known.reported.entry(key);
            if first.or_insert_with(|| leaf.value.to_vec()) != leaf.value {
                return Err(twice);
            }
            // An answer counts only in the epoch that it names.
            let Some((version, code)) = leaf.answer else {
                continue;
            };
            let key = (leaf.id, leaf.version, report.head.epoch);
            let answer = (version, code.get());
            if *self.known.answered.entry(key).or_insert(answer) != answer {
                return Err(twice);
            }
        }
        Ok(())
    }

    pub(super) fn observe_delta(&mut self, payload: &[u8]) -> Result<(), Violation> {
        let mut input = LeafReader::new(payload);
        let (delta, count) = Delta::read(&mut input, self.device.number());
        let leaves = (0..count).map(|_| (DesiredLeaf::read(&mut input), input.value()));
        let leaves = leaves.collect::<Vec<_>>();
        if input.failed() || !input.is_at_end() {
            return Err(Violation::Malformed);
        }
        let life = self.known.life;
        let first = *self.known.epochs.entry(delta.epoch).or_insert(life);
        for (leaf, value) in leaves.iter().filter(|_| first == life) {
            let version = Version::new(delta.epoch, leaf.number);
            let field = FieldId::new(leaf.id);
            let value = (field, value.to_vec());
            let known = self.known.desired.entry(version);
            if *known.or_insert_with(|| value.clone()) != value {
                return Err(Violation::TwoValues { field, version });
            }
        }
        Ok(())
    }
}

/// Whether both are the same value; a whole number is a number.
fn same(one: &[u8], two: &[u8]) -> bool {
    let number = |bytes| Value::from_cbor(bytes, Limits::DEFAULT).ok()?.as_f64();
    one == two || number(one).is_some_and(|one| Some(one) == number(two))
}
