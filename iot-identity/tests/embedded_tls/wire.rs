//! A link whose other end is a front in the same memory: what is written, it has read when the write returns.

use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use std::io::{Read as _, Write as _};

use embedded_io::{ErrorKind, ErrorType};
use rustls::{ServerConfig, ServerConnection};

#[derive(Clone)]
pub(crate) struct Wire(Rc<RefCell<Front>>);

struct Front {
    server: ServerConnection,
    sent: VecDeque<u8>,
    heard: Vec<u8>,
    error: Option<rustls::Error>,
}

impl Wire {
    pub(crate) fn new(config: &Arc<ServerConfig>) -> Self {
        Self(Rc::new(RefCell::new(Front {
            server: ServerConnection::new(Arc::clone(config)).unwrap(),
            sent: VecDeque::new(),
            heard: vec![],
            error: None,
        })))
    }

    /// What the front says about how it ended.
    pub(crate) fn error(&self) -> Option<rustls::Error> {
        self.0.borrow().error.clone()
    }

    /// What the front heard inside the connection.
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.0.borrow().heard.clone()
    }

    /// Whether the device went away without a word about who it is.
    pub(crate) fn is_left_alone(&self) -> bool {
        let front = self.0.borrow();
        let nobody = front.server.peer_certificates().is_none();
        front.server.is_handshaking() && nobody && front.heard.is_empty()
    }

    pub(crate) fn peer(&self) -> Vec<rustls::pki_types::CertificateDer<'static>> {
        let front = self.0.borrow();
        let chain = front.server.peer_certificates().unwrap_or_default();
        chain.iter().map(|one| one.clone().into_owned()).collect()
    }
}

impl Front {
    fn take(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.error.is_none() {
            self.server.read_tls(&mut bytes).unwrap();
            match self.server.process_new_packets() {
                Ok(_) => self.answer(),
                Err(error) => self.error = Some(error),
            }
        }
        let mut out = vec![];
        while self.server.wants_write() {
            self.server.write_tls(&mut out).unwrap();
        }
        self.sent.extend(out);
    }

    /// Gives back what it hears in capitals.
    fn answer(&mut self) {
        let mut heard = vec![];
        // Would block when nothing has come.
        let _ = self.server.reader().read_to_end(&mut heard);
        let loud = heard.to_ascii_uppercase();
        self.server.writer().write_all(&loud).unwrap();
        self.heard.extend(heard);
    }
}

impl ErrorType for Wire {
    type Error = ErrorKind;
}

impl embedded_io::Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        Ok(self.0.borrow_mut().sent.read(out).unwrap())
    }
}

impl embedded_io::Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().take(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl embedded_io_async::Read for Wire {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, ErrorKind> {
        embedded_io::Read::read(self, out)
    }
}

impl embedded_io_async::Write for Wire {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        embedded_io::Write::write(self, bytes)
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}
