//! Laws of any template, any values and any topic.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::topic::{MAX_TOPIC_BYTES, Topic, matches};

const KINDS: [Kind; 8] = [
    Kind::Text,
    Kind::Name,
    Kind::U16,
    Kind::U32,
    Kind::U64,
    Kind::Channel,
    Kind::Direction,
    Kind::Rest,
];

/// Values for one field, of which it takes what is of its kind.
#[derive(Clone, Debug)]
struct Stock {
    text: String,
    name: String,
    number: u64,
    bound: bool,
}

impl Stock {
    fn value(&self, kind: Kind) -> Value<'_> {
        let index = usize::try_from(self.number % 6).unwrap();
        match kind {
            Kind::Text => Value::Text(&self.text),
            Kind::Name => Value::Text(&self.name),
            Kind::U16 => Value::Number(self.number % 65_536),
            Kind::U32 => Value::Number(self.number % 4_294_967_296),
            Kind::U64 => Value::Number(self.number),
            Kind::Channel => Value::Channel(Channel::ALL[index]),
            Kind::Direction if index > 2 => Value::Direction(Direction::Up),
            Kind::Direction => Value::Direction(Direction::Down),
            Kind::Rest => Value::Text(self.text.trim_start_matches('-')),
        }
    }
}

fn stock() -> impl Strategy<Value = Vec<Stock>> {
    let number = prop_oneof![0..20_u64, any::<u64>()];
    let one = (
        "[a-c0-2$.?ä-]{1,5}",
        "[a-c0-2][a-c0-2._-]{0,4}",
        number,
        any::<bool>(),
    );
    let one = one.prop_map(|(text, name, number, bound)| Stock {
        text,
        name,
        number,
        bound,
    });
    prop::collection::vec(one, 8)
}

/// Texts of which many are templates.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => "[a-c0-2$?.-]{1,2}".prop_map(|text| (text, None)),
        3 => "/{1,2}".prop_map(|text| (text, None)),
        4 => (0..KINDS.len()).prop_map(|kind| (String::new(), Some(KINDS[kind]))),
    ];
    prop::collection::vec(piece, 1..9).prop_map(|pieces| {
        let mut whole = String::new();
        for (index, (text, kind)) in pieces.into_iter().enumerate() {
            whole += &kind.map_or(text, |kind| format!("{{f{index}:{kind}}}"));
        }
        whole
    })
}

/// What is read is written as the same text, and found by each of its filters.
fn keeps_the_laws(template: Template<'_>, topic: &str, bound: impl Fn(usize) -> bool) -> bool {
    let Ok(values) = template.parse(topic) else {
        return false;
    };
    let named: Vec<_> = values
        .iter()
        .map(|(field, value)| (field.name, value))
        .collect();
    let mut buffer = [0; 256];
    assert_eq!(template.write(&mut buffer, &named), Ok(topic), "{template}");
    let some = named.iter().enumerate().filter(|(index, _)| bound(*index));
    let some: Vec<_> = some.map(|(_, named)| *named).collect();
    let filter = template.filter(&mut buffer, &some).unwrap();
    assert!(matches(filter, topic), "{filter} of {template} on {topic}");
    true
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: u32::MAX, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same_values(text in text(), stock in stock()) {
        let Ok(template) = Template::new(&text) else { return Err(TestCaseError::reject("no template")) };
        let fields = template.fields().zip(&stock);
        let values: Vec<_> = fields.map(|(field, stock)| (field.name, stock.value(field.kind))).collect();
        let mut buffer = [0; 256];
        match template.write(&mut buffer, &values) {
            Ok(topic) => {
                let found: Vec<_> = template.parse(topic).unwrap().iter().map(|(field, value)| (field.name, value)).collect();
                prop_assert_eq!(&found, &values, "{} of {}", topic, template);
                prop_assert!(keeps_the_laws(template, topic, |index| stock[index].bound));
            }
            // Whatever a field may have, it may have anywhere but there.
            Err(error) => {
                prop_assert_eq!(error, WriteError::Value { field: 0, kind: Kind::Text });
                let begins = text.starts_with('{') && stock[0].text.starts_with('$');
                prop_assert!(begins);
            }
        }
    }

    #[test]
    fn what_is_read_is_written_as_the_same_text(text in text(), stock in stock()) {
        let Ok(template) = Template::new(&text) else { return Err(TestCaseError::reject("no template")) };
        let fields = template.fields().zip(&stock);
        let values: Vec<_> = fields.map(|(field, stock)| (field.name, stock.value(field.kind))).collect();
        let mut buffer = [0; 256];
        // Every topic that is one change away from one that is written.
        let topic = template.write(&mut buffer, &values).unwrap_or_default();
        for (at, _) in topic.char_indices() {
            let (front, back) = topic.split_at(at);
            let behind = back.chars().next().map_or(0, char::len_utf8);
            for (middle, back) in ["", "0", "1", "a", "$", "/", "+", "."].into_iter().flat_map(|middle| [(middle, back), (middle, &back[behind..])]) {
                keeps_the_laws(template, &format!("{front}{middle}{back}"), |index| stock[index].bound);
            }
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[a-c{}:/+#u16rest$]{0,24}", topic in "[a-c16/$]{0,12}") {
        if let Ok(template) = Template::new(&text) {
            prop_assert_eq!(template.as_str(), &text);
            keeps_the_laws(template, &topic, |_| false);
        }
    }

    #[test]
    fn our_own_topics_and_their_template_agree(
        text in "(iot|IOT)/[12]/[a-z+-]{0,3}/([a-z.][a-z.+]{0,2}|x{62,66})/(twin|command|health|x|\\+)/(up|down|\\+|upp)(/|/x)?"
    ) {
        let template = Template::new("iot/1/{tenant:name}/{device:name}/{channel:channel}/{direction:direction}").unwrap();
        match (Topic::parse(&text), template.parse(&text)) {
            (Ok(topic), Ok(values)) => {
                prop_assert_eq!(values.get("tenant"), Ok(topic.peer.tenant()));
                prop_assert_eq!(values.get("device"), Ok(topic.peer.device()));
                prop_assert_eq!(values.get("channel"), Ok(topic.channel));
                prop_assert_eq!(values.get("direction"), Ok(topic.direction));
                let (mut ours, mut theirs) = ([0; MAX_TOPIC_BYTES], [0; MAX_TOPIC_BYTES]);
                let named: Vec<_> = values.iter().map(|(field, value)| (field.name, value)).collect();
                prop_assert_eq!(topic.write(&mut ours).unwrap(), template.write(&mut theirs, &named).unwrap());
            }
            (ours, theirs) => prop_assert_eq!(ours.is_ok(), theirs.is_ok()),
        }
    }
}
