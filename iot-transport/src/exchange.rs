//! A request and its response over any transport: the core's [`Exchange`] where only messages exist.
//!
//! Enrolment and queries fit into one message each way. The device side is [`Requests`]; the service side
//! reads a [`Request`] from a message and answers it. The format is in `exchange.cddl` beside this file.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use iot_core::codec::{EncodeError, Limits, Writer, check, encode_into};
use iot_core::port::{
    Exchange, ExchangeError, ExchangeErrorKind, Timer, Transport, TransportError,
    TransportErrorKind,
};
use iot_core::{Channel, Event, Fate, Message, Ticket};
use minicbor::Decoder;

/// The version of the format.
const VERSION: u8 = 1;
const REQUEST: u8 = 0;
const SERVED: u8 = 1;
const REFUSED: u8 = 2;

/// The longest path in bytes.
pub const MAX_PATH_BYTES: usize = 64;
/// How many bytes a request or response needs beyond its body.
pub const OVERHEAD_BYTES: usize = MAX_PATH_BYTES + 24;

/// The bytes are no request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[error("the message is not a request of version {VERSION}")]
#[non_exhaustive]
pub struct NotARequest;

/// A request as the service receives it, borrowed from the message.
///
/// ```
/// use iot_transport::exchange::Request;
/// let mut buffer = [0; 64];
/// let bytes = Request::new(7, "/enrol", b"please").encode(&mut buffer)?;
/// let request = Request::decode(bytes)?;
/// assert_eq!((request.path, request.body), ("/enrol", &b"please"[..]));
///
/// let mut answer = [0; 64];
/// let answer = request.answer(b"welcome", &mut answer)?;
/// assert!(Request::decode(answer).is_err());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Request<'a> {
    /// What the response is matched by.
    pub number: u64,
    /// The resource.
    pub path: &'a str,
    /// The content.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Puts a request together.
    #[must_use]
    pub const fn new(number: u64, path: &'a str, body: &'a [u8]) -> Self {
        Self { number, path, body }
    }

    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`NotARequest`] for anything that [`encode`](Self::encode) does not write.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, NotARequest> {
        let fields = |decoder: &mut Decoder<'a>| Ok((decoder.str()?, decoder.bytes()?));
        match read(bytes, 5, fields) {
            Some((REQUEST, number, (path, body))) if is_path(path) => {
                Ok(Self { number, path, body })
            }
            _ => Err(NotARequest),
        }
    }

    /// Writes the request to the front of `buffer`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small; the body and [`OVERHEAD_BYTES`] are always enough.
    pub fn encode<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        encode_into(buffer, |writer| {
            head(writer, 5, REQUEST, self.number)?;
            writer.str(self.path)?.bytes(self.body)?;
            Ok(())
        })
    }

    /// Writes the response that carries `body`.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small; the body and [`OVERHEAD_BYTES`] are always enough.
    pub fn answer<'b>(&self, body: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        encode_into(buffer, |writer| {
            head(writer, 4, SERVED, self.number)?;
            writer.bytes(body)?;
            Ok(())
        })
    }

    /// Writes the response that says no.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] when `buffer` is too small; [`OVERHEAD_BYTES`] are always enough.
    pub fn refuse<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], EncodeError> {
        encode_into(buffer, |writer| head(writer, 3, REFUSED, self.number))
    }
}

type Written = Result<(), minicbor::encode::Error<minicbor::encode::write::EndOfSlice>>;

fn head(writer: &mut Writer<'_>, fields: u64, kind: u8, number: u64) -> Written {
    writer.array(fields)?.u8(VERSION)?.u8(kind)?.u64(number)?;
    Ok(())
}

fn is_path(path: &str) -> bool {
    (1..=MAX_PATH_BYTES).contains(&path.len())
}

/// Reads kind, number and the fields behind them; nothing may follow.
fn read<'a, T>(
    bytes: &'a [u8],
    count: u64,
    fields: impl FnOnce(&mut Decoder<'a>) -> Result<T, minicbor::decode::Error>,
) -> Option<(u8, u64, T)> {
    check(bytes, Limits::new(bytes.len(), 2, 8)).ok()?;
    let mut decoder = Decoder::new(bytes);
    let head = decoder.array().ok()? == Some(count) && decoder.u8().ok()? == VERSION;
    let (kind, number) = (decoder.u8().ok()?, decoder.u64().ok()?);
    let rest = fields(&mut decoder).ok()?;
    (head && decoder.position() == bytes.len()).then_some((kind, number, rest))
}

/// A response with the number it answers; `None` as its body says no.
fn response(bytes: &[u8]) -> Option<(u64, Option<&[u8]>)> {
    match (read(bytes, 4, Decoder::bytes), read(bytes, 3, |_| Ok(()))) {
        (Some((SERVED, number, body)), _) => Some((number, Some(body))),
        (_, Some((REFUSED, number, ()))) => Some((number, None)),
        _ => None,
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestsError {
    /// No response came in time.
    #[error("no response came in time: repeat the request")]
    TimedOut,
    /// The service said no.
    #[error("the service refused the request")]
    Refused,
    /// The path is empty or longer than [`MAX_PATH_BYTES`].
    #[error("the path must have 1 to {MAX_PATH_BYTES} bytes")]
    Path,
    /// The request does not fit the room of [`Requests`].
    #[error("the request does not fit into {bytes} bytes: give Requests more room")]
    TooLong {
        /// How much room there is.
        bytes: usize,
    },
    /// The response is longer than the caller's buffer.
    #[error("the response has {needed} bytes: give a larger buffer")]
    Buffer {
        /// How many bytes are needed.
        needed: usize,
    },
    /// The transport failed.
    #[error("the transport failed ({0:?})")]
    Transport(TransportErrorKind),
}

impl ExchangeError for RequestsError {
    fn kind(&self) -> ExchangeErrorKind {
        match self {
            Self::TimedOut => ExchangeErrorKind::TimedOut,
            Self::Refused => ExchangeErrorKind::Refused,
            Self::Buffer { .. } => ExchangeErrorKind::Buffer,
            Self::Path | Self::TooLong { .. } | Self::Transport(_) => ExchangeErrorKind::Other,
        }
    }
}

/// Sends requests on one channel of a transport that it owns, with room for `BYTES` each way.
///
/// ```
/// use core::time::Duration;
/// use iot_core::{Channel, port::Exchange};
/// use iot_transport::{exchange::Requests, memory::Link};
/// # async fn enrol(link: &mut Link<4, 2_048>, timer: impl iot_core::port::Timer, random: u64) {
/// let (device, _service) = link.split();
/// let mut requests = Requests::<_, _, 2_048>::new(device, timer, Channel::Enrol, random);
/// let mut buffer = [0; 1_024];
/// let answer = requests.exchange("/simpleenroll", b"csr", Duration::from_secs(30), &mut buffer).await;
/// # let _ = answer; }
/// ```
#[derive(Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Requests<T, C, const BYTES: usize> {
    transport: T,
    timer: C,
    channel: Channel,
    number: u64,
    subscribed: bool,
    room: [u8; BYTES],
}

impl<T: Transport, C: Timer, const BYTES: usize> Requests<T, C, BYTES> {
    /// Sends on `channel`; requests are numbered from `first`.
    ///
    /// `first` should be random, so that a late answer to a request of an earlier boot matches none of this one.
    pub const fn new(transport: T, timer: C, channel: Channel, first: u64) -> Self {
        Self {
            transport,
            timer,
            channel,
            number: first,
            subscribed: false,
            room: [0; BYTES],
        }
    }

    /// Gives the transport back.
    pub fn into_transport(self) -> T {
        self.transport
    }

    async fn send(
        &mut self,
        path: &str,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Ticket, RequestsError> {
        if !is_path(path) {
            return Err(RequestsError::Path);
        }
        let failed = |error: T::Error| RequestsError::Transport(error.kind());
        if !self.subscribed {
            self.transport
                .subscribe(self.channel)
                .await
                .map_err(failed)?;
            self.subscribed = true;
        }
        self.number = self.number.wrapping_add(1);
        let request = Request::new(self.number, path, body)
            .encode(&mut self.room)
            .map_err(|_| RequestsError::TooLong { bytes: BYTES })?;
        let message = Message::new(self.channel, request).expires_in(timeout);
        self.transport.submit(&message).await.map_err(failed)
    }
}

impl<T: Transport, C: Timer, const BYTES: usize> Exchange for Requests<T, C, BYTES> {
    type Error = RequestsError;

    async fn exchange<'b>(
        &mut self,
        path: &str,
        request: &[u8],
        timeout: Duration,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], RequestsError> {
        let deadline = self.timer.now().instant.after(timeout);
        let sent = self.send(path, request, timeout).await?;
        loop {
            // `next` is cancel-safe, so losing the race against the clock loses no message.
            let mut next = pin!(self.transport.next(&mut self.room));
            let mut late = pin!(self.timer.until(Some(deadline)));
            let event = poll_fn(|cx| match next.as_mut().poll(cx) {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                Poll::Pending => late.as_mut().poll(cx).map(|()| None),
            });
            let event = event.await.ok_or(RequestsError::TimedOut)?;
            match event.map_err(|error| RequestsError::Transport(error.kind()))? {
                Event::Message(message) if message.channel == self.channel => {
                    let Some((number, body)) = response(message.payload) else {
                        continue;
                    };
                    if number != self.number {
                        continue;
                    }
                    let body = body.ok_or(RequestsError::Refused)?;
                    let needed = body.len();
                    let to = buffer
                        .get_mut(..needed)
                        .ok_or(RequestsError::Buffer { needed })?;
                    to.copy_from_slice(body);
                    return Ok(to);
                }
                Event::Settled {
                    ticket,
                    fate: Fate::Refused,
                } if ticket == sent => return Err(RequestsError::Refused),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
