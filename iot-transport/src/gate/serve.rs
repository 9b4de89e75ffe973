//! One connection to the gate: handshake, admission, and the stream that the upstream sees.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use iot_core::Principal;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::inspect::{Inspector, Violation};
use super::{Gate, Record, Refusal, Stage, Upstream};
use crate::mqtt::packet::server::put_refusal;
use crate::mqtt::wire::Io;

const READ_BYTES: usize = 8 * 1_024;
/// How long an ended session's goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

impl Gate {
    /// Serves one client on `stream`, from its handshake to its end.
    pub async fn serve<S: Io>(&self, stream: S, address: Option<SocketAddr>) {
        let shared = &self.shared;
        let Ok(_place) = shared.connections.try_acquire() else {
            return shared.books.count(|stats| stats.turned_away += 1);
        };
        let refuse = |stage, principal, reason: String| {
            shared.books.refuse(Record {
                stage,
                principal,
                address,
                at: SystemTime::now(),
                reason,
            });
        };
        let stream = match self.handshake(stream).await {
            Ok(stream) => stream,
            Err(reason) => return refuse(Stage::Handshake, None, reason),
        };
        let chain: Vec<CertificateDer<'static>> = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(<[_]>::to_vec)
            .unwrap_or_default();
        // A cut between the question and the entry would miss this session: then it is asked again.
        let (principal, entered) = loop {
            let cuts = shared.registry.cuts();
            let principal = match self.admit(&chain) {
                Ok(principal) => principal,
                Err(refusal) => return refuse(Stage::Admit, None, refusal.to_string()),
            };
            if let Some(entered) = shared.registry.enter(principal, chain.clone(), cuts) {
                break (principal, entered);
            }
        };
        let inspector = Inspector::new(
            principal,
            shared.authorizer.clone(),
            shared.limits.packet_bytes,
        );
        let mut guarded = Guarded::new(stream, inspector);
        tokio::select! {
            biased;
            () = entered.end.notified() => {}
            ended = self.relay(&mut guarded) => if let Err(reason) = ended {
                refuse(Stage::Connect, Some(principal), reason);
            },
        }
        drop(entered);
        let mut answer = Vec::new();
        if let Some(violation) = guarded.violation.take() {
            answer = guarded.answer(&violation);
            refuse(violation.stage, Some(principal), violation.reason);
        }
        // A client that does not read its goodbye is not worth waiting for.
        let _ = timeout(GOODBYE, guarded.goodbye(&answer)).await;
    }

    fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<Principal, Refusal> {
        match chain {
            // A configuration that forgets to ask for certificates must not open the gate.
            [] => Err(Refusal::NoCertificate),
            chain => self.shared.admit.admit(chain),
        }
    }

    async fn handshake<S: Io>(&self, stream: S) -> Result<TlsStream<S>, String> {
        let shared = &self.shared;
        // Waiting has a bound of its own: a fleet that returns at once must not use up its handshake time in line.
        let turn = timeout(shared.limits.turn_timeout, shared.handshakes.acquire()).await;
        let Ok(Ok(_turn)) = turn else {
            return Err("too many handshakes were in line".into());
        };
        let stream = timeout(
            shared.limits.handshake_timeout,
            shared.acceptor.accept(stream),
        )
        .await
        .map_err(|_| String::from("the handshake took too long"))?
        .map_err(|error| error.to_string())?;
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        shared.books.count(|stats| {
            stats.handshakes += 1;
            stats.resumed += u64::from(resumed);
        });
        Ok(stream)
    }

    /// Waits for an allowed CONNECT, then connects the client with the upstream until one of them ends.
    async fn relay<S: Io>(&self, guarded: &mut Guarded<S>) -> Result<(), String> {
        let shared = &self.shared;
        let patience = shared.limits.connect_timeout;
        match timeout(patience, guarded.first()).await {
            Ok(Ok(())) => {}
            // A violation is told by the guard, and a client that just left did nothing wrong.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err("no CONNECT in time".into()),
        }
        shared.books.count(|stats| stats.admitted += 1);
        match &shared.upstream {
            Upstream::Hub(hub) => hub.serve(guarded).await,
            Upstream::Broker(address) => {
                let broker = timeout(patience, TcpStream::connect(address.as_str()))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .and_then(|broker| broker.set_nodelay(true).map(|()| broker))
                    .map_err(|error| alloc::format!("the broker cannot be reached: {error}"))?;
                let (mut client_read, mut client_write) = tokio::io::split(guarded);
                let (mut broker_read, mut broker_write) = broker.into_split();
                // Whichever direction ends first ends both: MQTT knows no half-closed connection.
                tokio::select! {
                    _ = tokio::io::copy(&mut client_read, &mut broker_write) => {}
                    _ = tokio::io::copy(&mut broker_read, &mut client_write) => {}
                }
            }
        }
        Ok(())
    }
}

/// A client's stream from which only allowed packets can be read.
struct Guarded<S> {
    stream: TlsStream<S>,
    inspector: Inspector,
    vetted: Vec<u8>,
    read: usize,
    violation: Option<Violation>,
    /// Whether the upstream has written anything yet.
    answered: bool,
}

impl<S: Io> Guarded<S> {
    fn new(stream: TlsStream<S>, inspector: Inspector) -> Self {
        Self {
            stream,
            inspector,
            vetted: Vec::new(),
            read: 0,
            violation: None,
            answered: false,
        }
    }

    /// Waits until the client's CONNECT was let through.
    async fn first(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_vetted(cx)).await
    }

    /// Ready when vetted bytes wait to be read; an error at the end of the stream and after a violation.
    fn poll_vetted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.read >= self.vetted.len() {
            if self.violation.is_some() {
                return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
            }
            self.vetted.clear();
            self.read = 0;
            let mut room = [0; READ_BYTES];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            if room.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            // What was allowed before the violation still goes on; the error follows with the next read.
            self.violation = self.inspector.feed(room.filled(), &mut self.vetted).err();
        }
        Poll::Ready(Ok(()))
    }

    /// What to tell the client; only a CONNECT is answered, because later the upstream may be in mid-packet.
    fn answer(&self, violation: &Violation) -> Vec<u8> {
        let mut answer = Vec::new();
        if violation.stage == Stage::Connect
            && !self.answered
            && let Some(version) = self.inspector.version()
        {
            put_refusal(&mut answer, version, violation.codes.0, violation.codes.1);
        }
        answer
    }

    async fn goodbye(&mut self, answer: &[u8]) -> io::Result<()> {
        self.stream.write_all(answer).await?;
        self.stream.shutdown().await
    }
}

impl<S: Io> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match ready!(this.poll_vetted(cx)) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(error)),
            Ok(()) => {
                let waiting = this.vetted.get(this.read..).unwrap_or_default();
                let count = waiting.len().min(room.remaining());
                room.put_slice(waiting.get(..count).unwrap_or_default());
                this.read += count;
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl<S: Io> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.answered = true;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
