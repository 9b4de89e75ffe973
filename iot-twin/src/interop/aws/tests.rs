//! Every documented answer, and a device that meets its shadow whatever happens in between.

mod errors;
#[cfg(feature = "derive")]
mod intents;
#[cfg(feature = "derive")]
mod world;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use iot_core::{Instant, Timestamp};

use super::*;
use crate::Text;
use crate::schema::{Access, Schema, Sensitivity};
use crate::sync::TwinService;
use crate::value::{Limits, Value};

const UPDATE: &str = "$aws/things/boiler/shadow/update";
const GET: &str = "$aws/things/boiler/shadow/get";
const DELETE: &str = "$aws/things/boiler/shadow/delete";

fn json(text: &str) -> Value {
    Value::from_json(text, Limits::new(64, 10_000, 1 << 20)).unwrap()
}

/// A service with one thing, which is asked once a second.
struct Service {
    shadows: Shadows,
    second: u64,
}

impl Service {
    fn new() -> Self {
        let mut shadows = Shadows::new();
        shadows.add_thing("boiler");
        Self { shadows, second: 0 }
    }

    fn ask(&mut self, topic: &str, payload: &str) -> Vec<(String, Value)> {
        self.second += 1;
        let now = Timestamp::from_secs(self.second);
        let answers = self
            .shadows
            .handle(now, Caller::ALLOWED, topic, payload.as_bytes());
        let short = |topic: &str| String::from(topic.split_once("/shadow/").unwrap().1);
        answers
            .iter()
            .map(|answer| (short(&answer.topic), json(&answer.payload)))
            .collect()
    }
}

#[test]
fn an_update_is_answered_with_what_was_sent_the_delta_and_both_documents() {
    let mut service = Service::new();
    let desired = r#"{"state":{"desired":{"a":{"b":1,"c":2},"l":[1,2]}},"clientToken":"t"}"#;
    let answers = service.ask(UPDATE, desired);
    let (topics, bodies): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    assert_eq!(
        topics,
        ["update/accepted", "update/delta", "update/documents"]
    );
    assert_eq!(
        bodies[0],
        json(
            r#"{"state":{"desired":{"a":{"b":1,"c":2},"l":[1,2]}},
                "metadata":{"desired":{"a":{"b":{"timestamp":1},"c":{"timestamp":1}},
                            "l":[{"timestamp":1},{"timestamp":1}]}},
                "version":1,"timestamp":1,"clientToken":"t"}"#
        )
    );
    let answers = service.ask(
        UPDATE,
        r#"{"state":{"reported":{"a":{"b":1,"x":9},"l":[1]}}}"#,
    );
    assert_eq!(
        answers[1].1,
        json(
            r#"{"state":{"a":{"c":2},"l":[1,2]},
                "metadata":{"a":{"c":{"timestamp":1}},"l":[{"timestamp":1},{"timestamp":1}]},
                "version":2,"timestamp":2}"#
        )
    );
    let documents = &answers[2].1;
    assert_eq!(
        documents.get("previous").unwrap().get("version"),
        Some(&1.into())
    );
    let current = documents.get("current").unwrap();
    assert_eq!(
        current.get("state").unwrap().get("reported"),
        Some(&json(r#"{"a":{"b":1,"x":9},"l":[1]}"#))
    );
    let whole = &service.ask(GET, r#"{"clientToken":"g"}"#)[0];
    assert_eq!(whole.0, "get/accepted");
    assert_eq!(
        whole.1.get("state").unwrap().get("delta"),
        Some(&json(r#"{"a":{"c":2},"l":[1,2]}"#))
    );
    assert_eq!(whole.1.get("clientToken"), Some(&"g".into()));
}

#[test]
fn null_removes_and_empty_sections_vanish() {
    let mut service = Service::new();
    let shown = |service: &mut Service| service.ask(GET, "")[0].1.get("state").unwrap().clone();
    service.ask(
        UPDATE,
        r#"{"state":{"desired":{"a":1,"b":{"c":2}},"reported":{"a":1}}}"#,
    );
    service.ask(UPDATE, r#"{"state":{"desired":{"a":null,"b":{"c":{}}}}}"#);
    assert_eq!(
        shown(&mut service),
        json(r#"{"desired":{"b":{"c":{}}},"reported":{"a":1},"delta":{"b":{"c":{}}}}"#)
    );
    service.ask(
        UPDATE,
        r#"{"state":{"desired":null,"reported":{"a":null}}}"#,
    );
    assert_eq!(shown(&mut service), json("{}"));
    let answers = service.ask(UPDATE, r#"{"state":null}"#);
    assert_eq!(answers[0].1.get("state"), Some(&Value::Null));
    assert_eq!(answers[0].1.get("version"), Some(&4.into()));
}

#[test]
fn a_removed_shadow_goes_on_with_its_version_for_two_days_and_then_begins_anew() {
    let version = |answers: &[(String, Value)]| answers[0].1.get("version").cloned();
    let mut service = Service::new();
    for _ in 0..3 {
        service.ask(UPDATE, r#"{"state":{"desired":{"a":1}}}"#);
    }
    assert_eq!(version(&service.ask(DELETE, "")), Some(4.into()));
    service.second += 47 * 3_600;
    assert_eq!(
        version(&service.ask(UPDATE, r#"{"state":{}}"#)),
        Some(5.into())
    );
    service.ask(DELETE, "");
    service.second += 48 * 3_600 + 1;
    assert_eq!(
        version(&service.ask(UPDATE, r#"{"state":{}}"#)),
        Some(1.into())
    );
}

#[test]
fn a_whole_number_is_no_other_value_than_the_same_with_a_fraction_of_nothing() {
    let mut service = Service::new();
    let update = r#"{"state":{"desired":{"a":21,"l":[1]},"reported":{"a":21.0,"l":[1.0]}}}"#;
    let topics: Vec<_> = service
        .ask(UPDATE, update)
        .into_iter()
        .map(|(topic, _)| topic)
        .collect();
    assert_eq!(topics, ["update/accepted", "update/documents"]);
}

#[test]
fn what_is_no_thing_leaves_nothing_behind() {
    let mut service = Service::new();
    let empty = format!("{:?}", service.shadows).len();
    for thing in 0..100 {
        let answers = service.ask(&format!("$aws/things/no{thing}/shadow/get"), "");
        assert_eq!(answers[0].1.get("code"), Some(&404.into()));
    }
    assert_eq!(format!("{:?}", service.shadows).len(), empty);
}

#[test]
fn shadows_with_names_are_their_own() {
    let mut service = Service::new();
    service.ask(
        "$aws/things/boiler/shadow/name/config/update",
        r#"{"state":{"desired":{"a":1}}}"#,
    );
    assert_eq!(service.ask(GET, "")[0].0, "get/rejected");
    let named = service.ask("$aws/things/boiler/shadow/name/config/get", "");
    assert_eq!(named[0].0, "name/config/get/accepted");
}

#[test]
fn only_topics_of_a_shadow_are_read() {
    for topic in [
        "$aws/things/boiler/shadow/get/delta",
        "$aws/things/boiler/shadow/updates",
        "$aws/things//shadow/get",
        "$aws/things/a/b/shadow/get",
        "$aws/things/+/shadow/get",
        "$aws/things/boiler/shadow/name/get",
        "$aws/things/boiler/shadow/#",
        "iot/things/boiler/shadow/get",
    ] {
        assert_eq!(Topic::parse(topic), None, "{topic}");
    }
    let long = |len: usize| "x".repeat(len);
    assert!(ShadowId::named(&long(128), &long(64)).is_ok());
    assert_eq!(
        ShadowId::classic(&long(129)),
        Err(NameError::TooLong { limit: 128 })
    );
    assert_eq!(
        ShadowId::named("a", &long(65)),
        Err(NameError::TooLong { limit: 64 })
    );
    for operation in [Operation::Get, Operation::Update, Operation::Delete] {
        for kind in [Kind::Request, Kind::Accepted, Kind::Rejected] {
            for id in [
                ShadowId::classic("a:b").unwrap(),
                ShadowId::named("a", "update").unwrap(),
            ] {
                let text = id.topic(operation, kind);
                let read = Topic::parse(&text).unwrap();
                assert_eq!(
                    (&read.id, read.operation, read.kind),
                    (&id, operation, kind)
                );
                assert_eq!(format!("{read}"), text);
            }
        }
    }
}

#[test]
fn what_a_shadow_holds_is_in_no_log() {
    let id = ShadowId::classic("boiler").unwrap();
    let schema = [Schema::of::<Text<8>>(1, Access::Desired, "pin")];
    let schema = schema.map(|field| field.with_sensitivity(Sensitivity::Secret));
    let twin = TwinService::with_schema(schema.to_vec().into());
    let mut link = ShadowLink::new(id, twin);
    let mut shadows = Shadows::new();
    shadows.add_thing("boiler");
    link.connected();
    let secret = br#"{"state":{"desired":{"pin":"4711"},"reported":{"pin":"4711"}}}"#;
    let second = Timestamp::from_secs(1);
    let mut logs = Vec::new();
    for answer in shadows.handle(second, Caller::ALLOWED, UPDATE, secret) {
        assert!(answer.payload.contains("4711"), "{}", answer.payload);
        logs.push(format!("{answer:?}"));
        link.receive(Instant::ZERO, &answer.topic, answer.payload.as_bytes());
    }
    assert_eq!(link.twin().desired("pin"), Some(&"4711".into()));
    logs.push(format!("{shadows:?}"));
    // While it asks, and while it waits.
    logs.push(format!("{:?}", link.next(Instant::ZERO).unwrap().unwrap()));
    logs.push(format!("{link:?}"));
    for log in logs {
        assert!(!log.contains("4711"), "{log}");
    }
}
