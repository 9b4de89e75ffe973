//! The engine, with datagrams and a timer around it.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;

use iot_core::Instant;
use iot_core::entropy::Entropy;
use iot_core::port::{ImageSource, Timer};

use super::datagrams::Datagrams;
use super::error::{CoapError, FetchError};
use super::fetch::{Fetch, Step};
use super::target::Target;
use super::terms::Terms;

/// So many datagrams that came while nobody read are looked at before time is.
const BACKLOG: usize = 16;

/// An image behind a CoAP server that serves blocks (RFC 7959), as a source for an installer.
///
/// Each block is fetched once when the image is read from front to back, whatever the lengths of the reads are. Once
/// the server has named an `ETag` or a size, an image that was replaced meanwhile is [told](FetchError::Changed) instead
/// of being mixed with the old one. Without tags a new image of the same size is not noticed: only the digest of the
/// whole tells. Nothing is spawned: datagrams move only while a read is polled. A read that was dropped loses nothing.
///
/// What it asks for is [`Fetch`]'s matter, and so are `WINDOW` and `BLOCK`; `DATAGRAM` is the longest datagram in
/// bytes, which should be a block and 128 more. In memory it is about `WINDOW` blocks and a datagram.
///
/// CoAP has no checksum of its own, and without DTLS no secret: what was read is the installer's to verify.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use iot_transport::coap::{CoapImage, Target, Terms, sim::SimServer};
/// use iot_transport::iot_core::node::block_on;
/// use iot_transport::iot_core::port::ImageSource;
/// use iot_transport::iot_core::sim::{Faults, SimEntropy};
///
/// // One in ten datagrams is lost each way, and each takes 10 ms.
/// let server = SimServer::new(1, Faults::new(100, 0, 10, 10), vec![7; 27_000]);
/// let target = Target::new("coap://images.example/boiler/7.bin")?;
/// let mut image = CoapImage::new(server.clone(), server.clone(), SimEntropy::new(2), target, Terms::new());
/// let mut block = [0; 4_096];
/// assert_eq!(block_on(image.read(8_192, &mut block))?, 1_024);
/// assert_eq!(image.size(), Some(27_000));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// With the features `coap` and `mqtt` a host reads one over UDP; on a chip it is a few lines of [`Datagrams`] over the
/// socket of its network stack:
///
/// ```no_run
/// # #[cfg(feature = "mqtt")] {
/// use iot_transport::coap::{CoapImage, Target, Terms, Udp};
/// use iot_transport::iot_core::entropy::Entropy;
/// use iot_transport::iot_core::port::ImageSource;
/// use iot_transport::TokioTimer;
///
/// async fn read(entropy: impl Entropy) -> Result<(), Box<dyn std::error::Error>> {
///     let udp = Udp::connect("images.example:5683").await?;
///     let target = Target::new("coap://images.example/boiler/7.bin")?;
///     // Four blocks of 512 bytes at a time.
///     let mut image = CoapImage::<_, _, _, 4, 512, 640>::sized(udp, TokioTimer::new(), entropy, target, Terms::new());
///     let mut block = [0; 4_096];
///     let bytes = image.read(8_192, &mut block).await?; // 0 when the image ends before
///     Ok(())
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct CoapImage<
    's,
    D,
    T,
    E,
    const WINDOW: usize = 1,
    const BLOCK: usize = 1_024,
    const DATAGRAM: usize = 1_152,
> {
    datagrams: D,
    timer: T,
    entropy: E,
    fetch: Fetch<'s, WINDOW, BLOCK>,
    datagram: [u8; DATAGRAM],
}

impl<'s, D: Datagrams, T: Timer, E: Entropy> CoapImage<'s, D, T, E> {
    /// The image at `target`, in blocks of 1,024 bytes one after the other; message ids and tokens come from `entropy`.
    pub const fn new(datagrams: D, timer: T, entropy: E, target: Target<'s>, terms: Terms) -> Self {
        Self::sized(datagrams, timer, entropy, target, terms)
    }
}

impl<
    's,
    D: Datagrams,
    T: Timer,
    E: Entropy,
    const WINDOW: usize,
    const BLOCK: usize,
    const DATAGRAM: usize,
> CoapImage<'s, D, T, E, WINDOW, BLOCK, DATAGRAM>
{
    const SHAPE: () = assert!(
        DATAGRAM >= BLOCK + 64,
        "a datagram has a block and at least 64 bytes more"
    );

    /// The same with other sizes, as the type's parameters say. Sizes that do not fit together do not compile.
    pub const fn sized(
        datagrams: D,
        timer: T,
        entropy: E,
        target: Target<'s>,
        terms: Terms,
    ) -> Self {
        let () = Self::SHAPE;
        Self {
            datagrams,
            timer,
            entropy,
            fetch: Fetch::new(target, terms),
            datagram: [0; DATAGRAM],
        }
    }

    /// The size of the image in bytes, when the server has named it or its last block has come.
    #[must_use]
    pub const fn size(&self) -> Option<u32> {
        self.fetch.size()
    }

    /// What the datagrams go through.
    pub const fn datagrams(&mut self) -> &mut D {
        &mut self.datagrams
    }

    /// Waits until the byte at `offset` is here, or the end is known to lie before it.
    async fn bring(&mut self, offset: u32) -> Result<(), CoapError<D::Error>> {
        self.catch_up().await?;
        self.fetch.want(self.timer.now().instant, offset);
        loop {
            let deadline = self.send().await?;
            if self.fetch.bytes(offset).is_some() {
                return Ok(());
            }
            let arriving = self.datagrams.receive(&mut self.datagram);
            let due = self.timer.until(deadline);
            if let Some(received) = first(arriving, due).await {
                let bytes = received.map_err(CoapError::Datagrams)?;
                self.take(Some(self.timer.now().instant), bytes);
            }
        }
    }

    /// Sends all that is to be sent, and returns when there will be more.
    async fn send(&mut self) -> Result<Option<Instant>, CoapError<D::Error>> {
        loop {
            let now = self.timer.now().instant;
            let step = self
                .fetch
                .step(now, &mut self.entropy, &mut self.datagram)?;
            let Step::Send(datagram) = step else {
                return Ok(self.fetch.next_deadline());
            };
            let sent = self.datagrams.send(datagram).await;
            sent.map_err(CoapError::Datagrams)?;
        }
    }

    /// Takes in what came while nobody was reading: else all of it would be asked for again. When it came, nobody knows.
    async fn catch_up(&mut self) -> Result<(), CoapError<D::Error>> {
        for _ in 0..BACKLOG {
            let arriving = self.datagrams.receive(&mut self.datagram);
            let Some(received) = first(arriving, async {}).await else {
                break;
            };
            self.take(None, received.map_err(CoapError::Datagrams)?);
        }
        Ok(())
    }

    fn take(&mut self, arrived: Option<Instant>, bytes: usize) {
        // One that fills the buffer may have been cut, and then it would look like the end of the image.
        if bytes < DATAGRAM
            && let Some(datagram) = self.datagram.get(..bytes)
        {
            self.fetch.input(arrived, datagram);
        }
    }
}

impl<
    D: Datagrams,
    T: Timer,
    E: Entropy,
    const WINDOW: usize,
    const BLOCK: usize,
    const DATAGRAM: usize,
> ImageSource for CoapImage<'_, D, T, E, WINDOW, BLOCK, DATAGRAM>
{
    type Error = CoapError<D::Error>;

    async fn read(&mut self, offset: u32, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        match self.bring(offset).await {
            // Servers refuse a block behind the end, with one code or another, and may refuse one for other reasons.
            Err(CoapError::Fetch(FetchError::Refused { code })) if offset > 0 => {
                if self.size().is_none() {
                    self.bring(0).await?;
                }
                return match self.size() {
                    Some(size) if size <= offset => Ok(0),
                    _ => Err(FetchError::Refused { code }.into()),
                };
            }
            result => result?,
        }
        let there = self.fetch.bytes(offset).unwrap_or(&[]);
        for (to, from) in buffer.iter_mut().zip(there) {
            *to = *from;
        }
        Ok(there.len().min(buffer.len()))
    }
}

/// What arrives, or nothing when the time is up.
async fn first<T>(arriving: impl Future<Output = T>, due: impl Future<Output = ()>) -> Option<T> {
    let (mut arriving, mut due) = (pin!(arriving), pin!(due));
    poll_fn(|context| match arriving.as_mut().poll(context) {
        Poll::Ready(arrived) => Poll::Ready(Some(arrived)),
        Poll::Pending => due.as_mut().poll(context).map(|()| None),
    })
    .await
}
