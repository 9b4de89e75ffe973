//! Each row of the documented errors: the service tells it, and the device's side understands it.

use super::*;
use crate::TwinService;
use iot_core::Instant;

/// What the service says to a request.
fn told(service: &mut Service, caller: Caller, topic: &str, payload: &[u8]) -> (u64, String) {
    service.second += 1;
    let now = Timestamp::from_secs(service.second);
    let answers = service.shadows.handle(now, caller, topic, payload);
    let [answer] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert!(answer.topic.ends_with("/rejected"), "{answer:?}");
    let body = json(&answer.payload);
    let Some(Value::Int(code)) = body.get("code") else {
        panic!("{body:?}");
    };
    let message = body.get("message").unwrap().as_str().unwrap();
    (u64::try_from(*code).unwrap(), message.into())
}

fn deep(levels: usize) -> String {
    let inner = format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    format!(r#"{{"state":{{"desired":{inner}}}}}"#)
}

#[test]
fn every_wrong_request_is_rejected_as_documented() {
    let long = "x".repeat(65);
    let cases: &[(&str, u64, &str)] = &[
        ("{", 400, "Invalid JSON"),
        ("[]", 400, "Invalid JSON"),
        ("", 400, "Invalid JSON"),
        ("{}", 400, "Missing required node: state"),
        (r#"{"state":1}"#, 400, "State node must be an object"),
        (
            r#"{"state":{"desired":1}}"#,
            400,
            "Desired node must be an object",
        ),
        (
            r#"{"state":{"reported":[]}}"#,
            400,
            "Reported node must be an object",
        ),
        (r#"{"state":{},"version":"1"}"#, 400, "Invalid version"),
        (r#"{"state":{},"version":-1}"#, 400, "Invalid version"),
        (r#"{"state":{},"version":1.5}"#, 400, "Invalid version"),
        (
            &format!(r#"{{"state":{{}},"clientToken":"{long}"}}"#),
            400,
            "Invalid clientToken",
        ),
        (
            r#"{"state":{},"clientToken":1}"#,
            400,
            "Invalid clientToken",
        ),
        (
            &deep(7),
            400,
            "JSON contains too many levels of nesting; maximum is 6",
        ),
        (
            r#"{"state":{"delta":{}}}"#,
            400,
            "State contains an invalid node",
        ),
        (
            r#"{"state":{"desired":{"a":[1,null]}}}"#,
            400,
            "State contains an invalid node",
        ),
        (r#"{"state":{},"version":7}"#, 409, "Version conflict"),
    ];
    let mut service = Service::new();
    for (payload, code, message) in cases {
        let told = told(&mut service, Caller::ALLOWED, UPDATE, payload.as_bytes());
        assert_eq!(told, (*code, (*message).into()), "{payload}");
    }
    // One level less, one byte less, and the right version are taken.
    assert_eq!(service.ask(UPDATE, &deep(6))[0].0, "update/accepted");
    assert_eq!(
        service.ask(UPDATE, r#"{"state":{},"version":1}"#)[0].0,
        "update/accepted"
    );
    let token = format!(r#"{{"state":{{}},"clientToken":"{}"}}"#, &long[1..]);
    assert_eq!(service.ask(UPDATE, &token)[0].0, "update/accepted");
}

#[test]
fn every_other_error_is_told_as_documented() {
    let mut service = Service::new();
    let allowed = Caller::ALLOWED;
    let unknown = Caller {
        authenticated: false,
        ..allowed
    };
    let forbidden = Caller {
        authorized: false,
        ..allowed
    };
    let busy = Caller {
        in_flight: 11,
        ..allowed
    };
    let mut is = |caller, topic, payload: &[u8], code, message: &str| {
        assert_eq!(
            told(&mut service, caller, topic, payload),
            (code, message.into())
        );
    };
    is(unknown, GET, b"", 401, "Unauthorized");
    is(forbidden, GET, b"", 403, "Forbidden");
    is(busy, GET, b"", 429, "Too many requests");
    is(
        allowed,
        "$aws/things/other/shadow/get",
        b"",
        404,
        "Thing not found",
    );
    is(allowed, GET, b"", 404, "No shadow exists with name: boiler");
    is(
        allowed,
        DELETE,
        b"",
        404,
        "No shadow exists with name: boiler",
    );
    let named = "$aws/things/boiler/shadow/name/config/get";
    is(
        allowed,
        named,
        b"",
        404,
        "No shadow exists with name: config",
    );
    is(
        allowed,
        UPDATE,
        b"\xff",
        415,
        "Unsupported documented encoding; supported encoding is UTF-8",
    );
    let large = |len: usize| format!(r#"{{"state":{{"desired":{{"a":"{}"}}}}}}"#, "x".repeat(len));
    let frame = r#"{"a":""}"#.len();
    let most = MAX_STATE_BYTES - frame;
    is(
        allowed,
        UPDATE,
        large(most + 1).as_bytes(),
        413,
        "The payload exceeds the maximum size allowed",
    );
    is(
        allowed,
        UPDATE,
        &[b' '; 200_000],
        413,
        "The payload exceeds the maximum size allowed",
    );
    service.shadows.set_failing(true);
    assert_eq!(
        told(&mut service, allowed, GET, b""),
        (500, "Internal service failure".into())
    );
    service.shadows.set_failing(false);
    assert_eq!(service.ask(UPDATE, &large(most))[0].0, "update/accepted");
    // Both sections count together, metadata does not.
    let more = r#"{"state":{"reported":{"a":1}}}"#;
    assert_eq!(told(&mut service, allowed, UPDATE, more.as_bytes()).0, 413);
}

#[test]
fn more_than_twenty_requests_in_a_second_are_too_many() {
    let mut service = Service::new();
    let now = Timestamp::from_secs(100);
    let ask = |service: &mut Service, now| {
        let answers = service.shadows.handle(now, Caller::ALLOWED, GET, b"");
        json(&answers[0].payload).get("code").cloned()
    };
    for _ in 0..20 {
        assert_eq!(ask(&mut service, now), Some(404.into()));
    }
    assert_eq!(ask(&mut service, now), Some(429.into()));
    assert_eq!(
        ask(&mut service, Timestamp::from_millis(100_050)),
        Some(404.into())
    );
}

#[test]
fn a_token_comes_back_with_every_rejection() {
    let mut service = Service::new();
    for payload in [r#"{"clientToken":"t"}"#, r#"{"state":1,"clientToken":"t"}"#] {
        let answers = service.ask(UPDATE, payload);
        assert_eq!(answers[0].1.get("clientToken"), Some(&"t".into()));
    }
}

#[test]
fn the_devices_side_understands_every_rejection() {
    for rejection in Rejection::ALL {
        let id = ShadowId::classic("boiler").unwrap();
        let mut link = ShadowLink::new(id.clone(), TwinService::new());
        link.connected();
        let now = Instant::from_millis(0);
        let request = link.next(now).unwrap().unwrap();
        assert_eq!(request.topic, GET);
        assert_eq!(link.next(now), Ok(None), "two requests are under way");
        let token = json(&request.payload).get("clientToken").unwrap().clone();
        let body = Value::map([
            ("code", rejection.code().into()),
            ("message", rejection.message(&id).into()),
            ("clientToken", token),
        ]);
        let topic = id.topic(Operation::Get, Kind::Rejected);
        let notice = link.receive(now, &topic, body.to_json().as_bytes());
        assert_eq!(notice, Notice::Rejected(rejection));
        let later = Instant::from_millis(120_000);
        let again = link.next(later).unwrap().is_some();
        let asks_again = rejection.is_transient() || rejection == Rejection::VersionConflict;
        assert_eq!(again, asks_again, "{rejection:?}");
    }
}

#[test]
fn another_clients_answer_is_not_ours() {
    let id = ShadowId::classic("boiler").unwrap();
    let mut link = ShadowLink::new(id.clone(), TwinService::new());
    link.connected();
    let now = Instant::from_millis(0);
    let _ = link.next(now).unwrap().unwrap();
    let body = br#"{"state":{},"metadata":{},"version":3,"timestamp":1,"clientToken":"other"}"#;
    let topic = id.topic(Operation::Get, Kind::Accepted);
    assert_eq!(link.receive(now, &topic, body), Notice::Ignored);
    let other = ShadowId::classic("kettle")
        .unwrap()
        .topic(Operation::Update, Kind::Delta);
    assert_eq!(link.receive(now, &other, body), Notice::Ignored);
}
