//! Chains of certificates, most of them wrong in one or two ways.

#[path = "changes.rs"]
mod changes;

use iot_core::crypto::SignatureAlgorithm::{EcdsaP256Sha256, Ed25519};

use crate::forge::{COMMON_NAME, Dice, Draft, Key, ORGANIZATION, UTF8, name, seq, signed, tlv};

use changes::CHANGES;

/// What is asked of a chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ask {
    Any,
    Client,
    Host(&'static str),
    Address(&'static str),
}

/// A chain, the anchor first, and how it was changed.
pub(crate) struct Chain {
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) ask: Ask,
    pub(crate) anchors: Vec<Vec<u8>>,
    pub(crate) between: Vec<Vec<u8>>,
    pub(crate) leaf: Vec<u8>,
}

/// A chain before it is signed. Certificate `n` is signed by the key of `signers[n]`.
struct Plan<'k> {
    dice: Dice,
    keys: &'k [Key],
    drafts: Vec<Draft>,
    holders: Vec<usize>,
    signers: Vec<usize>,
    ask: Ask,
    /// Applied to the bytes of one signed certificate.
    damage: Vec<(usize, Damage)>,
    extra: Vec<Vec<u8>>,
    drop: Option<usize>,
}

#[derive(Clone, Copy)]
enum Damage {
    Bit,
    Signature,
    Trailing,
    UnusedBits,
    LongLength,
}

pub(crate) fn keys() -> Vec<Key> {
    let new = |n: u8| Key::new(if n < 3 { EcdsaP256Sha256 } else { Ed25519 });
    (0..9).map(new).collect()
}

fn subject_of(text: &str) -> Vec<u8> {
    name(&[(ORGANIZATION, UTF8, "Acme"), (COMMON_NAME, UTF8, text)])
}

/// The chain of this seed.
pub(crate) fn chain(keys: &[Key], seed: u64) -> Chain {
    let mut dice = Dice(seed);
    let between = dice.below(4);
    let ask = *dice.one(&[
        Ask::Any,
        Ask::Client,
        Ask::Host("a.example.com"),
        Ask::Host("a.example.com"),
        Ask::Address("10.1.2.3"),
    ]);
    let mut plan = Plan {
        dice,
        keys,
        drafts: vec![],
        holders: vec![],
        signers: vec![],
        ask,
        damage: vec![],
        extra: vec![],
        drop: None,
    };
    for place in 0..between + 2 {
        let key = &keys[place];
        let above = place.saturating_sub(1);
        let leaf = place == between + 1;
        let own = subject_of(&match place {
            0 => "Root".to_owned(),
            _ if leaf => "Peer".to_owned(),
            _ => format!("Authority {place}"),
        });
        let issuer = plan
            .drafts
            .last()
            .map_or(own.clone(), |one| one.subject.clone());
        let mut draft = Draft::new(own, key, &issuer, &keys[above], !leaf);
        draft.serial = tlv(2, &[1, u8::try_from(place).unwrap()]);
        if leaf {
            draft.put(
                17,
                false,
                &seq(&[dns("a.example.com"), address(&[10, 1, 2, 3])]),
            );
            draft.put(37, false, &seq(&[purpose(1), purpose(2)]));
        }
        plan.drafts.push(draft);
        plan.holders.push(place);
        plan.signers.push(above);
    }
    let count = match plan.dice.below(12) {
        0 => 0,
        1..=8 => 1,
        _ => 2,
    };
    let mut kinds = vec![];
    for _ in 0..count {
        let (kind, change) = *plan.dice.one(CHANGES);
        // Which of two offered certificates was taken would hide what the other change did.
        if count == 2 && kind == "offered" {
            continue;
        }
        change(&mut plan);
        kinds.push(kind);
    }
    plan.finish(kinds)
}

impl Plan<'_> {
    fn any(&mut self) -> usize {
        self.dice.below(self.drafts.len())
    }

    fn authority(&mut self) -> usize {
        self.dice.below(self.drafts.len() - 1)
    }

    fn leaf(&mut self) -> &mut Draft {
        self.drafts.last_mut().unwrap()
    }

    fn damage(&mut self, damage: Damage) {
        let place = self.any();
        self.damage.push((place, damage));
    }

    fn finish(mut self, kinds: Vec<&'static str>) -> Chain {
        let mut ders: Vec<Vec<u8>> = vec![];
        for place in 0..self.drafts.len() {
            let by = &self.keys[self.signers[place]];
            let draft = &self.drafts[place];
            let mut der = draft.sign(by);
            for &(at, damage) in &self.damage {
                if at == place {
                    der = harm(draft, by, der, damage, &mut self.dice);
                }
            }
            ders.push(der);
        }
        let leaf = ders.pop().unwrap();
        let anchors = vec![ders.remove(0)];
        let mut between = ders;
        if let Some(place) = self.drop.filter(|place| *place < between.len()) {
            between.remove(place);
        }
        between.append(&mut self.extra);
        Chain {
            kinds,
            ask: self.ask,
            anchors,
            between,
            leaf,
        }
    }
}

fn harm(draft: &Draft, by: &Key, der: Vec<u8>, damage: Damage, dice: &mut Dice) -> Vec<u8> {
    let message = draft.message();
    let mut signature = by.sign(&message);
    match damage {
        Damage::Bit => {
            let mut der = der;
            let at = dice.below(der.len());
            der[at] ^= 1 << dice.below(8);
            der
        }
        Damage::Signature => {
            let at = dice.below(signature.len());
            signature[at] ^= 1 << dice.below(8);
            signed(message, draft.outer.clone(), &signature)
        }
        Damage::Trailing => [der, vec![0]].concat(),
        Damage::UnusedBits => {
            let bits = tlv(3, &[&[1], &signature[..]].concat());
            seq(&[message, draft.outer.clone(), bits])
        }
        // The outermost length in one octet more than needed: BER, not DER.
        Damage::LongLength => {
            let body = &der[4..];
            [&[0x30, 0x83, 0], &der[2..4], body].concat()
        }
    }
}

fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, text.as_bytes())
}

fn address(bytes: &[u8]) -> Vec<u8> {
    tlv(0x87, bytes)
}

fn purpose(number: u8) -> Vec<u8> {
    tlv(6, &[0x2b, 6, 1, 5, 5, 7, 3, number])
}
