//! The client, the gate and the hub against Mosquitto's broker and clients.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use iot_core::port::Transport;
use iot_core::{Channel, Fate, Message, Peer};
use iot_transport::mqtt::{Hub, Version};

use crate::common::{self, PATIENCE, device, drain, service};

/// A process of this test's own, ended with it.
struct Own(Child);

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A broker on a loopback port with its files in a folder of its own.
pub(crate) struct Mosquitto {
    pub(crate) address: SocketAddr,
    folder: tempfile::TempDir,
    process: Option<Own>,
}

impl Mosquitto {
    pub(crate) async fn start() -> Self {
        Self::start_with("").await
    }

    /// With more lines of configuration.
    pub(crate) async fn start_with(lines: &str) -> Self {
        Self::start_in(|_| lines.into()).await
    }

    /// With more lines of configuration, and files beside it.
    pub(crate) async fn start_in(prepare: impl FnOnce(&Path) -> String) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let mut file = std::fs::File::create(folder.path().join("conf")).unwrap();
        writeln!(
            file,
            "listener {} 127.0.0.1\nallow_anonymous true\n{}",
            address.port(),
            prepare(folder.path())
        )
        .unwrap();
        let mut broker = Self {
            address,
            folder,
            process: None,
        };
        broker.run().await;
        broker
    }

    async fn run(&mut self) {
        let process = Command::new("mosquitto")
            .arg("-c")
            .arg(self.folder.path().join("conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is not installed");
        self.process = Some(Own(process));
        let up = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, up)
            .await
            .expect("mosquitto did not start");
    }

    /// Kills the broker and starts it again without anything it knew.
    pub(crate) async fn restart_empty(&mut self) {
        self.process = None;
        self.run().await;
    }
}

pub(crate) async fn listen(service: &mut impl Transport<Error: core::fmt::Debug>) {
    service.subscribe(Channel::Telemetry).await.unwrap();
    // Mosquitto answers in order: once this is acknowledged the subscription stands.
    let probe = Message::new(Channel::Health, b"").to(Peer::parse("acme", "nobody").unwrap());
    service.submit(&probe).await.unwrap();
    common::settled(service, 1).await;
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn every_message_through_mosquitto_has_a_fate_and_arrives() {
    let broker = Mosquitto::start().await;
    for version in [Version::V3, Version::V5] {
        let mut service = service(broker.address, version);
        listen(&mut service).await;
        let mut device = device(broker.address, "d1", version);
        for number in 0..200_u8 {
            device.submit(&Message::telemetry(&[number])).await.unwrap();
        }
        let (fates, heard) =
            tokio::join!(common::settled(&mut device, 200), drain(&mut service, 200));
        assert!(fates.values().all(|fate| *fate == Fate::Delivered));
        assert_eq!(heard.len(), 200);
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn a_mosquitto_that_lost_everything_gets_every_message_without_an_acknowledgement_again() {
    for version in [Version::V3, Version::V5] {
        let mut broker = Mosquitto::start().await;
        let mut device = device(broker.address, "d1", version);
        device.connected(PATIENCE).await.unwrap();
        for number in 0..100_u8 {
            device.submit(&Message::telemetry(&[number])).await.unwrap();
        }
        let some = common::settled(&mut device, 10).await;
        broker.restart_empty().await;
        let rest = common::settled(&mut device, 100 - some.len()).await;
        assert!(
            rest.keys().all(|ticket| !some.contains_key(ticket)),
            "a ticket met two fates"
        );
        assert!(rest.values().all(|fate| *fate == Fate::Delivered));
    }
}

#[tokio::test]
#[ignore = "needs mosquitto"]
async fn mosquittos_own_clients_work_with_the_hub() {
    for version in ["mqttv311", "mqttv5"] {
        let hub = Hub::default();
        let listening = hub.listen("127.0.0.1:0").await.unwrap();
        let port = listening.address().port().to_string();
        let common = ["-h", "127.0.0.1", "-p", &port, "-V", version, "-q", "1"];
        let reader = Command::new("mosquitto_sub")
            .args(common)
            .args(["-t", "a/#", "-C", "3", "-W", "30", "-v"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("mosquitto-clients is not installed");
        while hub.stats().subscriptions == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for text in ["one", "two", "three"] {
            let mut sender = Command::new("mosquitto_pub");
            sender.args(common).args(["-t", "a/b", "-m", text]);
            let sent = tokio::task::spawn_blocking(move || sender.status().unwrap());
            assert!(sent.await.unwrap().success());
        }
        let read = tokio::task::spawn_blocking(move || reader.wait_with_output().unwrap());
        let heard = String::from_utf8(read.await.unwrap().stdout).unwrap();
        assert_eq!(heard, "a/b one\na/b two\na/b three\n");
    }
}
