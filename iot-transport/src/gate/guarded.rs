//! A client's stream as the upstream sees it: vetted packets only, and a goodbye when the session is ended.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;

use super::Stage;
use super::inspect::{Inspector, Violation};
use super::serve::raised;
use crate::mqtt::packet;
use crate::mqtt::packet::server::put_refusal;
use crate::mqtt::wire::Io;

const READ_BYTES: usize = 8 * 1_024;
/// A normal goodbye in either version: the upstream publishes no will.
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// A client's stream from which only allowed packets can be read.
pub(super) struct Guarded<S> {
    stream: TlsStream<S>,
    inspector: Inspector,
    vetted: Vec<u8>,
    read: usize,
    pub(super) violation: Option<Violation>,
    /// Whether the upstream has written anything yet.
    answered: bool,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    leaving: bool,
}

impl<S: Io> Guarded<S> {
    /// Guards a stream until one of `ends` is raised; then a DISCONNECT is the last thing read from it.
    pub(super) fn new(
        stream: TlsStream<S>,
        inspector: Inspector,
        ends: [watch::Receiver<bool>; 2],
    ) -> Self {
        Self {
            stream,
            inspector,
            vetted: Vec::new(),
            read: 0,
            violation: None,
            answered: false,
            end: Box::pin(raised(ends)),
            leaving: false,
        }
    }

    /// Waits until the client's CONNECT was let through.
    pub(super) async fn first(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_vetted(cx)).await?;
        if self.leaving {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Whether the session was ended from outside.
    pub(super) const fn leaving(&self) -> bool {
        self.leaving
    }

    /// Notices that the session has to end: the rest of a packet in transit still goes on, then DISCONNECT.
    fn poll_end(&mut self, cx: &mut Context<'_>) {
        if self.leaving || self.end.as_mut().poll(cx).is_pending() {
            return;
        }
        self.leaving = true;
        let mut whole = 0;
        while whole < self.read
            && let Some(rest) = self.vetted.get(whole..)
            && let Ok(Some((header, body))) = packet::frame(rest, usize::MAX)
        {
            whole += header + body;
        }
        self.vetted.truncate(whole.max(self.read));
        self.vetted.extend_from_slice(&DISCONNECT);
    }

    /// Ready when vetted bytes wait to be read; an error at the end of the stream and after a violation.
    fn poll_vetted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_end(cx);
        while self.read >= self.vetted.len() {
            if self.leaving {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
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
    pub(super) fn answer(&self, violation: &Violation) -> Vec<u8> {
        let mut answer = Vec::new();
        if violation.stage == Stage::Connect
            && !self.answered
            && let Some(version) = self.inspector.version()
        {
            put_refusal(&mut answer, version, violation.codes.0, violation.codes.1);
        }
        answer
    }

    pub(super) async fn goodbye(&mut self, answer: &[u8]) -> io::Result<()> {
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
        this.poll_end(cx);
        if this.leaving {
            // A client that does not read must not keep the goodbye from the upstream.
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.poll_end(cx);
        if this.leaving {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.leaving {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}
