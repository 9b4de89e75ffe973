//! Just enough MQTT 3.1.1 to break its rules: packets as bytes.

use alloc::sync::Arc;
use core::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

/// Long enough for any machine; nothing waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    assert!(body.len() < 128, "one length byte is enough for the tests");
    [&[first, body.len() as u8][..], &body].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

pub(crate) fn connect(client_id: &str) -> Vec<u8> {
    packet(0x10, &[&text("MQTT"), &[4, 2, 0, 60], &text(client_id)])
}

pub(crate) fn connect_with_will(client_id: &str, topic: &str) -> Vec<u8> {
    let head = text("MQTT");
    let will = [text(topic), text("evil")].concat();
    packet(0x10, &[&head, &[4, 6, 0, 60], &text(client_id), &will])
}

pub(crate) fn publish(topic: &str, payload: &str) -> Vec<u8> {
    packet(0x32, &[&text(topic), &[0, 7], payload.as_bytes()])
}

pub(crate) fn subscribe(filter: &str) -> Vec<u8> {
    packet(0x82, &[&[0, 8], &text(filter), &[1]])
}

/// A client that says whatever it is told to.
pub(crate) struct Raw {
    stream: TlsStream<TcpStream>,
}

impl Raw {
    /// Opens the connection; in TLS 1.3 a client that is refused may not notice yet.
    pub(crate) async fn open(
        port: u16,
        config: &Arc<ClientConfig>,
    ) -> Result<Self, std::io::Error> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = connector.connect(name, tcp).await?;
        Ok(Self { stream })
    }

    pub(crate) fn resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends without asking whether anybody still listens.
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// The next packet: its type, and its bytes behind the length; `None` at the end of the connection.
    pub(crate) async fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        let read = async {
            let first = self.stream.read_u8().await.ok()?;
            let len = self.stream.read_u8().await.ok()?;
            assert!(len < 128, "one length byte is enough for the tests");
            let mut body = vec![0; usize::from(len)];
            self.stream.read_exact(&mut body).await.ok()?;
            Some((first >> 4, body))
        };
        timeout(PATIENCE, read)
            .await
            .expect("neither a packet nor the end")
    }

    /// Waits for a packet of this type; those before it are acknowledgements of no interest.
    pub(crate) async fn expect(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, body) = self.hear().await.expect("the connection ended");
            if found == kind {
                return body;
            }
            assert_ne!(found, 3, "an unexpected message: {body:?}");
        }
    }

    /// Everything until the end of the connection, as packet types.
    pub(crate) async fn until_the_end(&mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let Some((kind, _)) = self.hear().await {
            kinds.push(kind);
        }
        kinds
    }

    /// The topic and content of the next message, acknowledged.
    pub(crate) async fn message(&mut self) -> (String, String) {
        let body = self.expect(3).await;
        let len = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let topic = String::from_utf8(body[2..2 + len].to_vec()).unwrap();
        self.say(&packet(0x40, &[&body[2 + len..4 + len]])).await;
        let payload = String::from_utf8(body[4 + len..].to_vec()).unwrap();
        (topic, payload)
    }

    /// Whether nothing comes for a while.
    pub(crate) async fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let next = timeout(Duration::from_millis(300), self.stream.read(&mut byte));
        next.await.is_err()
    }
}
