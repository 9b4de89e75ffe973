//! A real broker on a loopback port of its own, ended with the test.

use core::time::Duration;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

pub(crate) struct Mosquitto {
    child: Child,
    address: String,
    _folder: TempDir,
}

impl Mosquitto {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mosquitto.conf");
        let settings = format!("listener {port} 127.0.0.1\nallow_anonymous true\n");
        std::fs::write(&path, settings).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is not installed");
        let broker = Self {
            child,
            address: format!("127.0.0.1:{port}"),
            _folder: folder,
        };
        for _ in 0..200 {
            if TcpStream::connect(&broker.address).await.is_ok() {
                return broker;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("mosquitto did not start");
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
