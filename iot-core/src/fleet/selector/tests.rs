use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{format, vec};

use proptest::prelude::*;

use super::*;
use crate::fleet::{Groups, Labels};

fn parse(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn negation_binds_before_and_before_or() {
    // A text, and the same with every parenthesis that it implies.
    for (text, explicit) in [
        (
            "a == '1' || b == '2' && c == '3'",
            "a == '1' || (b == '2' && c == '3')",
        ),
        (
            "a == '1' && b == '2' || c == '3'",
            "(a == '1' && b == '2') || c == '3'",
        ),
        ("!has(a) && has(b)", "(!has(a)) && has(b)"),
        ("!has(a) || has(b)", "(!has(a)) || has(b)"),
        ("has(a) && has(b) && has(c)", "has(a) && (has(b) && has(c))"),
        ("has(a) || has(b) || has(c)", "has(a) || (has(b) || has(c))"),
        ("a in ('1', '2') && has(b)", "(a in ('1', '2')) && has(b)"),
        ("!!has(a) && all()", "(!(!has(a))) && all()"),
    ] {
        assert_eq!(parse(text), parse(explicit), "{text}");
        assert_eq!(parse(explicit).as_str(), text);
    }
}

#[test]
fn parentheses_that_mean_something_stay() {
    for text in [
        "(a == '1' || b == '2') && c == '3'",
        "c == '3' && (a == '1' || b == '2') && (has(d) || has(e))",
        "!(a == '1')",
        "!(a ~ 'x*' && b == '2')",
        "!(has(a) || has(b)) || !(!(has(c) && has(d)))",
        "!(a in ('1', '2'))",
    ] {
        let extra = format!(
            "( ( {} ) )",
            text.replace(" && ", "&&\n\t").replace("(", "( ")
        );
        let expected = text.replace("!(!(has(c) && has(d)))", "!!(has(c) && has(d))");
        assert_eq!(parse(text).as_str(), expected);
        assert_eq!(parse(&extra).as_str(), expected);
    }
}

#[test]
fn each_operator_selects_what_the_table_says() {
    let mut labels = Labels::<3>::new();
    labels.set("site", "north-2").unwrap();
    labels.set("has", "in").unwrap();
    let mut groups = Groups::<1>::new();
    groups.join("lab").unwrap();
    let device = (labels, groups);
    for (text, selected) in [
        ("site == 'north-2'", true),
        ("site == 'north'", false),
        ("site != 'north'", true),
        ("site != 'north-2'", false),
        ("site in ('south', 'north-2')", true),
        ("site in ('south', 'north-3')", false),
        ("site ~ 'north*'", true),
        ("site ~ 'north-2*'", true),
        ("site ~ 'north-22*'", false),
        ("has(site)", true),
        ("has(stage)", false),
        // An absent label: every comparison is false, and `!=` is the negation of `==`.
        ("stage == 'pilot'", false),
        ("stage != 'pilot'", true),
        ("stage in ('pilot')", false),
        ("stage ~ 'p*'", false),
        ("has(stage) && stage != 'pilot'", false),
        ("group('lab')", true),
        ("group('site')", false),
        ("!group('lab')", false),
        ("all()", true),
        ("!all()", false),
        // Words of the language are labels where they stand as one.
        ("has == 'in' && !has(in) && in != 'group'", true),
    ] {
        assert_eq!(parse(text).matches(&device), selected, "{text}");
    }
}

#[test]
fn every_error_says_where_and_what_was_expected() {
    use Expected::*;
    let expected = |position, expected| SelectorError::Expected { position, expected };
    let long = "x".repeat(65);
    for (text, error) in [
        ("", expected(0, Condition)),
        ("   ", expected(3, Condition)),
        ("&&", expected(0, Condition)),
        ("-a == 'b'", expected(0, Condition)),
        ("a == 'b' &&", expected(11, Condition)),
        ("a == 'b' || )", expected(12, Condition)),
        ("()", expected(1, Condition)),
        ("'a' == 'b'", expected(0, Condition)),
        ("!", expected(1, Negatable)),
        ("! a == 'b'", expected(2, Negatable)),
        ("!in ('b')", expected(1, Negatable)),
        ("a", expected(1, Comparison)),
        ("a = 'b'", expected(2, Comparison)),
        ("a <> 'b'", expected(2, Comparison)),
        ("a index ('b')", expected(2, Comparison)),
        ("exists(a)", expected(6, Comparison)),
        ("a == 'b' c", expected(9, Joint)),
        ("a == 'b' & c", expected(9, Joint)),
        ("a == 'b')", expected(8, Joint)),
        ("a == 'b' \u{e4}", expected(9, Joint)),
        ("(a == 'b'", expected(9, JointOrClose)),
        ("(a == 'b' c", expected(10, JointOrClose)),
        ("a in 'b'", expected(5, Open)),
        ("a in ()", expected(6, Quoted)),
        ("a in ('b',)", expected(10, Quoted)),
        ("a in ('b' 'c')", expected(10, CommaOrClose)),
        ("has('a')", expected(4, Label)),
        ("has(a", expected(5, Close)),
        ("all(a)", expected(4, Close)),
        ("group(a)", expected(6, Quoted)),
        ("a == b", expected(5, Quoted)),
        ("a == \"b\"", expected(5, Quoted)),
        ("a == 'b", expected(7, Quote)),
        ("a ~ 'b'", expected(6, Star)),
        ("a == ''", SelectorError::Empty { position: 6 }),
        ("a ~ '*'", SelectorError::Empty { position: 5 }),
        ("a == 'b*'", SelectorError::Character { position: 7 }),
        ("a ~ 'b**'", SelectorError::Character { position: 6 }),
        ("a ~ '*b*'", SelectorError::Character { position: 5 }),
        ("a == 'b\u{e4}'", SelectorError::Character { position: 7 }),
        ("a == '-b'", SelectorError::Character { position: 6 }),
        ("a == '\u{2028}'", SelectorError::Character { position: 6 }),
        (
            &format!("a == '{long}'"),
            SelectorError::LongName {
                position: 6,
                bytes: 65,
            },
        ),
        (
            &format!("({long} == 'a')"),
            SelectorError::LongName {
                position: 1,
                bytes: 65,
            },
        ),
        (&"(".repeat(17), SelectorError::TooDeep { position: 16 }),
        (
            &format!("has(a) && {}has(b)", "!".repeat(17)),
            SelectorError::TooDeep { position: 26 },
        ),
    ] {
        let found = Selector::parse(text).unwrap_err();
        assert_eq!(found, error, "{text:?}");
        assert!(
            found
                .to_string()
                .starts_with(&format!("at byte {}: ", error.position()))
        );
    }
}

#[test]
fn each_limit_is_exact() {
    type Small = Selector<3, 40>;
    assert_eq!(
        Small::from_str("a in('1','2','3')").unwrap().as_str(),
        "a in ('1', '2', '3')"
    );
    let error = Small::from_str("a in('1','2')&&has(b)||has(c)").unwrap_err();
    assert_eq!(
        error,
        SelectorError::TooMany {
            position: 23,
            limit: 3
        }
    );
    // Forty bytes in the canonical spelling, and one more; both are shorter as they are given.
    let spelled = |value: &str| format!("aa=='{value}'&&b!='c'&&all()");
    let fits = Small::from_str(&spelled("xxxxxxxxxxx")).unwrap();
    assert_eq!(fits.as_str().len(), 40);
    let error = Small::from_str(&spelled("xxxxxxxxxxxx")).unwrap_err();
    let (position, limit) = (33, 40);
    assert_eq!(error, SelectorError::TooLong { position, limit });
    // Parentheses that must be put in need room too.
    let wrapped = "(has(a)||has(b))&&has(c)";
    assert_eq!(
        Selector::<3, 28>::from_str(wrapped).unwrap().as_str().len(),
        28
    );
    let error = Selector::<3, 27>::from_str(wrapped).unwrap_err();
    assert!(matches!(error, SelectorError::TooLong { limit: 27, .. }));
    let deep = format!("{}has(a){}", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH));
    assert_eq!(parse(&deep).as_str(), "has(a)");
    // Side by side is not deep.
    let wide = ["!(a == '1')"; MAX_DEPTH + 1].join(" && ");
    assert_eq!(parse(&wide).as_str(), wide);
}

#[test]
fn a_text_that_is_too_long_is_cut_between_characters() {
    for (text, position) in [
        ("ä".repeat(300), 512),
        ("a".to_string() + &"ä".repeat(300), 511),
    ] {
        let error = Selector::parse(&text).unwrap_err();
        let limit = 512;
        assert_eq!(error, SelectorError::TooLong { position, limit });
    }
}

#[test]
fn ten_thousand_parentheses_cost_nothing() {
    let text = "(".repeat(10_000);
    assert_eq!(
        Selector::parse(&text),
        Err(SelectorError::TooLong {
            position: 512,
            limit: 512
        })
    );
    let error = Selector::<32, 10_000>::from_str(&text).unwrap_err();
    assert_eq!(
        error,
        SelectorError::TooDeep {
            position: MAX_DEPTH
        }
    );
    let error = Selector::<32, 10_000>::from_str(&"!".repeat(10_000)).unwrap_err();
    assert_eq!(
        error,
        SelectorError::TooDeep {
            position: MAX_DEPTH
        }
    );
}

/// A device that says whatever it likes.
struct Hostile(&'static str);

impl Member for Hostile {
    fn label(&self, _: &str) -> Option<&str> {
        Some(self.0)
    }
    fn is_in(&self, _: &str) -> bool {
        false
    }
}

#[test]
fn what_a_device_says_is_never_an_operator_or_a_wildcard() {
    for value in [
        "*",
        "north*",
        "~",
        "",
        "north' || all() || site == '",
        "' in ('",
        "NORTH",
        "north\0",
        "north ",
    ] {
        for text in [
            "site == 'north'",
            "site in ('south', 'north')",
            "site == 'north' && stage == 'pilot'",
            "site ~ 'north-*'",
        ] {
            assert!(
                !parse(text).matches(&Hostile(value)),
                "{value:?} was selected by {text}"
            );
        }
    }
    assert!(parse("site == 'north'").matches(&Hostile("north")));
}

#[test]
fn only_the_canonical_text_of_this_version_is_decoded() {
    let encoded = |version: u8, text: &str| {
        let mut buffer = [0; 64];
        let bytes = crate::codec::encode_into(&mut buffer, |out| {
            out.array(2)?.u8(version)?.str(text)?.ok()
        });
        bytes.unwrap().to_vec()
    };
    let decode = |bytes: &[u8]| minicbor::decode::<Selector>(bytes).ok();
    assert_eq!(
        decode(&encoded(1, "has(a) && has(b)")),
        Some(parse("has(a)&&has(b)"))
    );
    assert_eq!(decode(&encoded(1, "has(a)&&has(b)")), None);
    assert_eq!(decode(&encoded(2, "has(a) && has(b)")), None);
    assert_eq!(decode(&encoded(1, "has(a) &&")), None);
    assert_eq!(decode(&encoded(1, "")), None);
}

/// A selector as a tree, with the meaning written down once more, the plain way.
#[derive(Clone, Debug)]
enum Tree {
    All,
    Has(String),
    Group(String),
    Equal(String, String),
    Differs(String, String),
    Begins(String, String),
    In(String, Vec<String>),
    Not(alloc::boxed::Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

#[derive(Debug)]
struct Device {
    labels: BTreeMap<String, String>,
    groups: Vec<String>,
}

impl Member for Device {
    fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
    fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|own| own == group)
    }
}

impl Tree {
    fn selects(&self, device: &Device) -> bool {
        let value = |label: &String| device.labels.get(label);
        match self {
            Self::All => true,
            Self::Has(label) => value(label).is_some(),
            Self::Group(group) => device.groups.contains(group),
            Self::Equal(label, wanted) => value(label) == Some(wanted),
            Self::Differs(label, wanted) => value(label) != Some(wanted),
            Self::Begins(label, start) => {
                value(label).is_some_and(|value| value.starts_with(start))
            }
            Self::In(label, wanted) => value(label).is_some_and(|value| wanted.contains(value)),
            Self::Not(inner) => !inner.selects(device),
            Self::And(parts) => parts.iter().all(|part| part.selects(device)),
            Self::Or(parts) => parts.iter().any(|part| part.selects(device)),
        }
    }

    /// A spelling with spaces and parentheses as `noise` wants them.
    fn spell(&self, noise: &mut impl FnMut() -> usize) -> String {
        let space = [" ", "", "\t", "  "][noise() % 4];
        let mut spelled = match self {
            Self::All => format!("all({space})"),
            Self::Has(label) => format!("has({space}{label})"),
            Self::Group(group) => format!("group{space}('{group}'{space})"),
            Self::Equal(label, value) => format!("{label}{space}=={space}'{value}'"),
            Self::Differs(label, value) => format!("{label}{space}!={space}'{value}'"),
            Self::Begins(label, start) => format!("{label}{space}~{space}'{start}*'"),
            Self::In(label, values) => {
                let values = values
                    .iter()
                    .map(|value| format!("'{value}'"))
                    .collect::<Vec<_>>();
                format!("{label} in{space}({})", values.join(&format!("{space},")))
            }
            Self::Not(inner) => match &**inner {
                Self::All | Self::Has(_) | Self::Group(_) | Self::Not(_) => {
                    format!("!{space}{}", inner.spell(noise))
                }
                _ => format!("!{space}({})", inner.spell(noise)),
            },
            Self::And(parts) => {
                let spell = |part: &Self| match part {
                    Self::Or(_) => format!("({})", part.spell(noise)),
                    _ => part.spell(noise),
                };
                parts
                    .iter()
                    .map(spell)
                    .collect::<Vec<_>>()
                    .join(&format!("{space}&&{space}"))
            }
            Self::Or(parts) => {
                let parts = parts
                    .iter()
                    .map(|part| part.spell(noise))
                    .collect::<Vec<_>>();
                parts.join(&format!("{space}||{space}"))
            }
        };
        if noise().is_multiple_of(4) {
            spelled = format!("({space}{spelled})");
        }
        spelled
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let label = "[ab]";
    let value = "[xy]{1,2}";
    let leaf = prop_oneof![
        Just(Tree::All),
        label.prop_map(Tree::Has),
        value.prop_map(Tree::Group),
        (label, value).prop_map(|(label, value)| Tree::Equal(label, value)),
        (label, value).prop_map(|(label, value)| Tree::Differs(label, value)),
        (label, value).prop_map(|(label, value)| Tree::Begins(label, value)),
        (label, proptest::collection::vec(value, 1..4))
            .prop_map(|(label, values)| Tree::In(label, values)),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|inner| Tree::Not(inner.into())),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Tree::And),
            proptest::collection::vec(inner, 2..4).prop_map(Tree::Or),
        ]
    })
}

fn devices() -> impl Strategy<Value = Device> {
    let labels = proptest::collection::btree_map("[ab]", "[xy]{1,2}", 0..3);
    (labels, proptest::collection::vec("[xy]{1,2}", 0..2))
        .prop_map(|(labels, groups)| Device { labels, groups })
}

type Large = Selector<250, 4_096>;

proptest! {
    #[test]
    fn a_selector_means_what_its_tree_means(tree in trees(), devices in proptest::collection::vec(devices(), 1..12), seed in any::<u64>()) {
        let mut random = crate::sim::SimEntropy::new(seed);
        let mut noise = || usize::try_from(random.below(1 << 20)).unwrap();
        let spelled = tree.spell(&mut noise);
        let selector: Large = spelled.parse().map_err(|error| TestCaseError::fail(format!("{spelled}: {error}")))?;
        let negated: Large = Tree::Not(tree.clone().into()).spell(&mut || 1).parse().unwrap();
        for device in &devices {
            prop_assert_eq!(selector.matches(device), tree.selects(device), "{}", spelled);
            prop_assert_ne!(negated.matches(device), selector.matches(device), "{}", spelled);
        }
        // However it was spelled, the canonical text is the same, and parses to the same.
        let plain: Large = tree.spell(&mut || 1).parse().unwrap();
        prop_assert_eq!(selector.as_str(), plain.as_str());
        let again: Large = selector.to_string().parse().unwrap();
        prop_assert_eq!(again.as_str(), selector.as_str());
        for device in &devices {
            prop_assert_eq!(again.matches(device), selector.matches(device));
        }
        let mut buffer = [0; 5_000];
        let bytes = crate::codec::encode_into(&mut buffer, |out| out.encode(&selector)?.ok()).unwrap();
        prop_assert_eq!(minicbor::decode::<Large>(bytes).unwrap(), selector);
    }

    #[test]
    fn any_text_is_a_selector_or_an_error_within_it(text in "([()!&|=~',* ]|in|has|group|all|\\PC|[a-c]){0,40}") {
        match Selector::parse(&text) {
            Ok(selector) => prop_assert_eq!(&parse(selector.as_str()), &selector),
            Err(error) => prop_assert!(error.position() <= text.len() && text.is_char_boundary(error.position())),
        }
    }
}

#[test]
fn the_random_trees_are_large_enough_to_mean_something() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let counts: Vec<usize> = (0..256)
        .map(|_| {
            trees()
                .new_tree(&mut runner)
                .unwrap()
                .current()
                .spell(&mut || 1)
                .matches("&&")
                .count()
        })
        .collect();
    assert!(
        counts.iter().filter(|&&count| count > 1).count() > 32,
        "{:?}",
        vec![counts]
    );
}
