//! The rules of twins that random worlds cannot exhaust (R5, R8 to R11), searched to a fixpoint at small scope, and
//! the real device held to that model.
//!
//! `twin_model/` holds the rules once more, in plain numbers: a service, a device with memory and records, every
//! message that was ever sent or may have been, power cuts and backups. A search visits every world that loss,
//! repetition and order can lead to, and checks the claims in each; and from each of them, once nothing goes wrong
//! any more, both sides must come to rest, equal. Then the real device makes every move of the model's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test may fail loudly, on a host"
)]

mod twin_model {
    pub(crate) mod conform;
    pub(crate) mod device;
    pub(crate) mod rules;
    pub(crate) mod search;
    pub(crate) mod service;
    pub(crate) mod world;
}

use twin_model::conform;
use twin_model::rules::{Mutant, Policy, Rules};
use twin_model::search::search;

const POLICIES: [Policy; 4] = [
    Policy::LastIntent,
    Policy::FollowDesired,
    Policy::LocalSticky,
    Policy::Max,
];

/// Every claim holds in every world, and at least `least` worlds were visited.
fn holds(rules: &Rules, least: usize) {
    let found = search(rules);
    println!(
        "{rules:?}: states={} transitions={}",
        found.states, found.transitions
    );
    assert!(found.broken.is_none(), "{:?}", found.broken);
    assert!(found.states >= least, "only {} worlds", found.states);
}

fn scope<T>(quick: T, release: T) -> T {
    if cfg!(debug_assertions) {
        quick
    } else {
        release
    }
}

#[test]
fn every_claim_holds_in_every_world_of_each_policy() {
    for policy in POLICIES {
        let mut rules = Rules::new(policy);
        rules.cuts = scope(0, 1);
        holds(&rules, 500);
    }
}

#[test]
fn every_claim_holds_in_every_world_with_a_service_from_a_backup() {
    for policy in POLICIES {
        let mut rules = Rules::new(policy);
        (rules.cuts, rules.restores, rules.late) = (0, 1, false);
        rules.edits = scope(0, 1);
        holds(&rules, 100);
    }
}

#[test]
fn every_claim_holds_in_every_world_with_power_cuts_and_no_backup() {
    let mut rules = Rules::new(Policy::LastIntent);
    (rules.cuts, rules.edits) = (2, scope(0, 1));
    rules.desires = scope(2, 2);
    holds(&rules, 500);
}

#[test]
fn every_broken_rule_breaks_a_claim() {
    for mutant in Mutant::ALL {
        let caught = POLICIES.iter().find_map(|&policy| {
            let mut rules = Rules::new(policy);
            rules.mutant = Some(mutant);
            if matches!(mutant, Mutant::EpochKept | Mutant::Repeated) {
                (rules.restores, rules.cuts) = (1, 0);
            }
            let found = search(&rules);
            found.broken.map(|(claim, _)| (policy, claim, found.states))
        });
        let (policy, claim, states) = caught.unwrap_or_else(|| panic!("{mutant:?} was not caught"));
        println!("{mutant:?}: \"{claim}\" in world {states} of {policy:?}");
    }
}

#[test]
fn the_real_device_does_what_the_model_does() {
    let compared = conform::devices(scope(4, 6));
    println!("{compared:?}");
    assert!(compared.states > 100 && compared.moves > 1_000 && compared.cuts > 50);
}
