//! What names say: alternative names, subjects, issuers, and the constraints on them.

use super::super::{Ask, Plan, address, dns, subject_of};
use crate::forge::{COMMON_NAME, EMAIL, IA5, ORGANIZATION, PRINTABLE, UTF8, name, seq, tlv};

pub(super) fn name_constraints(plan: &mut Plan<'_>) {
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

pub(super) fn alternative_names(plan: &mut Plan<'_>) {
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

pub(super) fn subject(plan: &mut Plan<'_>) {
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

pub(super) fn issuer(plan: &mut Plan<'_>) {
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
