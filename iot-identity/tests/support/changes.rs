//! What may be wrong with a chain.

use super::{Ask, Damage, Plan, address, dns, purpose, subject_of};
use crate::forge::{
    COMMON_NAME, Draft, EMAIL, IA5, ORGANIZATION, PRINTABLE, UTF8, date, extension, name, seq,
    standard, tlv,
};

pub(super) type Change = fn(&mut Plan<'_>);

pub(super) const CHANGES: &[(&str, Change)] = &[
    ("path length", path_length),
    ("name constraints", name_constraints),
    ("name constraints", name_constraints),
    ("key usage", key_usage),
    ("extended key usage", extended_key_usage),
    ("extended key usage", extended_key_usage),
    ("unknown extension", unknown_extension),
    ("policy extension", policy_extension),
    ("dates", dates),
    ("form of a date", date_form),
    ("wrong signer", wrong_signer),
    ("broken signature", |plan| plan.damage(Damage::Signature)),
    ("bit", |plan| plan.damage(Damage::Bit)),
    ("bit", |plan| plan.damage(Damage::Bit)),
    ("trailing byte", |plan| plan.damage(Damage::Trailing)),
    ("unused bits", |plan| plan.damage(Damage::UnusedBits)),
    ("long length", |plan| plan.damage(Damage::LongLength)),
    ("authority as leaf", authority_as_leaf),
    ("version", version),
    ("duplicate extension", duplicate_extension),
    ("encoding", encoding),
    ("self-issued", self_issued),
    ("key identifier", key_identifier),
    ("serial", serial),
    ("basic constraints", basic_constraints),
    ("issuer", issuer),
    ("algorithm", algorithm),
    ("alternative names", alternative_names),
    ("alternative names", alternative_names),
    ("offered", offered),
    ("missing", |plan| {
        plan.drop = Some(plan.dice.below(plan.drafts.len()))
    }),
    ("subject", subject),
    ("unique id", unique_id),
];

fn path_length(plan: &mut Plan<'_>) {
    for place in 0..plan.drafts.len() - 1 {
        if plan.dice.chance(2) {
            let length = u8::try_from(plan.dice.below(3)).unwrap();
            let content = seq(&[tlv(1, &[0xff]), tlv(2, &[length])]);
            plan.drafts[place].put(19, true, &content);
        }
    }
}

fn name_constraints(plan: &mut Plan<'_>) {
    let mask = |bytes: &[u8]| address(bytes);
    let directory = |name: Vec<u8>| tlv(0xa4, &name);
    let bases = [
        dns("example.com"),
        dns("a.example.com"),
        dns("EXAMPLE.com"),
        dns("b.example.com"),
        dns("x.a.example.com"),
        dns(""),
        dns(".example.com"),
        mask(&[10, 0, 0, 0, 255, 0, 0, 0]),
        mask(&[10, 1, 2, 4, 255, 255, 255, 255]),
        mask(&[10, 0, 0, 0, 255, 0, 255, 0]),
        mask(&[10, 0, 0, 0]),
        mask(&[[0; 16], [0; 16]].concat()),
        directory(name(&[(ORGANIZATION, UTF8, "Acme")])),
        directory(name(&[(ORGANIZATION, PRINTABLE, "ACME")])),
        directory(name(&[(ORGANIZATION, UTF8, "Other")])),
        directory(subject_of("Peer")),
        directory(seq(&[])),
        tlv(0x81, b"example.com"),
        tlv(0x81, b".example.com"),
        tlv(0x81, b"u@example.com"),
        tlv(0x81, b"u@other.com"),
        tlv(0x86, b"a.example.com"),
        tlv(0x86, b".example.com"),
        tlv(0x86, b"other.com"),
        tlv(0x88, &[0x2a, 3]),
        tlv(
            0xa0,
            &[tlv(6, &[0x2a, 3]), tlv(0xa0, &tlv(UTF8, b"x"))].concat(),
        ),
    ];
    let names = [
        dns("a.example.com"),
        dns("a.example.com"),
        dns("b.example.com"),
        dns("*.example.com"),
        dns("other.com"),
        address(&[10, 1, 2, 3]),
        address(&[10, 1, 2, 3]),
        address(&[0; 16]),
        tlv(0x81, b"u@example.com"),
        tlv(0x81, b"u@a.example.com"),
        tlv(0x81, b"U@EXAMPLE.com"),
        tlv(0x86, b"https://a.example.com/x"),
        tlv(0x86, b"https://u@a.example.com:8/x"),
        tlv(0x86, b"urn:iot:device:a"),
        tlv(0x88, &[0x2a, 3]),
        tlv(
            0xa0,
            &[tlv(6, &[0x2a, 3]), tlv(0xa0, &tlv(UTF8, b"x"))].concat(),
        ),
        tlv(0xa4, &subject_of("Peer")),
        tlv(0xa4, &name(&[(ORGANIZATION, UTF8, "Other")])),
    ];
    for _ in 0..1 + plan.dice.below(2) {
        let place = plan.authority();
        let mut halves = vec![];
        let kind = plan.dice.below(3);
        for tag in [0xa0, 0xa1] {
            if kind == 2 || kind == usize::from(tag - 0xa0u8) {
                let count = 1 + plan.dice.below(3);
                let list: Vec<_> = (0..count)
                    .map(|_| seq(&[plan.dice.one(&bases).clone()]))
                    .collect();
                halves.push(tlv(tag, &list.concat()));
            }
        }
        plan.drafts[place].put(30, true, &seq(&halves));
    }
    let mut list = vec![dns("a.example.com")];
    if matches!(plan.ask, Ask::Address(_)) {
        list = vec![address(&[10, 1, 2, 3])];
    }
    for _ in 0..plan.dice.below(3) {
        list.push(plan.dice.one(&names).clone());
    }
    plan.leaf().put(17, false, &seq(&list));
    if plan.dice.chance(4) {
        let mut subject = vec![(ORGANIZATION, UTF8, "Acme"), (COMMON_NAME, UTF8, "Peer")];
        subject.push(*plan.dice.one(&[
            (EMAIL, IA5, "u@example.com"),
            (EMAIL, IA5, "u@other.com"),
            (COMMON_NAME, UTF8, "a.example.com"),
            (COMMON_NAME, UTF8, "c.other.com"),
        ]));
        plan.leaf().subject = name(&subject);
    }
    if plan.dice.chance(8) && matches!(plan.ask, Ask::Any | Ask::Client) {
        plan.leaf().take(17);
    }
}

fn key_usage(plan: &mut Plan<'_>) {
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

fn extended_key_usage(plan: &mut Plan<'_>) {
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

fn unknown_extension(plan: &mut Plan<'_>) {
    let (place, critical) = (plan.any(), !plan.dice.chance(3));
    let unknown = extension(
        &[0x2b, 6, 1, 4, 1, 0x81, 0xfd, 0x59, 9],
        critical,
        &tlv(5, &[]),
    );
    plan.drafts[place].extensions.push((0, unknown));
}

fn policy_extension(plan: &mut Plan<'_>) {
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

fn dates(plan: &mut Plan<'_>) {
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

fn date_form(plan: &mut Plan<'_>) {
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

fn wrong_signer(plan: &mut Plan<'_>) {
    let place = 1 + plan.dice.below(plan.drafts.len() - 1);
    let other = 6 + plan.dice.below(3);
    let algorithm = plan.keys[other].algorithm();
    plan.signers[place] = other;
    plan.drafts[place].inner = algorithm.clone();
    plan.drafts[place].outer = algorithm;
}

fn authority_as_leaf(plan: &mut Plan<'_>) {
    let usage = if plan.dice.chance(2) {
        [1, 0x86]
    } else {
        [7, 0x80]
    };
    let leaf = plan.leaf();
    leaf.put(19, true, &seq(&[tlv(1, &[0xff])]));
    leaf.put(15, true, &tlv(3, &usage));
}

fn version(plan: &mut Plan<'_>) {
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

fn duplicate_extension(plan: &mut Plan<'_>) {
    let place = plan.any();
    let again = plan.dice.one(&plan.drafts[place].extensions).clone();
    plan.drafts[place].extensions.push(again);
}

fn encoding(plan: &mut Plan<'_>) {
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

/// An authority gets a second certificate, issued by itself, for another key.
fn self_issued(plan: &mut Plan<'_>) {
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

fn key_identifier(plan: &mut Plan<'_>) {
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

fn serial(plan: &mut Plan<'_>) {
    let place = plan.any();
    plan.drafts[place].serial = match plan.dice.below(5) {
        0 => tlv(2, &[0]),
        1 => tlv(2, &[0xff]),
        2 => tlv(2, &[1; 21]),
        3 => tlv(2, &[]),
        _ => tlv(2, &[1; 20]),
    };
}

fn basic_constraints(plan: &mut Plan<'_>) {
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

fn issuer(plan: &mut Plan<'_>) {
    let place = plan.any();
    plan.drafts[place].issuer = match plan.dice.below(4) {
        0 => subject_of("Nobody"),
        1 => seq(&[]),
        2 => name(&[(ORGANIZATION, UTF8, "ACME"), (COMMON_NAME, UTF8, "Root")]),
        _ => name(&[
            (ORGANIZATION, PRINTABLE, "Acme"),
            (COMMON_NAME, PRINTABLE, "Root"),
        ]),
    };
}

fn algorithm(plan: &mut Plan<'_>) {
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

fn alternative_names(plan: &mut Plan<'_>) {
    let lists = [
        seq(&[]),
        seq(&[dns("*.example.com")]),
        seq(&[dns("*.com"), dns("a.example.com")]),
        seq(&[dns("*"), dns("a.example.com")]),
        seq(&[dns("a*.example.com")]),
        seq(&[dns("*.*.com")]),
        seq(&[dns("A.EXAMPLE.COM")]),
        seq(&[dns("a.example.com.")]),
        seq(&[dns("b.example.com")]),
        seq(&[dns("10.1.2.3"), dns("a.example.com")]),
        seq(&[dns(""), dns("a.example.com")]),
        seq(&[dns(" a.example.com")]),
        seq(&[tlv(0x82, &[0xf0, 0x9f]), dns("a.example.com")]),
        seq(&[address(&[10, 1, 2]), dns("a.example.com")]),
        seq(&[address(&[10, 1, 2, 3, 255, 255, 255, 0])]),
        seq(&[address(&[10, 1, 2, 3])]),
        seq(&[tlv(0x81, b"nobody"), dns("a.example.com")]),
        seq(&[tlv(0x86, b"nothing"), dns("a.example.com")]),
        seq(&[tlv(0x89, b"x"), dns("a.example.com")]),
        seq(&[tlv(0xa4, &seq(&[])), dns("a.example.com")]),
        tlv(0x31, &dns("a.example.com")),
    ];
    let critical = plan.dice.chance(3);
    match plan.dice.below(8) {
        0 => plan.leaf().take(17),
        1 => {
            plan.leaf().take(17);
            plan.leaf().subject = subject_of("a.example.com");
        }
        2 => {
            plan.leaf().subject = seq(&[]);
            let names = seq(&[dns("a.example.com"), address(&[10, 1, 2, 3])]);
            plan.leaf().put(17, critical, &names);
        }
        _ => {
            let list = plan.dice.one(&lists).clone();
            plan.leaf().put(17, critical, &list);
        }
    }
}

fn offered(plan: &mut Plan<'_>) {
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

fn subject(plan: &mut Plan<'_>) {
    let place = plan.any();
    let odd = [
        seq(&[]),
        name(&[(COMMON_NAME, PRINTABLE, "*.example.com")]),
        name(&[(COMMON_NAME, UTF8, "10.1.2.3")]),
        name(&[(COMMON_NAME, UTF8, "10.001.2.3")]),
        name(&[(COMMON_NAME, UTF8, "b.example.com")]),
        name(&[(COMMON_NAME, UTF8, "")]),
        name(&[(COMMON_NAME, IA5, "Peer")]),
        name(&[(COMMON_NAME, 0x1e, "\0P\0e")]),
        name(&[(COMMON_NAME, 0x14, "Peer")]),
        seq(&[tlv(0x31, &[])]),
        seq(&[tlv(0x30, &[])]),
        tlv(0x31, &[]),
    ];
    let new = plan.dice.one(&odd).clone();
    plan.drafts[place].subject.clone_from(&new);
    if place + 1 < plan.drafts.len() {
        plan.drafts[place + 1].issuer.clone_from(&new);
    }
    if place == 0 {
        plan.drafts[0].issuer = new;
    }
}

fn unique_id(plan: &mut Plan<'_>) {
    let place = plan.any();
    plan.drafts[place].ids = tlv(0x81, &[0, 0xff]);
    // A hint that nothing asks for, so that the list of extensions stays where it is.
    let hint = standard(46, false, &seq(&[]));
    plan.drafts[place].extensions.push((46, hint));
}
