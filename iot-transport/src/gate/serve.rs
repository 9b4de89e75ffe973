//! One connection to the gate: handshake, admission, and the stream that the upstream sees.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use std::io;
use std::time::SystemTime;

use iot_core::Principal;
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::guarded::Guarded;
use super::inspect::Inspector;
use super::record::Chain;
use super::{Gate, Record, Refusal, Stage, Upstream};
use crate::mqtt::hub::Vouch;
use crate::mqtt::wire::Io;
use crate::topic::Topic;

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
        let chain: Chain = stream
            .get_ref()
            .1
            .peer_certificates()
            .map(Arc::from)
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
        let (lapse, lapsed) = watch::channel(false);
        let ends = [entered.end.clone(), lapsed];
        let vouch = self.vouch(principal, chain.clone());
        let mut guarded = Guarded::new(stream, inspector, ends.clone());
        let sentence = async {
            tokio::select! {
                () = raised(ends) => {}
                reason = self.lapsed(principal, &chain) => {
                    refuse(Stage::Admit, Some(principal), reason);
                    lapse.send_replace(true);
                }
            }
            // The guard says goodbye upstream; an upstream that does not listen is left all the same.
            sleep(GOODBYE).await;
        };
        tokio::select! {
            biased;
            () = sentence => {}
            ended = self.relay(&mut guarded, vouch) => if let Err(reason) = ended {
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

    /// Asks for a will when it is due whether its client may still say it: it may have been revoked since.
    fn vouch(&self, principal: Principal, chain: Chain) -> Vouch {
        let (admit, authorizer) = (self.shared.admit.clone(), self.shared.authorizer.clone());
        Vouch::new(move |topic| {
            let allows =
                |topic: Topic<'_>| authorizer.decide(&principal, &topic.publish()).is_allowed();
            !chain.is_empty()
                && admit.admit(&chain) == Ok(principal)
                && Topic::parse(topic).is_ok_and(allows)
        })
    }

    /// Waits until `Admit` does not name the same peer any more; returns why.
    async fn lapsed(&self, principal: Principal, chain: &[CertificateDer<'_>]) -> String {
        loop {
            sleep(self.shared.limits.recheck).await;
            match self.admit(chain) {
                Ok(same) if same == principal => {}
                Ok(_) => return "the certificate names another peer now".into(),
                Err(refusal) => return refusal.to_string(),
            }
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
    async fn relay<S: Io>(&self, guarded: &mut Guarded<S>, vouch: Vouch) -> Result<(), String> {
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
            Upstream::Hub(hub) => hub.serve_vouched(guarded, vouch).await,
            Upstream::Broker(address) => {
                let broker = timeout(patience, TcpStream::connect(address.as_str()))
                    .await
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .and_then(|broker| broker.set_nodelay(true).map(|()| broker))
                    .map_err(|error| alloc::format!("the broker cannot be reached: {error}"))?;
                let (mut client_read, mut client_write) = tokio::io::split(&mut *guarded);
                let (mut broker_read, mut broker_write) = broker.into_split();
                // Whichever direction ends first ends both: MQTT knows no half-closed connection.
                tokio::select! {
                    _ = tokio::io::copy(&mut client_read, &mut broker_write) => {}
                    _ = tokio::io::copy(&mut broker_read, &mut client_write) => {}
                }
                if guarded.leaving() {
                    // Closed with bytes unread, the socket would be reset, and the goodbye lost with it.
                    let _ = broker_write.shutdown().await;
                    let _ = tokio::io::copy(&mut broker_read, &mut tokio::io::sink()).await;
                }
            }
        }
        Ok(())
    }
}

/// Waits until one of the flags is raised.
pub(super) async fn raised([mut one, mut other]: [watch::Receiver<bool>; 2]) {
    tokio::select! {
        _ = one.wait_for(|raised| *raised) => {}
        _ = other.wait_for(|raised| *raised) => {}
    }
}
