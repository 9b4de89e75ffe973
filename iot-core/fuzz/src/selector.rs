//! Selectors: parsed, shown, asked, and decoded.

use iot_core::fleet::{Member, Selector, SelectorError};

/// A device whose labels and groups are pieces of the selector's own text.
struct Mirror<'t>(Vec<&'t str>);

impl Member for Mirror<'_> {
    fn label(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|piece| *piece == name)?;
        self.0.get(at + 1).copied()
    }

    fn is_in(&self, group: &str) -> bool {
        self.0.len() > 3 && self.0.contains(&group)
    }
}

/// What parses is shown as a text that parses to an equal selector with the same meaning; its negation
/// selects exactly the others; a smaller selector agrees or says what it lacks; errors lie within the text.
pub fn run(data: &[u8]) {
    if let Ok(selector) = minicbor::decode::<Selector>(data) {
        let encoded = minicbor::to_vec(&selector).expect("room");
        // The decoder stops at the end of its value, and leaves the strictness to the gate in front of it.
        assert!(!strict(data) || encoded == data);
    }
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let small = text.parse::<Selector<4, 64>>();
    let selector = match Selector::parse(text) {
        Ok(selector) => selector,
        Err(error) => {
            assert!(error.position() <= text.len() && text.is_char_boundary(error.position()));
            assert!(small.is_err());
            return;
        }
    };
    match small {
        Ok(small) => assert_eq!(small.as_str(), selector.as_str()),
        Err(error) => assert!(matches!(
            error,
            SelectorError::TooLong { limit: 64, .. } | SelectorError::TooMany { limit: 4, .. }
        )),
    }
    let again = Selector::parse(&selector.to_string()).expect("the canonical text");
    assert_eq!(again, selector);
    let negated: Option<Selector<32, 600>> = match format!("!({text})").parse() {
        Ok(negated) => Some(negated),
        // It may have been as deep as can be.
        Err(SelectorError::TooDeep { .. } | SelectorError::TooLong { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    let foreign = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '_' | '.' | '*');
    let pieces: Vec<_> = text
        .split(foreign)
        .filter(|piece| !piece.is_empty())
        .collect();
    for skip in 0..pieces.len().min(8) {
        for device in [
            Mirror(pieces[skip..].to_vec()),
            Mirror(pieces[..skip].to_vec()),
        ] {
            let selected = selector.matches(&device);
            assert_eq!(again.matches(&device), selected);
            if let Some(negated) = &negated {
                assert_ne!(negated.matches(&device), selected);
            }
        }
    }
}

/// Whether the bytes are deterministic CBOR: the decoder alone does not ask for that.
fn strict(data: &[u8]) -> bool {
    iot_core::codec::check(data, iot_core::codec::Limits::default()).is_ok()
}

/// Every construct of the language, and an encoded selector.
pub fn seeds() -> Vec<Vec<u8>> {
    let texts = [
        "site == 'north' && stage == 'pilot'",
        "site != 'north' || !(stage in ('a', 'b','c'))",
        "site ~ 'north-*' && !group('lab') && (has(site) || all())",
        "((a == 'b'))",
        "!!has(a) || a in ('b') && in == 'has'",
    ];
    let selector = Selector::parse(texts[0]).expect("a selector");
    let encoded = minicbor::to_vec(&selector).expect("room");
    // Too long, and not to be cut in the middle of a character.
    let long = ["a", &"\u{e4}".repeat(300)].concat().into_bytes();
    texts
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([encoded, long])
        .collect()
}

#[test]
fn every_seed_is_a_selector_and_keeps_the_claims() {
    let (mut texts, mut encoded) = (0, 0);
    for seed in seeds() {
        let text = core::str::from_utf8(&seed).unwrap_or("");
        texts += usize::from(Selector::parse(text).is_ok());
        encoded += usize::from(minicbor::decode::<Selector>(&seed).is_ok());
        run(&seed);
    }
    assert_eq!((texts, encoded), (5, 1));
}
