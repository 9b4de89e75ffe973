//! Servers of this test's own, and a front that cuts links.

use core::net::SocketAddr;
use core::time::Duration;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Generous, because test machines are busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port of the loopback that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// A process of this test's own, ended with it, with its files in a folder of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    program: &'static str,
    config: String,
    running: Option<(Child, tempfile::TempDir)>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Server {
    /// Starts `program -c` with `config`, in which `FOLDER` stands for a folder that is empty at each start.
    pub(crate) async fn start(program: &'static str, port: u16, config: String) -> Self {
        let mut server = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            program,
            config,
            running: None,
        };
        server.run().await;
        server
    }

    /// Kills it and starts it again without anything it knew.
    pub(crate) async fn restart_empty(&mut self) {
        self.stop();
        self.run().await;
    }

    fn stop(&mut self) {
        if let Some((mut process, _)) = self.running.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    async fn run(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("conf");
        std::fs::write(&file, self.config.replace("FOLDER", text(folder.path()))).unwrap();
        let process = Command::new(self.program)
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{} is not installed: {error}", self.program));
        self.running = Some((process, folder));
        let up = async {
            while TcpStream::connect(self.address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let started = tokio::time::timeout(PATIENCE, up).await;
        started.unwrap_or_else(|_| panic!("{} did not start", self.program));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Carries bytes between clients and a server while it is up; taken down, it breaks every link.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    up: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Front {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let up = watch::Sender::new(true);
        let links = up.clone();
        let task = tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let mut watched = links.subscribe();
                tokio::spawn(async move {
                    let carry = async {
                        if let Ok(mut server) = TcpStream::connect(server).await {
                            let _ = client.set_nodelay(true);
                            let _ = server.set_nodelay(true);
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                        }
                    };
                    tokio::select! {
                        () = carry => {}
                        _ = watched.wait_for(|up| !up) => {}
                    }
                });
            }
        });
        Self { address, up, task }
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }
}
