//! A byte stream with its buffers: everything a connection holds while nobody polls it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use std::io;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{self, PacketError};

/// A stream that MQTT can run on: TCP, TLS, a pipe in memory.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + ?Sized> Io for T {}

const READ_BYTES: usize = 8 * 1_024;

/// Owns a stream, what was read and not yet understood, and what is still to be written.
///
/// Polling it can stop at any point without losing a byte, which is what makes its owners cancel-safe.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    stream: S,
    input: Vec<u8>,
    used: usize,
    pub(crate) out: Vec<u8>,
    written: usize,
    unflushed: bool,
    limit: usize,
    room: Box<[u8]>,
    /// Bytes read and written in this life of the stream.
    pub(crate) traffic: (u64, u64),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            input: Vec::new(),
            used: 0,
            out: Vec::new(),
            written: 0,
            unflushed: false,
            limit,
            room: alloc::vec![0; READ_BYTES].into_boxed_slice(),
            traffic: (0, 0),
        }
    }

    /// How many bytes wait to be written.
    pub(crate) fn backlog(&self) -> usize {
        self.out.len().saturating_sub(self.written)
    }

    /// Takes the next whole packet out of what was read: its first byte and its body.
    pub(crate) fn frame(&mut self) -> Result<Option<(u8, &[u8])>, PacketError> {
        let waiting = self.input.get(self.used..).unwrap_or_default();
        let Some((header, body)) = packet::frame(waiting, self.limit)? else {
            self.compact();
            return Ok(None);
        };
        let from = self.used;
        self.used = from + header + body;
        let whole = self.input.get(from..self.used).unwrap_or_default();
        match whole.split_at_checked(header) {
            Some(([first, ..], body)) => Ok(Some((*first, body))),
            _ => Err(PacketError::Malformed),
        }
    }

    fn compact(&mut self) {
        if self.used == self.input.len() {
            self.input.clear();
        } else if self.used > 0 {
            self.input.drain(..self.used);
        }
        self.used = 0;
        // A burst must not pin its memory for the life of a thousand quiet connections.
        if self.input.is_empty() && self.input.capacity() > 4 * READ_BYTES {
            self.input = Vec::new();
        }
    }

    /// Writes and flushes; ready when nothing is left to be written.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            let count = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
            self.traffic.1 += count as u64;
            self.unflushed = true;
        }
        self.out.clear();
        self.written = 0;
        if self.out.capacity() > 8 * READ_BYTES {
            self.out = Vec::new();
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once; ready with the number of bytes, 0 at the end of the stream.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.room);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
        let filled = room.filled();
        self.input.extend_from_slice(filled);
        self.traffic.0 += filled.len() as u64;
        Poll::Ready(Ok(filled.len()))
    }

    /// Ends the stream politely.
    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
