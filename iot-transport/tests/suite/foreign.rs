//! The hub against clients that others wrote: Mosquitto's and Eclipse Paho's.

use core::time::Duration;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use iot_transport::mqtt::Hub;
use iot_transport::mqtt::hub::{HubSettings, HubStats, Listening, Overflow};

use crate::common::PATIENCE;

async fn start(settings: HubSettings) -> (Hub, Listening) {
    let hub = Hub::new(settings);
    let listening = hub.listen("127.0.0.1:0").await.unwrap();
    (hub, listening)
}

/// Runs a client to its end, with `input` on its standard input.
async fn run(program: &'static str, arguments: &[&str], input: String) -> Output {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let running = tokio::task::spawn_blocking(move || {
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        // A client that has heard enough ends before it has read everything.
        let _ = writer.join().unwrap();
        output
    });
    let patience = 4 * PATIENCE;
    tokio::time::timeout(patience, running)
        .await
        .unwrap_or_else(|_| panic!("{program} did not end"))
        .unwrap()
}

async fn until(hub: &Hub, what: &str, holds: impl Fn(&HubStats) -> bool) {
    let wait = async {
        while !holds(&hub.stats()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}: {:?}", hub.stats()));
}

fn numbers(count: usize) -> String {
    (0..count).map(|number| format!("{number}\n")).collect()
}

/// A subscriber signs up and leaves; 20,000 messages come; it returns for them.
async fn offline(settings: HubSettings, version: &str, quality: &str) -> (Vec<usize>, HubStats) {
    let (hub, listening) = start(settings).await;
    let port = listening.address().port().to_string();
    let common = [
        "-h",
        "127.0.0.1",
        "-p",
        &port,
        "-V",
        version,
        "-q",
        quality,
        "-t",
        "a/b",
    ];
    let away = if version == "mqttv5" {
        vec!["-i", "reader", "-c", "-x", "3600"]
    } else {
        vec!["-i", "reader", "-c"]
    };
    let sign_up = [&common[..], &away, &["-E"]].concat();
    assert!(
        run("mosquitto_sub", &sign_up, String::new())
            .await
            .status
            .success()
    );
    until(&hub, "the reader to be away", |stats| {
        (stats.sessions, stats.connected) == (1, 0)
    })
    .await;

    let send = [&common[..], &["-l"]].concat();
    let sent = run("mosquitto_pub", &send, numbers(20_000)).await;
    assert!(sent.status.success(), "{sent:?}");
    until(&hub, "all messages", |stats| stats.published == 20_000).await;
    let expected = hub.stats().queued.to_string();
    let read = [&common[..], &away, &["-C", &expected, "-W", "120"]].concat();
    let heard = run("mosquitto_sub", &read, String::new()).await;
    let text = String::from_utf8(heard.stdout).unwrap();
    let heard = text.lines().map(|line| line.parse().unwrap()).collect();
    (heard, hub.stats())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn twenty_thousand_messages_for_a_subscriber_that_is_away_all_arrive_in_order() {
    for version in ["mqttv311", "mqttv5"] {
        for quality in ["1", "2"] {
            let (heard, stats) = offline(HubSettings::default(), version, quality).await;
            let expected: Vec<_> = (0..20_000).collect();
            assert_eq!(heard, expected, "{version}, quality {quality}");
            assert_eq!((stats.published, stats.overflowed), (20_000, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn what_a_short_queue_does_not_hold_of_twenty_thousand_messages_is_counted() {
    let settings = HubSettings::default().with_queue(5_000, 16 << 20, Overflow::Oldest);
    let (heard, stats) = offline(settings, "mqttv311", "1").await;
    assert_eq!(heard, (15_000..20_000).collect::<Vec<_>>());
    assert_eq!(stats.overflowed, 15_000);
}

/// Paho talks to itself through the hub; the script prints what it heard.
async fn paho(port: u16, script: &str, arguments: &[&str]) -> String {
    let port = port.to_string();
    let arguments = [&["-c", script, &port], arguments].concat();
    let output = run("python3", &arguments, String::new()).await;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "paho-mqtt is not installed, or failed: {told}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs paho-mqtt"]
async fn paho_publishes_subscribes_retains_and_leaves_a_will_through_the_hub() {
    for version in ["3", "5"] {
        let (_hub, listening) = start(HubSettings::default()).await;
        let script = include_str!("foreign/talk.py");
        let heard = paho(listening.address().port(), script, &[version]).await;
        assert_eq!(
            heard.lines().collect::<Vec<_>>(),
            [
                "a/0 zero 0 0",
                "a/1 one 1 0",
                "a/2 two 2 0",
                "a/empty  1 0",
                "a/kept kept 1 1",
                "a/will gone 1 0"
            ],
            "MQTT {version}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs paho-mqtt"]
async fn thirty_thousand_messages_for_a_slow_reader_are_delivered_or_counted() {
    for queue in [100_000, 2_000] {
        let settings = HubSettings::default().with_queue(queue, 16 << 20, Overflow::Newest);
        let (hub, listening) = start(settings).await;
        let port = listening.address().port();
        let script = include_str!("foreign/slow.py");
        let reader = tokio::spawn(async move { paho(port, script, &[]).await });
        until(&hub, "the reader", |stats| stats.subscriptions == 1).await;
        let port = port.to_string();
        let send = ["-h", "127.0.0.1", "-p", &port, "-q", "1", "-t", "a/b", "-l"];
        let sent = run("mosquitto_pub", &send, numbers(30_000)).await;
        assert!(sent.status.success(), "{sent:?}");
        until(&hub, "all messages", |stats| stats.published == 30_000).await;
        let end = [
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-q",
            "1",
            "-t",
            "a/end",
            "-m",
            "end",
        ];
        // The reader ends by this message, which a full queue may drop as well: it is sent until it arrives.
        while !reader.is_finished() {
            assert!(
                run("mosquitto_pub", &end, String::new())
                    .await
                    .status
                    .success()
            );
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        let heard = reader.await.unwrap();
        let heard: Vec<usize> = heard.lines().map(|line| line.parse().unwrap()).collect();
        let overflowed = usize::try_from(hub.stats().overflowed).unwrap();
        assert!(heard.is_sorted_by(|a, b| a < b), "out of order, or twice");
        if queue == 100_000 {
            assert_eq!((heard.len(), overflowed), (30_000, 0));
        } else {
            assert!(
                overflowed > 0,
                "the reader is not slow: the test shows nothing"
            );
            // Ends that a full queue dropped are counted as well.
            let lost = 30_000 - heard.len();
            assert!(
                lost > 0 && lost <= overflowed,
                "{lost} lost, {overflowed} counted"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn mosquittos_clients_share_a_subscription_of_the_hub() {
    for version in ["mqttv311", "mqttv5"] {
        let (hub, listening) = start(HubSettings::default()).await;
        let port = listening.address().port().to_string();
        let common = ["-h", "127.0.0.1", "-p", &port, "-V", version, "-q", "1"];
        let listen = [&common[..], &["-t", "$share/g/a/b", "-C", "50", "-W", "60"]].concat();
        let send = [&common[..], &["-t", "a/b", "-l"]].concat();
        let publish = async {
            until(&hub, "both members", |stats| stats.subscriptions == 2).await;
            run("mosquitto_pub", &send, numbers(100)).await
        };
        let (one, other, sent) = tokio::join!(
            run("mosquitto_sub", &listen, String::new()),
            run("mosquitto_sub", &listen, String::new()),
            publish
        );
        assert!(sent.status.success(), "{sent:?}");
        let text = String::from_utf8([one.stdout, other.stdout].concat()).unwrap();
        let mut heard: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
        heard.sort_unstable();
        assert_eq!(heard, (0..100).collect::<Vec<_>>(), "{version}");
    }
}
