//! Extensions: what they say, and how they are written.

use super::super::{Plan, purpose, subject_of};
use crate::forge::{extension, seq, tlv};

pub(super) fn path_length(plan: &mut Plan<'_>) {
    for place in 0..plan.drafts.len() - 1 {
        if plan.dice.chance(2) {
            let length = u8::try_from(plan.dice.below(3)).unwrap();
            let content = seq(&[tlv(1, &[0xff]), tlv(2, &[length])]);
            plan.drafts[place].put(19, true, &content);
        }
    }
}

pub(super) fn key_usage(plan: &mut Plan<'_>) {
    let place = plan.any();
    let draft = &mut plan.drafts[place];
    match plan.dice.below(6) {
        0 => draft.take(15),
        1 => draft.put(15, true, &tlv(3, &[0])),
        2 => draft.put(15, false, &tlv(3, &[1, 2])),
        _ => {
            // Any set of the first eight bits, written as DER wants it.
            let bits = u8::try_from(1 + plan.dice.below(255)).unwrap();
            let unused = u8::try_from(bits.trailing_zeros()).unwrap();
            draft.put(15, true, &tlv(3, &[unused, bits]));
        }
    }
}

pub(super) fn extended_key_usage(plan: &mut Plan<'_>) {
    let place = plan.any();
    let any = tlv(6, &[0x55, 0x1d, 0x25, 0]);
    let all = [any, purpose(1), purpose(2), purpose(3), purpose(9)];
    let count = plan.dice.below(4);
    let list: Vec<_> = (0..count).map(|_| plan.dice.one(&all).clone()).collect();
    let critical = plan.dice.chance(2);
    if plan.dice.chance(6) {
        plan.drafts[place].take(37);
    } else {
        plan.drafts[place].put(37, critical, &seq(&list));
    }
}

pub(super) fn unknown_extension(plan: &mut Plan<'_>) {
    let (place, critical) = (plan.any(), !plan.dice.chance(3));
    let unknown = extension(
        &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 9],
        critical,
        &tlv(5, &[]),
    );
    plan.drafts[place].extensions.push((0, unknown));
}

pub(super) fn policy_extension(plan: &mut Plan<'_>) {
    let place = plan.any();
    let policy = seq(&[seq(&[tlv(6, &[0x2a, 3, 4])])]);
    let (number, content) = match plan.dice.below(4) {
        0 => (32, policy),
        1 => (36, seq(&[tlv(0x80, &[0])])),
        2 => (54, tlv(2, &[0])),
        _ => (
            33,
            seq(&[seq(&[tlv(6, &[0x2a, 3, 4]), tlv(6, &[0x2a, 3, 5])])]),
        ),
    };
    let critical = plan.dice.chance(2);
    plan.drafts[place].put(number, critical, &content);
}

pub(super) fn duplicate_extension(plan: &mut Plan<'_>) {
    let place = plan.any();
    let again = plan.dice.one(&plan.drafts[place].extensions).clone();
    plan.drafts[place].extensions.push(again);
}

pub(super) fn key_identifier(plan: &mut Plan<'_>) {
    let place = plan.any();
    let choice = plan.dice.below(7);
    let draft = &mut plan.drafts[place];
    match choice {
        0 => draft.take(35),
        1 => draft.take(14),
        2 => draft.put(35, false, &seq(&[tlv(0x80, &[9; 20])])),
        3 => draft.put(14, false, &tlv(4, &[9; 20])),
        4 => draft.put(35, true, &seq(&[tlv(0x80, &[9; 20])])),
        5 => draft.put(35, false, &seq(&[])),
        _ => {
            let issuer = tlv(0xa1, &tlv(0xa4, &subject_of("Root")));
            draft.put(35, false, &seq(&[issuer, tlv(0x82, &[1, 0])]));
        }
    }
}

pub(super) fn basic_constraints(plan: &mut Plan<'_>) {
    let place = plan.any();
    let choice = plan.dice.below(6);
    let draft = &mut plan.drafts[place];
    match choice {
        0 => draft.take(19),
        1 => draft.put(19, false, &seq(&[tlv(1, &[0xff])])),
        2 => draft.put(19, true, &seq(&[])),
        3 => draft.put(19, true, &seq(&[tlv(2, &[0])])),
        4 => draft.put(19, true, &seq(&[tlv(1, &[0xff]), tlv(2, &[0xff])])),
        _ => draft.put(19, true, &seq(&[tlv(1, &[0xff]), tlv(2, &[1, 0])])),
    }
}

pub(super) fn encoding(plan: &mut Plan<'_>) {
    let place = plan.any();
    let choice = plan.dice.below(9);
    let draft = &mut plan.drafts[place];
    match choice {
        0 => draft.put(19, true, &seq(&[tlv(1, &[1])])),
        1 => draft.put(19, true, &seq(&[tlv(1, &[0])])),
        2 => draft
            .extensions
            .push((0, seq(&[tlv(6, &[0x2a, 9]), tlv(1, &[0]), tlv(4, &[])]))),
        3 => draft.serial = tlv(2, &[0, 1, 2]),
        4 => draft.ids = tlv(5, &[]),
        5 => draft.raw_extensions = Some(tlv(0xa3, &seq(&[]))),
        6 => draft.put(14, false, &[0x24, 2, 4, 0]),
        7 => draft.put(15, true, &tlv(3, &[0, 0x86])),
        _ => draft.put(14, false, &[tlv(4, &[1, 2]), vec![0]].concat()),
    }
}
