//! Random histories of shadows: our service beside moto, which others test their devices with.
//!
//! moto differs from AWS in ways that are known and left out here: it keeps `desired` when that is null, has no limits
//! of length, depth, size or rate, takes null in arrays, removes a removed shadow once more, shows empty maps in a
//! delta, leaves out nulls where it repeats what was sent, and fails on a version for a shadow that is not there.
//! `IOT_HISTORIES` says how many histories there are; 100 when it is not set.
#![cfg(feature = "json")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail loudly"
)]

use core::net::SocketAddr;
use core::time::Duration;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use iot_twin::interop::aws::{Caller, Shadows};
use iot_twin::iot_core::Timestamp;
use serde_json::{Map, Value as Json, json};

/// A small generator of numbers, the same everywhere for one seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    /// A value; never 0 or 1, which Python takes for truth values.
    fn value(&mut self, depth: u64) -> Json {
        match self.roll(if depth == 0 { 4 } else { 8 }) {
            0 => Json::Bool(self.roll(2) == 0),
            1 => Json::from(2 + self.roll(5)),
            2 => Json::from(format!("text {}", self.roll(3))),
            3 => Json::from(self.roll(20) as f64 + 0.5),
            4 => (0..self.roll(3)).map(|_| self.value(0)).collect(),
            _ => self.section(depth - 1),
        }
    }

    fn section(&mut self, depth: u64) -> Json {
        let names = ["a", "b", "c", "d"];
        let count = 1 + self.roll(3);
        let entries = (0..count).map(|_| {
            let name = names[usize::try_from(self.roll(4)).unwrap()];
            let value = if self.roll(5) == 0 {
                Json::Null
            } else {
                self.value(depth)
            };
            (name.to_owned(), value)
        });
        Json::Object(entries.collect::<Map<_, _>>())
    }
}

/// A moto server of this test's own, ended with it.
struct Moto {
    process: Child,
    address: SocketAddr,
}

impl Moto {
    fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new("python3")
            .args([
                "-m",
                "moto.server",
                "-H",
                "127.0.0.1",
                "-p",
                &address.port().to_string(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self { process, address };
        for _ in 0..1_200 {
            if TcpStream::connect(address).is_ok() {
                return moto;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("moto does not listen: is moto[server] installed for python3?");
    }

    fn ask(&self, service: &str, method: &str, path: &str, body: &str) -> (u16, Json) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let credential = format!("x/20240101/us-east-1/{service}/aws4_request");
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=x\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, serde_json::from_str(body).unwrap_or(Json::Null))
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes out of a tree what holds nothing.
fn pruned(value: &Json) -> Option<Json> {
    match value {
        Json::Object(entries) => {
            let kept = entries
                .iter()
                .filter_map(|(name, value)| Some((name.clone(), pruned(value)?)));
            let kept: Map<_, _> = kept.collect();
            (!kept.is_empty()).then_some(Json::Object(kept))
        }
        other => Some(other.clone()),
    }
}

/// A tree without the nulls in it.
fn without_nulls(value: &Json) -> Json {
    match value {
        Json::Object(entries) => {
            let kept = entries.iter().filter(|(_, value)| !value.is_null());
            kept.map(|(name, value)| (name.clone(), without_nulls(value)))
                .collect()
        }
        other => other.clone(),
    }
}

/// The state that a get shows, with a delta in which nothing is empty.
fn state(body: &Json) -> Json {
    let mut state = body["state"].clone();
    let delta = state
        .as_object_mut()
        .and_then(|state| state.remove("delta"));
    if let Some(delta) = delta.as_ref().and_then(pruned) {
        state["delta"] = delta;
    }
    state
}

#[test]
#[ignore = "needs moto"]
fn random_histories_of_shadows_agree_with_moto() {
    let histories = std::env::var("IOT_HISTORIES").map_or(100, |count| count.parse().unwrap());
    let moto = Moto::start();
    let mut shadows = Shadows::new();
    let (mut requests, mut rejected, mut deltas) = (0, 0, 0);
    for history in 0..histories {
        let mut dice = Dice(history);
        let thing = format!("thing-{history}");
        assert_eq!(
            moto.ask("iot", "POST", &format!("/things/{thing}"), "{}").0,
            200
        );
        shadows.add_thing(&thing);
        let named = history % 2 == 1;
        let (prefix, query) = if named {
            ("name/config/", "?name=config")
        } else {
            ("", "")
        };
        let path = format!("/things/{thing}/shadow{query}");
        // The last version, and whether the shadow is there.
        let (mut version, mut there) = (0, false);
        for step in 0..4 + dice.roll(8) {
            requests += 1;
            let (operation, method, body) = match dice.roll(8) {
                0 if there || version == 0 => ("delete", "DELETE", String::new()),
                1 | 2 => ("get", "GET", String::new()),
                _ => {
                    let mut state = Map::new();
                    for half in ["desired", "reported"] {
                        if dice.roll(3) > 0 {
                            state.insert(half.into(), dice.section(2));
                        }
                    }
                    let state = if dice.roll(20) == 0 {
                        Json::Null
                    } else {
                        Json::Object(state)
                    };
                    let mut body = json!({ "state": state });
                    if there && dice.roll(3) == 0 {
                        let wrong = u64::from(dice.roll(2) == 0);
                        body["version"] = Json::from(version + wrong);
                    }
                    ("update", "POST", body.to_string())
                }
            };
            let (code, theirs) = moto.ask("iotdata", method, &path, &body);
            let now = Timestamp::from_secs(history * 100 + step);
            let topic = format!("$aws/things/{thing}/shadow/{prefix}{operation}");
            let published = shadows.handle(now, Caller::ALLOWED, &topic, body.as_bytes());
            let ours: Json = serde_json::from_str(&published[0].payload).unwrap();
            let context = format!("history {history}, {operation} {body}: {theirs} {ours}");
            let our_code = ours["code"].as_u64().unwrap_or(200);
            assert_eq!(our_code, u64::from(code), "{context}");
            if code != 200 {
                rejected += 1;
                continue;
            }
            assert_eq!(ours["version"], theirs["version"], "{context}");
            version = ours["version"].as_u64().unwrap();
            there = operation != "delete";
            match operation {
                "get" => {
                    assert_eq!(state(&ours), state(&theirs), "{context}");
                    deltas += u32::from(!state(&ours)["delta"].is_null());
                }
                "update" => assert_eq!(
                    without_nulls(&ours["state"]),
                    without_nulls(&theirs["state"]),
                    "{context}"
                ),
                _ => {}
            }
        }
    }
    println!("histories={histories} requests={requests} rejected={rejected} deltas={deltas}");
    assert!(histories > 0 && rejected > histories / 4 && deltas > 0);
}
