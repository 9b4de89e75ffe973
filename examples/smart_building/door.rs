//! The ways into the building's front: its own door, a passage that can be shut, and a door that leads nowhere.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use iot_transport::mqtt::client::Dialling;
use iot_transport::mqtt::{Connect, Tls};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Numbers of doors, as the settings of a device name them.
pub const MAIN: u8 = 0;
pub const EAST: u8 = 1;
pub const WALLED_UP: u8 = 2;

/// A connector that dials at whatever door the device's settings name at that moment.
pub struct Doorway {
    doors: [Tls; 3],
    at: Arc<AtomicU8>,
}

impl Doorway {
    /// Begins at the main door; the number is what changes it.
    pub fn new(doors: [Tls; 3]) -> (Self, Arc<AtomicU8>) {
        let at = Arc::new(AtomicU8::new(MAIN));
        let number = Arc::clone(&at);
        (Self { doors, at }, number)
    }
}

impl Connect for Doorway {
    fn connect(&mut self) -> Dialling {
        let [main, east, walled_up] = &mut self.doors;
        match self.at.load(Ordering::Relaxed) {
            EAST => east.connect(),
            WALLED_UP => walled_up.connect(),
            _ => main.connect(),
        }
    }
}

/// A door in front of the front; whoever is in the passage when it is shut is cut off.
pub struct Passage {
    pub address: String,
    open: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Passage {
    /// Opens a passage that leads to this address.
    pub async fn to(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (open, is_open) = watch::channel(true);
        Ok(Self {
            address: listener.local_addr()?.to_string(),
            open,
            task: tokio::spawn(admit(listener, address.into(), is_open)),
        })
    }

    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn admit(listener: TcpListener, to: String, is_open: watch::Receiver<bool>) {
    while let Ok((mut near, _)) = listener.accept().await {
        let (to, mut is_open) = (to.clone(), is_open.clone());
        if !*is_open.borrow() {
            continue;
        }
        tokio::spawn(async move {
            let mut far = TcpStream::connect(to).await?;
            near.set_nodelay(true)?;
            far.set_nodelay(true)?;
            tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                _ = is_open.wait_for(|open| !open) => {}
            }
            io::Result::Ok(())
        });
    }
}
