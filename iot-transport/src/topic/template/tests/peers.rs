//! The topics of the systems we meet, as their documents have them.

use alloc::vec::Vec;

use super::*;
use crate::topic::matches;

/// What is parsed is as expected, and writes the same text.
#[track_caller]
pub(super) fn both_ways(template: &str, topic: &str, expected: &[Value<'_>]) {
    let template = Template::new(template).unwrap();
    let values: Vec<_> = template.parse(topic).unwrap().iter().collect();
    let found: Vec<_> = values.iter().map(|(_, value)| *value).collect();
    assert_eq!(found, expected, "{topic}");
    let named: Vec<_> = values
        .iter()
        .map(|(field, value)| (field.name, *value))
        .collect();
    let mut buffer = [0; 256];
    assert_eq!(template.write(&mut buffer, &named), Ok(topic));
    let mut buffer = [0; 256];
    let filter = template.filter(&mut buffer, &[]).unwrap();
    assert!(matches(filter, topic), "{filter} on {topic}");
}

#[test]
fn the_topics_of_the_systems_we_meet_go_both_ways() {
    use Value::{Number, Text};
    let shadow = "$aws/things/{thing}/shadow/name/{shadow:name}/update/{what}";
    let values = [Text("line:7"), Text("config"), Text("accepted")];
    both_ways(
        shadow,
        "$aws/things/line:7/shadow/name/config/update/accepted",
        &values,
    );
    both_ways(
        "$aws/things/{thing:name}/shadow/update/{what}",
        "$aws/things/b7/shadow/update/delta",
        &[Text("b7"), Text("delta")],
    );
    both_ways(
        "$aws/things/{thing}/shadow/get",
        "$aws/things/b7/shadow/get",
        &[Text("b7")],
    );
    both_ways(
        "$aws/things/{thing}/jobs/{job}/update/{what}",
        "$aws/things/b7/jobs/$next/update/rejected",
        &[Text("b7"), Text("$next"), Text("rejected")],
    );
    both_ways(
        "$aws/commands/things/{thing}/executions/{run:name}/request/{format}",
        "$aws/commands/things/b7/executions/e-1/request/cbor",
        &[Text("b7"), Text("e-1"), Text("cbor")],
    );
    both_ways(
        "$iothub/twin/GET/?$rid={rid:u64}",
        "$iothub/twin/GET/?$rid=7",
        &[Number(7)],
    );
    both_ways(
        "$iothub/twin/res/{status:u16}/?$rid={rid:u64}",
        "$iothub/twin/res/200/?$rid=0",
        &[Number(200), Number(0)],
    );
    both_ways(
        "$iothub/twin/res/{status:u16}/?$rid={rid:name}&$version={version:u64}",
        "$iothub/twin/res/204/?$rid=a-1&$version=18446744073709551615",
        &[Number(204), Text("a-1"), Number(u64::MAX)],
    );
    both_ways(
        "$iothub/twin/PATCH/properties/reported/?$rid={rid:u64}",
        "$iothub/twin/PATCH/properties/reported/?$rid=1",
        &[Number(1)],
    );
    both_ways(
        "$iothub/twin/PATCH/properties/desired/?$version={version:u32}",
        "$iothub/twin/PATCH/properties/desired/?$version=4294967295",
        &[Number(u64::from(u32::MAX))],
    );
    both_ways(
        "$iothub/methods/POST/{method}/?$rid={rid:u64}",
        "$iothub/methods/POST/pump*start/?$rid=2",
        &[Text("pump*start"), Number(2)],
    );
    both_ways(
        "{namespace}/{name}/things/twin/commands/{action:name}",
        "org.acme/boiler 7/things/twin/commands/modify",
        &[Text("org.acme"), Text("boiler 7"), Text("modify")],
    );
    both_ways(
        "{namespace}/{name}/things/live/messages/{subject:rest}",
        "acme/b7/things/live/messages/ask/me",
        &[Text("acme"), Text("b7"), Text("ask/me")],
    );
    both_ways(
        "te/device/{device}/service/{service}/m/{type}",
        "te/device/main/service/boiler/m/temperature",
        &[Text("main"), Text("boiler"), Text("temperature")],
    );
    both_ways(
        "te/device/{device}///m/{type}/meta",
        "te/device/main///m/temperature/meta",
        &[Text("main"), Text("temperature")],
    );
    both_ways(
        "te/device/{device}//",
        "te/device/child-1//",
        &[Text("child-1")],
    );
    both_ways(
        "te/device/{device}///cmd/{operation}/{id}",
        "te/device/main///cmd/restart/c8y-1",
        &[Text("main"), Text("restart"), Text("c8y-1")],
    );
    both_ways(
        "te/{entity:rest}",
        "te/device/main///twin/os",
        &[Text("device/main///twin/os")],
    );
    both_ways(
        "spBv1.0/{group}/{kind}/{node}/{device}",
        "spBv1.0/acme/DDATA/n1/d1",
        &[Text("acme"), Text("DDATA"), Text("n1"), Text("d1")],
    );
    let own = "iot/1/{tenant:name}/{device:name}/{channel:channel}/{direction:direction}";
    both_ways(
        own,
        "iot/1/acme/b7/twin/up",
        &[
            Text("acme"),
            Text("b7"),
            Value::Channel(Channel::Twin),
            Value::Direction(Direction::Up),
        ],
    );
    both_ways(
        "fw/v{major:u16}.{minor:u16}-{build}.bin",
        "fw/v1.20-rc-1.bin.bin",
        &[Number(1), Number(20), Text("rc-1.bin")],
    );
}
