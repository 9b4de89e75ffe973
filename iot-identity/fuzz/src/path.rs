//! Chains that were valid before they were changed.

use std::sync::OnceLock;

use iot_core::Timestamp;
use iot_core::time::TimeBounds;
use iot_identity::cert::path::{Anchor, PathPolicy, Purpose};
use rustls_pki_types::CertificateDer;

use crate::certificate::key;
use crate::forge::{COMMON_NAME, Draft, UTF8, name, seq, tlv};

/// A chain of Ed25519 keys, whose signatures nobody can write in another way.
struct Chain {
    anchors: Vec<Anchor>,
    offered: [Vec<u8>; 2],
    leaf: Vec<u8>,
}

fn chain() -> &'static Chain {
    static CHAIN: OnceLock<Chain> = OnceLock::new();
    CHAIN.get_or_init(|| {
        let called = |text| name(&[(COMMON_NAME, UTF8, text)]);
        let (root, middle, own) = (key(), key(), key());
        let top = Draft::new(called("Root"), &root, &called("Root"), &root, true);
        let mut between = Draft::new(called("Middle"), &middle, &called("Root"), &root, true);
        between.put(
            30,
            true,
            &seq(&[tlv(0xa0, &seq(&[tlv(0x82, b"example.com")]))]),
        );
        let mut leaf = Draft::new(called("a"), &own, &called("Middle"), &middle, false);
        leaf.put(17, false, &seq(&[tlv(0x82, b"a.example.com")]));
        let top = top.sign(&root);
        Chain {
            anchors: vec![Anchor::new(&CertificateDer::from(top.clone())).expect("an anchor")],
            offered: [between.sign(&root), top],
            leaf: leaf.sign(&middle),
        }
    })
}

/// Changes the chain as the input says, three bytes for each change, and judges what came of it.
///
/// The first byte chooses the certificate and what is done there: a bit, a byte, a cut. Bytes that are left over
/// stand where the leaf was. Only a path of unchanged certificates is ever accepted.
pub fn run(data: &[u8]) {
    let good = chain();
    let mut all = [
        good.leaf.clone(),
        good.offered[0].clone(),
        good.offered[1].clone(),
    ];
    let mut changes = data.chunks_exact(3);
    for change in &mut changes {
        let &[what, place, value] = change else {
            continue;
        };
        let one = &mut all[usize::from(what) % 3];
        // Every place of a certificate of up to four times 256 bytes can be reached.
        let at = usize::from(place) + 256 * usize::from(what >> 6);
        if one.is_empty() {
            continue;
        }
        let at = at % one.len();
        match what / 3 % 4 {
            0 => one[at] ^= 1 << (value % 8),
            1 => one[at] = value,
            2 => one.insert(at, value),
            _ => drop(one.remove(at)),
        }
    }
    if !changes.remainder().is_empty() && data.len() > 30 {
        all[0] = data.to_vec();
    }
    let wall = TimeBounds::exact(Timestamp::from_secs(1_800_000_000));
    for purpose in [Purpose::Any, Purpose::Client] {
        let policy = PathPolicy::new(wall, purpose);
        let offered = [&all[1][..], &all[2][..]];
        let Ok(path) = policy.verify(&all[0], &offered, &good.anchors) else {
            continue;
        };
        assert_eq!(path.anchor(), 0);
        let known = [&good.leaf[..], &good.offered[0], &good.offered[1]];
        assert_eq!(
            path.certificates()[0],
            known[0],
            "a changed leaf is accepted"
        );
        let kept = path.certificates().iter().all(|one| known.contains(one));
        assert!(kept, "a changed certificate is accepted");
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![],
        vec![2, 9, 1],
        vec![0, 5, 1, 0, 5, 1],
        vec![4, 40, 7],
        chain().leaf.clone(),
    ]
}

#[test]
fn the_unchanged_chain_is_accepted_and_every_seed_keeps_the_claims() {
    let good = chain();
    let wall = TimeBounds::exact(Timestamp::from_secs(1_800_000_000));
    let offered = [&good.offered[0][..]];
    let path = PathPolicy::new(wall, Purpose::Any).verify(&good.leaf, &offered, &good.anchors);
    assert_eq!(path.map(|path| path.certificates().len()), Ok(2));
    for seed in seeds() {
        run(&seed);
    }
}
