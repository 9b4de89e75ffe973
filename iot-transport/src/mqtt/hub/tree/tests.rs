use super::*;
use crate::topic::matches;
use proptest::prelude::*;

fn subscriber(number: u64) -> Subscriber {
    Subscriber {
        session: Arc::new(Session::new("x".into(), number)),
        qos: 1,
        no_local: false,
        retain_as_published: false,
        share: None,
    }
}

fn level() -> impl Strategy<Value = &'static str> {
    prop::sample::select(alloc::vec!["a", "b", "+", "", "$x"])
}

proptest! {
    #[test]
    fn the_tree_finds_what_plain_matching_finds(
        filters in prop::collection::vec((prop::collection::vec(level(), 1..4), any::<bool>()), 1..12),
        topic in prop::collection::vec(prop::sample::select(alloc::vec!["a", "b", "", "$x"]), 1..5),
        removed in any::<u64>(),
    ) {
        let filters: Vec<_> = filters.into_iter().map(|(levels, all)| {
            let mut text = levels.join("/");
            if all { text.push_str("/#"); }
            text
        }).filter(|text| !text.is_empty()).collect();
        let topic = topic.join("/");
        let mut tree = Tree::default();
        for (number, filter) in (0..).zip(&filters) {
            prop_assert!(is_valid(filter));
            tree.insert(filter, subscriber(number));
        }
        let gone = removed % 12;
        if let Some(filter) = filters.get(usize::try_from(gone).unwrap()) {
            tree.remove(filter, gone);
        }
        let mut found = Found::default();
        tree.find(&topic, &mut found);
        let mut found: Vec<_> = found.alone.iter().map(|subscriber| subscriber.session.number).collect();
        found.sort_unstable();
        let expected: Vec<_> = (0..).zip(&filters)
            .filter(|(number, filter)| *number != gone && matches(filter, &topic))
            .map(|(number, _)| number).collect();
        prop_assert_eq!(found, expected);
        for (number, filter) in (0..).zip(&filters) {
            tree.remove(filter, number);
        }
        prop_assert!(tree.is_empty(), "removing every subscription leaves levels behind");
    }
}

#[test]
fn malformed_filters_are_refused() {
    for filter in [
        "",
        "a/#/b",
        "a#",
        "a+/b",
        "a\0",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
        "$share/g/a#",
    ] {
        assert!(!is_valid(filter), "{filter:?}");
    }
    assert!(!is_valid(&"a/".repeat(MAX_LEVELS)));
    assert!(is_valid("#") && is_valid("+/a/#") && is_valid("/") && is_valid("$share/g/a/+"));
}

#[test]
fn a_publish_visits_its_own_levels_among_a_hundred_thousand_filters() {
    let mut tree = Tree::default();
    let one = subscriber(1);
    for site in 0..100 {
        for device in 0..1_000 {
            let name = alloc::format!("site/{site}/device/{device}/up");
            let filter = match device % 10 {
                0 => alloc::format!("site/{site}/+/{device}/#"),
                1 => alloc::format!("$share/g/{name}"),
                _ => name,
            };
            assert!(tree.insert(&filter, one.clone()));
        }
    }
    let visits = |topic| {
        let mut found = Found::default();
        tree.find(topic, &mut found);
        (found.visited, found.alone.len(), found.groups.len())
    };
    // One node for each level, and those behind a `+` beside them: 100,000 filters make no difference.
    assert_eq!(visits("site/42/device/777/up"), (7, 1, 0));
    assert_eq!(visits("site/42/device/770/up"), (6, 1, 0));
    assert_eq!(visits("site/42/device/771/up"), (7, 0, 1));
    assert_eq!(visits("elsewhere"), (1, 0, 0));
}
