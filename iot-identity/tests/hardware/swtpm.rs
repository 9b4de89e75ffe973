//! A TPM emulator in a folder of its own.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use iot_identity::tpm::{Config, Socket, TpmKeys};
use tempfile::TempDir;

/// A running emulator; it ends with this value, also when a test fails.
pub(crate) struct Swtpm {
    child: Child,
    state: Option<TempDir>,
    pub(crate) address: SocketAddr,
}

impl Swtpm {
    pub(crate) fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(state: TempDir) -> Self {
        // Somebody else may take a free port before the emulator does: then another is tried.
        for _ in 0..20 {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let port = address.port();
            let mut child = Command::new("swtpm")
                .arg("socket")
                .arg("--tpm2")
                .arg("--tpmstate")
                .arg(format!("dir={}", state.path().display()))
                .arg("--server")
                .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
                .args(["--flags", "not-need-init,startup-clear"])
                .stdin(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("Debian's package swtpm");
            let begin = Instant::now();
            while child.try_wait().unwrap().is_none() && begin.elapsed() < Duration::from_secs(20) {
                if TcpStream::connect(address).is_ok() {
                    return Self {
                        child,
                        state: Some(state),
                        address,
                    };
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            child.wait().unwrap();
        }
        panic!("swtpm does not start");
    }

    /// Cuts the power, and starts again with what was kept.
    pub(crate) fn power_cycle(mut self) -> Self {
        self.stop();
        Self::on(self.state.take().unwrap())
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    pub(crate) fn keys(&self, config: Config) -> TpmKeys {
        TpmKeys::open(Socket::new(self.address), config).unwrap()
    }

    /// One command, as anybody may send it; the whole response.
    pub(crate) fn raw(&self, command: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(command).unwrap();
        let mut response = vec![0; 10];
        stream.read_exact(&mut response).unwrap();
        let size = u32::from_be_bytes(response[2..6].try_into().unwrap());
        response.resize(size as usize, 0);
        stream.read_exact(&mut response[10..]).unwrap();
        response
    }
}

impl Drop for Swtpm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
