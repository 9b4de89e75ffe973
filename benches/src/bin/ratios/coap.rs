//! A download over CoAP against libcoap's client, from libcoap's server, through a link that loses one datagram in ten.
//!
//! Both fetch 27,000 bytes in blocks of 1,024 with the same seeds of the link, each datagram takes 10 ms, and what counts
//! is the clock: the time is what they wait for. Ours has a window of four; the peer's client has none.

use alloc::sync::Arc;
use core::error::Error;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::ErrorKind;
use std::net::UdpSocket as Blocking;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use iot_benches::{Goal, Ratio};
use iot_core::port::ImageSource;
use iot_core::sim::SimEntropy;
use iot_transport::TokioTimer;
use iot_transport::coap::{CoapError, CoapImage, FetchError, Target, Terms, Udp};
use tokio::net::UdpSocket;
use tokio::runtime::{Builder, Runtime};

use crate::Missing;

const BYTES: usize = 27_000;
const SEEDS: [u64; 2] = [1, 2];

/// A server of this run's own, ended with it.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let free = Blocking::bind("127.0.0.1:0")?;
        let address = free.local_addr()?;
        drop(free);
        let started = Command::new("coap-server-notls")
            .args(["-A", "127.0.0.1", "-d", "10", "-p"])
            .arg(address.port().to_string())
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(Missing("libcoap").into());
            }
            started => started?,
        };
        let server = Self { process, address };
        // A ping until it is answered.
        let probe = Blocking::bind("127.0.0.1:0")?;
        probe.connect(address)?;
        probe.set_read_timeout(Some(Duration::from_millis(50)))?;
        for _ in 0..200 {
            let _ = probe.send(&[0x40, 0, 0, 1]);
            if probe.recv(&mut [0; 4]).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err("coap-server does not listen".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn client(arguments: &[&str], file: &Path, at: SocketAddr) -> Result<(), Box<dyn Error>> {
    let mut client = Command::new("coap-client-notls");
    client.args(["-b", "1024"]).args(arguments).arg(file);
    // For at most ten minutes.
    client.args(["-B", "600"]).arg(format!("coap://{at}/7.bin"));
    match client
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        true => Ok(()),
        false => Err("coap-client failed".into()),
    }
}

fn runtime() -> Result<Runtime, Box<dyn Error>> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// One way of the link.
async fn carry(
    from: Arc<UdpSocket>,
    to: Arc<UdpSocket>,
    client: Arc<Mutex<Option<SocketAddr>>>,
    (up, seed): (bool, u64),
) {
    let (mut random, mut room) = (SimEntropy::new(seed), [0; 2_000]);
    loop {
        let Ok((bytes, sender)) = from.recv_from(&mut room).await else {
            continue;
        };
        let receiver = match client.lock() {
            Ok(mut client) if up => client.replace(sender).and(None),
            Ok(client) => *client,
            Err(_) => return,
        };
        let datagram = room.get(..bytes).unwrap_or(&[]).to_vec();
        if random.chance(100) {
            continue;
        }
        let to = to.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            // What cannot be sent is lost.
            let _ = match receiver {
                Some(client) => to.send_to(&datagram, client).await,
                None => to.send(&datagram).await,
            };
        });
    }
}

/// Calls with the address of a link to the server, and gives the seconds that it takes.
fn through_a_link(
    server: SocketAddr,
    seed: u64,
    fetch: impl FnOnce(SocketAddr) -> Result<(), Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let address = runtime.block_on(async {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await?);
        back.connect(server).await?;
        let client = Arc::new(Mutex::new(None));
        let address = front.local_addr()?;
        tokio::spawn(carry(
            front.clone(),
            back.clone(),
            client.clone(),
            (true, seed),
        ));
        tokio::spawn(carry(back, front, client, (false, !seed)));
        Ok::<_, std::io::Error>(address)
    })?;
    let begun = Instant::now();
    fetch(address)?;
    Ok(begun.elapsed().as_secs_f64())
}

fn ours(at: SocketAddr, firmware: &[u8]) -> Result<(), Box<dyn Error>> {
    let read = runtime()?.block_on(async {
        let udp = Udp::connect(at).await?;
        let target = Target::new("coap://127.0.0.1/7.bin")?;
        let entropy = SimEntropy::new(at.port().into());
        let mut image = CoapImage::<_, _, _, 4, 1_024, 1_152>::sized(
            udp,
            TokioTimer::new(),
            entropy,
            target,
            Terms::new(),
        );
        let (mut read, mut block) = (Vec::new(), [0; 1_024]);
        loop {
            match image.read(u32::try_from(read.len())?, &mut block).await {
                Ok(0) => return Ok::<_, Box<dyn Error>>(read),
                Ok(bytes) => read.extend_from_slice(block.get(..bytes).unwrap_or(&[])),
                // This server says so when the first request arrives twice: begin again, as an installer would.
                Err(CoapError::Fetch(FetchError::Changed)) => read.clear(),
                Err(error) => return Err(error.into()),
            }
        }
    })?;
    match read == firmware {
        true => Ok(()),
        false => Err("what came is not what was put there".into()),
    }
}

/// What was measured before this crate's first CoAP: the peer takes 34.9 s, and 3 s are wanted.
pub(crate) fn coap_lossy() -> Result<Ratio, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path())?;
    let mut random = SimEntropy::new(7);
    let firmware: Vec<u8> = (0..BYTES)
        .map(|_| random.next_u64().to_le_bytes()[0])
        .collect();
    let (put, got) = (folder.path().join("put"), folder.path().join("got"));
    std::fs::write(&put, &firmware)?;
    client(&["-m", "put", "-f"], &put, server.address)?;
    let (mut our_span, mut peer_span) = (0.0, 0.0);
    for seed in SEEDS {
        our_span += through_a_link(server.address, seed, |at| ours(at, &firmware))?;
        peer_span += through_a_link(server.address, seed, |at| {
            client(&["-m", "get", "-o"], &got, at)
        })?;
        if std::fs::read(&got)? != firmware {
            return Err("the peer has fetched something else".into());
        }
        std::fs::remove_file(&got)?;
    }
    let downloads = SEEDS.len() as f64;
    Ok(Ratio::new(
        "coap_lossy",
        our_span / downloads,
        peer_span / downloads,
        "s",
        Goal::AtMost(3.0 / 34.9),
    ))
}
