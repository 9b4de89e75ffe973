//! The link below the records.

use core::fmt;

use embedded_io::{Error, ErrorKind, ErrorType, Read, Write};

// The type of a record that is sealed, and the tag that stands for no content at all (RFC 8446 §5.2).
const SEALED: u8 = 23;
const TAG_BYTES: u16 = 16;

/// A link that ends when a sealed record comes that holds not even its type.
///
/// Such a record is against RFC 8446 §5.2, anybody can send it until the server is verified, and `embedded-tls` would
/// panic over it. A link cannot be cloned, so neither can the connection be split: where a record ends is known once.
#[derive(Debug)]
pub struct Link<T> {
    socket: T,
    records: Records,
}

/// Why a link failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError<E> {
    /// A record without content came.
    #[error("a sealed record without content")]
    EmptyRecord,
    /// The socket failed.
    #[error("{0:?}")]
    Socket(E),
}

impl<T> Link<T> {
    pub(super) const fn new(socket: T) -> Self {
        Self {
            socket,
            records: Records::START,
        }
    }

    /// The socket, of which the connection is over.
    #[must_use]
    pub fn into_socket(self) -> T {
        self.socket
    }
}

impl<E: Error> Error for LinkError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::EmptyRecord => ErrorKind::InvalidData,
            Self::Socket(error) => error.kind(),
        }
    }
}

impl<T: ErrorType> ErrorType for Link<T> {
    type Error = LinkError<T::Error>;
}

impl<T: Read> Read for Link<T> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        let len = self.socket.read(out).map_err(LinkError::Socket)?;
        self.records.pass(out.get(..len).unwrap_or(&[]))?;
        Ok(len)
    }
}

impl<T: Write> Write for Link<T> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.socket.write(bytes).map_err(LinkError::Socket)
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        self.socket.flush().map_err(LinkError::Socket)
    }
}

impl<T: embedded_io_async::Read> embedded_io_async::Read for Link<T> {
    async fn read(&mut self, out: &mut [u8]) -> Result<usize, Self::Error> {
        let len = self.socket.read(out).await.map_err(LinkError::Socket)?;
        self.records.pass(out.get(..len).unwrap_or(&[]))?;
        Ok(len)
    }
}

impl<T: embedded_io_async::Write> embedded_io_async::Write for Link<T> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Self::Error> {
        self.socket.write(bytes).await.map_err(LinkError::Socket)
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.socket.flush().await.map_err(LinkError::Socket)
    }
}

/// Where in a record the link is.
struct Records {
    header: [u8; 5],
    header_bytes: usize,
    /// What is left of its body.
    body: u16,
}

impl Records {
    const START: Self = Self {
        header: [0; 5],
        header_bytes: 0,
        body: 0,
    };

    fn pass<E>(&mut self, mut bytes: &[u8]) -> Result<(), LinkError<E>> {
        while let Some((&first, rest)) = bytes.split_first() {
            if self.body > 0 {
                let passed = u16::try_from(bytes.len()).map_or(self.body, |len| len.min(self.body));
                self.body -= passed;
                bytes = bytes.get(usize::from(passed)..).unwrap_or(&[]);
                continue;
            }
            if let Some(place) = self.header.get_mut(self.header_bytes) {
                *place = first;
            }
            self.header_bytes += 1;
            bytes = rest;
            if self.header_bytes == self.header.len() {
                let [kind, _, _, high, low] = self.header;
                self.header_bytes = 0;
                self.body = u16::from_be_bytes([high, low]);
                if kind == SEALED && self.body <= TAG_BYTES {
                    return Err(LinkError::EmptyRecord);
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes left", self.body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn record(kind: u8, len: u16) -> Vec<u8> {
        let mut record = alloc::vec![kind, 3, 3];
        record.extend(len.to_be_bytes());
        // A body that looks like the header of an empty record.
        record.extend([23, 3, 3, 0, 16].iter().cycle().take(len.into()));
        record
    }

    proptest! {
        #[test]
        fn an_empty_record_is_found_wherever_it_stands(
            before in proptest::collection::vec((22u8..24, 17u16..600), 0..5),
            empty in proptest::option::of(0u16..17),
            piece in 1usize..700,
        ) {
            let mut stream: Vec<u8> = before.iter().flat_map(|&(kind, len)| record(kind, len)).collect();
            // Alerts and changes of ciphers are short, and not sealed.
            stream.extend(record(21, 2));
            stream.extend(record(20, 1));
            if let Some(len) = empty {
                stream.extend(record(23, len));
            }
            let mut records = Records::START;
            let found = stream.chunks(piece).try_for_each(|piece| records.pass::<()>(piece));
            let expected = if empty.is_some() { Err(LinkError::EmptyRecord) } else { Ok(()) };
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn arbitrary_bytes_never_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..20)) {
            let mut records = Records::START;
            for piece in pieces {
                let _ = records.pass::<()>(&piece);
            }
        }
    }
}
