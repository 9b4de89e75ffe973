//! What may be wrong with a chain: every change, with the name under which what comes of it is explained.

#[path = "changes/extensions.rs"]
mod extensions;
#[path = "changes/fields.rs"]
mod fields;
#[path = "changes/names.rs"]
mod names;
#[path = "changes/place.rs"]
mod place;

use super::{Damage, Plan};

pub(super) type Change = fn(&mut Plan<'_>);

pub(super) const CHANGES: &[(&str, Change)] = &[
    ("path length", extensions::path_length),
    ("name constraints", names::name_constraints),
    ("name constraints", names::name_constraints),
    ("key usage", extensions::key_usage),
    ("extended key usage", extensions::extended_key_usage),
    ("extended key usage", extensions::extended_key_usage),
    ("unknown extension", extensions::unknown_extension),
    ("policy extension", extensions::policy_extension),
    ("dates", fields::dates),
    ("form of a date", fields::date_form),
    ("wrong signer", place::wrong_signer),
    ("broken signature", |plan| plan.damage(Damage::Signature)),
    ("bit", |plan| plan.damage(Damage::Bit)),
    ("bit", |plan| plan.damage(Damage::Bit)),
    ("trailing byte", |plan| plan.damage(Damage::Trailing)),
    ("unused bits", |plan| plan.damage(Damage::UnusedBits)),
    ("long length", |plan| plan.damage(Damage::LongLength)),
    ("authority as leaf", place::authority_as_leaf),
    ("version", fields::version),
    ("duplicate extension", extensions::duplicate_extension),
    ("encoding", extensions::encoding),
    ("self-issued", place::self_issued),
    ("key identifier", extensions::key_identifier),
    ("serial", fields::serial),
    ("basic constraints", extensions::basic_constraints),
    ("issuer", names::issuer),
    ("algorithm", fields::algorithm),
    ("alternative names", names::alternative_names),
    ("alternative names", names::alternative_names),
    ("offered", place::offered),
    ("missing", |plan| {
        plan.drop = Some(plan.dice.below(plan.drafts.len()))
    }),
    ("subject", names::subject),
    ("unique id", fields::unique_id),
];
