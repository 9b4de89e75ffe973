//! What the validator of chains answers where neither vectors nor OpenSSL ask.
#![cfg(feature = "cert")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

#[path = "support/forge.rs"]
#[allow(dead_code, reason = "other tests forge more")]
mod forge;

use core::slice::from_ref;
use core::time::Duration;
use std::time::Instant;

use forge::{COMMON_NAME, Draft, Key, UTF8, date, name, seq, signed, standard, tlv};
use iot_core::crypto::SignatureAlgorithm::Ed25519;
use iot_core::time::TimeBounds;
use iot_core::{Role, TenantId, Timestamp};
use iot_identity::cert::path::{
    Anchor, Crl, CrlError, Defect, Freshness, MAX_OFFERED, PathError, PathPolicy, Purpose,
    StatusError,
};
use iot_identity::cert::{AdmitError, AnchorError, TrustAnchors};
use rustls_pki_types::CertificateDer;

/// 2027-01-15T08:00:00Z.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn called(text: &str) -> Vec<u8> {
    name(&[(COMMON_NAME, UTF8, text)])
}

fn key() -> Key {
    Key::new(Ed25519)
}

fn anchor(der: &[u8]) -> Anchor {
    Anchor::new(&CertificateDer::from(der.to_vec())).unwrap()
}

fn ask(
    policy: &PathPolicy<'_>,
    leaf: &[u8],
    between: &[Vec<u8>],
    top: &[u8],
) -> Result<usize, PathError> {
    let between: Vec<&[u8]> = between.iter().map(Vec::as_slice).collect();
    let path = policy.verify(leaf, &between, &[anchor(top)]);
    path.map(|path| path.certificates().len())
}

fn exact(at: Timestamp) -> PathPolicy<'static> {
    PathPolicy::new(TimeBounds::exact(at), Purpose::Any)
}

/// An anchor, an authority below it and a leaf, with their keys.
struct Three {
    root: Key,
    middle: Key,
    top: Vec<u8>,
    between: Draft,
    leaf: Vec<u8>,
}

fn three() -> Three {
    let (root, middle, own) = (key(), key(), key());
    let top = Draft::new(called("Root"), &root, &called("Root"), &root, true).sign(&root);
    let between = Draft::new(called("Middle"), &middle, &called("Root"), &root, true);
    let leaf = Draft::new(called("Leaf"), &own, &called("Middle"), &middle, false).sign(&middle);
    Three {
        root,
        middle,
        top,
        between,
        leaf,
    }
}

#[test]
fn a_path_that_breaks_a_rule_does_not_hide_one_that_keeps_it() {
    let three = three();
    let good = three.between.sign(&three.root);
    let mut bad = vec![];
    for change in [
        (|draft| draft.put(15, true, &tlv(3, &[7, 0x80]))) as fn(&mut Draft),
        |draft| draft.to = date("20260101000000"),
        |draft| {
            draft.put(
                30,
                true,
                &seq(&[tlv(0xa0, &seq(&[tlv(0xa4, &called("Other"))]))]),
            )
        },
        |draft| draft.put(99, true, &[5, 0]),
        |draft| draft.take(14),
    ] {
        let mut draft = three.between.clone();
        change(&mut draft);
        let der = draft.sign(&three.root);
        let policy = exact(NOW);
        assert!(ask(&policy, &three.leaf, from_ref(&der), &three.top).is_err());
        bad.push(der);
    }
    bad.push(good);
    for _ in 0..bad.len() {
        bad.rotate_left(1);
        assert_eq!(ask(&exact(NOW), &three.leaf, &bad, &three.top), Ok(2));
    }
    bad.push(b"no certificate at all".to_vec());
    assert_eq!(ask(&exact(NOW), &three.leaf, &bad, &three.top), Ok(2));
}

#[test]
fn an_issuer_is_the_one_whose_key_identifier_is_named() {
    let three = three();
    let mut other = three.between.clone();
    other.put(14, false, &tlv(4, &[9; 20]));
    let other = other.sign(&three.root);
    let found = ask(&exact(NOW), &three.leaf, from_ref(&other), &three.top);
    assert_eq!(found, Err(PathError::Authority(Defect::KeyIdentifier)));
}

#[test]
fn time_that_is_not_proved_is_uncertain_on_every_certificate() {
    let three = three();
    for place in 0..3 {
        let (root, own) = (&three.root, key());
        let mut drafts = [
            Draft::new(called("Root"), root, &called("Root"), root, true),
            three.between.clone(),
            Draft::new(
                called("Leaf"),
                &own,
                &called("Middle"),
                &three.middle,
                false,
            ),
        ];
        drafts[place].from = date("20270115080000");
        drafts[place].to = date("20270116080000");
        let top = drafts[0].sign(root);
        let (middle, leaf) = (drafts[1].sign(root), drafts[2].sign(&three.middle));
        let between = |from, to| {
            let wall = TimeBounds::between(from, to).unwrap();
            let policy = PathPolicy::new(wall, Purpose::Any);
            let all = [middle.clone()];
            let found = ask(&policy, &leaf, &all, &top);
            let dateless = ask(&policy.anchors_without_dates(), &leaf, &all, &top);
            assert_eq!(dateless, if place == 0 { Ok(2) } else { found }, "{place}");
            found
        };
        let (start, end) = (NOW, NOW.after(DAY));
        let second = Duration::from_secs(1);
        assert_eq!(between(start, end), Ok(2));
        assert_eq!(
            between(start, end.after(second)),
            Err(PathError::TimeUncertain)
        );
        assert_eq!(
            between(start.before(second), end),
            Err(PathError::TimeUncertain)
        );
        assert_eq!(
            between(end.after(second), end.after(DAY)),
            Err(PathError::Expired)
        );
        assert_eq!(
            between(start.before(DAY), start.before(second)),
            Err(PathError::NotYetValid)
        );
    }
}

#[test]
fn what_is_offered_cannot_make_a_search_long() {
    // Authorities of one name that certify each other's keys in every way, and all claim the same identifier.
    let keys: Vec<Key> = (0..5).map(|_| key()).collect();
    let mut offered = vec![];
    for (holder, key) in keys.iter().enumerate() {
        for by in keys.iter().skip(holder + 1).chain(keys.iter().take(holder)) {
            let mut draft = Draft::new(called("A"), key, &called("A"), by, true);
            draft.put(14, false, &tlv(4, &[1]));
            draft.put(35, false, &seq(&[tlv(0x80, &[1])]));
            offered.push(draft.sign(by));
        }
    }
    let own = key();
    let mut leaf = Draft::new(called("Leaf"), &own, &called("A"), &keys[0], false);
    leaf.put(35, false, &seq(&[tlv(0x80, &[1])]));
    let leaf = leaf.sign(&keys[0]);
    let root = key();
    let top = Draft::new(called("Root"), &root, &called("Root"), &root, true).sign(&root);
    // The best of several, because others may use the machine too.
    let once = |_| {
        let start = Instant::now();
        let found = ask(&exact(NOW), &leaf, &offered, &top);
        assert_eq!(found, Err(PathError::Exhausted));
        start.elapsed()
    };
    let took = (0..8).map(once).min().unwrap();
    assert!(took < Duration::from_millis(100), "{took:?}");
    offered.resize(MAX_OFFERED + 1, vec![]);
    assert_eq!(
        ask(&exact(NOW), &leaf, &offered, &top),
        Err(PathError::TooMany)
    );
}

#[test]
fn only_so_many_authorities_may_stand_in_a_row() {
    let root = key();
    let top = Draft::new(called("0"), &root, &called("0"), &root, true).sign(&root);
    let mut keys = vec![root];
    let mut between = vec![];
    for depth in 1..=6 {
        let (own, by) = (key(), keys.last().unwrap());
        let (subject, issuer) = (called(&depth.to_string()), called(&(depth - 1).to_string()));
        between.push(Draft::new(subject.clone(), &own, &issuer, by, true).sign(by));
        let leaf = Draft::new(called("Leaf"), &key(), &subject, &own, false).sign(&own);
        let found = ask(&exact(NOW), &leaf, &between, &top);
        let expected = if depth <= 5 {
            Ok(1 + depth)
        } else {
            Err(PathError::PathLength)
        };
        assert_eq!(found, expected);
        let fewer = ask(
            &exact(NOW).max_intermediates(depth - 1),
            &leaf,
            &between,
            &top,
        );
        assert_eq!(fewer, Err(PathError::PathLength));
        keys.push(own);
    }
}

/// A list of these serial numbers, by the rules but for the extensions given.
fn list(
    by: &Key,
    issuer: &[u8],
    serials: &[&[u8]],
    days: (&str, &str),
    more: &[Vec<u8>],
) -> Vec<u8> {
    let mut extensions = vec![
        standard(35, false, &seq(&[tlv(0x80, &by.id())])),
        standard(20, false, &tlv(2, &[7])),
    ];
    extensions.extend_from_slice(more);
    let entry = |serial: &&[u8]| seq(&[tlv(2, serial), date("20270101000000")]);
    let revoked = match serials {
        [] => vec![],
        some => seq(&some.iter().map(entry).collect::<Vec<_>>()),
    };
    let message = seq(&[
        tlv(2, &[1]),
        by.algorithm(),
        issuer.to_vec(),
        date(days.0),
        date(days.1),
        revoked,
        tlv(0xa0, &seq(&extensions)),
    ]);
    let signature = by.sign(&message);
    signed(message, by.algorithm(), &signature)
}

#[test]
fn a_fresh_list_of_each_issuer_is_wanted_and_an_old_one_still_revokes() {
    let three = three();
    let middle = three.between.sign(&three.root);
    let (root, middle_name) = (called("Root"), called("Middle"));
    let fresh = ("20270114080000", "20270120080000");
    let of_root = list(&three.root, &root, &[], fresh, &[]);
    let status = |lists: &[Vec<u8>], wall, freshness| {
        let lists: Vec<_> = lists.iter().map(|der| Crl::parse(der).unwrap()).collect();
        let policy = PathPolicy::new(wall, Purpose::Any).status(&lists, freshness);
        ask(&policy, &three.leaf, from_ref(&middle), &three.top)
    };
    let now = |lists: &[Vec<u8>]| {
        status(
            lists,
            TimeBounds::exact(NOW),
            Freshness::until_next_update(),
        )
    };
    let by_middle = |serials: &[&[u8]], days| list(&three.middle, &middle_name, serials, days, &[]);
    let missing = Err(PathError::Status(StatusError::Missing));
    assert_eq!(now(&[]), missing);
    assert_eq!(now(from_ref(&of_root)), missing);
    assert_eq!(now(&[by_middle(&[&[9]], fresh)]), missing);
    assert_eq!(now(&[by_middle(&[&[9]], fresh), of_root.clone()]), Ok(2));
    // Every draft here has the serial number 01 02 03.
    let serial = |by: &Key, issuer: &[u8], days| list(by, issuer, &[&[9], &[1, 2, 3]], days, &[]);
    let old = ("20260101080000", "20260201080000");
    for days in [fresh, old] {
        let revoking = serial(&three.middle, &middle_name, days);
        let all = [by_middle(&[], fresh), revoking, of_root.clone()];
        assert_eq!(now(&all), Err(PathError::Revoked), "{days:?}");
    }
    let all = [by_middle(&[], fresh), serial(&three.root, &root, old)];
    assert_eq!(now(&all), Err(PathError::Revoked));
    // Nobody else's list revokes.
    let stranger = serial(&key(), &middle_name, fresh);
    assert_eq!(
        now(&[stranger, by_middle(&[], fresh), of_root.clone()]),
        Ok(2)
    );
    let forged = list(&three.root, &middle_name, &[], fresh, &[]);
    assert_eq!(now(&[forged, of_root.clone()]), missing);

    let with =
        |days, wall, freshness| status(&[by_middle(&[], days), of_root.clone()], wall, freshness);
    let until = Freshness::until_next_update();
    let error = |status| Err(PathError::Status(status));
    let exact = TimeBounds::exact(NOW);
    assert_eq!(with(old, exact, until), error(StatusError::Stale));
    let future = ("20280101080000", "20290101080000");
    assert_eq!(with(future, exact, until), error(StatusError::NotYetValid));
    assert_eq!(with(fresh, exact, Freshness::at_most(DAY)), Ok(2));
    let less = Freshness::at_most(Duration::from_secs(86_399));
    assert_eq!(with(fresh, exact, less), error(StatusError::Stale));
    let wide = TimeBounds::between(NOW, NOW.after(30 * DAY)).unwrap();
    assert_eq!(with(fresh, wide, until), error(StatusError::TimeUncertain));
}

#[test]
fn lists_that_speak_of_less_than_they_seem_to_are_refused_by_name() {
    let by = key();
    let days = ("20270114080000", "20270120080000");
    let with = |more: &[Vec<u8>]| list(&by, &called("Root"), &[&[9]], days, more);
    let parse = |der: &[u8]| Crl::parse(der).map(|_| ());
    assert_eq!(parse(&with(&[])), Ok(()));
    for (more, error) in [
        (standard(27, true, &tlv(2, &[1])), CrlError::Delta),
        (standard(28, true, &seq(&[])), CrlError::Scope),
        (standard(28, false, &seq(&[])), CrlError::Scope),
        (standard(20, false, &tlv(2, &[8])), CrlError::Number),
        (standard(99, true, &[5, 0]), CrlError::CriticalExtension),
        (standard(35, false, &seq(&[])), CrlError::KeyIdentifier),
    ] {
        assert_eq!(parse(&with(&[more])), Err(error));
    }
    let good = with(&[]);
    for cut in 0..good.len() {
        assert_eq!(parse(&good[..cut]), Err(CrlError::Malformed));
    }
    assert_eq!(parse(&[&good[..], &[0]].concat()), Err(CrlError::Malformed));
}

#[test]
fn who_a_peer_is_is_decided_by_the_same_rules() {
    let root = key();
    let mut top = Draft::new(called("Root"), &root, &called("Root"), &root, true);
    // No device of this authority may have a URI of another kind than these: and a device's URI has no host.
    top.put(
        30,
        true,
        &seq(&[tlv(0xa0, &seq(&[tlv(0x86, b"example.com")]))]),
    );
    let mut leaf = Draft::new(called("a"), &key(), &called("Root"), &root, false);
    leaf.put(17, false, &seq(&[tlv(0x86, b"urn:iot:device:a")]));
    leaf.put(37, false, &seq(&[tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, 2])]));
    let leaf = [CertificateDer::from(leaf.sign(&root))];
    let tenant = TenantId::new("acme").unwrap();
    let trusting = |top: &Draft| {
        let mut anchors = TrustAnchors::new();
        let top = CertificateDer::from(top.sign(&root));
        anchors.add(&top, tenant, Role::Device).map(|()| anchors)
    };
    let wall = TimeBounds::exact(NOW);
    let verdict = |top: &Draft| trusting(top).unwrap().verify(&leaf, wall).map(|_| ());
    assert_eq!(verdict(&top), Err(AdmitError::Untrusted));
    top.take(30);
    assert_eq!(verdict(&top), Ok(()));
    top.put(99, true, &[5, 0]);
    let refused = trusting(&top).map(|_| ());
    assert_eq!(
        refused,
        Err(AnchorError::Profile(Defect::CriticalExtension))
    );
}
