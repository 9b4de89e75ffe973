//! Images over CoAP against a well-known server, and through a link that loses datagrams.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test may fail loudly, and its numbers are small"
)]

extern crate alloc;

use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::net::UdpSocket as Blocking;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use iot_core::port::ImageSource;
use iot_core::sim::SimEntropy;
use iot_transport::TokioTimer;
use iot_transport::coap::{CoapError, CoapImage, Code, FetchError, Target, Terms, Udp};
use tokio::net::UdpSocket;

/// Generous, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(120);
const URL: &str = "coap://127.0.0.1/7.bin";

type Image<const WINDOW: usize, const BLOCK: usize> =
    CoapImage<'static, Udp, TokioTimer, SimEntropy, WINDOW, BLOCK, 1_152>;

async fn image_at<const WINDOW: usize, const BLOCK: usize>(
    server: SocketAddr,
    url: &'static str,
) -> Image<WINDOW, BLOCK> {
    let udp = Udp::connect(server).await.unwrap();
    let target = Target::new(url).unwrap();
    // Randomness that nobody is to foresee is not the point here.
    let entropy = SimEntropy::new(u64::from(server.port()));
    CoapImage::sized(udp, TokioTimer::new(), entropy, target, Terms::new())
}

fn firmware(bytes: usize) -> Vec<u8> {
    (0..bytes as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

async fn read_all<S: ImageSource>(source: &mut S) -> Result<Vec<u8>, S::Error> {
    let mut read = Vec::new();
    read_on(source, &mut read).await.map(|()| read)
}

async fn read_on<S: ImageSource>(source: &mut S, read: &mut Vec<u8>) -> Result<(), S::Error> {
    let mut block = [0; 4_096];
    loop {
        match source.read(read.len() as u32, &mut block).await? {
            0 => return Ok(()),
            bytes => read.extend_from_slice(&block[..bytes]),
        }
    }
}

/// As an installer reads: from the front again when it is told that the image has changed. This server says so when the first
/// request of a transfer arrives twice.
async fn install<const WINDOW: usize>(image: &mut Image<WINDOW, 1_024>) -> (Vec<u8>, usize) {
    for again in 0..10 {
        match read_all(image).await {
            Ok(read) => return (read, again),
            Err(CoapError::Fetch(FetchError::Changed)) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("no end");
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tokio::time::timeout(PATIENCE, future)
            .await
            .expect("it took too long")
    })
}

/// A server of its own, ended with the test.
struct Libcoap {
    process: Child,
    address: SocketAddr,
}

impl Libcoap {
    fn start(folder: &Path) -> Self {
        let free = Blocking::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new("coap-server-notls")
            .args(["-A", "127.0.0.1", "-d", "10", "-p"])
            .arg(address.port().to_string())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, address };
        // A ping until it answers; what is no answer is an error, because nothing listens yet.
        let probe = Blocking::bind("127.0.0.1:0").unwrap();
        probe.connect(address).unwrap();
        probe
            .set_read_timeout(Some(Duration::from_millis(50)))
            .unwrap();
        let begun = Instant::now();
        let mut pong = [0; 4];
        loop {
            assert!(begun.elapsed() < PATIENCE, "the server did not start");
            let _ = probe.send(&[0x40, 0, 0x12, 0x34]);
            if probe.recv(&mut pong).is_ok_and(|bytes| bytes == 4) {
                assert_eq!(pong, [0x70, 0, 0x12, 0x34]);
                return server;
            }
        }
    }

    /// Puts an image there with the client of the same project.
    fn put(&self, folder: &Path, name: &str, image: &[u8]) {
        let file = folder.join("image");
        std::fs::write(&file, image).unwrap();
        let put = Command::new("coap-client-notls")
            .args(["-m", "put", "-b", "1024", "-f"])
            .arg(file)
            .arg(format!("coap://{}/{name}", self.address))
            .stderr(Stdio::null())
            .status();
        assert!(put.unwrap().success());
    }
}

impl Drop for Libcoap {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Passes datagrams on after 10 ms each way, and loses one in ten; returns its address and how many were lost.
async fn lossy(server: SocketAddr, seed: u64) -> (SocketAddr, Arc<AtomicU64>) {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    back.connect(server).await.unwrap();
    let address = front.local_addr().unwrap();
    let lost = Arc::new(AtomicU64::new(0));
    let counted = lost.clone();
    tokio::spawn(async move {
        let mut random = SimEntropy::new(seed);
        let (mut up, mut down) = ([0; 2_000], [0; 2_000]);
        let mut client = None;
        loop {
            let (to, from, datagram) = tokio::select! {
                got = front.recv_from(&mut up) => {
                    let (bytes, from) = got.unwrap();
                    client = Some(from);
                    (&back, None, up[..bytes].to_vec())
                }
                got = back.recv(&mut down) => {
                    let Ok(bytes) = got else { continue };
                    (&front, client, down[..bytes].to_vec())
                }
            };
            if random.chance(100) {
                counted.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let to = to.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                let _ = match from {
                    Some(client) => to.send_to(&datagram, client).await,
                    None => to.send(&datagram).await,
                };
            });
        }
    });
    (address, lost)
}

#[test]
#[ignore = "needs coap-server"]
fn a_well_known_server_gives_an_image_block_by_block_and_a_new_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let server = Libcoap::start(folder.path());
    let old = firmware(100_000);
    server.put(folder.path(), "7.bin", &old);
    run(async {
        let mut image = image_at::<1, 1_024>(server.address, URL).await;
        assert!(read_all(&mut image).await.unwrap() == old);
        assert_eq!(image.size(), Some(100_000));
        let mut small = image_at::<4, 64>(server.address, URL).await;
        assert!(read_all(&mut small).await.unwrap() == old);
        // Anywhere, and behind the end of an image of which nothing is known.
        let mut block = [0; 100];
        // The first block is left out: each request for it gets a tag of its own from this server.
        for offset in [99_999, 50_001, 777, 77_777] {
            let bytes = small.read(offset, &mut block).await.unwrap();
            assert!(bytes > 0 && old[offset as usize..].starts_with(&block[..bytes]));
        }
        for offset in [100_000, 102_400, 1_000_000] {
            let mut fresh = image_at::<4, 512>(server.address, URL).await;
            assert_eq!(fresh.read(offset, &mut block).await.unwrap(), 0, "{offset}");
        }
        // Another image is put there in the middle. This server goes on with the old one for who has begun with it.
        let new = &old[..90_000];
        let mut image = image_at::<4, 1_024>(server.address, URL).await;
        let mut read = vec![0; 1_024];
        assert_eq!(image.read(0, &mut read).await.unwrap(), 1_024);
        server.put(folder.path(), "7.bin", new);
        read_on(&mut image, &mut read).await.unwrap();
        assert!(read == old);
        let error = image.read(0, &mut block).await.unwrap_err();
        assert!(
            matches!(error, CoapError::Fetch(FetchError::Changed)),
            "{error:?}"
        );
        assert!(read_all(&mut image).await.unwrap() == new);
    });
}

#[test]
#[ignore = "needs coap-server"]
fn a_well_known_servers_errors_and_late_answers_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let server = Libcoap::start(folder.path());
    run(async {
        let mut missing = image_at::<4, 1_024>(server.address, "coap://127.0.0.1/8.bin").await;
        let error = missing.read(0, &mut [0; 10]).await.unwrap_err();
        let code = Code::new(0x84);
        assert!(
            matches!(error, CoapError::Fetch(FetchError::Refused { code: is }) if is == code),
            "{error:?}"
        );
        // It says "done" a second after it has acknowledged the request.
        let mut later = image_at::<1, 64>(server.address, "coap://127.0.0.1/async?1").await;
        assert_eq!(read_all(&mut later).await.unwrap(), b"done");
        let mut front = image_at::<1, 64>(server.address, "coap://127.0.0.1").await;
        let text = read_all(&mut front).await.unwrap();
        assert!(text.starts_with(b"This is a test server made with libcoap"));
    });
}

#[test]
#[ignore = "needs coap-server"]
fn twenty_seven_kb_arrive_through_a_link_that_loses_one_in_ten() {
    let folder = tempfile::tempdir().unwrap();
    let server = Libcoap::start(folder.path());
    let firmware = firmware(27_000);
    server.put(folder.path(), "7.bin", &firmware);
    let mut all = 0;
    for seed in 0..5 {
        for wide in [false, true] {
            run(async {
                let (link, lost) = lossy(server.address, seed).await;
                let begun = Instant::now();
                let (read, again) = match wide {
                    true => install(&mut image_at::<4, 1_024>(link, URL).await).await,
                    false => install(&mut image_at::<1, 1_024>(link, URL).await).await,
                };
                assert!(read == firmware);
                let (span, lost) = (begun.elapsed(), lost.load(Ordering::Relaxed));
                let window = if wide { 4 } else { 1 };
                println!(
                    "window={window} seed={seed} lost={lost} begun again={again} seconds={:.2}",
                    span.as_secs_f32()
                );
                all += lost;
            });
        }
    }
    assert!(all > 40, "{all}");
}

#[test]
fn where_nothing_listens_that_is_told() {
    fn may_be_spawned<T: Send>(future: T) -> T {
        future
    }
    run(async {
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut image = image_at::<1, 64>(address, URL).await;
        let mut room = [0; 10];
        let error = may_be_spawned(image.read(0, &mut room)).await.unwrap_err();
        assert!(
            error.is_transient() && matches!(error, CoapError::Datagrams(_)),
            "{error:?}"
        );
        Udp::connect("name.invalid:5683").await.unwrap_err();
    });
}
