//! A server of one image behind a link that loses, doubles and delays datagrams, in virtual time.

mod server;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;

use iot_core::port::Timer;
use iot_core::sim::Faults;
use iot_core::time::TimeBounds;
use iot_core::{Instant, Now};

use self::server::World;
use super::datagrams::Datagrams;

/// How the simulated server answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Style {
    /// On the acknowledgement.
    Piggybacked,
    /// With an acknowledgement, and after 50 ms a confirmable message of its own, repeated until it is acknowledged.
    Separate,
    /// The same with a message that is not repeated.
    Unconfirmed,
}

/// A server of one image, the link to it, and the clock of both; clones are the same ones.
///
/// Time moves when somebody waits for it, straight to the next thing that happens, and so a download of a minute takes
/// none. The same seed gives the same run.
///
/// ```
/// use iot_transport::coap::{CoapImage, Target, Terms, sim::SimServer};
/// use iot_transport::iot_core::node::block_on;
/// use iot_transport::iot_core::port::{ImageSource, Timer};
/// use iot_transport::iot_core::sim::{Faults, SimEntropy};
///
/// let server = SimServer::new(1, Faults::new(0, 0, 10, 10), b"firmware".to_vec());
/// let target = Target::new("coap://images.example/7.bin")?;
/// let mut image = CoapImage::new(server.clone(), server.clone(), SimEntropy::new(1), target, Terms::new());
/// let mut block = [0; 64];
/// assert_eq!(block_on(image.read(4, &mut block))?, 4);
/// assert_eq!(server.now().instant.as_millis(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SimServer(Rc<RefCell<World>>);

/// What happened on a simulated link so far: a test asserts that its faults fired.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Datagrams that either end has sent.
    pub sent: u64,
    /// Those that never arrived.
    pub lost: u64,
    /// Those that arrived twice.
    pub doubled: u64,
    /// The longest that the client has sent, in bytes.
    pub longest: usize,
}

impl SimServer {
    /// A server of `image` that answers on the acknowledgement, with a tag, blocks of any size, and the size when it is
    /// asked for.
    #[must_use]
    pub fn new(seed: u64, faults: Faults, image: Vec<u8>) -> Self {
        Self(Rc::new(RefCell::new(World::new(seed, faults, image))))
    }

    /// Sets how it answers.
    #[must_use]
    pub fn with_style(self, style: Style) -> Self {
        self.0.borrow_mut().style = style;
        self
    }

    /// Sets the largest blocks that it gives, in bytes: a power of two from 16 to 1,024.
    #[must_use]
    pub fn with_block_limit(self, bytes: usize) -> Self {
        self.0.borrow_mut().limit(bytes);
        self
    }

    /// Leaves tags and sizes out of the answers.
    #[must_use]
    pub fn without_tags(self) -> Self {
        self.0.borrow_mut().tells = false;
        self
    }

    /// Another image is there from now on, with another tag.
    pub fn replace(&self, image: Vec<u8>) {
        self.0.borrow_mut().replace(image);
    }

    /// Changes how badly the link behaves from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// A datagram from anywhere reaches the client at once, as if it were the server's.
    pub fn inject(&self, datagram: Vec<u8>) {
        self.0.borrow_mut().inject(datagram);
    }

    /// What happened on the link so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.0.borrow().counts
    }

    /// Where the blocks begin that the server was asked for, in order and in bytes; a repeated message counts once.
    #[must_use]
    pub fn asked(&self) -> Vec<u32> {
        self.0.borrow().asked.iter().map(|asked| asked.1).collect()
    }
}

impl Datagrams for SimServer {
    type Error = Infallible;

    async fn send(&mut self, datagram: &[u8]) -> Result<(), Infallible> {
        self.0.borrow_mut().heard_from_client(datagram);
        Ok(())
    }

    /// Waits only beside the [`Timer`]: it is what moves the time.
    async fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let datagram = poll_fn(|_| match self.0.borrow_mut().arrived() {
            Some(datagram) => Poll::Ready(datagram),
            None => Poll::Pending,
        })
        .await;
        let bytes = datagram.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(datagram) {
            *to = from;
        }
        Ok(bytes)
    }
}

impl Timer for SimServer {
    fn now(&self) -> Now {
        let now = Instant::from_millis(self.0.borrow().now_ms);
        Now::new(now, TimeBounds::UNKNOWN)
    }

    async fn until(&mut self, deadline: Option<Instant>) {
        poll_fn(|context| {
            let mut world = self.0.borrow_mut();
            let deadline_ms = deadline.map(Instant::as_millis);
            if deadline_ms.is_some_and(|deadline| world.now_ms >= deadline) {
                return Poll::Ready(());
            }
            if world.pass(deadline_ms) {
                context.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }
}
