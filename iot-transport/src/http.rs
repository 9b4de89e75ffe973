//! Images over HTTP/1.1, range by range.

mod answer;
mod error;

use alloc::boxed::Box;
use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::Uri;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::header::{ACCEPT_ENCODING, HOST, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use hyper_util::rt::TokioIo;
use iot_core::port::ImageSource;

use self::answer::Answer;
use crate::mqtt::{Connect, Io};

pub use error::{BadTarget, HttpError};

/// A server's headers take at most so much memory.
const HEAD_BYTES: usize = 32 * 1_024;

/// An image behind an HTTP server that serves ranges (RFC 9110 §14), as a source for an installer.
///
/// Each read is one `GET` with a `Range`, all of them over one connection while the server keeps it. Nothing is spawned:
/// the connection moves only while a read is polled. Once the server has named a strong `ETag` or a size, an image that
/// was replaced meanwhile is [told](HttpError::Changed) instead of being mixed with the old one. There is no timeout: put
/// one around the read, or drop it; nothing is lost by that but the connection.
///
/// TLS is the [`Connect`]'s business. Redirects are not followed.
///
/// ```no_run
/// use iot_core::port::ImageSource;
/// use iot_transport::http::HttpImage;
/// use iot_transport::mqtt::Tcp;
///
/// # async fn read() -> Result<(), Box<dyn std::error::Error>> {
/// let mut image = HttpImage::new(Tcp::new("images.example:80"), "http://images.example/boiler/7.bin")?;
/// let mut block = [0; 4_096];
/// let bytes = image.read(8_192, &mut block).await?; // 0 when the image ends before
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct HttpImage<C> {
    connect: C,
    target: Uri,
    headers: HeaderMap,
    open: Option<Open>,
    // What is known of the image so far.
    tag: Option<HeaderValue>,
    size: Option<u64>,
}

struct Open {
    requests: SendRequest<Empty<Bytes>>,
    connection: Option<Driver>,
}

type Driver = Connection<TokioIo<Box<dyn Io>>, Empty<Bytes>>;

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").finish_non_exhaustive()
    }
}

impl<C: Connect> HttpImage<C> {
    /// The image at `url`, which is absolute; `connect` opens the streams to its server.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] when it is no absolute URL of the scheme `http` or `https`.
    pub fn new(connect: C, url: &str) -> Result<Self, BadTarget> {
        let url: Uri = url.parse().map_err(|_| BadTarget)?;
        let host = match (url.scheme_str(), url.authority()) {
            // Who has a right to an image is told by a header: what stands before an @ would get into logs.
            (Some("http" | "https"), Some(host)) if !host.as_str().contains('@') => host,
            _ => return Err(BadTarget),
        };
        let host = HeaderValue::from_str(host.as_str()).map_err(|_| BadTarget)?;
        let target = url.path_and_query().map_or("/", |target| target.as_str());
        let target = target.parse().map_err(|_| BadTarget)?;
        let mut headers = HeaderMap::new();
        headers.insert(HOST, host);
        // A compressed image has other offsets.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(Self {
            connect,
            target,
            headers,
            open: None,
            tag: None,
            size: None,
        })
    }

    /// Sends this header with each request, such as `authorization`; its value is never shown.
    ///
    /// # Errors
    ///
    /// [`BadTarget`] when it is no header, or one that a range is asked for with.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, BadTarget> {
        let name: HeaderName = name.parse().map_err(|_| BadTarget)?;
        if [HOST, ACCEPT_ENCODING, RANGE, IF_RANGE].contains(&name) {
            return Err(BadTarget);
        }
        let mut value = HeaderValue::from_str(value).map_err(|_| BadTarget)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The size of the image in bytes, when the server has named it.
    #[must_use]
    pub const fn size(&self) -> Option<u64> {
        self.size
    }

    async fn dial(&mut self) -> Result<Open, HttpError> {
        let stream = self.connect.connect().await;
        let stream = TokioIo::new(stream.map_err(HttpError::Unreachable)?);
        let mut http = http1::Builder::new();
        http.max_buf_size(HEAD_BYTES);
        let (requests, connection) = http.handshake(stream).await.map_err(HttpError::lost)?;
        Ok(Open {
            requests,
            connection: Some(connection),
        })
    }

    /// One range over a connection that stands; what it says of the image is held against what is known.
    async fn ask(
        &mut self,
        open: &mut Open,
        offset: u32,
        buffer: &mut [u8],
    ) -> Result<usize, HttpError> {
        let request = self.request(offset, buffer.len())?;
        let Open {
            requests,
            connection,
        } = open;
        let known = (self.tag.as_ref(), self.size);
        let exchange = async {
            requests.ready().await.map_err(HttpError::lost)?;
            let sent = requests.send_request(request);
            let (head, body) = sent.await.map_err(HttpError::lost)?.into_parts();
            let answer = Answer::read(head.status, &head.headers, offset, known)?;
            let room = buffer.get_mut(..answer.bytes).ok_or(HttpError::Answer)?;
            if answer.bytes > 0 {
                fill(body, room).await?;
            }
            Ok::<_, HttpError>(answer)
        };
        let answer = beside(connection, exchange).await?;
        self.tag = answer.tag.or(self.tag.take());
        self.size = answer.size.or(self.size);
        Ok(answer.bytes)
    }

    fn request(&self, offset: u32, bytes: usize) -> Result<Request<Empty<Bytes>>, HttpError> {
        let last = u64::from(offset) + (bytes as u64).saturating_sub(1);
        let range = alloc::format!("bytes={offset}-{last}");
        let range = HeaderValue::try_from(range).map_err(|_| HttpError::Answer)?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().insert(RANGE, range);
        if let Some(tag) = &self.tag {
            request.headers_mut().insert(IF_RANGE, tag.clone());
        }
        Ok(request)
    }
}

impl<C: Connect> ImageSource for HttpImage<C> {
    type Error = HttpError;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> Result<usize, HttpError> {
        if buffer.is_empty() {
            return Ok(0);
        }
        // A connection that a dropped read has left in the middle of an answer is never taken up again.
        if let Some(mut open) = self.open.take() {
            match self.ask(&mut open, offset, buffer).await {
                // The server may have closed it since, and a GET may be repeated (RFC 9110 §9.2.2).
                Err(HttpError::Lost(_)) => {}
                result => return self.keep(open, result),
            }
        }
        let mut open = self.dial().await?;
        let result = self.ask(&mut open, offset, buffer).await;
        self.keep(open, result)
    }
}

impl<C> HttpImage<C> {
    fn keep(&mut self, open: Open, result: Result<usize, HttpError>) -> Result<usize, HttpError> {
        match &result {
            // After the end of an image its answer's body was not read.
            Ok(1..) if !open.requests.is_closed() => self.open = Some(open),
            // What is known of the image that is gone must not refuse the new one.
            Err(HttpError::Changed) => (self.tag, self.size) = (None, None),
            _ => {}
        }
        result
    }
}

/// Fills all of `room`, and sees that nothing comes after it.
async fn fill(mut body: Incoming, room: &mut [u8]) -> Result<(), HttpError> {
    let mut filled = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(HttpError::lost)?.into_data() else {
            continue;
        };
        let end = filled + data.len();
        let place = room.get_mut(filled..end).ok_or(HttpError::Answer)?;
        place.copy_from_slice(&data);
        filled = end;
    }
    match filled == room.len() {
        true => Ok(()),
        false => Err(HttpError::Answer),
    }
}

/// Drives the connection while something waits for what it brings.
async fn beside<T>(connection: &mut Option<Driver>, exchange: impl Future<Output = T>) -> T {
    let mut exchange = pin!(exchange);
    poll_fn(|cx| {
        let ended = |driver: &mut Driver| Pin::new(driver).poll(cx).is_ready();
        if connection.as_mut().is_some_and(ended) {
            // Its end is told to those who wait for it when it is dropped.
            *connection = None;
        }
        exchange.as_mut().poll(cx)
    })
    .await
}
