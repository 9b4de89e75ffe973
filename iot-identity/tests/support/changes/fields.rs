//! Fields of a certificate that are no extensions.

use super::super::Plan;
use crate::forge::{date, seq, standard, tlv};

pub(super) fn dates(plan: &mut Plan<'_>) {
    let place = plan.any();
    let draft = &mut plan.drafts[place];
    match plan.dice.below(6) {
        0 => draft.to = date("20260101000000"),
        1 => draft.from = date("20280101000000"),
        2 => draft.to = date("99991231235959"),
        // To the second: 1,800,000,000.
        3 => draft.to = date("20270115080000"),
        4 => draft.to = date("20270115075959"),
        _ => draft.from = date("20270115080000"),
    }
}

pub(super) fn date_form(plan: &mut Plan<'_>) {
    let place = plan.any();
    let forms = [
        tlv(0x18, b"20350101000000Z"),
        tlv(0x17, b"3501010000Z"),
        tlv(0x17, b"350101000000+0000"),
        tlv(0x18, b"20500101000000.5Z"),
        tlv(0x18, b"205001010000Z"),
        tlv(0x17, b"351301000000Z"),
        tlv(0x17, b"350230000000Z"),
        tlv(0x17, b"350101000060Z"),
        tlv(0x0c, b"350101000000Z"),
    ];
    plan.drafts[place].to = plan.dice.one(&forms).clone();
}

pub(super) fn version(plan: &mut Plan<'_>) {
    let place = plan.any();
    let draft = &mut plan.drafts[place];
    match plan.dice.below(4) {
        0 => {
            draft.version = vec![];
            draft.raw_extensions = Some(vec![]);
        }
        1 => draft.version = vec![],
        2 => draft.version = tlv(0xa0, &tlv(2, &[1])),
        _ => draft.version = tlv(0xa0, &tlv(2, &[3])),
    }
}

pub(super) fn serial(plan: &mut Plan<'_>) {
    let place = plan.any();
    plan.drafts[place].serial = match plan.dice.below(5) {
        0 => tlv(2, &[0]),
        1 => tlv(2, &[0xff]),
        2 => tlv(2, &[1; 21]),
        3 => tlv(2, &[]),
        _ => tlv(2, &[1; 20]),
    };
}

pub(super) fn algorithm(plan: &mut Plan<'_>) {
    let place = plan.any();
    let other = plan.keys[plan.dice.below(6)].algorithm();
    match plan.dice.below(3) {
        0 => plan.drafts[place].inner = other,
        1 => plan.drafts[place].outer = other,
        _ => {
            // A parameter where none belongs.
            let id = seq(&[tlv(6, &[0x2b, 0x65, 0x70]), tlv(5, &[])]);
            plan.drafts[place].inner = id.clone();
            plan.drafts[place].outer = id;
        }
    }
}

pub(super) fn unique_id(plan: &mut Plan<'_>) {
    let place = plan.any();
    plan.drafts[place].ids = tlv(0x81, &[0, 0xff]);
    // A hint that nothing asks for, so that the list of extensions stays where it is.
    let hint = standard(46, false, &seq(&[]));
    plan.drafts[place].extensions.push((46, hint));
}
