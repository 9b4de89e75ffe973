//! A registry in a file against PostgreSQL, both durable, with as many clients.
//!
//! Every client has one update under way at a time: compare-and-set of a whole twin with twenty values, acknowledged
//! when it is on the disk. The peer keeps one table of `jsonb` and no history; ours keeps history and changes to
//! follow as well. Both take turns on the same disk.

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use futures::future::try_join_all;
use iot_benches::{Goal, Ratio};
use iot_core::Timestamp;
use iot_twin::registry::{Expect, Redb, Registry};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

use crate::Missing;
use crate::registry::{key, record};

/// How many clients each side has at most.
const CLIENTS: u32 = 1_024;
const SPAN: Duration = Duration::from_secs(5);
const ROUNDS: u32 = 2;

/// A database server of this run's own, ended with it.
struct Server {
    process: Child,
    folder: TempDir,
}

/// Where Debian and others put the programs.
fn programs() -> Result<PathBuf, Box<dyn Error>> {
    let versions = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = debian.chain(std::env::split_paths(&path)).collect();
    folders.sort();
    let found = folders
        .into_iter()
        .rfind(|folder| folder.join("initdb").exists() && folder.join("postgres").exists());
    Ok(found.ok_or(Missing("PostgreSQL"))?)
}

/// The server refuses to run as root: then it is somebody else.
fn user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let known = fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let line = known
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut parts = line.split(':').skip(2);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody"))
}

fn command(program: &Path, user: Option<(u32, u32)>) -> Command {
    let mut command = Command::new(program);
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/");
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command
}

impl Server {
    fn start(folder: TempDir) -> Result<Self, Box<dyn Error>> {
        let (programs, user) = (programs()?, user());
        if let Some((uid, gid)) = user {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        let data = folder.path().join("data");
        let made = command(&programs.join("initdb"), user)
            .args([
                "--auth=trust",
                "--username=bench",
                "--encoding=UTF8",
                "--no-sync",
                "-D",
            ])
            .arg(&data)
            .status()?;
        if !made.success() {
            return Err(format!("initdb ended with {made}").into());
        }
        let process = command(&programs.join("postgres"), user)
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses="])
            .args(["-c", &format!("max_connections={}", CLIENTS + 10)])
            .args(["-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"])
            .spawn()?;
        Ok(Self { process, folder })
    }

    async fn connect(&self) -> Result<Client, Box<dyn Error>> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.folder.path())
            .user("bench")
            .dbname("postgres");
        let mut last = None;
        for _ in 0..400 {
            match config.connect(NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    return Ok(client);
                }
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        Err(format!("PostgreSQL does not listen: {last:?}").into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself. Its own processes end when they miss it.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn runtime() -> Result<Runtime, Box<dyn Error>> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// Updates a second of our clients.
fn ours(folder: &Path, round: u32, clients: u32) -> Result<f64, Box<dyn Error>> {
    let registry = Registry::open(Redb::open(folder.join(format!("{round}.redb")))?);
    let records: Vec<_> = (0..16)
        .map(|number| record(number, 1))
        .collect::<Result<_, _>>()?;
    let records = Arc::new(records);
    runtime()?.block_on(async {
        let client = |number: u32| {
            let (registry, records) = (registry.clone(), Arc::clone(&records));
            tokio::spawn(async move {
                let (mut expect, mut count) = (Expect::Absent, 0_u32);
                let start = Instant::now();
                let key = key(number).map_err(|error| error.to_string())?;
                for record in records.iter().cycle() {
                    if start.elapsed() >= SPAN {
                        break;
                    }
                    let put = registry.put(&key, expect, record.clone(), Timestamp::EPOCH);
                    expect = Expect::At(put.await.map_err(|error| error.to_string())?);
                    count += 1;
                }
                Ok::<_, String>(count)
            })
        };
        let start = Instant::now();
        let ended = try_join_all((0..clients).map(client)).await?;
        let counts: Vec<u32> = ended.into_iter().collect::<Result<_, _>>()?;
        let count: u32 = counts.iter().sum();
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    })
}

/// The same twin as the peer keeps it.
fn document(round: u32) -> String {
    let fields = (1..=20).map(|id| {
        let (value, version) = (f64::from(round) + f64::from(id) / 64.0, round * 20 + id);
        format!(r#""field-{id}":{{"value":{value},"version":{version}}}"#)
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Updates a second of as many clients of the peer.
fn peers(server: &Server, count: u32) -> Result<f64, Box<dyn Error>> {
    const UPDATE: &str = "UPDATE twins SET revision = revision + 1, document = $3::text::jsonb \
                          WHERE key = $1 AND revision = $2 RETURNING revision";
    runtime()?.block_on(async {
        let setup = server.connect().await?;
        for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
            let row = setup.query_one(&format!("SHOW {setting}"), &[]).await?;
            let value: &str = row.get(0);
            if value != "on" {
                return Err(format!("{setting} is {value}: the peer is not durable").into());
            }
        }
        setup
            .batch_execute(
                "DROP TABLE IF EXISTS twins; CREATE TABLE twins \
                 (key text PRIMARY KEY, revision bigint NOT NULL, document jsonb NOT NULL)",
            )
            .await?;
        let documents: Arc<Vec<_>> = Arc::new((0..16).map(document).collect());
        let mut clients = Vec::new();
        for number in 0..count {
            let client = server.connect().await?;
            let key = format!("acme/boiler-{number}");
            client
                .execute(
                    "INSERT INTO twins VALUES ($1, 1, $2::text::jsonb)",
                    &[&key, &document(0)],
                )
                .await?;
            let update = client.prepare(UPDATE).await?;
            clients.push((client, update, key));
        }
        let start = Instant::now();
        let work = clients.into_iter().map(|(client, update, key)| {
            let documents = Arc::clone(&documents);
            tokio::spawn(async move {
                let (mut revision, mut count) = (1_i64, 0_u32);
                for document in documents.iter().cycle() {
                    if start.elapsed() >= SPAN {
                        break;
                    }
                    let row = client
                        .query_one(&update, &[&key, &revision, document])
                        .await?;
                    revision = row.get(0);
                    count += 1;
                }
                Ok::<_, tokio_postgres::Error>(count)
            })
        });
        let ended = try_join_all(work).await?;
        let counts: Vec<u32> = ended.into_iter().collect::<Result<_, _>>()?;
        let count: u32 = counts.iter().sum();
        Ok(f64::from(count) / start.elapsed().as_secs_f64())
    })
}

/// Durable updates a second of so many clients, on one disk.
fn compare(name: &'static str, clients: u32, goal: f64) -> Result<Ratio, Box<dyn Error>> {
    programs()?;
    let (own, theirs) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let server = Server::start(theirs)?;
    let (mut best, mut best_of_peer) = (0.0_f64, 0.0_f64);
    for round in 0..ROUNDS {
        best = best.max(ours(own.path(), round, clients)?);
        best_of_peer = best_of_peer.max(peers(&server, clients)?);
    }
    let goal = Goal::AtLeast(goal);
    Ok(Ratio::new(name, best, best_of_peer, "updates/s", goal))
}

// What is claimed is the row of the most clients. The others show where it comes from: a commit costs both sides one
// wait for the disk, however many share it, and what the peer does for each client grows with their number.
pub(crate) fn registry_redb_64() -> Result<Ratio, Box<dyn Error>> {
    compare("registry_redb_64", 64, 10.0)
}

pub(crate) fn registry_redb_256() -> Result<Ratio, Box<dyn Error>> {
    compare("registry_redb_256", 256, 10.0)
}

pub(crate) fn registry_redb_512() -> Result<Ratio, Box<dyn Error>> {
    compare("registry_redb_512", 512, 10.0)
}

pub(crate) fn registry_redb() -> Result<Ratio, Box<dyn Error>> {
    compare("registry_redb", CLIENTS, 10.0)
}
