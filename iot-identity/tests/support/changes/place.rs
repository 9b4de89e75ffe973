//! The place of certificates in a chain: who signs, who is missing, who is too many.

use super::super::Plan;
use super::extensions::path_length;
use crate::forge::{Draft, date, seq, tlv};

pub(super) fn wrong_signer(plan: &mut Plan<'_>) {
    let place = 1 + plan.dice.below(plan.drafts.len() - 1);
    let other = 6 + plan.dice.below(3);
    let algorithm = plan.keys[other].algorithm();
    plan.signers[place] = other;
    plan.drafts[place].inner = algorithm.clone();
    plan.drafts[place].outer = algorithm;
}

pub(super) fn authority_as_leaf(plan: &mut Plan<'_>) {
    let usage = if plan.dice.chance(2) {
        [1, 0x86]
    } else {
        [7, 0x80]
    };
    let leaf = plan.leaf();
    leaf.put(19, true, &seq(&[tlv(1, &[0xff])]));
    leaf.put(15, true, &tlv(3, &usage));
}

/// An authority gets a second certificate, issued by itself, for another key.
pub(super) fn self_issued(plan: &mut Plan<'_>) {
    let place = plan.authority();
    let old = plan.drafts[place].clone();
    let (holder, fresh) = (plan.holders[place], 5);
    let new = Draft::new(
        old.subject.clone(),
        &plan.keys[fresh],
        &old.subject,
        &plan.keys[holder],
        true,
    );
    plan.drafts.insert(place + 1, new);
    plan.holders.insert(place + 1, fresh);
    plan.signers.insert(place + 1, holder);
    let below = place + 2;
    plan.signers[below] = fresh;
    let key = &plan.keys[fresh];
    let (algorithm, id) = (key.algorithm(), seq(&[tlv(0x80, &key.id())]));
    plan.drafts[below].put(35, false, &id);
    plan.drafts[below].inner = algorithm.clone();
    plan.drafts[below].outer = algorithm;
    if plan.dice.chance(2) {
        path_length(plan);
    }
}

pub(super) fn offered(plan: &mut Plan<'_>) {
    // Strangers, other certificates of the same authorities, and the chain's own once more.
    for _ in 0..1 + plan.dice.below(4) {
        let place = plan.authority();
        let mut draft = plan.drafts[place].clone();
        let by = match plan.dice.below(3) {
            0 => &plan.keys[7],
            1 => {
                draft.to = date("20260101000000");
                &plan.keys[plan.signers[place]]
            }
            _ => &plan.keys[plan.signers[place]],
        };
        draft.inner = by.algorithm();
        draft.outer = by.algorithm();
        plan.extra.push(draft.sign(by));
    }
}
